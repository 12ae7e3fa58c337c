"""The same key and the same input give the first result again."""

import hashlib
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from domain import values
from domain.errors import IdempotencyMismatchError, InvalidInputError
from domain.repositories.plan_rows import StoredGeneration, load_stored, record_of_key
from domain.unit_of_work import UnitOfWork


def require_civil_date(today: object) -> None:
    """Raise ``InvalidInputError`` unless it is a date; a moment has no date without a zone."""
    values.checked("today", values.civil_date, today)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What ``generate`` was asked, perhaps under a key that belongs to the tenant.

    Raises ``InvalidInputError`` for ids and dates that are none, and unless the key and
    ``requested_by`` are text of at most 200 characters that PostgreSQL can store.
    """

    tenant_id: UUID
    group_id: UUID
    today: date
    requested_by: str | None = None
    key: str | None = None
    expected_generation: int | None = None
    """The number of the last generation that the caller has seen; not part of ``hash``."""

    def __post_init__(self) -> None:
        InvalidInputError.unless_uuids(tenant_id=self.tenant_id, group_id=self.group_id)
        require_civil_date(self.today)
        if self.requested_by is not None:
            values.checked("requested_by", values.text, self.requested_by)
        expected: object = self.expected_generation
        if expected is not None and (type(expected) is not int or expected < 0):
            raise InvalidInputError.of("expected_generation", "must be a whole number, 0 or more")
        if self.key is not None:
            values.checked("idempotency_key", _key, self.key)

    @property
    def hash(self) -> str | None:
        """The sha256, in hexadecimal, of what the key was used for; ``None`` without a key."""
        if self.key is None:
            return None
        asked = f"generate/{self.tenant_id}/{self.group_id}/{self.today.isoformat()}"
        return hashlib.sha256(asked.encode()).hexdigest()

    def answered_before(self, uow: UnitOfWork) -> StoredGeneration | None:
        """What the same request was answered the first time; ``None`` if this is the first.

        Nothing is asked of the database without a key, one statement for a new key, three
        for an answer. Whoever generates for the group at the same time holds its lock, so
        this transaction must hold it: ``LockNotHeldError``.

        Raises ``IdempotencyMismatchError`` if the key was used for something else.
        """
        if self.key is None:
            return None
        uow.require_lock(self.group_id)
        record = record_of_key(uow.session, self.tenant_id, self.key)
        if record is None:
            return None
        if record.request_hash != self.hash:
            raise IdempotencyMismatchError(idempotency_key=self.key)
        return load_stored(uow.session, record)


def _key(value: object) -> str:
    if not (key := values.text(value)):
        raise values.BadValueError("must not be empty")
    return key
