"""Complete requests and their results: plans with dates and times, or errors."""

from decimal import Decimal

import pytest

from domain.errors import (
    InvalidInputError,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
)
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Factors, UnplacedReason
from tests.unit.scheduling.build import (
    at,
    block,
    book,
    checked_schedule,
    dates,
    hours,
    kept,
    lecture,
    make_request,
    off,
    on,
    ranges,
    reviews,
    study,
)

# --- cases S1 to S10 ----------------------------------------------------------------


def test_schedule_deals_a_hundred_pages_to_six_days_and_reviews_them_on_the_seventh() -> None:
    """Case S1 of the planning rules."""
    result = checked_schedule(make_request(book(1, 100)))
    assert ranges(study(result)) == [
        (1, 17), (18, 33), (34, 50), (51, 67), (68, 83), (84, 100)
    ]  # fmt: skip
    assert [row.minutes for row in study(result)] == [102, 96, 102, 102, 96, 102]
    assert dates(reviews(result)) == ["01-12"]
    assert ranges(reviews(result)) == [(1, 50), (51, 100)]
    assert hours(reviews(result)) == ["10:00-12:00", "13:00-15:00"]


def test_schedule_puts_fewer_pages_than_days_in_the_middle_of_their_shares() -> None:
    """Case S2 of the planning rules."""
    result = checked_schedule(make_request(book(1, 3)))
    assert dates(study(result)) == ["01-07", "01-09", "01-11"]
    assert ranges(study(result)) == [(1, 1), (2, 2), (3, 3)]
    assert ranges(reviews(result)) == [(1, 3)]


def test_episode_rows_have_the_minutes_of_their_episode() -> None:
    """Case S3 of the planning rules."""
    result = checked_schedule(make_request(lecture(60, 40, 50, 30, 30, 90)))
    assert hours(study(result)) == [
        "10:00-11:00", "10:00-10:40", "10:00-10:50", "10:00-10:30", "10:00-10:30", "10:00-11:30"
    ]  # fmt: skip
    assert len(dates(study(result))) == 6


def test_study_rows_are_divided_at_lunch() -> None:
    """Case S4 of the planning rules."""
    result = checked_schedule(
        make_request(book(1, 46), period="01-06..01-08", blocks=block(11, 14))
    )
    rows = study(result)
    assert len(rows) == 6
    assert ranges(rows) == [(1, 10), (11, 15), (16, 25), (26, 31), (32, 41), (42, 46)]
    assert [row.start_minute for row in rows] == [at(11), at(13)] * 3


def test_unplaced_units_are_reported_if_three_short_days_cannot_hold_them() -> None:
    """Case S5 of the planning rules."""
    result = checked_schedule(
        make_request(book(1, 120), period="01-06..01-08", blocks=block(10, 11))
    )
    assert ranges(study(result)) == [(1, 10), (11, 20), (21, 30)]
    (tail,) = result.unplaced
    assert (tail.first_unit, tail.last_unit, tail.minutes) == (31, 120, 540)
    assert tail.reason is UnplacedReason.NO_ROOM


def test_period_of_exclusions_has_no_study_days() -> None:
    """Case S6 of the planning rules."""
    with pytest.raises(NoStudyDaysError):
        schedule(
            make_request(book(1, 10), exclusions=off(*(f"01-{day:02}" for day in range(6, 13))))
        )


def test_block_within_lunch_places_nothing_and_reports_each_day() -> None:
    """Case S7 of the planning rules."""
    with pytest.raises(NothingPlacedError) as refused:
        schedule(make_request(book(1, 10), blocks=block(12, 13)))
    reasons = {day.date: day.reason for day in refused.value.days}
    assert reasons == {on(f"01-{day:02}"): "no_study_time" for day in range(6, 13)}


def test_period_may_be_a_single_day() -> None:
    """Case S8 of the planning rules."""
    result = checked_schedule(make_request(book(1, 10), period="01-06..01-06"))
    assert ranges(study(result)) == [(1, 10)]


def test_contents_that_do_not_fit_together_get_their_shares() -> None:
    """Case S9 of the planning rules."""
    result = checked_schedule(
        make_request(book(1, 60), book(1, 20, position=2, weekly=2), blocks=block(10, 11))
    )
    assert study(result)[-1].last_unit == 45
    assert study(result, 2)[-1].last_unit == 15
    assert [(t.content, t.first_unit, t.last_unit, t.minutes) for t in result.unplaced] == [
        (1, 46, 60, 90), (2, 16, 20, 30)
    ]  # fmt: skip


