"""A run takes a constant number of round trips, counted in the trace of libpq."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import Content, PlanGenerationService, PlanGroup, PlanGroupLock, UnitOfWork
from domain.scheduling.difference import PlanChanges
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Allocation, Request
from domain.services import ReschedulingService, UndoService
from tests.factories import ContentFactory, lecture
from tests.integration.storing import FIRST, changed, live, stored_group

Factory = sessionmaker[Session]
Run = Callable[[UnitOfWork], PlanChanges]
MAX_ROUND_TRIPS = 10
NEXT_DAY = FIRST + timedelta(1)
END_OF_ROUND_TRIP = r"^[^\t\n]*\tB\t\d+\t(?:ReadyForQuery|CopyInResponse)"


@pytest.fixture(scope="module")
def traced(new_engine: Callable[..., sa.Engine]) -> sa.Engine:
    """An engine with one connection."""
    return new_engine(pool_size=1, max_overflow=0)


def round_trips(engine: sa.Engine, group: PlanGroup, run: Run) -> tuple[int, PlanChanges]:
    """Return the number of round trips of a complete request, and what the run changed.

    Each ReadyForQuery or CopyInResponse message of the server ends one round trip. The connection
    is a new one, because psycopg needs another round trip to prepare a statement at its fifth use.
    """
    engine.dispose()
    with engine.connect() as connected:
        connection = connected.connection.driver_connection
        assert connection is not None
    with tempfile.TemporaryFile("w+", errors="replace") as trace:
        connection.pgconn.trace(trace.fileno())
        lock = PlanGroupLock(group.tenant_id, group.id)
        with UnitOfWork(sessionmaker(engine), lock=lock) as uow:
            changes = run(uow)
            uow.commit()
        connection.pgconn.untrace()
        trace.seek(0)
        return len(re.findall(END_OF_ROUND_TRIP, trace.read(), re.MULTILINE)), changes


def generate(compute: Callable[[Request], Schedule] = schedule, **options: Any) -> Run:
    options = {"today": FIRST, **options}
    return lambda uow: PlanGenerationService(uow, compute=compute).generate(**options).changes


def reschedule(**options: Any) -> Run:
    options = {"today": FIRST, **options}
    return lambda uow: ReschedulingService(uow).reschedule(**options).changes


def undo(**options: Any) -> Run:
    return lambda uow: UndoService(uow).undo(**options).changes


def redo(**options: Any) -> Run:
    return lambda uow: UndoService(uow).redo(**options).changes


def books(count: int, pages: int) -> list[Content]:
    return [
        ContentFactory.build(position=i, last_unit=pages, minutes_per_unit=1) for i in range(count)
    ]


def lectures(count: int, episodes: int) -> list[Content]:
    """Return lectures, whose episodes are a row each."""
    return [lecture(position, [5] * episodes) for position in range(count)]


@pytest.fixture(scope="module")
def counted(traced: sa.Engine, session_factory: Factory) -> dict[str, tuple[int, PlanChanges]]:
    cases = {
        "few rows": stored_group(
            session_factory, period_end=FIRST + timedelta(days=8), contents=books(1, 9)
        ),
        "nine contents": stored_group(session_factory, contents=books(9, 40)),
        "many rows": stored_group(
            session_factory, period_end=FIRST + timedelta(days=730), contents=lectures(9, 2200)
        ),
    }
    return {name: round_trips(traced, group, generate()) for name, group in cases.items()}


def test_cases_differ_by_three_orders_of_magnitude_in_rows(
    counted: dict[str, tuple[int, PlanChanges]],
) -> None:
    assert counted["few rows"][1].new <= 10
    assert counted["many rows"][1].new >= 10_000


def test_first_generation_takes_at_most_eight_round_trips(
    counted: dict[str, tuple[int, PlanChanges]],
) -> None:
    assert max(trips for trips, _ in counted.values()) <= 8


def test_round_trips_do_not_depend_on_rows_or_contents(
    counted: dict[str, tuple[int, PlanChanges]],
) -> None:
    assert len({trips for trips, _ in counted.values()}) == 1


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group with a strategy content, whose days can be shifted."""
    strategy = {"allocation": Allocation.STRATEGY, "weekly_days": 3, "last_unit": 30}
    contents = [ContentFactory.build(position=0), ContentFactory.build(position=1, **strategy)]
    return stored_group(session_factory, contents=contents)


