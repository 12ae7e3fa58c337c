"""The main job: a group's plans, generated under its lock."""

import logging
from collections.abc import Callable
from datetime import date
from time import perf_counter
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from sqlalchemy.orm import Session

from domain import events
from domain.errors import DomainError
from domain.locking import PlanGroupLock
from domain.repositories import PlanGroupRepository, PlanningSnapshot
from domain.repositories.student_plans import GenerationRecord
from domain.scheduling import ENGINE_VERSION, Request, Schedule, fingerprint, schedule
from domain.services.generation_result import GenerationResult
from domain.services.idempotency import GenerationRequest, require_civil_date
from domain.services.turns import one_call_at_a_time
from domain.unit_of_work import AsyncUnitOfWork, UnitOfWork

if TYPE_CHECKING:  # it needs greenlet, which whoever uses threads alone may do without
    from sqlalchemy.ext.asyncio import AsyncSession

__all__ = ["GenerationResult", "PlanGenerationService", "generate_plans", "generate_plans_async"]


@one_call_at_a_time
class PlanGenerationService:
    """Generates and previews by one computation.

    Errors of both: ``PlanGroupNotFoundError`` (also for another tenant's group),
    ``PlanGroupNotGeneratableError``, ``InvalidInputError`` and the ``SchedulingError`` s.
    """

    def __init__(self, compute: Callable[[Request], Schedule] = schedule) -> None:
        self._compute = compute

    def generate(
        self,
        uow: UnitOfWork,
        *,
        tenant_id: UUID,
        group_id: UUID,
        today: date,
        requested_by: str | None = None,
        idempotency_key: str | None = None,
    ) -> GenerationResult:
        """Replace the group's plans that are not kept by newly computed ones.

        Needs a unit of work that holds the group's lock; the caller commits. Done, started
        and pinned plans stay, past ones that are none of these become missed. ``today`` is
        the civil date in the group's time zone; planning begins on it.

        With an ``idempotency_key``, of 1 to 200 characters and the tenant's own, the same
        input gives the first result again, ``repeated``, whatever became of the group and
        its plans since; nothing is generated. Tells ``domain.events`` what came of it.

        Raises besides the class's errors ``LockNotHeldError``, ``GeneratedMeanwhileError``,
        ``StudentPlansOverlapError``, for the student's lock ``PlanGroupLockedError`` and
        ``LockTimeoutError``, and ``IdempotencyMismatchError`` if the key was used for
        another input. After any error nothing of it is kept.
        """
        began = perf_counter()
        try:
            asked = GenerationRequest(tenant_id, group_id, today, requested_by, idempotency_key)
            result = self._answer(uow, asked)
        except Exception as error:
            _tell_failed(group_id, error, perf_counter() - began)
            raise
        _tell(result, perf_counter() - began)
        return result

    def preview(
        self, session: Session, *, tenant_id: UUID, group_id: UUID, today: date
    ) -> GenerationResult:
        """What ``generate`` would give now: no lock, nothing written, one round trip."""
        require_civil_date(today)
        snapshot = PlanGroupRepository(session).snapshot(tenant_id, group_id)
        _, computed = self._planned(snapshot, today)
        return GenerationResult.of(snapshot, computed)

    def _answer(self, uow: UnitOfWork, asked: GenerationRequest) -> GenerationResult:
        first = asked.answered_before(uow)
        if first is not None:
            return GenerationResult.again(first)
        uow.lock_student(asked.tenant_id, asked.group_id)
        snapshot = uow.groups.snapshot(asked.tenant_id, asked.group_id)
        request, computed = self._planned(snapshot, asked.today)
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

    def _planned(self, snapshot: PlanningSnapshot, today: date) -> tuple[Request, Schedule]:
        snapshot.require_generatable()
        request = snapshot.request(today)
        return request, self._compute(request)


def generate_plans(
    session_factory: Callable[[], Session],
    lock: PlanGroupLock,
    *,
    tenant_id: UUID,
    today: date,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
) -> GenerationResult:
    """The whole request in one call: lock, generate, commit.

    Raises what ``UnitOfWork`` and ``PlanGenerationService.generate`` raise.
    """
    with UnitOfWork(session_factory, lock=lock) as uow:
        result = PlanGenerationService().generate(
            uow,
            tenant_id=tenant_id,
            group_id=lock.group_id,
            today=today,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
        )
        uow.commit()
    return result


async def generate_plans_async(
    async_session_factory: "Callable[[], AsyncSession]",
    lock: PlanGroupLock,
    *,
    tenant_id: UUID,
    today: date,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
) -> GenerationResult:
    """``generate_plans`` for tasks."""
    async with AsyncUnitOfWork(async_session_factory, lock=lock) as uow:
        result = await uow.run(
            PlanGenerationService().generate,
            tenant_id=tenant_id,
            group_id=lock.group_id,
            today=today,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
        )
        await uow.commit()
    return result


def _tell(result: GenerationResult, seconds: float) -> None:
    if events.heard(events.GENERATION_LOG, logging.INFO):
        events.emit(
            events.GenerationEvent(
                "repeated" if result.repeated else "generated",
                result.group_id,
                seconds,
                generation=result.generation,
                rows=len(result.plans),
                unplaced=len(result.unplaced),
            )
        )


def _tell_failed(group_id: UUID, error: Exception, seconds: float) -> None:
    outcome: Literal["refused", "failed"] = (
        "refused" if isinstance(error, DomainError) else "failed"
    )
    told = events.error_type(error)
    events.emit(events.GenerationEvent(outcome, group_id, seconds, error_type=told))