def test_schedule_uses_every_minute_if_the_contents_just_fit() -> None:
    """Case S10 of the planning rules."""
    result = checked_schedule(
        make_request(book(1, 40), book(1, 20, position=2, weekly=2), blocks=block(10, 11))
    )
    assert result.unplaced == ()
    assert dates(study(result, 2)) == ["01-07", "01-10"]
    assert dates(study(result)) == ["01-06", "01-08", "01-09", "01-11"]
    assert sum(row.minutes for row in study(result)) == 240
    assert sum(row.minutes for row in study(result, 2)) == 120


# --- dealing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "days", "boundaries"),
    [
        (100, 7, [14, 29, 43, 57, 71, 86, 100]),
        (100, 3, [33, 67, 100]),
        (10, 4, [3, 5, 8, 10]),
        (103, 10, [10, 21, 31, 41, 52, 62, 72, 82, 93, 103]),
    ],
    ids=["D1", "D2", "D3", "D4"],
)
def test_even_deal_rounds_the_cumulative_counts(
    total: int, days: int, boundaries: list[int]
) -> None:
    end = f"01-{5 + days:02}"
    result = checked_schedule(
        make_request(book(1, total, 2), period=f"01-06..{end}", cycle=(6, 0), non_study_blocks=())
    )
    assert [row.last_unit for row in study(result)] == boundaries


def test_even_deal_of_five_pages_to_ten_days_has_no_empty_row() -> None:
    """Case D5 of the planning rules."""
    result = checked_schedule(make_request(book(1, 5), period="01-06..01-15", cycle=(6, 0)))
    assert dates(study(result)) == ["01-07", "01-09", "01-11", "01-13", "01-15"]
    assert ranges(study(result)) == [(n, n) for n in range(1, 6)]


def test_even_deal_puts_a_single_page_on_the_middle_day() -> None:
    """Case D6 of the planning rules."""
    result = checked_schedule(make_request(book(1, 1), period="01-06..01-08"))
    assert dates(study(result)) == ["01-07"]


def test_deal_moves_the_pages_of_a_short_day_to_its_neighbours() -> None:
    """Case D8 of the planning rules."""
    uneven = block(10, 11, [1]) + block(10, "10:18", [2]) + block(10, 11, [3])
    result = checked_schedule(make_request(book(1, 15), period="01-06..01-08", blocks=uneven))
    assert ranges(study(result)) == [(1, 6), (7, 9), (10, 15)]


def test_deal_of_the_specification_moves_one_page_to_the_first_day() -> None:
    days = (
        block(10, "10:10", [1]) + block(10, "10:03", [2])
        + block(10, "10:10", [3]) + block(10, "10:15", [4])
    )  # fmt: skip
    result = checked_schedule(make_request(book(1, 15, 1), period="01-06..01-08", blocks=days))
    assert ranges(study(result)) == [(1, 6), (7, 9), (10, 15)]


# --- refusals -----------------------------------------------------------------------


@pytest.mark.parametrize("weekly", [1, 5, 7])
def test_strategy_of_fewer_than_two_or_more_than_four_days_is_refused(weekly: int) -> None:
    """Case A5 of the planning rules."""
    with pytest.raises(InvalidInputError) as refused:
        schedule(make_request(book(1, 10, weekly=weekly)))
    assert "weekly_days" in refused.value.field


def test_reversed_range_is_refused() -> None:
    """Case M3 of the planning rules."""
    with pytest.raises(InvalidInputError) as refused:
        schedule(make_request(book(10, 1)))
    assert "contents[0]" in refused.value.field


def test_unit_below_one_minute_is_refused_with_its_field() -> None:
    """Case M8 of the planning rules."""
    with pytest.raises(InvalidInputError) as refused:
        schedule(
            make_request(
                book(1, 10, 1), factors=Factors(level=Decimal("0.85"), weakness=Decimal(1))
            )
        )
    assert "minutes_per_unit" in refused.value.field


def test_request_without_contents_or_blocks_is_refused() -> None:
    with pytest.raises(NoContentsError):
        schedule(make_request())
    with pytest.raises(NoBlocksError):
        schedule(make_request(book(1, 10), blocks=()))


def test_period_in_the_past_has_no_study_days() -> None:
    with pytest.raises(NoStudyDaysError):
        schedule(make_request(book(1, 10), today="01-13"))


def test_schedule_is_empty_with_a_warning_if_nothing_is_left_to_plan() -> None:
    result = checked_schedule(
        make_request(book(1, 10), today="01-07", kept=(kept(1, 10, "01-06", 10, 11),))
    )
    assert study(result) == []
    assert "nothing_left" in [warning.code for warning in result.warnings]
