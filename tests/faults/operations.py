"""The requests that are hit by a fault at each of their statements, and what they leave."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGenerationService, PlanGroup, PlanGroupLock, PlanState, UnitOfWork
from domain.services import PlanProgressService, ReschedulingService
from domain.services.editing.progress import Mark
from domain.services.undo import UndoService
from tests.integration.storing import FIRST, generate

Factory = sessionmaker[Session]
NEXT_DAY: Final = date(2025, 1, 7)
LATER: Final = date(2025, 1, 15)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the tests compare of a plan."""

    id: UUID
    lineage: UUID
    date: date
    start: int
    week: int
    state: str
    version: int
    live: bool


Plans = dict[UUID, Plan]
PLANS: Final = sa.text(
    "SELECT id, lineage, date, start_minute, week, state, version, live "
    "FROM studyplan.student_plans WHERE group_id = :group ORDER BY date, start_minute"
)


def plans_of(engine: sa.Engine, group: PlanGroup) -> Plans:
    """Return the plans of a group, live or not, by id."""
    with engine.connect() as connection:
        return {row.id: Plan(*row) for row in connection.execute(PLANS, {"group": group.id})}


def live(plans: Plans) -> list[Plan]:
    return [plan for plan in plans.values() if plan.live]


@dataclass(frozen=True, slots=True)
class Request:
    """A request, what precedes it, and what must be true of the plans before and after it."""

    work: Callable[[UnitOfWork, Plan], object]
    """The work of the service, which is given the first live plan."""
    check: Callable[[Plans, Plans], bool]
    before: tuple[Callable[[Factory, PlanGroup], object], ...] = ()
    shared: bool = False

    def run(self, factory: Factory, group: PlanGroup, plan: Plan) -> None:
        lock = PlanGroupLock(group.tenant_id, group.id, shared=self.shared)
        with UnitOfWork(factory, lock=lock) as uow:
            self.work(uow, plan)
            uow.commit()


def undo(factory: Factory, group: PlanGroup) -> None:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        UndoService(uow).undo()
        uow.commit()


def _mark(uow: UnitOfWork, plan: Plan) -> object:
    return PlanProgressService(uow).mark(
        plan_id=plan.id, expected_version=plan.version, state=PlanState.DONE
    )


def _mark_all(uow: UnitOfWork, plan: Plan) -> object:
    (group_id,) = uow.lock.group_ids
    marks = [
        Mark(plan_id=one.id, expected_version=one.version, state=PlanState.DONE)
        for one in uow.plans.live(group_id)[:3]
    ]
    return PlanProgressService(uow).mark_all(marks)


def _miss(uow: UnitOfWork, plan: Plan) -> None:
    PlanProgressService(uow).mark_missed(plan_id=plan.id, expected_version=plan.version)


def _move(uow: UnitOfWork, plan: Plan) -> object:
    return PlanProgressService(uow).move(
        plan_id=plan.id, expected_version=plan.version, date=LATER, start_minute=16 * 60,
        today=FIRST,
    )  # fmt: skip


def _is_a_difference(before: Plans, after: Plans) -> bool:
    """Plans were retired and inserted, and others stay in another week, with their versions."""
    kept = [plan for plan in live(before) if after[plan.id].live]
    recounted = [plan for plan in kept if after[plan.id].week == plan.week + 1]
    retired = len(live(before)) - len(kept)
    same = all(after[plan.id].version == plan.version == 1 for plan in before.values())
    return bool(recounted) and retired > 0 and len(after) > len(before) and same


def _is_rescheduled(before: Plans, after: Plans) -> bool:
    """The first day and the end of the shorter book are replaced; others stay, in another week."""
    kept = [plan for plan in live(before) if after[plan.id].live]
    missed = [plan for plan in live(before) if plan.date < NEXT_DAY]
    same = all(after[plan.id] == replace(plan, week=plan.week + 1) for plan in kept)
    retired = len(live(before)) - len(kept)
    return same and len(kept) > retired > len(missed) > 0 and len(after) > len(before)


def _is_taken_back(before: Plans, after: Plans) -> bool:
    """What is live was not and the other way round, except for what both runs have."""
    changed = [plan for plan in before.values() if plan.live is not after[plan.id].live]
    same = {plan.id: plan.version for plan in before.values()}
    lineages = {plan.lineage for plan in live(after)}
    return (
        {plan.live for plan in changed} == {True, False}
        and same == {plan.id: plan.version for plan in after.values()}
        and len(lineages) == len(live(after))
    )


def _marks(count: int) -> Callable[[Plans, Plans], bool]:
    def check(before: Plans, after: Plans) -> bool:
        done = [plan for plan in after.values() if plan.state == "done"]
        changed = [plan for plan in before.values() if plan != after[plan.id]]
        return len(done) == len(changed) == count and {plan.version for plan in done} == {2}

    return check


def _is_missed(before: Plans, after: Plans) -> bool:
    return before.keys() == after.keys() and len(live(after)) == len(live(before)) - 1


def _is_moved(before: Plans, after: Plans) -> bool:
    (new,) = after.keys() - before.keys()
    (old,) = (plan for plan in live(before) if not after[plan.id].live)
    moved = after[new]
    return (moved.lineage, moved.date, moved.start, moved.live) == (old.lineage, LATER, 960, True)


REQUESTS: Final[dict[str, Request]] = {
    "generation": Request(
        lambda uow, _: PlanGenerationService(uow).generate(today=FIRST), _is_a_difference
    ),
    "reschedule": Request(
        lambda uow, _: ReschedulingService(uow).reschedule(today=NEXT_DAY), _is_rescheduled
    ),
    "undo": Request(lambda uow, _: UndoService(uow).undo(), _is_taken_back, (generate,)),
    "redo": Request(lambda uow, _: UndoService(uow).redo(), _is_taken_back, (generate, undo)),
    "mark": Request(_mark, _marks(1), shared=True),
    "marks": Request(_mark_all, _marks(3), shared=True),
    "missed": Request(_miss, _is_missed),
    "move": Request(_move, _is_moved),
}
