"""The work of each kind of operation, done by the package's services under the lock."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy.orm import Session

from domain import GroupStatus, PlanState, StudentPlan, UnitOfWork
from domain.repositories import PlanGroupRepository, StudentPlanRepository
from domain.services import GroupEditService, GroupStateService, PlanProgressService, RowVersion
from tests.soak.draws import Draw
from tests.soak.faults import service_for
from tests.soak.history import Kind, Operation, digest

WITHDRAWAL_PROBABILITY: Final = 0.2
"""The probability that a group which can be generated is paused or made a draft."""

Job = Callable[[UnitOfWork, Draw, Operation], bool]


def generate(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    result = service_for(draw.fault, uow).generate(
        today=draw.today, requested_by=operation.id, idempotency_key=draw.key or None
    )
    operation.number = result.generation
    operation.rows, operation.digest = len(result.plan_ids), digest(result.plan_ids)
    operation.repeated = result.repeated
    return True


def generate_and_roll_back(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    generate(uow, draw, operation)
    return False


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
    """Read the generation and its plans through the repositories, in one snapshot."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    target = draw.target
    group = PlanGroupRepository(session, target.tenant_id).get(target.group_id)
    plans = StudentPlanRepository(session, target.tenant_id).live(target.group_id)
    current = [plan.id for plan in plans if plan.generation == group.generation]
    operation.number = group.generation
    operation.rows, operation.digest = len(current), digest(current)
    operation.foreign = sum(
        plan.generation != group.generation and plan.version == 1 for plan in plans
    )
    session.rollback()


JOBS: Mapping[Kind, Job] = {
    Kind.GENERATE: generate,
    Kind.ROLL_BACK: generate_and_roll_back,
    Kind.MARK: mark,
    Kind.EDIT: edit,
    Kind.STATE: change_state,
}
"""Each job returns whether there are changes to commit."""


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
