"""The generation of a group's plans: the service, and functions for complete requests."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from sqlalchemy.orm import Session

from domain import errors, events, values
from domain.locking.policy import PlanGroupLock
from domain.repositories.plan_groups import PlanGroupRepository
from domain.repositories.plan_rows import GenerationResult, load_stored, record_of_key
from domain.repositories.snapshot import PlanningSnapshot
from domain.repositories.student_plans import GenerationRecord
from domain.scheduling import types as planning
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import ENGINE_VERSION, schedule
from domain.scheduling.types import fingerprint
from domain.services.service import Service
from domain.unit_of_work.asynchronous import AsyncUnitOfWork
from domain.unit_of_work.ending import Ending
from domain.unit_of_work.unit import UnitOfWork

if TYPE_CHECKING:  # needs greenlet, which only asyncio applications have to install
    from sqlalchemy.ext.asyncio import AsyncSession

Compute: TypeAlias = Callable[[planning.Request], Schedule]


class PlanGenerationService(Service):
    """Generates a group's plans.

    :param compute: the function that computes the schedule, by default that of this package.
    """

    def __init__(self, uow: UnitOfWork, *, compute: Compute = schedule) -> None:
        super().__init__(uow)
        self._compute = compute

    def generate(
        self,
        *,
        today: date,
        requested_by: str | None = None,
        idempotency_key: str | None = None,
        expected_generation: int | None = None,
        group_id: UUID | None = None,
    ) -> GenerationResult:
        """Replace the group's plans that are not kept by newly computed ones.

        Needs a unit of work that holds the group's lock; the caller commits. Done, started and
        pinned plans are kept; other plans in the past become missed. ``today`` is the current date
        in the group's time zone, on which planning starts.

        An ``idempotency_key`` has 1 to 200 characters and is unique within the tenant. A request
        with the same key and input returns the first result again, with ``repeated`` set, whatever
        happened to the group and its plans since then; nothing is generated. The key is looked up
        before ``expected_generation`` is checked, the number of the last generation that the caller
        has read (0 before the first one): if a later one exists, ``EditedMeanwhileError`` is
        raised. The outcome is reported to ``domain.events`` when the unit of work has ended.

        Raises ``PlanGroupNotFoundError`` (also for a group of another tenant),
        ``PlanGroupNotGeneratableError``, ``InvalidInputError``, subclasses of ``SchedulingError``,
        ``LockNotHeldError``, ``GeneratedMeanwhileError``, ``StudentPlansOverlapError``, for
        the student's lock ``PlanGroupLockedError`` and ``LockTimeoutError``, and
        ``IdempotencyMismatchError`` if the key was used with other input. After any error nothing
        of the generation is stored.
        """
        start, group_id = perf_counter(), self._resolve_group(group_id)
        try:
            request = _GenerationRequest(
                tenant_id=self._uow.tenant_id,
                group_id=group_id,
                today=today,
                requested_by=requested_by,
                idempotency_key=idempotency_key,
                expected_generation=expected_generation,
            )
            result = self._generate(request)
        except Exception as error:
            self._report_at_end(_failure(group_id, error, perf_counter() - start))
            raise
        self._report_at_end(_success(result, perf_counter() - start))
        return result

    def _report_at_end(self, event: events.GenerationEvent) -> None:
        self._uow.call_at_end(partial(_report, event))

    def _generate(self, request: "_GenerationRequest") -> GenerationResult:
        uow, group_id = self._uow, request.group_id
        first_result = request.find_first_result(uow)
        if first_result is not None:
            return first_result
        # The snapshot is read only after both locks are held: the group's lock excludes edits and
        # other generations of the group, the student's lock excludes generations of the student's
        # other groups and changes of classes and exclusions.
        uow.lock_student(group_id)
        snapshot = uow.groups.snapshot(group_id)
        if request.expected_generation not in {None, snapshot.generation}:
            raise errors.EditedMeanwhileError(group_id=group_id)
        planning_request, computed = _plan(snapshot, request.today, self._compute)
        record = GenerationRecord(
            today=request.today,
            requested_by=request.requested_by,
            waited_ms=uow.waited_ms,
            input_hash=fingerprint(planning_request),
            engine_version=ENGINE_VERSION,
            idempotency_key=request.idempotency_key,
            request_hash=request.hash,
        )
        number, ids = uow.plans.store_generation(snapshot, computed, record)
        return GenerationResult.of(
            computed,
            group_id=group_id,
            contents=snapshot.contents,
            generation=number,
            plan_ids=tuple(ids),
        )


def generate_plans(
    session_factory: Callable[[], Session],
    lock: PlanGroupLock,
    *,
    today: date,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    expected_generation: int | None = None,
) -> GenerationResult:
    """Acquire the lock, generate the group's plans and commit, as a complete request.

    Raises the errors of ``UnitOfWork`` and ``PlanGenerationService.generate``, and
    ``InvalidInputError`` if the lock is shared or names several groups.
    """
    _require_one_group(lock)
    with UnitOfWork(session_factory, lock=lock) as uow:
        result = PlanGenerationService(uow).generate(
            today=today,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            expected_generation=expected_generation,
        )
        uow.commit()
    return result


async def generate_plans_async(
    async_session_factory: "Callable[[], AsyncSession]",
    lock: PlanGroupLock,
    *,
    today: date,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    expected_generation: int | None = None,
) -> GenerationResult:
    """Generate the group's plans like ``generate_plans``, with asyncio."""
    _require_one_group(lock)
    async with AsyncUnitOfWork(async_session_factory, lock=lock) as uow:
        result = await uow.run(
            lambda inner: PlanGenerationService(inner).generate(
                today=today,
                requested_by=requested_by,
                idempotency_key=idempotency_key,
                expected_generation=expected_generation,
            )
        )
        await uow.commit()
    return result


