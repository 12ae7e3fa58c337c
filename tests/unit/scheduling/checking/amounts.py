"""What units cost, what is kept of a content and what remains, one unit at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import floor

from domain.scheduling.planning import Content, Factors, Request
from domain.scheduling.vocabulary import Allocation, ContentType, Difficulty, PlanKind

UNKNOWN_EPISODE = 30
BY_DIFFICULTY = {
    None: 6,
    Difficulty.FOUNDATION: 4,
    Difficulty.STANDARD: 6,
    Difficulty.ADVANCED: 8,
    Difficulty.TOP: 10,
}


@dataclass(frozen=True)
class Amounts:
    """The units of one content: their minutes, the kept ones and the rest."""

    content: Content
    request: Request

    @cached_property
    def minutes(self) -> dict[int, int]:
        """Minutes of every unit; a range costs the sum, for the rounding is cumulative."""
        factor = factor_of(self.content, self.request.factors)
        total, costs = Fraction(0), {}
        for unit in self.units:
            before = half_up(factor * total)
            total += raw_minutes(self.content, unit)
            costs[unit] = half_up(factor * total) - before
        return costs

    @property
    def units(self) -> range:
        """The whole range."""
        return range(self.content.first_unit, self.content.last_unit + 1)

    @cached_property
    def kept(self) -> list[int]:
        """The units that generation keeps; twice only if two kept plans claim one.

        A unit in pieces counts as kept with its last one: no request here keeps some alone.
        """
        return [
            unit
            for plan in self.request.kept
            if plan.content == self.content.position
            and plan.kind is PlanKind.STUDY
            and plan.part == plan.parts
            for unit in range(plan.first_unit, plan.last_kept_unit + 1)
        ]

    @cached_property
    def remaining(self) -> list[int]:
        """What is left to plan, in order."""
        return [unit for unit in self.units if unit not in set(self.kept)]

    def cost(self, units: Iterable[int]) -> int:
        """The minutes of some units, without wrap-up."""
        return sum(self.minutes[unit] for unit in units)

    @property
    def is_uniform(self) -> bool:
        """Whether what remains costs the same minutes unit by unit."""
        return len({self.minutes[unit] for unit in self.remaining}) == 1


def amounts_of(request: Request) -> dict[int, Amounts]:
    """Every content's amounts by its position."""
    return {content.position: Amounts(content, request) for content in request.contents}


def half_up(value: Fraction) -> int:
    """Round half up."""
    return floor(value + Fraction(1, 2))


def factor_of(content: Content, factors: Factors) -> Fraction:
    """Level times subject, exact."""
    weak = content.allocation is Allocation.WEAKNESS
    return Fraction(factors.level) * Fraction(factors.weakness if weak else factors.strategy)


def raw_minutes(content: Content, unit: int) -> int:
    """The minutes of a unit before any factor."""
    if content.type is ContentType.LECTURE:
        known = content.episode_minutes[unit - content.first_unit]
        return UNKNOWN_EPISODE if known is None else known
    if content.minutes_per_unit is not None:
        return content.minutes_per_unit
    return BY_DIFFICULTY[content.difficulty]


def runs(units: Iterable[int]) -> list[tuple[int, int]]:
    """The maximal inclusive ranges of some units."""
    found: list[tuple[int, int]] = []
    for unit in sorted(set(units)):
        if found and found[-1][1] == unit - 1:
            found[-1] = (found[-1][0], unit)
        else:
            found.append((unit, unit))
    return found
