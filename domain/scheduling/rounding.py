"""Cumulative rounding: sums are rounded half up, and not their terms.

Therefore rounding errors do not accumulate, the parts of a range add up to the range, and two
parts of equal size differ by at most one after rounding. All arithmetic is exact.
"""

from collections.abc import Iterable
from fractions import Fraction
from operator import sub


def even_deal(total: int, days: int) -> list[int]:
    """Return how many of ``total`` units an even deal has dealt after each of ``days`` days.

    If there are fewer units than days, each unit is in the middle of an equal share of the days.
    Raises ``ValueError`` if there are units to deal but no days.
    """
    # The cumulative sum total·day/days is rounded half up. Because the sum is rounded and not the
    # daily number, rounding errors do not accumulate, and the numbers of two days differ by at
    # most one unit. With fewer units than days, the day of a unit is computed as in
    # strategy_indexes. The cost is linear in the number of days.
    if days == 0 and total > 0:
        raise ValueError("there is no day to deal units to")
    if total >= days:
        return [(2 * total * day + days) // (2 * days) for day in range(1, days + 1)]
    dealt = [0] * days
    for unit in range(total):
        dealt[(2 * unit + 1) * days // (2 * total)] += 1
    for day in range(1, days):
        dealt[day] += dealt[day - 1]
    return dealt


def rounded_multiples(values: Iterable[int], factor: Fraction) -> list[int]:
    """Return ``factor`` × each value, rounded half up."""
    return rounded_shares(values, factor.numerator, factor.denominator)


def rounded_shares(values: Iterable[int], part: int, whole: int) -> list[int]:
    """Return ``part`` / ``whole`` of each value, rounded half up."""
    top, bottom = 2 * part, 2 * whole
    return [(top * value + whole) // bottom for value in values]


def deltas(cumulative: Iterable[int]) -> list[int]:
    """Return the differences of consecutive cumulative sums, the first one from zero."""
    sums = list(cumulative)
    return list(map(sub, sums, [0, *sums]))
