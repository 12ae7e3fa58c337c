"""The main job: a group's plans, generated under its lock."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from sqlalchemy.orm import Session

from domain import events
from domain.errors import DomainError, EditedMeanwhileError, InvalidInputError
from domain.locking import PlanGroupLock
from domain.repositories import PlanGroupRepository, PlanningSnapshot
from domain.repositories.student_plans import GenerationRecord
from domain.scheduling import planning
from domain.scheduling.engine import ENGINE_VERSION, schedule
from domain.scheduling.fingerprint import fingerprint
from domain.scheduling.schedule import Schedule
from domain.services.generation_result import GenerationResult
from domain.services.idempotency import GenerationRequest, require_civil_date
from domain.services.service import Service
from domain.unit_of_work import AsyncUnitOfWork, Ending, UnitOfWork

if TYPE_CHECKING:  # it needs greenlet, which whoever uses threads alone may do without
    from sqlalchemy.ext.asyncio import AsyncSession

__all__ = [
    "GenerationResult",
    "PlanGenerationService",
    "generate_plans",
    "generate_plans_async",
    "preview_plans",
]
Compute: TypeAlias = Callable[[planning.Request], Schedule]


class PlanGenerationService(Service):
    """Generates a group's plans.

    :param compute: the computation, by default the package's own.
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

        Needs a unit of work that holds the group's lock; the caller commits. Done, started
        and pinned plans stay, past ones that are none of these become missed. ``today`` is
        the civil date in the group's time zone; planning begins on it.

        With an ``idempotency_key``, of 1 to 200 characters and the tenant's own, the same
        input gives the first result again, ``repeated``, whatever became of the group and
        its plans since; nothing is generated. That is answered before ``expected_generation``
        is looked at, the number of the last generation that the caller has seen (0 before the
        first): if it is not the last any more, ``EditedMeanwhileError`` is raised. Reports the
        outcome to ``domain.events`` when the unit of work has ended.

        Raises ``PlanGroupNotFoundError`` (also for another tenant's group),
        ``PlanGroupNotGeneratableError``, ``InvalidInputError``, the ``SchedulingError`` s,
        ``LockNotHeldError``, ``GeneratedMeanwhileError``, ``StudentPlansOverlapError``, for
        the student's lock ``PlanGroupLockedError`` and ``LockTimeoutError``, and
        ``IdempotencyMismatchError`` if the key was used for another input. After any error
        nothing of it is kept.
        """
        began = perf_counter()
        group_id = self._the_group(group_id)
        try:
            asked = GenerationRequest(
                tenant_id=self._uow.tenant_id,
                group_id=group_id,
                today=today,
                requested_by=requested_by,
                key=idempotency_key,
                expected_generation=expected_generation,
            )
            result = self._answer(asked)
        except Exception as error:
            self._report_at_end(_failure(group_id, error, perf_counter() - began))
            raise
        self._report_at_end(_success(result, perf_counter() - began))
        return result

    def _report_at_end(self, event: events.GenerationEvent) -> None:
        self._uow.call_at_end(partial(_report, event))

    def _answer(self, asked: GenerationRequest) -> GenerationResult:
        uow = self._uow
        first = asked.answered_before(uow)
        if first is not None:
            return GenerationResult.again(first)
        uow.lock_student(asked.group_id)
        snapshot = uow.groups.snapshot(asked.group_id)
        if asked.expected_generation not in {None, snapshot.generation}:
            raise EditedMeanwhileError(group_id=asked.group_id)
        request, computed = _planned(snapshot, asked.today, self._compute)
        record = GenerationRecord(
            today=asked.today,
            requested_by=asked.requested_by,
            waited_ms=uow.waited_ms,
            input_hash=fingerprint(request),
            engine_version=ENGINE_VERSION,
            idempotency_key=asked.key,
            request_hash=asked.hash,
        )
        number, ids = uow.plans.store_generation(snapshot, computed, record)
        return GenerationResult.of(snapshot, computed, number, tuple(ids))


def preview_plans(
    session: Session,
    *,
    tenant_id: UUID,
    group_id: UUID,
    today: date,
    compute: Compute = schedule,
) -> GenerationResult:
    """What ``generate`` would give now: no lock, nothing written, one round trip.

    On any Session, whose transaction stays the caller's. Raises ``PlanGroupNotFoundError``,
    ``PlanGroupNotGeneratableError``, ``InvalidInputError`` and the ``SchedulingError`` s.
    """
    require_civil_date(today)
    snapshot = PlanGroupRepository(session, tenant_id).snapshot(group_id)
    _, computed = _planned(snapshot, today, compute)
    return GenerationResult.of(snapshot, computed)


def generate_plans(
    session_factory: Callable[[], Session],
    lock: PlanGroupLock,
    *,
    today: date,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    expected_generation: int | None = None,
) -> GenerationResult:
    """The whole request in one call: lock, generate, commit.

    Raises what ``UnitOfWork`` and ``PlanGenerationService.generate`` raise, and
    ``InvalidInputError`` for a lock that is shared or of several groups.
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
    """``generate_plans`` for tasks."""
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


def _planned(
    snapshot: PlanningSnapshot, today: date, compute: Compute
) -> tuple[planning.Request, Schedule]:
    snapshot.require_generatable()
    request = snapshot.request(today)
    return request, compute(request)


def _require_one_group(lock: PlanGroupLock) -> None:
    given: object = lock  # callers without a type checker pass a StudentLock, or the group's id
    if not isinstance(given, PlanGroupLock) or given.others or given.shared:
        raise InvalidInputError.of(
            "lock", "must be the exclusive PlanGroupLock of one group; one call generates one"
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
        "refused" if isinstance(error, DomainError) else "failed",
        group_id,
        seconds,
        error_type=events.error_type(error),
    )


def _report(event: events.GenerationEvent, ending: Ending) -> None:
    succeeded = event.outcome in {"generated", "repeated"}
    if succeeded and ending.outcome != "committed":
        event = replace(event, outcome=ending.outcome, error_type=ending.error_type)
    events.emit(event)
