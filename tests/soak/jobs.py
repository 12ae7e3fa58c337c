"""The work of each kind of operation, done by the package's services under the lock."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.orm import Session

from domain import GenerationResult, GroupStatus, PlanState, StudentPlan, UnitOfWork
from domain.repositories import PlanGroupRepository, StudentPlanRepository
from domain.repositories.history import HistoryRepository
from domain.scheduling.rescheduling.reschedule import CatchUp
from domain.services import (
    GroupEditService,
    GroupStateService,
    PlanProgressService,
    ReschedulingService,
    RowVersion,
)
from domain.services.editing.progress import Mark
from domain.services.undo import UndoResult, UndoService
from tests.soak.draws import OPERATIONS_PER_KEY, Draw
from tests.soak.faults import service_for
from tests.soak.history import Kind, Operation, digest

WITHDRAWAL_PROBABILITY: Final = 0.2
"""The probability that a group which can be generated is paused or made a draft."""
MARKS: Final = 3
"""The number of plans that are marked at once."""

Job = Callable[[UnitOfWork, Draw, Operation], bool]


def generate(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    result = service_for(draw.fault, uow).generate(
        today=draw.today, requested_by=operation.id, idempotency_key=draw.key or None
    )
    return _planned(result, operation)


def reschedule(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    """Reschedule, often with the plans of the next days frozen; the same for the same key."""
    options = draw.number // OPERATIONS_PER_KEY
    frozen = draw.today + timedelta(1 + options % 5) if options % 5 else None
    operation.frozen_until = frozen.isoformat() if frozen else ""
    result = ReschedulingService(uow).reschedule(
        today=draw.today,
        frozen_until=frozen,
        catch_up=CatchUp.SPREAD if options % 2 else CatchUp.SOONEST,
        requested_by=operation.id,
        idempotency_key=draw.key or None,
    )
    return _planned(result, operation)


def generate_and_roll_back(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    generate(uow, draw, operation)
    return False


def undo(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    return _took_back(UndoService(uow).undo, draw, operation)


def redo(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    return _took_back(UndoService(uow).redo, draw, operation)


def mark(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    """Mark one of the plans so that it is kept, or undo the mark of a kept plan."""
    plans = uow.plans.live(draw.target.group_id)
    if not plans:
        return False
    kept = [plan for plan in plans if plan.pinned or plan.state is not PlanState.PLANNED]
    candidates = kept if kept and draw.selector < 0.6 else plans
    chosen = candidates[int(draw.selector * len(candidates))]
    # Recorded before the write, because a mark that is overtaken must still record its version.
    operation.writes = {str(chosen.id): chosen.version + 1}
    written = _marked(uow, draw, chosen)
    operation.writes = {str(written.id): written.version}
    return True


def mark_all(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    """Mark consecutive plans: those of which nothing is done, and back."""
    plans = uow.plans.live(draw.target.group_id)
    first = int(draw.selector * len(plans))
    marks = [_mark(plan, draw.number) for plan in plans[first : first + MARKS]]
    if not marks:
        return False
    operation.writes = {str(mark.plan_id): mark.expected_version + 1 for mark in marks}
    PlanProgressService(uow).mark_all(marks)
    return True


def miss(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    plan = _without_progress(uow, draw)
    if plan is None:
        return False
    PlanProgressService(uow).mark_missed(plan_id=plan.id, expected_version=plan.version)
    operation.retired = [str(plan.id)]
    return True


def move(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    """Move a plan to an afternoon, where the student may have another plan already."""
    plan = _without_progress(uow, draw)
    if plan is None:
        return False
    moved = PlanProgressService(uow).move(
        plan_id=plan.id,
        expected_version=plan.version,
        date=draw.today + timedelta(draw.number % 8),
        start_minute=60 * (13 + draw.number % 5),
        today=draw.today,
    )
    operation.retired, operation.made = [str(plan.id)], [str(moved.id)]
    return True


def edit(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    group_id = draw.target.group_id
    written = GroupEditService(uow).change_settings(
        expected_version=operation.seen[str(group_id)][1], name=operation.id
    )
    operation.writes = {str(written.id): written.version}
    return True


def change_state(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    target = draw.target
    group = uow.groups.get_row(target.group_id)
    to = _next_state(group.status, activates=target.activates)
    if to in {GroupStatus.PAUSED, GroupStatus.DRAFT} and draw.selector > WITHDRAWAL_PROBABILITY:
        return False
    changed = GroupStateService(uow).change(to=to, group_id=target.group_id)
    operation.writes = {str(changed.group_id): changed.version}
    if changed.paused_group_id is not None:
        paused = str(changed.paused_group_id)
        operation.writes[paused] = operation.seen[paused][1] + 1
    return True


def read(session: Session, draw: Draw, operation: Operation) -> None:
    """Read the live plans and those as of the last run, in one snapshot."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    target = draw.target
    group = PlanGroupRepository(session, target.tenant_id).get(target.group_id)
    live = _ids(StudentPlanRepository(session, target.tenant_id).live(target.group_id))
    operation.number = group.generation
    history = HistoryRepository(session, target.tenant_id)
    as_of = _ids(history.as_of(group.id, group.generation)) if group.generation else set()
    operation.rows, operation.digest = len(as_of), digest(as_of)
    operation.gone, operation.added = sorted(as_of - live), sorted(live - as_of)
    session.rollback()


