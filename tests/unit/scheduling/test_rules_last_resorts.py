"""Deadlines, special days, days without study time, and what is unplaced."""

import pytest

from domain.errors import NoBlocksError
from domain.scheduling.schedule import schedule
from domain.scheduling.types import SpecialDay
from tests.unit.scheduling.build import (
    FRIDAY,
    MONDAY,
    SATURDAY,
    SUNDAY,
    block,
    book,
    checked_schedule,
    custom,
    dates,
    hours,
    make_request,
    on,
    ranges,
    reserve,
    reviews,
    study,
)

SCHOOL_DAYS = range(MONDAY, FRIDAY + 1)
WEEKEND = (SUNDAY, SATURDAY)


def test_study_ends_before_the_deadline_and_is_reported_as_unreviewed() -> None:
    result = checked_schedule(make_request(book(1, 40, 6), target_date=on("01-10")))
    assert dates(study(result)) == ["01-06", "01-07", "01-08", "01-09"]
    assert reviews(result) == []
    (unreviewed,) = result.warnings
    assert unreviewed.code == "unreviewed"
    assert (unreviewed.data["first_unit"], unreviewed.data["last_unit"]) == (1, 40)


def test_earlier_of_deadline_and_target_date_counts() -> None:
    contents = (book(1, 40, 6, deadline=on("01-08")), book(1, 40, 6, position=2))
    result = checked_schedule(make_request(*contents, target_date=on("01-10")))
    assert dates(study(result))[-1] == "01-07"
    assert dates(study(result, 2))[-1] == "01-09"


def test_special_day_replaces_the_blocks_of_its_date() -> None:
    special = (SpecialDay(on("01-06"), ((480, 780),)), SpecialDay(on("01-07")))
    result = checked_schedule(make_request(book(1, 50, 6), special_days=special))
    assert hours(study(result))[0] == "08:00-08:48"
    assert dates(study(result)) == ["01-06", "01-08", "01-09", "01-10", "01-11", "01-12"]


def test_group_with_self_study_only_has_study_time_and_no_reserve() -> None:
    result = checked_schedule(
        make_request(book(1, 200, 4), period="07-01..08-31", blocks=reserve(10, 14, WEEKEND))
    )
    assert result.unplaced == ()
    assert not any(row.reserve for row in result.plans)


def test_self_study_at_weekends_opens_before_anything_is_unplaced() -> None:
    request = make_request(
        book(1, 730, 2),
        period="07-01..08-31",
        blocks=block(21, "21:30", SCHOOL_DAYS) + reserve(10, 12, WEEKEND),
        non_study_blocks=(),
    )
    result = checked_schedule(request)
    assert result.unplaced == ()
    assert {row.cycle_day for row in study(result) if row.reserve} == {None}


def test_self_study_at_weekends_stays_closed_if_the_other_days_hold_everything() -> None:
    blocks = block(21, "21:30", SCHOOL_DAYS) + reserve(10, 12, WEEKEND)
    result = checked_schedule(make_request(book(1, 75, 2), blocks=blocks))
    assert not any(row.reserve for row in result.plans)


def test_short_units_of_an_overfull_group_are_not_split() -> None:
    request = make_request(
        book(1, 300, 7), period="07-06..07-09", blocks=block(21, "21:30"), cycle=(6, 1)
    )
    result = checked_schedule(request)
    assert ranges(study(result)) == [(1, 4), (5, 8), (9, 12), (13, 16)]


def test_unit_that_no_day_holds_is_split_where_not_everything_fits() -> None:
    request = make_request(
        custom(1, 1, 900),
        book(1, 120, 5, position=2, weekly=3),
        book(1, 60, 10, position=3, weekly=2),
        period="06-01..06-07",
        blocks=block(17, 22),
        non_study_blocks=(),
    )
    result = checked_schedule(request)
    # 2100 minutes are needed and six study days hold 1800, so that the least is 300. Without the
    # long unit, 900 minutes would be unplaced, and 600 minutes of its days free.
    assert sum(tail.minutes for tail in result.unplaced) <= 300 + 4 + 9
    assert {row.parts for row in study(result)} in ({3}, {4}, {5}, {6})


def test_group_without_blocks_is_planned_on_its_special_days() -> None:
    days = tuple(SpecialDay(on(f"01-{day:02}"), study=((600, 660),)) for day in (7, 9))
    result = checked_schedule(make_request(book(1, 20, 6), blocks=(), special_days=days))
    assert {row.date for row in result.plans} == {on("01-07"), on("01-09")}
    assert result.unplaced == ()
    empty = make_request(book(1, 20, 6), blocks=(), special_days=(SpecialDay(on("01-07")),))
    with pytest.raises(NoBlocksError):
        schedule(empty)
