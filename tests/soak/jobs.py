"""The work of each kind of operation, through the package's services, under its lock."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy.orm import Session

from domain import (
    GroupStatus,
    PlanGenerationService,
    PlanGroupRepository,
    PlanState,
    StudentPlan,
    StudentPlanRepository,
    UnitOfWork,
)
from domain.services import GroupEditService, GroupStateService, PlanProgressService, RowVersion
from tests.soak.draws import Draw
from tests.soak.faults import service_for
from tests.soak.history import Kind, Operation, digest

TAKEN_BACK: Final = 0.2
"""How often a group that can be generated is made one that cannot."""

Job = Callable[[UnitOfWork, Draw, Operation], bool]


def generate(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    result = service_for(draw.fault, PlanGenerationService).generate(
        uow,
        tenant_id=draw.target.tenant_id,
        group_id=draw.target.group_id,
        today=draw.today,
        requested_by=operation.id,
        idempotency_key=draw.key or None,
    )
    operation.number = result.generation
    operation.rows, operation.digest = len(result.plan_ids), digest(result.plan_ids)
    operation.repeated = result.repeated
    return True


def give_up(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    generate(uow, draw, operation)
    return False


def mark(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    """Keep one of the plans, or give a kept one free again."""
    plans = uow.plans.live(draw.target.tenant_id, draw.target.group_id)
    if not plans:
        return False
    kept = [plan for plan in plans if plan.pinned or plan.state is not PlanState.PLANNED]
    some = kept if kept and draw.luck < 0.6 else plans
    written = _marked(uow, draw, some[int(draw.luck * len(some))])
    operation.writes = {str(written.id): written.version}
    return True


def edit(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    group_id = draw.target.group_id
    written = GroupEditService().change_settings(
        uow,
        tenant_id=draw.target.tenant_id,
        group_id=group_id,
        expected_version=operation.seen[str(group_id)][1],
        name=operation.id,
    )
    operation.writes = {str(written.id): written.version}
    return True


def change_state(uow: UnitOfWork, draw: Draw, operation: Operation) -> bool:
    target = draw.target
    group = uow.groups.alone(target.tenant_id, target.group_id)
    to = _next_state(group.status, activates=target.activates)
    if to in {GroupStatus.PAUSED, GroupStatus.DRAFT} and draw.luck > TAKEN_BACK:
        return False
    changed = GroupStateService().change(
        uow, tenant_id=target.tenant_id, group_id=target.group_id, to=to
    )
    operation.writes = {str(changed.group_id): changed.version}
    if changed.paused_group_id is not None:
        paused = str(changed.paused_group_id)
        operation.writes[paused] = operation.seen[paused][1] + 1
    return True


def read(session: Session, draw: Draw, operation: Operation) -> None:
    """The generation and its plans by the repositories, in one snapshot."""
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    target = draw.target
    group = PlanGroupRepository(session).get(target.tenant_id, target.group_id)
    plans = StudentPlanRepository(session).live(target.tenant_id, target.group_id)
    mine = [plan.id for plan in plans if plan.generation == group.generation]
    operation.number = group.generation
    operation.rows, operation.digest = len(mine), digest(mine)
    operation.foreign = sum(
        plan.generation != group.generation and plan.version == 1 for plan in plans
    )
    session.rollback()


JOBS: Mapping[Kind, Job] = {
    Kind.GENERATE: generate,
    Kind.ROLL_BACK: give_up,
    Kind.MARK: mark,
    Kind.EDIT: edit,
    Kind.STATE: change_state,
}
"""Each tells whether there is something to commit."""


def _marked(uow: UnitOfWork, draw: Draw, plan: StudentPlan) -> RowVersion:
    service = PlanProgressService()
    where: dict[str, Any] = {
        "tenant_id": draw.target.tenant_id,
        "group_id": draw.target.group_id,
        "plan_id": plan.id,
        "expected_version": plan.version,
    }
    if plan.pinned or (plan.state is PlanState.PLANNED and draw.number % 2):
        return service.pin(uow, **where, pinned=not plan.pinned)
    if plan.state is not PlanState.PLANNED:
        return service.mark(uow, **where, state=PlanState.PLANNED)
    state = PlanState.DONE if draw.luck < 0.5 else PlanState.STARTED
    return service.mark(uow, **where, state=state)


def _next_state(status: GroupStatus, *, activates: bool) -> GroupStatus:
    if activates:
        return GroupStatus.PAUSED if status is GroupStatus.ACTIVE else GroupStatus.ACTIVE
    return GroupStatus.SAVED if status is GroupStatus.DRAFT else GroupStatus.DRAFT
