"""Units are cut if they would not be placed otherwise, as the last resort of a reschedule."""

from dataclasses import replace

import pytest

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Request, Strategy
from tests.unit.scheduling.build import block, custom, make_request, off, on, study
from tests.unit.scheduling.lives import Life, next_day, places, violations

FIRST = on("01-06")
STRATEGIES = pytest.mark.parametrize("strategy", list(Strategy))


def tasks(minutes: int, count: int, strategy: Strategy) -> Request:
    """Return five days, each of which holds a task and a half."""
    request = make_request(
        custom(1, count, minutes, position=1),
        period="01-06..01-10",
        cycle=(6, 0),
        blocks=block(10, 10 + minutes * 1.5 / 60),
        non_study_blocks=(),
    )
    return replace(request, strategy=strategy)


def pieces(rows: list[ScheduledPlan]) -> list[tuple[int, int, int, int]]:
    """Return the date, unit, part and number of parts of rows."""
    return [(row.date.day, row.first_unit, row.part, row.parts) for row in rows]


@STRATEGIES
def test_missed_unit_is_cut_if_the_days_do_not_hold_it_whole(strategy: Strategy) -> None:
    life = Life(tasks(30, 5, strategy))
    assert len(life.study_dates) == 5
    found = life.reschedule(next_day(FIRST))
    assert found.unplaced == ()
    assert list(violations(life, next_day(FIRST))) == []
    assert pieces(study(found)) == [
        (7, 1, 1, 1),
        (8, 2, 1, 1),
        (9, 3, 1, 1),
        (9, 4, 1, 2),
        (10, 4, 2, 2),
        (10, 5, 1, 1),
    ]


@STRATEGIES
def test_units_of_less_than_twenty_minutes_are_not_cut(strategy: Strategy) -> None:
    life = Life(tasks(18, 5, strategy))
    found = life.reschedule(next_day(FIRST))
    assert [(item.first_unit, item.last_unit) for item in found.unplaced] == [(5, 5)]
    assert all(row.parts == 1 for row in found.plans)


@STRATEGIES
def test_units_are_not_cut_if_the_days_hold_them_whole(strategy: Strategy) -> None:
    life = Life(tasks(30, 4, strategy))
    life.do(life.study_dates[0])
    found = life.reschedule(next_day(life.study_dates[0]))
    assert found.unplaced == ()
    assert all(row.parts == 1 for row in found.plans)


@STRATEGIES
def test_units_of_an_added_content_that_are_longer_than_a_day_are_cut(strategy: Strategy) -> None:
    request = tasks(30, 1, strategy)
    life = Life(request)
    before = places(life.planned)
    more = (*request.contents, custom(1, 3, 80, position=2))
    found = life.reschedule(FIRST, request=replace(request, contents=more))
    assert places(found.plans) >= before
    assert [item.first_unit for item in found.unplaced] == [3]
    rows = study(found, content=2)
    assert {row.first_unit for row in rows} == {1, 2}
    assert sum(row.minutes for row in rows) == 160
    assert list(violations(life, FIRST)) == []


@STRATEGIES
def test_pieces_of_cut_units_are_caught_up_like_others(strategy: Strategy) -> None:
    life = Life(tasks(30, 4, strategy))
    life.do(FIRST)
    request = replace(life.request, exclusions=off("01-08"))
    today = on("01-07")
    life.reschedule(today, request=request)
    assert list(violations(life, today)) == []
    again = life.reschedule(today)
    assert again.plans == tuple(life.planned)
