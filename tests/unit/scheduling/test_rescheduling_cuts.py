"""Units are cut if they would not be placed otherwise, as the last resort of a reschedule."""

from dataclasses import replace

import pytest

from domain.scheduling.difference import place_of
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Request, SpecialDay, Strategy
from tests.unit.scheduling.build import block, custom, lecture, make_request, off, on, study
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


@STRATEGIES
def test_missed_unit_is_cut_near_its_day_and_few_rows_change(strategy: Strategy) -> None:
    """Only Tuesday 01-07 has room for the long unit; every other day has an hour."""
    request = make_request(
        lecture(80, *[30] * 7),
        period="01-07..01-25",
        cycle=(6, 0),
        blocks=block(10, 11),
        non_study_blocks=(),
        special_days=(SpecialDay(on("01-07"), ((600, 690),)),),
    )
    life = Life(replace(request, strategy=strategy))
    standing = places(life.planned)
    life.do(on("01-07"))
    missed = {place_of(plan) for plan in life.planned if plan.date == on("01-07")}
    found = life.reschedule(on("01-08"))
    assert found.unplaced == ()
    assert [row.parts for row in found.plans[:2]] == [2, 2]
    assert found.plans[0].date == on("01-08")
    assert len(standing - missed - places(found.plans)) <= 1
    assert list(violations(life, on("01-08"))) == []


@STRATEGIES
@pytest.mark.parametrize("is_done", [False, True])
def test_piece_that_loses_its_day_is_cut_again(strategy: Strategy, *, is_done: bool) -> None:
    """The other piece stays where it is, and is done or planned there."""
    days = {"01-08": 630, "01-09": 630, "01-10": 640, "01-11": 620}
    request = make_request(
        lecture(120, 20, 20, 20),
        period="01-06..01-11",
        cycle=(6, 0),
        blocks=block(10, 11),
        non_study_blocks=(),
        special_days=tuple(SpecialDay(on(day), ((600, end),)) for day, end in days.items()),
    )
    life = Life(replace(request, strategy=strategy))
    first, second = life.planned[:2]
    assert [(row.first_unit, row.parts) for row in (first, second)] == [(1, 2), (1, 2)]
    today = first.date
    if is_done:
        life.mark(first)
        today = second.date
    excluded = replace(life.request, exclusions=off(f"{second.date:%m-%d}"))
    found = life.reschedule(today, request=excluded)
    assert found.unplaced == ()
    whole = [row for row in found.plans if row.first_unit == 1]
    assert sum(row.minutes for row in whole) == (60 if is_done else 120)
    assert {row.parts for row in whole} == {3}
    assert list(violations(life, today)) == []
