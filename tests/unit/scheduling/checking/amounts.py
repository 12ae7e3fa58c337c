"""The minutes of the contents of a request, unit by unit."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import floor

from domain.scheduling.types import (
    Allocation,
    Content,
    ContentType,
    Difficulty,
    Factors,
    KeptPlan,
    PlanKind,
    Request,
)

UNKNOWN_EPISODE = 30
SHORTEST_SPLIT = 20
"""A unit with fewer minutes is never split."""
BY_DIFFICULTY = {
    None: 6,
    Difficulty.FOUNDATION: 4,
    Difficulty.STANDARD: 6,
    Difficulty.ADVANCED: 8,
    Difficulty.TOP: 10,
}


@dataclass(frozen=True)
class Amounts:
    """The minutes of each unit of a content, and its kept and remaining units."""

    content: Content
    request: Request

    @cached_property
    def minutes(self) -> dict[int, int]:
        """The minutes of every unit.

        The cumulative sum is rounded and not each unit, so a range costs the sum of its units.
        """
        factor = factor_of(self.content, self.request.factors)
        total, costs = Fraction(0), {}
        for unit in self.units:
            before = half_up(factor * total)
            total += raw_minutes(self.content, unit)
            costs[unit] = half_up(factor * total) - before
        return costs

    @property
    def units(self) -> range:
        """All units of the range."""
        return range(self.content.first_unit, self.content.last_unit + 1)

    @cached_property
    def kept(self) -> list[int]:
        """The units of kept plans; a unit occurs twice only if two kept plans have it."""
        whole = [
            unit
            for plan in self._kept_plans
            if plan.parts == 1
            for unit in range(plan.first_unit, plan.last_kept_unit + 1)
        ]
        return [*whole, *(unit for unit in self.kept_pieces if self._is_complete(unit))]

    @cached_property
    def kept_pieces(self) -> dict[int, dict[int, int]]:
        """The minutes of the kept pieces of each unit, by their numbers."""
        found: dict[int, dict[int, int]] = {}
        for plan in self._kept_plans:
            if plan.parts > 1:
                net = plan.end_minute - plan.start_minute - plan.wrap_up_minutes
                found.setdefault(plan.first_unit, {})[plan.part] = net
        return found

    def _is_complete(self, unit: int) -> bool:
        """Whether all pieces of a unit are kept; the rest may have been cut again after a part."""
        parts = max(p.parts for p in self._kept_plans if p.parts > 1 and p.first_unit == unit)
        own = self.kept_pieces[unit]
        return len(own) >= parts or sum(own.values()) >= self.minutes.get(unit, 0)

    @property
    def _kept_plans(self) -> list[KeptPlan]:
        kept = (plan for plan in self.request.kept if plan.kind is PlanKind.STUDY)
        return [plan for plan in kept if plan.content == self.content.position]

    @cached_property
    def remaining(self) -> list[int]:
        """The units that are left to plan, in order."""
        return [unit for unit in self.units if unit not in set(self.kept)]

    @cached_property
    def left(self) -> dict[int, int]:
        """The minutes that are left to plan of each remaining unit, without its kept pieces."""
        return {
            unit: self.minutes[unit] - sum(self.kept_pieces.get(unit, {}).values())
            for unit in self.remaining
        }

    def cost(self, units: Iterable[int]) -> int:
        """Return the minutes of some units, without wrap-up."""
        return sum(self.minutes[unit] for unit in units)

    def cost_left(self, units: Iterable[int]) -> int:
        """Return the minutes of some units, without wrap-up and without kept pieces."""
        return sum(self.left.get(unit, self.minutes[unit]) for unit in units)

    @property
    def longest(self) -> int:
        """The minutes that are left of the longest remaining unit, 0 if there is none."""
        return max(self.left.values(), default=0)

    @property
    def longest_whole(self) -> int:
        """The minutes of the longest remaining unit that is never split, 0 if there is none."""
        costs = self.left.values()
        return max((cost for cost in costs if cost < SHORTEST_SPLIT), default=0)

    @property
    def is_uniform(self) -> bool:
        """Whether all remaining units have the same minutes."""
        return len({*self.left.values()}) == 1


def amounts_of(request: Request) -> dict[int, Amounts]:
    """Return the amounts of every content by its position."""
    return {content.position: Amounts(content, request) for content in request.contents}


def half_up(value: Fraction) -> int:
    """Return the nearest integer; halves are rounded up."""
    return floor(value + Fraction(1, 2))


def factor_of(content: Content, factors: Factors) -> Fraction:
    """Return the exact product of the factors of the level and of the weakness or strategy."""
    weak = content.allocation is Allocation.WEAKNESS
    return Fraction(factors.level) * Fraction(factors.weakness if weak else factors.strategy)


def raw_minutes(content: Content, unit: int) -> int:
    """Return the minutes of a unit before any factor is applied."""
    if content.type is ContentType.LECTURE:
        known = content.episode_minutes[unit - content.first_unit]
        return UNKNOWN_EPISODE if known is None else known
    if content.minutes_per_unit is not None:
        return content.minutes_per_unit
    return BY_DIFFICULTY[content.difficulty]


def runs(units: Iterable[int]) -> list[tuple[int, int]]:
    """Return the maximal inclusive ranges of some units."""
    found: list[tuple[int, int]] = []
    for unit in sorted(set(units)):
        if found and found[-1][1] == unit - 1:
            found[-1] = (found[-1][0], unit)
        else:
            found.append((unit, unit))
    return found
