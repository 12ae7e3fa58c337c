"""M1–M8: what a range costs, exactly."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

import pytest

from domain.scheduling.minutes import (
    DIFFICULTY_MINUTES,
    deltas,
    raw_unit_minutes,
    rounded_multiples,
    unit_minutes,
)
from domain.scheduling.planning import LEVEL_FACTORS, Content, Factors
from domain.scheduling.validation import field_errors
from domain.scheduling.vocabulary import Difficulty, Level
from tests.unit.scheduling.build import FACTOR_ONE, answer_to, ask, book, custom, lecture

BY_DIFFICULTY = [
    (Difficulty.FOUNDATION, 40),
    (Difficulty.STANDARD, 60),
    (Difficulty.ADVANCED, 80),
    (Difficulty.TOP, 100),
    (None, 60),
]
STRETCHED = [
    (Level.HIGH, 2, 51),
    (Level.HIGH, None, 61),
    (Level.MIDDLE, None, 72),
    (Level.LOW, None, 86),
]


def cost(content: Content, factors: Factors = FACTOR_ONE) -> int:
    """Minutes of the content's whole range."""
    return sum(unit_minutes(content, factors))


@pytest.mark.parametrize(("difficulty", "minutes"), BY_DIFFICULTY)
def test_m1_a_book_costs_what_its_difficulty_says(
    difficulty: Difficulty | None, minutes: int
) -> None:
    """개념 means 기초: there is one word for both."""
    assert cost(book(1, 10, None, difficulty=difficulty)) == minutes
    assert set(DIFFICULTY_MINUTES) == set(Difficulty)


def test_m2_a_single_page_costs_its_own_minutes() -> None:
    assert cost(book(5, 5, None, difficulty=Difficulty.TOP)) == 10


def test_m3_a_reversed_range_is_refused() -> None:
    (field_error,) = field_errors(ask(book(10, 1)))
    assert field_error.field == "contents[0].range"


def test_m4_a_lecture_costs_the_sum_of_its_episodes() -> None:
    assert cost(lecture(30, 25, 35)) == 90


def test_m5_an_unknown_episode_costs_thirty_minutes_and_is_reported() -> None:
    content = lecture(30, None, 35, 30)
    assert cost(content) == 125
    warnings = answer_to(ask(content)).warnings
    (told,) = [one for one in warnings if one.code == "assumed_minutes"]
    assert dict(told.data) == {"content": 1, "first_unit": 2, "last_unit": 2, "minutes": 30}
    assert "30분" in told.message("ko")


@pytest.mark.parametrize(("level", "weekly", "minutes"), STRETCHED)
def test_m6_level_and_subject_stretch_the_minutes(
    level: Level, weekly: int | None, minutes: int
) -> None:
    assert cost(book(1, 10, weekly=weekly), Factors(level=LEVEL_FACTORS[level])) == minutes


def test_m7_the_same_range_asked_again_with_another_difficulty_costs_the_others_minutes() -> None:
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
def test_m8_a_unit_below_one_minute_is_refused_naming_the_field(
    content: Content, field: str
) -> None:
    factors = Factors(level=Decimal("0.85"), weakness=Decimal(1))
    (field_error,) = field_errors(ask(content, factors=factors))
    assert field_error.field == field
    assert field_errors(ask(content, factors=Factors(level=Decimal("0.85")))) == []


def test_rounding_is_half_up_and_of_the_cumulative_sum() -> None:
    assert rounded_multiples([1, 2, 3, 4], Fraction(1, 2)) == [1, 1, 2, 2]
    assert unit_minutes(custom(1, 4, 1), Factors(weakness=Decimal("1.5"))) == [2, 1, 2, 1]


@pytest.mark.parametrize("factor", ["0.85", "1.02", "1.2", "1.44", "0.333333333333333333", "9.99"])
def test_ranges_that_follow_each_other_cost_what_their_union_costs(factor: str) -> None:
    content = lecture(31, 25, None, 47, 3, 90)
    exact = Fraction(Decimal(factor))
    sums = [sum(raw_unit_minutes(content)[:count]) for count in range(1, 7)]
    expected = [floor(exact * total + Fraction(1, 2)) for total in sums]
    found = unit_minutes(content, Factors(weakness=Decimal(factor)))
    assert found == [after - before for before, after in pairwise([0, *expected])]
    assert sum(found[:2]) + sum(found[2:]) == expected[-1]


def test_decimals_are_exact_where_floats_are_not() -> None:
    """0.85 × 10 × 10 is 85; 0.85 × 1.2 × 50 is 51 and no less."""
    assert cost(book(1, 5, 10, weekly=2), Factors(level=Decimal("0.85"))) == 43
    assert cost(book(1, 5, 10), Factors(level=Decimal("0.85"))) == 51


def test_steps_of_a_sum_begin_after_zero() -> None:
    assert deltas([3, 3, 10]) == [3, 0, 7]


def test_a_unit_beyond_what_tables_hold_is_told_before_it_is_stored() -> None:
    (field_error,) = field_errors(ask(book(2**31 - 1, 2**31)))
    assert field_error.field == "contents[0].range"


@pytest.mark.parametrize("factor", [0.85, "0.85", None, Decimal("NaN"), Decimal(0), 11])
def test_a_factor_that_is_no_exact_number_in_bounds_is_told(factor: Any) -> None:
    (field_error,) = field_errors(ask(book(1, 9), factors=Factors(level=factor)))
    assert field_error.field == "factors.level"


def test_a_whole_number_is_a_factor() -> None:
    whole: Any = 1
    assert field_errors(ask(book(1, 9), factors=Factors(level=whole))) == []
