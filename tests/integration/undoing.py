"""Runs, undos and progress of a stored group, and what is stored before and after them.

States are compared column by column with values that were read before: nothing here is computed by
the code under test.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGroup, PlanGroupLock, PlanState, StudentPlan, UnitOfWork
from domain import generate_plans as _generate_plans
from domain.errors import DomainError, UndoNotPossibleError
from domain.repositories.history import HistoryRepository, Run
from domain.scheduling.difference import PlanChanges
from domain.scheduling.types import ExclusionType
from domain.services import GroupTimeService, PlanProgressService, RowVersion
from domain.services.undo import UndoResult, UndoService
from tests.integration.storing import FIRST, columns, dump, live, plans, unit_of_work

Factory = sessionmaker[Session]
Row = dict[str, Any]
State = dict[UUID, Row]
CALENDAR = {"week", "cycle", "cycle_day"}
RETIREMENT = {"live", "retired_as", "retired_in", "retired_at"}
PROGRESS = {"state", "done_through", "done_at", "actual_minutes", "pinned", "version"}


def undo(factory: Factory, group: PlanGroup, **options: Any) -> UndoResult:
    with unit_of_work(factory, group) as uow:
        result = UndoService(uow).undo(**options)
        uow.commit()
    return result


def redo(factory: Factory, group: PlanGroup, **options: Any) -> UndoResult:
    with unit_of_work(factory, group) as uow:
        result = UndoService(uow).redo(**options)
        uow.commit()
    return result


def generate(
    factory: Factory, group: PlanGroup, today: date = FIRST, **options: Any
) -> GenerationResult:
    lock = PlanGroupLock(group.tenant_id, group.id)
    return _generate_plans(factory, lock, today=today, **options)


def progress(
    factory: Factory, group: PlanGroup, method: Callable[..., Any], plan: StudentPlan, **fields: Any
) -> RowVersion | None:
    """Call a method of ``PlanProgressService`` for a plan in its current version, and commit."""
    (current,) = plans(factory, group, id=plan.id)
    with unit_of_work(factory, group) as uow:
        written: RowVersion | None = method(
            PlanProgressService(uow), plan_id=plan.id, expected_version=current.version, **fields
        )
        uow.commit()
    return written


def finish(factory: Factory, group: PlanGroup, plan: StudentPlan) -> None:
    progress(factory, group, PlanProgressService.mark, plan, state=PlanState.DONE)


def exclude(factory: Factory, group: PlanGroup, day: date) -> RowVersion:
    """Exclude a date for this group only, so that its plans have to move."""
    with unit_of_work(factory, group) as uow:
        written = GroupTimeService(uow).add_exclusion(date=day, type=ExclusionType.PERSONAL)
        uow.commit()
    return written


def include(factory: Factory, group: PlanGroup, exclusion: RowVersion) -> None:
    """Remove an exclusion again."""
    with unit_of_work(factory, group) as uow:
        GroupTimeService(uow).remove_exclusion(
            exclusion_id=exclusion.id, expected_version=exclusion.version
        )
        uow.commit()


def state(factory: Factory, group: PlanGroup) -> State:
    """Return all columns of the live plans, except those that follow the calendar."""
    return {
        row.id: {name: value for name, value in columns(row).items() if name not in CALENDAR}
        for row in live(factory, group)
    }


def retired(factory: Factory, group: PlanGroup) -> State:
    """Return all columns of the other plans."""
    return {row.id: columns(row) for row in plans(factory, group, live=False)}


def as_of(factory: Factory, group: PlanGroup, number: int) -> dict[UUID, Row]:
    """Return where the plans were after a run, by the repository under test."""
    with factory() as session:
        found = HistoryRepository(session, group.tenant_id).as_of(group.id, number)
        times = [(row.date, row.start_minute) for row in found]
        assert times == sorted(times)
        return places({row.id: columns(row) for row in found})


def places(found: State) -> dict[UUID, Row]:
    """Return the columns of plans that never change."""
    changing = CALENDAR | RETIREMENT | PROGRESS
    return {
        id_: {name: value for name, value in row.items() if name not in changing}
        for id_, row in found.items()
    }


def runs(factory: Factory, group: PlanGroup) -> list[Run]:
    """Return all runs, oldest first."""
    with factory() as session:
        return HistoryRepository(session, group.tenant_id).runs(group.id, limit=500)[::-1]


def changes_between(before: State, after: State) -> PlanChanges:
    """Count what changed between two states, by ids and lineages."""
    gone = {row["lineage"] for id_, row in before.items() if id_ not in after}
    came = {row["lineage"] for id_, row in after.items() if id_ not in before}
    return PlanChanges(
        kept=len(before.keys() & after.keys()),
        moved=len(gone & came),
        new=len(came - gone),
        dropped=len(gone - came),
    )


def versions_by_row(engine: sa.Engine, group: PlanGroup) -> dict[UUID, str]:
    """Return the number of the transaction that wrote each plan last, by the server."""
    with engine.connect() as connection:
        found = connection.execute(
            sa.text("SELECT id, xmin::text FROM studyplan.student_plans WHERE group_id = :id"),
            {"id": group.id},
        )
        return {row.id: row.xmin for row in found}


@dataclass(frozen=True)
class Refusal:
    """Calls that must be refused without a trace, in one group."""

    factory: Factory
    group: PlanGroup

    def of(self, error: type[DomainError], call: Callable[[UnitOfWork], object]) -> DomainError:
        """Assert that a call raises an error, and that nothing is written if it is committed."""
        before = dump(self.factory, self.group.id)
        with unit_of_work(self.factory, self.group) as uow:
            with pytest.raises(error) as refused:
                call(uow)
            uow.commit()
        assert dump(self.factory, self.group.id) == before
        return refused.value

    def undo(self, reason: str, *, redo: bool = False) -> UndoNotPossibleError:
        """Assert that an undo, or a redo, is not possible for this reason."""
        name = "redo" if redo else "undo"
        error = self.of(UndoNotPossibleError, lambda uow: getattr(UndoService(uow), name)())
        assert isinstance(error, UndoNotPossibleError)
        assert (error.reason, error.group_id) == (reason, self.group.id)
        problem = error.to_problem()
        assert (problem["status"], problem["code"], problem["retryable"]) == (
            409,
            "undo_not_possible",
            False,
        )
        return error


def in_the_way(found: UndoNotPossibleError, expected: Iterable[StudentPlan]) -> None:
    """Assert which plans an error names, with their times."""
    assert [
        (plan.plan_id, plan.group_id, plan.date, plan.start_minute, plan.end_minute)
        for plan in found.plans
    ] == [
        (row.id, row.group_id, row.date, row.start_minute, row.end_minute)
        for row in sorted(expected, key=lambda row: (row.date, row.start_minute))
    ]
