"""The minutes of each unit, by the rules of the domain and in exact arithmetic.

Cumulative sums are rounded half up, and not the minutes of single units, so that the minutes of
consecutive ranges add up to those of their union.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from typing import Final

from domain.scheduling.rounding import deltas, rounded_multiples
from domain.scheduling.types import Allocation, Content, ContentType, Difficulty, Factors

UNKNOWN_PAGE_MINUTES: Final = 6
UNKNOWN_EPISODE_MINUTES: Final = 30
DIFFICULTY_MINUTES: Final = {
    Difficulty.FOUNDATION: 4,
    Difficulty.STANDARD: 6,
    Difficulty.ADVANCED: 8,
    Difficulty.TOP: 10,
}


def unit_minutes(content: Content, factors: Factors) -> list[int]:
    """Return the minutes of each unit of the content's range, multiplied by the subject factor."""
    cumulative = accumulate(raw_unit_minutes(content))
    return deltas(rounded_multiples(cumulative, subject_factor(content, factors)))


def raw_unit_minutes(content: Content) -> Sequence[int]:
    """Return the minutes of each unit before the factor: given, by difficulty, or assumed."""
    if content.type is ContentType.LECTURE:
        return [
            UNKNOWN_EPISODE_MINUTES if minutes is None else minutes
            for minutes in content.episode_minutes
        ]
    return [_minutes_per_unit(content)] * (content.last_unit - content.first_unit + 1)


def subject_factor(content: Content, factors: Factors) -> Fraction:
    """Return the factor of a content: the level's factor × that of weakness or strategy."""
    weak = content.allocation is Allocation.WEAKNESS
    return _product(factors.level, factors.weakness if weak else factors.strategy)


@lru_cache
def _product(level: Decimal, subject: Decimal) -> Fraction:
    return Fraction(level) * Fraction(subject)


def _minutes_per_unit(content: Content) -> int:
    if content.minutes_per_unit is not None:
        return content.minutes_per_unit
    if content.difficulty is not None:
        return DIFFICULTY_MINUTES[content.difficulty]
    return UNKNOWN_PAGE_MINUTES
