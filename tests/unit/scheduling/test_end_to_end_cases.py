"""Whole requests and the plans that come of them: hours, deals, refusals."""

from decimal import Decimal

import pytest

from domain.errors import (
    InvalidInputError,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
)
from domain.scheduling.engine import schedule
from domain.scheduling.planning import Factors
from domain.scheduling.vocabulary import UnplacedReason
from tests.unit.scheduling.build import (
    answer_to,
    ask,
    at,
    block,
    book,
    dates,
    hours,
    kept,
    lecture,
    off,
    on,
    ranges,
    reviews,
    study,
)

# --- S1 … S10 -----------------------------------------------------------------------


def test_s1_a_hundred_pages_are_dealt_over_six_days_and_reviewed_on_the_seventh() -> None:
    answer = answer_to(ask(book(1, 100)))
    assert ranges(study(answer)) == [
        (1, 17), (18, 33), (34, 50), (51, 67), (68, 83), (84, 100)
    ]  # fmt: skip
    assert [row.minutes for row in study(answer)] == [102, 96, 102, 102, 96, 102]
    assert dates(reviews(answer)) == ["01-12"]
    assert ranges(reviews(answer)) == [(1, 50), (51, 100)]
    assert hours(reviews(answer)) == ["10:00-12:00", "13:00-15:00"]


def test_s2_fewer_pages_than_days_lie_in_the_middle_of_their_share() -> None:
    answer = answer_to(ask(book(1, 3)))
    assert dates(study(answer)) == ["01-07", "01-09", "01-11"]
    assert ranges(study(answer)) == [(1, 1), (2, 2), (3, 3)]
    assert ranges(reviews(answer)) == [(1, 3)]


def test_s3_each_episode_takes_its_own_minutes() -> None:
    answer = answer_to(ask(lecture(60, 40, 50, 30, 30, 90)))
    assert hours(study(answer)) == [
        "10:00-11:00", "10:00-10:40", "10:00-10:50", "10:00-10:30", "10:00-10:30", "10:00-11:30"
    ]  # fmt: skip
    assert len(dates(study(answer))) == 6


def test_s4_a_day_in_two_parts_divides_the_pages_around_lunch() -> None:
    answer = answer_to(ask(book(1, 46), period="01-06..01-08", blocks=block(11, 14)))
    rows = study(answer)
    assert len(rows) == 6
    assert ranges(rows) == [(1, 10), (11, 15), (16, 25), (26, 31), (32, 41), (42, 46)]
    assert [row.start_minute for row in rows] == [at(11), at(13)] * 3


def test_s5_what_three_short_days_cannot_hold_is_reported() -> None:
    answer = answer_to(ask(book(1, 120), period="01-06..01-08", blocks=block(10, 11)))
    assert ranges(study(answer)) == [(1, 10), (11, 20), (21, 30)]
    (tail,) = answer.unplaced
    assert (tail.first_unit, tail.last_unit, tail.minutes) == (31, 120, 540)
    assert tail.reason is UnplacedReason.NO_ROOM


def test_s6_a_period_of_exclusions_has_no_study_days() -> None:
    with pytest.raises(NoStudyDaysError):
        schedule(ask(book(1, 10), exclusions=off(*(f"01-{day:02}" for day in range(6, 13)))))


def test_s7_a_block_that_lunch_eats_places_nothing_and_tells_each_day() -> None:
    with pytest.raises(NothingPlacedError) as refused:
        schedule(ask(book(1, 10), blocks=block(12, 13)))
    told = {day.date: day.reason for day in refused.value.days}
    assert told == {on(f"01-{day:02}"): "no_study_time" for day in range(6, 13)}


def test_s8_a_period_may_be_one_day() -> None:
    answer = answer_to(ask(book(1, 10), period="01-06..01-06"))
    assert ranges(study(answer)) == [(1, 10)]


def test_s9_contents_that_do_not_fit_together_keep_their_shares() -> None:
    answer = answer_to(ask(book(1, 60), book(1, 20, position=2, weekly=2), blocks=block(10, 11)))
    assert study(answer)[-1].last_unit == 45
    assert study(answer, 2)[-1].last_unit == 15
    assert [(t.content, t.first_unit, t.last_unit, t.minutes) for t in answer.unplaced] == [
        (1, 46, 60, 90), (2, 16, 20, 30)
    ]  # fmt: skip