def changing(request: Request) -> Schedule:
    """Return a schedule with changes of every kind, and with day shifts."""
    return replace(changed(schedule(request)), day_shifts={1: 2})


def test_generation_that_changes_nothing_takes_fewer_round_trips_than_the_first(
    traced: sa.Engine, group: PlanGroup
) -> None:
    first, made = round_trips(traced, group, generate())
    second, changes = round_trips(traced, group, generate())
    assert changes == PlanChanges(kept=made.new)
    assert second <= first - 2


def test_generation_that_writes_everything_takes_at_most_ten_round_trips(
    traced: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    """It retires, recounts and inserts plans, stores shifts, and looks up an idempotency key."""
    _, made = round_trips(traced, group, generate())
    before = {plan.id: plan.cycle for plan in live(session_factory, group)}
    run = generate(changing, idempotency_key=f"everything {group.id}")
    trips, changes = round_trips(traced, group, run)
    assert changes == PlanChanges(kept=made.new - 2, moved=1, new=0, dropped=1)
    after = {plan.id: plan.cycle for plan in live(session_factory, group)}
    assert len([key for key in before.keys() & after.keys() if before[key] != after[key]]) == 1
    assert stored_shifts(session_factory, group) == [None, 2]
    assert trips <= MAX_ROUND_TRIPS


def stored_shifts(factory: Factory, group: PlanGroup) -> list[int | None]:
    shifts = sa.select(Content.day_shift).where(Content.group_id == group.id)
    with factory() as session:
        return list(session.scalars(shifts.order_by(Content.position)))


def test_undo_and_redo_take_at_most_ten_round_trips(traced: sa.Engine, group: PlanGroup) -> None:
    round_trips(traced, group, generate())
    _, made = round_trips(traced, group, generate(changing))
    trips, undone = round_trips(traced, group, undo(idempotency_key=f"undo {group.id}"))
    assert undone == PlanChanges(kept=made.kept, moved=1, new=1, dropped=0)
    assert trips <= MAX_ROUND_TRIPS
    trips, redone = round_trips(traced, group, redo(idempotency_key=f"redo {group.id}"))
    assert redone == made
    assert trips <= MAX_ROUND_TRIPS


def test_repeated_requests_take_at_most_six_round_trips(
    traced: sa.Engine, group: PlanGroup
) -> None:
    runs = {"generate": generate, "undo": undo, "redo": redo, "reschedule": reschedule}
    for name, run in runs.items():
        request = run(idempotency_key=f"{name} {group.id}")
        _, first = round_trips(traced, group, request)
        trips, again = round_trips(traced, group, request)
        assert again == first
        assert trips <= 6


def test_reschedule_takes_no_more_round_trips_than_a_generation(
    traced: sa.Engine, session_factory: Factory
) -> None:
    """Both retire and insert plans after a missed day, and no day shifts are stored."""
    trips, changes = {}, {}
    for name, run in {"generate": generate, "reschedule": reschedule}.items():
        group = stored_group(session_factory, contents=books(2, 60))
        round_trips(traced, group, generate())
        again = run(today=NEXT_DAY, idempotency_key=f"{name} {group.id}")
        trips[name], changes[name] = round_trips(traced, group, again)
    assert all(found.moved for found in changes.values()), changes
    assert trips["reschedule"] <= trips["generate"] <= MAX_ROUND_TRIPS
