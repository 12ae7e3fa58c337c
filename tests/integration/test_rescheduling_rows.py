"""The rows that a reschedule writes are those that it changes, counted by the server."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGroup, PlanGroupLock
from domain.scheduling.difference import PlanChanges
from domain.scheduling.types import Strategy
from domain.services import UndoService, reschedule_plans
from tests.factories import ContentFactory
from tests.integration.storing import FIRST, generate, live, stored_group, unit_of_work
from tests.integration.undoing import versions_by_row

Factory = sessionmaker[Session]
NEXT_DAY = FIRST + timedelta(1)
strategies = pytest.mark.parametrize("strategy", list(Strategy))


def books(factory: Factory, strategy: Strategy, weeks: int) -> PlanGroup:
    """Store three books with a unit per day, and generate their plans."""
    days = 7 * weeks
    group = stored_group(
        factory,
        strategy=strategy,
        period_end=FIRST + timedelta(days - 1),
        contents=[ContentFactory.build(position=i, last_unit=4 * days) for i in range(3)],
    )
    generate(factory, group)
    return group


def reschedule(factory: Factory, group: PlanGroup, today: date) -> GenerationResult:
    return reschedule_plans(factory, PlanGroupLock(group.tenant_id, group.id), today=today)


def written(engine: sa.Engine, group: PlanGroup, run: Callable[[], object]) -> int:
    """Return the number of plans that a request inserts or updates."""
    before = versions_by_row(engine, group).items()
    run()
    return len(versions_by_row(engine, group).items() - before)


def rows_of(changes: PlanChanges) -> int:
    """Return how many plans a run must write: what it retires, and what it makes."""
    return 2 * changes.moved + changes.new + changes.dropped


@strategies
def test_reschedule_writes_the_plans_that_it_changes(
    session_factory: Factory, engine: sa.Engine, strategy: Strategy
) -> None:
    group = books(session_factory, strategy, weeks=8)
    results = []
    count = written(
        engine, group, lambda: results.append(reschedule(session_factory, group, NEXT_DAY))
    )
    assert count == rows_of(results[0].changes)
    assert 0 < count < len(live(session_factory, group)) // 4


@strategies
def test_rows_of_a_missed_day_do_not_depend_on_the_length_of_the_period(
    session_factory: Factory, engine: sa.Engine, strategy: Strategy
) -> None:
    counts = []
    for weeks in (4, 16):
        group = books(session_factory, strategy, weeks)
        run = partial(reschedule, session_factory, group, NEXT_DAY)
        counts.append(written(engine, group, run))
    assert counts[1] <= counts[0]


@strategies
def test_reschedule_writes_no_plan_if_nothing_has_happened(
    session_factory: Factory, engine: sa.Engine, strategy: Strategy
) -> None:
    group = books(session_factory, strategy, weeks=8)
    assert written(engine, group, lambda: reschedule(session_factory, group, FIRST)) == 0
    reschedule(session_factory, group, NEXT_DAY)
    assert written(engine, group, lambda: reschedule(session_factory, group, NEXT_DAY)) == 0


def test_undo_of_a_reschedule_writes_the_same_plans(
    session_factory: Factory, engine: sa.Engine
) -> None:
    group = books(session_factory, Strategy.BALANCED, weeks=8)
    changes = reschedule(session_factory, group, NEXT_DAY).changes

    def undo() -> None:
        with unit_of_work(session_factory, group) as uow:
            UndoService(uow).undo()
            uow.commit()

    assert written(engine, group, undo) == rows_of(changes)
