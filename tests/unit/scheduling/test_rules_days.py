"""A1–A7: the days of a subject come from the cycle, not from today."""

from dataclasses import replace
from typing import Any

import pytest

from domain.scheduling.allocation import own_days, strategy_indexes
from domain.scheduling.calendar import calendar
from domain.scheduling.planning import Request
from domain.scheduling.validation import field_errors
from tests.unit.scheduling.build import ask, block, book, off

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
    """The dates of the request's one content."""
    days = calendar(request)
    return " ".join(f"{days[index].date:%d}" for index in own_days(request.contents[0], days))


def asked(period: str, weekly: int | None, **more: Any) -> Request:
    return ask(book(1, 60, weekly=weekly), period=period, **more)


@pytest.mark.parametrize("case", CASES)
def test_a_subject_has_its_days_of_each_cycle(case: str) -> None:
    period, excluded, weekly, expected = CASES[case]
    assert days_of(asked(period, weekly, exclusions=off(*excluded))) == expected


@pytest.mark.parametrize("weekly", [1, 5, 7, 0, -2])
def test_a5_a_strategy_of_other_than_two_to_four_days_is_refused(weekly: int) -> None:
    content = replace(book(1, 60, position=2, weekly=3), weekly_days=weekly)
    (field_error,) = field_errors(ask(book(1, 60), content))
    assert field_error.field == "contents[1].weekly_days"
    assert "2, 3 or 4" in field_error.message


@pytest.mark.parametrize(("weekly", "picked"), [(2, [1, 4]), (3, [1, 3, 5]), (4, [0, 2, 3, 5])])
def test_of_six_study_days_a_strategy_takes_those_in_the_middle_of_equal_shares(
    weekly: int, picked: list[int]
) -> None:
    assert strategy_indexes(6, weekly) == picked


@pytest.mark.parametrize("weekly", [2, 3, 4])
@pytest.mark.parametrize("study_days", range(31))
def test_a_strategy_has_as_many_days_as_it_asks_for_or_all(study_days: int, weekly: int) -> None:
    picked = strategy_indexes(study_days, weekly)
    assert picked == sorted(set(picked))
    assert len(picked) == min(study_days, weekly)
    assert all(0 <= index < study_days for index in picked)


@pytest.mark.parametrize("today", ["01-06", "01-10", "01-19"])
def test_the_days_do_not_depend_on_today(today: str) -> None:
    assert days_of(asked(TWO_CYCLES, 3, today=today)) == CASES["A2"][3]


def test_a_review_day_is_nobodys() -> None:
    assert "12" not in days_of(asked(TWO_CYCLES, None)).split()


def test_a_weekday_without_time_is_nobodys() -> None:
    weekdays = block(10, 19, [1, 2, 3, 4, 5])
    assert days_of(asked("01-06..01-14", None, blocks=weekdays)) == "06 07 08 09 10 13"
