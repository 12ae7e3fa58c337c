"""A generation takes a constant number of round trips, counted in the trace of libpq."""

import re
import tempfile
from collections.abc import Callable
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import Content, PlanGroup
from tests.factories import ContentFactory, lecture
from tests.integration.storing import generate, stored_group

MAX_ROUND_TRIPS = 8
END_OF_ROUND_TRIP = r"^[^\t\n]*\tB\t\d+\t(?:ReadyForQuery|CopyInResponse)"


def round_trips_of_a_generation(engine: sa.Engine, group: PlanGroup) -> tuple[int, int]:
    """Return the numbers of round trips and of plans.

    Each ReadyForQuery or CopyInResponse message of the server ends one round trip.
    """
    with engine.connect() as connected:
        connection = connected.connection.driver_connection
        assert connection is not None
    with tempfile.TemporaryFile("w+", errors="replace") as trace:
        connection.pgconn.trace(trace.fileno())
        result = generate(sessionmaker(engine), group, today=group.period_start)
        connection.pgconn.untrace()
        trace.seek(0)
        trips = len(re.findall(END_OF_ROUND_TRIP, trace.read(), re.MULTILINE))
    return trips, len(result.plans)


def books(count: int, pages: int) -> list[Content]:
    return [
        ContentFactory.build(position=i, last_unit=pages, minutes_per_unit=1) for i in range(count)
    ]


def lectures(count: int, episodes: int) -> list[Content]:
    """Return lectures, whose episodes are a row each."""
    return [lecture(position, [5] * episodes) for position in range(count)]


@pytest.fixture(scope="module")
def counted(
    new_engine: Callable[..., sa.Engine], session_factory: sessionmaker[Session]
) -> dict[str, tuple[int, int]]:
    start = date(2025, 1, 6)
    cases = {
        "few rows": stored_group(
            session_factory, period_end=start + timedelta(days=8), contents=books(1, 9)
        ),
        "nine contents": stored_group(session_factory, contents=books(9, 40)),
        "many rows": stored_group(
            session_factory, period_end=start + timedelta(days=730), contents=lectures(9, 2200)
        ),
    }
    return {
        name: round_trips_of_a_generation(new_engine(pool_size=1, max_overflow=0), group)
        for name, group in cases.items()
    }


def test_cases_differ_by_three_orders_of_magnitude_in_rows(
    counted: dict[str, tuple[int, int]],
) -> None:
    assert counted["few rows"][1] <= 10
    assert counted["many rows"][1] >= 10_000


def test_generation_takes_at_most_eight_round_trips(counted: dict[str, tuple[int, int]]) -> None:
    assert max(trips for trips, _ in counted.values()) <= MAX_ROUND_TRIPS


def test_round_trips_do_not_depend_on_rows_or_contents(counted: dict[str, tuple[int, int]]) -> None:
    assert len({trips for trips, _ in counted.values()}) == 1
