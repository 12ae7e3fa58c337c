"""Cases A1 to A7 of the planning rules: subject days depend on the cycle, not on today."""

from dataclasses import replace
from typing import Any

import pytest

from domain.scheduling.calendar import calendar
from domain.scheduling.demand import own_days, strategy_indexes
from domain.scheduling.types import Request
from domain.scheduling.validation import field_errors
from tests.unit.scheduling.build import block, book, make_request, off

TWO_CYCLES = "01-06..01-19"
CASES: dict[str, tuple[str, tuple[str, ...], int | None, str]] = {
    "A1": (TWO_CYCLES, (), 2, "07 10 14 17"),
    "A2": (TWO_CYCLES, (), 3, "07 09 11 14 16 18"),
    "A3": (TWO_CYCLES, (), 4, "06 08 09 11 13 15 16 18"),
    "A4": (TWO_CYCLES, (), None, "06 07 08 09 10 11 13 14 15 16 17 18"),
    "A6, 2 days": ("01-06..01-16", ("01-08",), 2, "07 11 14 16"),
    "A6, 3 days": ("01-06..01-16", ("01-08",), 3, "07 10 12 14 15 16"),
    "A6, 4 days": ("01-06..01-16", ("01-08",), 4, "06 09 10 12 14 15 16"),
    "A7, 2 days": ("01-06..01-08", (), 2, "06 08"),
    "A7, 3 days": ("01-06..01-08", (), 3, "06 07 08"),
}


def days_of(request: Request) -> str:
    """Return the dates of the request's only content, as days of the month."""
    days = calendar(request)
    return " ".join(f"{days[index].date:%d}" for index in own_days(request.contents[0], days))


def book_request(period: str, weekly: int | None, **options: Any) -> Request:
    return make_request(book(1, 60, weekly=weekly), period=period, **options)


@pytest.mark.parametrize("case", CASES)
def test_subject_days_are_chosen_per_cycle(case: str) -> None:
    period, excluded, weekly, expected = CASES[case]
    assert days_of(book_request(period, weekly, exclusions=off(*excluded))) == expected


@pytest.mark.parametrize("weekly", [1, 5, 7, 0, -2])
def test_strategy_of_fewer_than_two_or_more_than_four_days_is_refused(weekly: int) -> None:
    """Case A5 of the planning rules."""
    content = replace(book(1, 60, position=2, weekly=3), weekly_days=weekly)
    (field_error,) = field_errors(make_request(book(1, 60), content))
    assert field_error.field == "contents[1].weekly_days"
    assert "2, 3 or 4" in field_error.message


@pytest.mark.parametrize(("weekly", "picked"), [(2, [1, 4]), (3, [1, 3, 5]), (4, [0, 2, 3, 5])])
def test_strategy_uses_the_middle_day_of_each_equal_share_of_six_study_days(
    weekly: int, picked: list[int]
) -> None:
    assert strategy_indexes(6, weekly) == picked


@pytest.mark.parametrize("weekly", [2, 3, 4])
@pytest.mark.parametrize("study_days", range(31))
def test_strategy_uses_its_number_of_days_or_all_days_if_there_are_fewer(
    study_days: int, weekly: int
) -> None:
    picked = strategy_indexes(study_days, weekly)
    assert picked == sorted(set(picked))
    assert len(picked) == min(study_days, weekly)
    assert all(0 <= index < study_days for index in picked)


@pytest.mark.parametrize("today", ["01-06", "01-10", "01-19"])
def test_subject_days_do_not_depend_on_today(today: str) -> None:
    assert days_of(book_request(TWO_CYCLES, 3, today=today)) == CASES["A2"][3]


def test_review_day_belongs_to_no_content() -> None:
    assert "12" not in days_of(book_request(TWO_CYCLES, None)).split()


def test_weekday_without_time_belongs_to_no_content() -> None:
    weekdays = block(10, 19, [1, 2, 3, 4, 5])
    assert days_of(book_request("01-06..01-14", None, blocks=weekdays)) == "06 07 08 09 10 13"
