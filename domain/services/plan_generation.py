"""The main job: a group's plans, generated under its lock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy.orm import Session

from domain.lock_policy import PlanGroupLock
from domain.repositories import PlanGroupRepository, PlanningSnapshot
from domain.repositories.student_plans import GenerationRecord
from domain.scheduling import (
    ENGINE_VERSION,
    Notice,
    Quality,
    Request,
    Schedule,
    ScheduledPlan,
    Unplaced,
    fingerprint,
    schedule,
)
from domain.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What a generation or a preview came to.

    ``generation`` and ``plan_ids`` (in the order of ``plans``) are ``None`` and empty for a
    preview. ``content_ids`` names the contents that ``plans`` and ``unplaced`` refer to by
    position.
    """

    group_id: UUID
    generation: int | None
    plans: tuple[ScheduledPlan, ...]
    plan_ids: tuple[UUID, ...]
    content_ids: Mapping[int, UUID]
    unplaced: tuple[Unplaced, ...]
    warnings: tuple[Notice, ...]
    quality: Quality


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
    ) -> GenerationResult:
        """Replace the group's plans that are not kept by newly computed ones.

        Needs a unit of work that holds the group's lock; the caller commits. Done, started
        and pinned plans stay, past ones that are none of these become missed. ``today`` is
        the civil date in the group's time zone; planning begins on it.

        Raises besides the class's errors ``LockNotHeldError``, ``EditedMeanwhileError`` and
        ``StudentPlansOverlapError``. After any error nothing of it is kept.
        """
        uow.lock_student(tenant_id, group_id)
        snapshot = uow.groups.snapshot(tenant_id, group_id)
        request, computed = self._planned(snapshot, today)
        record = GenerationRecord(
            today=today,
            requested_by=requested_by,
            waited_ms=uow.waited_ms,
            input_hash=fingerprint(request),
            engine_version=ENGINE_VERSION,
        )
        uow.require_lock(group_id)
        number, ids = uow.plans.store_generation(snapshot, computed, record)
        return _result(snapshot, computed, number, tuple(ids))

    def preview(
        self, session: Session, *, tenant_id: UUID, group_id: UUID, today: date
    ) -> GenerationResult:
        """What ``generate`` would give now: no lock, nothing written, one round trip."""
        snapshot = PlanGroupRepository(session).snapshot(tenant_id, group_id)
        _, computed = self._planned(snapshot, today)
        return _result(snapshot, computed, None, ())

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
        )
        uow.commit()
    return result


def _result(
    snapshot: PlanningSnapshot,
    computed: Schedule,
    generation: int | None,
    plan_ids: tuple[UUID, ...],
) -> GenerationResult:
    return GenerationResult(
        group_id=snapshot.group_id,
        generation=generation,
        plans=computed.plans,
        plan_ids=plan_ids,
        content_ids=snapshot.content_ids,
        unplaced=computed.unplaced,
        warnings=computed.warnings,
        quality=computed.quality,
    )
