"""What all requests for a run have in common: the key, the expected generation, and the event."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from time import perf_counter
from typing import Protocol, TypeVar
from uuid import UUID

from domain import errors, events, values
from domain.locking.policy import PlanGroupLock
from domain.models import PlanGeneration
from domain.repositories.snapshot import PlanningSnapshot
from domain.repositories.stored_results import record_of_key
from domain.scheduling.schedule import ENGINE_VERSION
from domain.scheduling.types import fingerprint
from domain.unit_of_work.ending import Ending
from domain.unit_of_work.unit import UnitOfWork


class RunResult(Protocol):
    """The result of a run, as far as it is reported."""

    @property
    def generation(self) -> int | None: ...
    @property
    def repeated(self) -> bool: ...
    @property
    def rows(self) -> int: ...
    @property
    def unplaced_ranges(self) -> int: ...


Result = TypeVar("Result", bound=RunResult)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The validated arguments of a request that writes a run.

    Raises ``InvalidInputError`` with the name of the first invalid argument. The key and
    ``requested_by`` are texts of at most 200 characters that PostgreSQL can store.
    """

    tenant_id: UUID
    group_id: UUID
    operation: events.Operation
    requested_by: str | None
    idempotency_key: str | None
    expected_generation: int | None
    """The number of the last run that the caller has read; not part of ``hash``."""
    inputs: tuple[str, ...] = ()
    """The other input on which the result depends."""
    fingerprint: str | None = None
    """That of the preview which the caller confirms; not part of ``hash``."""

    def __post_init__(self) -> None:
        errors.InvalidInputError.require_uuids(tenant_id=self.tenant_id, group_id=self.group_id)
        if self.requested_by is not None:
            values.validate("requested_by", values.text, self.requested_by)
        expected: object = self.expected_generation
        if expected is not None and (type(expected) is not int or expected < 0):
            raise errors.InvalidInputError.of(
                "expected_generation", "must be a whole number, 0 or more"
            )
        if self.idempotency_key is not None:
            values.validate("idempotency_key", _key, self.idempotency_key)
        if self.fingerprint is not None:
            values.validate("fingerprint", values.text, self.fingerprint)

    @property
    def hash(self) -> str | None:
        """The SHA-256 of the request's input in hexadecimal; ``None`` without a key."""
        if self.idempotency_key is None:
            return None
        parts = (self.operation, str(self.tenant_id), str(self.group_id), *self.inputs)
        return hashlib.sha256("/".join(parts).encode()).hexdigest()

    def find_record(self, uow: UnitOfWork) -> PlanGeneration | None:
        """Return the record of the first request with the key; ``None`` if this is the first.

        One statement is executed, none without a key. The transaction must hold the group's lock,
        because otherwise a concurrent run could use the key after it was looked up; without the
        lock this raises ``LockNotHeldError``. Raises ``IdempotencyMismatchError`` if the key was
        used with other input.
        """
        if self.idempotency_key is None:
            return None
        uow.require_lock(self.group_id)
        record = record_of_key(uow.session, self.tenant_id, self.idempotency_key)
        if record is not None and record.request_hash != self.hash:
            raise errors.IdempotencyMismatchError(idempotency_key=self.idempotency_key)
        return record

    def require_expected(self, generation: int) -> None:
        """Raise ``EditedMeanwhileError`` if the caller expects a run that is not the last one."""
        if self.expected_generation not in {None, generation}:
            raise errors.EditedMeanwhileError(group_id=self.group_id)

    def require_previewed(self, snapshot: PlanningSnapshot, today: date) -> None:
        """Raise ``EditedMeanwhileError`` if the caller confirms a preview that no longer holds.

        The fingerprint covers everything on which it depends, so one of another group or operation
        does not hold either.
        """
        if self.fingerprint is None:
            return
        if self.fingerprint != fingerprint_of(snapshot, today, self.preview_inputs):
            raise errors.EditedMeanwhileError(group_id=self.group_id)

    @property
    def preview_inputs(self) -> tuple[str, ...]:
        """The operation and its options, as a preview knows them."""
        return (self.operation, *self.inputs)


def fingerprint_of(snapshot: PlanningSnapshot, today: date, inputs: tuple[str, ...]) -> str:
    """Return the fingerprint of a preview: a hash of all that goes in, also of the live plans."""
    plans = sorted(f"{plan.stored.id}/{plan.stored.version}" for plan in snapshot.plans)
    parts = (
        *inputs,
        str(snapshot.group_id),
        snapshot.status,
        ENGINE_VERSION,
        fingerprint(snapshot.request(today)),
        str(snapshot.baseline),
        *plans,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def reported(
    uow: UnitOfWork, operation: events.Operation, group_id: UUID, run: Callable[[], Result]
) -> Result:
    """Call ``run``, and report the outcome to ``domain.events`` when the unit of work has ended."""
    start = perf_counter()
    event = partial(events.GenerationEvent, group_id=group_id, operation=operation)
    try:
        result = run()
    except Exception as error:
        failed = event(
            "refused" if isinstance(error, errors.DomainError) else "failed",
            seconds=perf_counter() - start,
            error_type=events.error_type(error),
        )
        uow.call_at_end(partial(_report, failed))
        raise
    succeeded = event(
        "repeated" if result.repeated else events.OUTCOMES[operation],
        seconds=perf_counter() - start,
        generation=result.generation,
        rows=result.rows,
        unplaced=result.unplaced_ranges,
    )
    uow.call_at_end(partial(_report, succeeded))
    return result


def _report(event: events.GenerationEvent, ending: Ending) -> None:
    succeeded = event.outcome not in {"refused", "failed"}
    if succeeded and ending.outcome != "committed":
        event = replace(event, outcome=ending.outcome, error_type=ending.error_type)
    events.emit(event)


def require_one_group(lock: PlanGroupLock) -> None:
    """Raise ``InvalidInputError`` unless this is an exclusive lock of a single group."""
    given: object = lock  # callers without a type checker may pass a StudentLock or a group's id
    if not isinstance(given, PlanGroupLock) or given.others or given.shared:
        raise errors.InvalidInputError.of(
            "lock", "must be an exclusive PlanGroupLock of a single group"
        )


def _key(value: object) -> str:
    if not (key := values.text(value)):
        raise values.BadValueError("must not be empty")
    return key
