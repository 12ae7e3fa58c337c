"""Cases M1 to M8 of the planning rules: the exact minutes of a range of units."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

import pytest

from domain.scheduling.minutes import DIFFICULTY_MINUTES, raw_unit_minutes, unit_minutes
from domain.scheduling.rounding import deltas, rounded_multiples
from domain.scheduling.types import LEVEL_FACTORS, Content, Difficulty, Factors, Level
from domain.scheduling.validation import field_errors
from tests.unit.scheduling.build import (
    FACTOR_ONE,
    book,
    checked_schedule,
    custom,
    lecture,
    make_request,
)

BY_DIFFICULTY = [
    (Difficulty.FOUNDATION, 40),
    (Difficulty.STANDARD, 60),
    (Difficulty.ADVANCED, 80),
    (Difficulty.TOP, 100),
    (None, 60),
]
WITH_FACTORS = [
    (Level.HIGH, 2, 51),
    (Level.HIGH, None, 61),
    (Level.MIDDLE, None, 72),
    (Level.LOW, None, 86),
]


def cost(content: Content, factors: Factors = FACTOR_ONE) -> int:
    """Return the minutes of the content's entire range."""
    return sum(unit_minutes(content, factors))


@pytest.mark.parametrize(("difficulty", "minutes"), BY_DIFFICULTY)
def test_book_minutes_depend_on_its_difficulty(difficulty: Difficulty | None, minutes: int) -> None:
    """Case M1 of the planning rules. 개념 and 기초 are the same difficulty, with a single value."""
    assert cost(book(1, 10, None, difficulty=difficulty)) == minutes
    assert set(DIFFICULTY_MINUTES) == set(Difficulty)


def test_page_range_of_one_page_costs_the_minutes_of_the_page() -> None:
    """Case M2 of the planning rules."""
    assert cost(book(5, 5, None, difficulty=Difficulty.TOP)) == 10


def test_reversed_range_is_refused() -> None:
    """Case M3 of the planning rules."""
    (field_error,) = field_errors(make_request(book(10, 1)))
    assert field_error.field == "contents[0].range"


def test_lecture_costs_the_sum_of_its_episodes() -> None:
    """Case M4 of the planning rules."""
    assert cost(lecture(30, 25, 35)) == 90


def test_episode_of_unknown_length_costs_thirty_minutes_and_is_reported() -> None:
    """Case M5 of the planning rules."""
    content = lecture(30, None, 35, 30)
    assert cost(content) == 125
    warnings = checked_schedule(make_request(content)).warnings
    (assumed,) = [warning for warning in warnings if warning.code == "assumed_minutes"]
    assert dict(assumed.data) == {"content": 1, "first_unit": 2, "last_unit": 2, "minutes": 30}
    assert "30분" in assumed.message("ko")


@pytest.mark.parametrize(("level", "weekly", "minutes"), WITH_FACTORS)
def test_minutes_are_multiplied_by_the_factors_of_level_and_subject(
    level: Level, weekly: int | None, minutes: int
) -> None:
    """Case M6 of the planning rules."""
    assert cost(book(1, 10, weekly=weekly), Factors(level=LEVEL_FACTORS[level])) == minutes


def test_book_minutes_change_with_its_difficulty() -> None:
    """Case M7 of the planning rules."""
    assert cost(book(1, 10, None, difficulty=Difficulty.FOUNDATION)) == 40
    assert cost(book(1, 10, None, difficulty=Difficulty.TOP)) == 100


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (book(1, 10, 1), "contents[0].minutes_per_unit"),
        (custom(1, 10, 1), "contents[0].minutes_per_unit"),
        (lecture(30, 1), "contents[0].episodes"),
    ],
)
def test_unit_below_one_minute_is_refused_with_its_field(content: Content, field: str) -> None:
    """Case M8 of the planning rules."""
    factors = Factors(level=Decimal("0.85"), weakness=Decimal(1))
    (field_error,) = field_errors(make_request(content, factors=factors))
    assert field_error.field == field
    assert field_errors(make_request(content, factors=Factors(level=Decimal("0.85")))) == []


def test_minutes_are_the_cumulative_sum_rounded_half_up() -> None:
    assert rounded_multiples([1, 2, 3, 4], Fraction(1, 2)) == [1, 1, 2, 2]
    assert unit_minutes(custom(1, 4, 1), Factors(weakness=Decimal("1.5"))) == [2, 1, 2, 1]


@pytest.mark.parametrize("factor", ["0.85", "1.02", "1.2", "1.44", "0.333333333333333333", "9.99"])
def test_adjacent_ranges_cost_the_same_as_their_union(factor: str) -> None:
    content = lecture(31, 25, None, 47, 3, 90)
    exact = Fraction(Decimal(factor))
    sums = [sum(raw_unit_minutes(content)[:count]) for count in range(1, 7)]
    expected = [floor(exact * total + Fraction(1, 2)) for total in sums]
    found = unit_minutes(content, Factors(weakness=Decimal(factor)))
    assert found == [after - before for before, after in pairwise([0, *expected])]
    assert sum(found[:2]) + sum(found[2:]) == expected[-1]


def test_minutes_are_computed_with_exact_decimals() -> None:
    """0.85 × 50 is exactly 42.5 and is rounded up to 43; 0.85 × 1.2 × 50 is exactly 51."""
    assert cost(book(1, 5, 10, weekly=2), Factors(level=Decimal("0.85"))) == 43
    assert cost(book(1, 5, 10), Factors(level=Decimal("0.85"))) == 51


def test_deltas_start_from_zero() -> None:
    assert deltas([3, 3, 10]) == [3, 0, 7]


def test_unit_above_the_integer_range_of_the_tables_is_refused() -> None:
    (field_error,) = field_errors(make_request(book(2**31 - 1, 2**31)))
    assert field_error.field == "contents[0].range"


@pytest.mark.parametrize("factor", [0.85, "0.85", None, Decimal("NaN"), Decimal(0), 11])
def test_factor_that_is_not_an_exact_number_within_bounds_is_refused(factor: Any) -> None:
    (field_error,) = field_errors(make_request(book(1, 9), factors=Factors(level=factor)))
    assert field_error.field == "factors.level"


def test_factor_may_be_an_integer() -> None:
    factor: Any = 1
    assert field_errors(make_request(book(1, 9), factors=Factors(level=factor))) == []
