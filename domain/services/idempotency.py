"""The same key and the same input give the first result again."""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from domain.errors import IdempotencyMismatchError, InvalidInputError
from domain.repositories.repeated import StoredGeneration, load_stored, record_of_key
from domain.unit_of_work import UnitOfWork

LONGEST_KEY: Final = 200


def require_civil_date(today: object) -> None:
    """Raise ``InvalidInputError`` unless it is a date; a moment has no date without a zone."""
    if not isinstance(today, date) or isinstance(today, datetime):
        raise InvalidInputError.of("today", "must be a date, without a time")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What ``generate`` was asked, perhaps under a key that belongs to the tenant.

    Raises ``InvalidInputError`` for ids and dates that are none, and unless the key is text
    of 1 to 200 characters that PostgreSQL can store.
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
        if not isinstance(self.requested_by, str | None):
            raise InvalidInputError.of("requested_by", "must be text")
        expected: object = self.expected_generation
        if expected is not None and (type(expected) is not int or expected < 0):
            raise InvalidInputError.of("expected_generation", "must be a whole number, 0 or more")
        # Callers without a type checker pass what a header holds.
        key: Any = self.key
        if key is None:
            return
        if not isinstance(key, str) or not 1 <= len(key) <= LONGEST_KEY:
            raise InvalidInputError.of(
                "idempotency_key", f"must have 1 to {LONGEST_KEY} characters"
            )
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in key):
            raise InvalidInputError.of("idempotency_key", "has a character that cannot be stored")

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