JOBS: Mapping[Kind, Job] = {
    Kind.GENERATE: generate,
    Kind.RESCHEDULE: reschedule,
    Kind.ROLL_BACK: generate_and_roll_back,
    Kind.UNDO: undo,
    Kind.REDO: redo,
    Kind.MARK: mark,
    Kind.MARK_ALL: mark_all,
    Kind.MISS: miss,
    Kind.MOVE: move,
    Kind.EDIT: edit,
    Kind.STATE: change_state,
}
"""Each job returns whether there are changes to commit."""


def _planned(result: GenerationResult, operation: Operation) -> bool:
    operation.number = result.generation
    operation.rows, operation.digest = len(result.plan_ids), digest(result.plan_ids)
    operation.repeated = result.repeated
    return True


def _took_back(call: Callable[..., UndoResult], draw: Draw, operation: Operation) -> bool:
    result = call(requested_by=operation.id, idempotency_key=draw.key or None)
    operation.number, operation.undone = result.generation, result.undone
    operation.repeated = result.repeated
    return True


def _without_progress(uow: UnitOfWork, draw: Draw) -> StudentPlan | None:
    """Return one of the plans that can be moved or missed; ``None`` if there is none."""
    plans = uow.plans.live(draw.target.group_id)
    undone = [plan for plan in plans if plan.state in {PlanState.PLANNED, PlanState.STARTED}]
    return undone[int(draw.selector * len(undone))] if undone else None


def _mark(plan: StudentPlan, number: int) -> Mark:
    """Return a mark that changes the plan."""
    state, done_through = PlanState.PLANNED, None
    if plan.state is PlanState.PLANNED:
        state = PlanState.DONE
        if plan.first_unit < plan.last_unit and number % 2:
            state, done_through = PlanState.PART_DONE, plan.first_unit
    return Mark(
        plan_id=plan.id, expected_version=plan.version, state=state, done_through=done_through
    )


def _ids(plans: Sequence[StudentPlan]) -> set[str]:
    return {str(plan.id) for plan in plans}


def _marked(uow: UnitOfWork, draw: Draw, plan: StudentPlan) -> RowVersion:
    service = PlanProgressService(uow)
    selection: dict[str, Any] = {"plan_id": plan.id, "expected_version": plan.version}
    if plan.pinned or (plan.state is PlanState.PLANNED and draw.number % 2):
        return service.pin(**selection, pinned=not plan.pinned)
    if plan.state is not PlanState.PLANNED:
        return service.mark(**selection, state=PlanState.PLANNED)
    state = PlanState.DONE if draw.selector < 0.5 else PlanState.STARTED
    return service.mark(**selection, state=state)


def _next_state(status: GroupStatus, *, activates: bool) -> GroupStatus:
    if activates:
        return GroupStatus.PAUSED if status is GroupStatus.ACTIVE else GroupStatus.ACTIVE
    return GroupStatus.SAVED if status is GroupStatus.DRAFT else GroupStatus.DRAFT