def preview_plans(
    session: Session, *, tenant_id: UUID, group_id: UUID, today: date, compute: Compute = schedule
) -> GenerationResult:
    """Return the result that ``generate`` would have now, without a lock and without writing.

    It takes one round trip on any Session; the caller ends the transaction. Raises
    ``PlanGroupNotFoundError``, ``PlanGroupNotGeneratableError``, ``InvalidInputError`` and
    subclasses of ``SchedulingError``.
    """
    _require_civil_date(today)
    snapshot = PlanGroupRepository(session, tenant_id).snapshot(group_id)
    _, computed = _plan(snapshot, today, compute)
    return GenerationResult.of(computed, group_id=group_id, contents=snapshot.contents)


@dataclass(frozen=True, slots=True)
class _GenerationRequest:
    """The validated arguments of ``generate``.

    Raises ``InvalidInputError`` for invalid ids and dates, and unless the key and ``requested_by``
    are texts of at most 200 characters that PostgreSQL can store.
    """

    tenant_id: UUID
    group_id: UUID
    today: date
    requested_by: str | None
    idempotency_key: str | None
    expected_generation: int | None
    """The number of the last generation that the caller has read; not part of ``hash``."""

    def __post_init__(self) -> None:
        errors.InvalidInputError.require_uuids(tenant_id=self.tenant_id, group_id=self.group_id)
        _require_civil_date(self.today)
        if self.requested_by is not None:
            values.validate("requested_by", values.text, self.requested_by)
        expected: object = self.expected_generation
        if expected is not None and (type(expected) is not int or expected < 0):
            raise errors.InvalidInputError.of(
                "expected_generation", "must be a whole number, 0 or more"
            )
        if self.idempotency_key is not None:
            values.validate("idempotency_key", _key, self.idempotency_key)

    @property
    def hash(self) -> str | None:
        """The SHA-256 of the request's input in hexadecimal; ``None`` without a key."""
        if self.idempotency_key is None:
            return None
        request_input = f"generate/{self.tenant_id}/{self.group_id}/{self.today.isoformat()}"
        return hashlib.sha256(request_input.encode()).hexdigest()

    def find_first_result(self, uow: UnitOfWork) -> GenerationResult | None:
        """Return the result of the first request with the key; ``None`` if this is the first.

        No statement is executed without a key, one for a new key, and three for a used key. The
        transaction must hold the group's lock, because otherwise a concurrent generation could use
        the key after it was looked up; without the lock this raises ``LockNotHeldError``. Raises
        ``IdempotencyMismatchError`` if the key was used with other input.
        """
        if self.idempotency_key is None:
            return None
        uow.require_lock(self.group_id)
        record = record_of_key(uow.session, self.tenant_id, self.idempotency_key)
        if record is None:
            return None
        if record.request_hash != self.hash:
            raise errors.IdempotencyMismatchError(idempotency_key=self.idempotency_key)
        return load_stored(uow.session, record)


def _key(value: object) -> str:
    if not (key := values.text(value)):
        raise values.BadValueError("must not be empty")
    return key


def _require_civil_date(today: object) -> None:
    values.validate("today", values.civil_date, today)


def _plan(
    snapshot: PlanningSnapshot, today: date, compute: Compute
) -> tuple[planning.Request, Schedule]:
    snapshot.require_generatable()
    request = snapshot.request(today)
    return request, compute(request)


def _require_one_group(lock: PlanGroupLock) -> None:
    given: object = lock  # callers without a type checker may pass a StudentLock or a group's id
    if not isinstance(given, PlanGroupLock) or given.others or given.shared:
        raise errors.InvalidInputError.of(
            "lock", "must be an exclusive PlanGroupLock of a single group"
        )


def _success(result: GenerationResult, seconds: float) -> events.GenerationEvent:
    return events.GenerationEvent(
        "repeated" if result.repeated else "generated",
        result.group_id,
        seconds,
        generation=result.generation,
        rows=len(result.plans),
        unplaced=len(result.unplaced),
    )


def _failure(group_id: UUID, error: Exception, seconds: float) -> events.GenerationEvent:
    return events.GenerationEvent(
        "refused" if isinstance(error, errors.DomainError) else "failed",
        group_id,
        seconds,
        error_type=events.error_type(error),
    )


def _report(event: events.GenerationEvent, ending: Ending) -> None:
    succeeded = event.outcome in {"generated", "repeated"}
    if succeeded and ending.outcome != "committed":
        event = replace(event, outcome=ending.outcome, error_type=ending.error_type)
    events.emit(event)