def test_s10_every_minute_is_used_when_the_minutes_just_fit() -> None:
    answer = answer_to(ask(book(1, 40), book(1, 20, position=2, weekly=2), blocks=block(10, 11)))
    assert answer.unplaced == ()
    assert dates(study(answer, 2)) == ["01-07", "01-10"]
    assert dates(study(answer)) == ["01-06", "01-08", "01-09", "01-11"]
    assert sum(row.minutes for row in study(answer)) == 240
    assert sum(row.minutes for row in study(answer, 2)) == 120


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
def test_a_range_is_dealt_by_cumulative_rounding(
    total: int, days: int, boundaries: list[int]
) -> None:
    end = f"01-{5 + days:02}"
    answer = answer_to(
        ask(book(1, total, 2), period=f"01-06..{end}", cycle=(6, 0), non_study_blocks=())
    )
    assert [row.last_unit for row in study(answer)] == boundaries


def test_d5_five_pages_over_ten_days_leave_no_row_empty() -> None:
    answer = answer_to(ask(book(1, 5), period="01-06..01-15", cycle=(6, 0)))
    assert dates(study(answer)) == ["01-07", "01-09", "01-11", "01-13", "01-15"]
    assert ranges(study(answer)) == [(n, n) for n in range(1, 6)]


def test_d6_a_single_page_lies_on_the_middle_day() -> None:
    answer = answer_to(ask(book(1, 1), period="01-06..01-08"))
    assert dates(study(answer)) == ["01-07"]


def test_d8_a_short_day_gives_to_its_neighbours() -> None:
    uneven = block(10, 11, [1]) + block(10, "10:18", [2]) + block(10, 11, [3])
    answer = answer_to(ask(book(1, 15), period="01-06..01-08", blocks=uneven))
    assert ranges(study(answer)) == [(1, 6), (7, 9), (10, 15)]


def test_the_deal_of_the_specification_moves_one_page_to_the_first_day() -> None:
    days = (
        block(10, "10:10", [1]) + block(10, "10:03", [2])
        + block(10, "10:10", [3]) + block(10, "10:15", [4])
    )  # fmt: skip
    answer = answer_to(ask(book(1, 15, 1), period="01-06..01-08", blocks=days))
    assert ranges(study(answer)) == [(1, 6), (7, 9), (10, 15)]


# --- refusals -----------------------------------------------------------------------


@pytest.mark.parametrize("weekly", [1, 5, 7])
def test_a5_a_strategy_of_other_than_two_to_four_days_is_refused(weekly: int) -> None:
    with pytest.raises(InvalidInputError) as refused:
        schedule(ask(book(1, 10, weekly=weekly)))
    assert "weekly_days" in refused.value.field


def test_m3_a_reversed_range_is_refused() -> None:
    with pytest.raises(InvalidInputError) as refused:
        schedule(ask(book(10, 1)))
    assert "contents[0]" in refused.value.field


def test_m8_a_unit_below_one_minute_is_refused_naming_the_field() -> None:
    with pytest.raises(InvalidInputError) as refused:
        schedule(ask(book(1, 10, 1), factors=Factors(level=Decimal("0.85"), weakness=Decimal(1))))
    assert "minutes_per_unit" in refused.value.field


def test_a_request_without_contents_or_blocks_says_so() -> None:
    with pytest.raises(NoContentsError):
        schedule(ask())
    with pytest.raises(NoBlocksError):
        schedule(ask(book(1, 10), blocks=()))


def test_a_period_that_is_over_has_no_study_days() -> None:
    with pytest.raises(NoStudyDaysError):
        schedule(ask(book(1, 10), today="01-13"))


def test_nothing_left_to_plan_is_an_empty_result_with_a_warning() -> None:
    answer = answer_to(ask(book(1, 10), today="01-07", kept=(kept(1, 10, "01-06", 10, 11),)))
    assert study(answer) == []
    assert "nothing_left" in [warning.code for warning in answer.warnings]
