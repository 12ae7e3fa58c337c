"""The least possible highest level over all shifts of the strategy contents.

Shifts that give a content the same days count once. The search takes one content after another,
weaknesses first, and keeps the least level of every set of the contents taken so far. More contents
only add sets, so shifts whose sets already reach the best level found are not examined further.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from math import prod

from domain.scheduling.types import Allocation
from tests.unit.scheduling.checking.amounts import Amounts
from tests.unit.scheduling.checking.levels import Problem, held_days, level_for
from tests.unit.scheduling.checking.minimums import minimums_of
from tests.unit.scheduling.checking.world import World

Dates = frozenset[date]
Taken = dict[tuple[frozenset[int], int], int]
"""The minutes of a set of contents, by its weaknesses and its days, of which only the largest sum
counts. Days are the bits of an integer."""


def choices(world: World, amounts: Mapping[int, Amounts]) -> dict[int, list[Dates]]:
    """Return the sets of days among which the shift of each content chooses, by position."""
    found: dict[int, list[Dates]] = {}
    for position, one in amounts.items():
        content = one.content
        shifts = range(world.request.study_days)
        if content.allocation is Allocation.WEAKNESS:
            shifts = range(1)
        elif content.day_shift is not None:
            shifts = range(content.day_shift, content.day_shift + 1)
        days = (replace(world, shifts={position: s}).own_days(content) for s in shifts)
        found[position] = list(dict.fromkeys(map(frozenset, days)))
    return found


def combination_count(options: Mapping[int, Sequence[Dates]]) -> int:
    """Return how many combinations of different days there are."""
    return prod(len(days) for days in options.values())


def least_over_shifts(
    world: World,
    amounts: Mapping[int, Amounts],
    options: Mapping[int, Sequence[Dates]],
    enough: Fraction,
) -> Fraction:
    """Return the least level of any combination of shifts, if it is below ``enough``.

    Otherwise ``enough`` is returned. Only study time counts, not the reserve.
    """
    needs = {p: one.cost_left(one.remaining) for p, one in amounts.items() if one.remaining}
    study = {day: len(world.free(day, reserve=False)) for day in world.days}
    own = {p: options[p][0] for p in needs}
    floors = {p: floor for p, floor in minimums_of(world, amounts).items() if p in needs}
    days = held_days(
        world, (days for p in needs for days in options[p]), study, world.request.balance
    )
    search = _Search(Problem(needs, own, days, floors), options, enough)
    search.extend(0, {(frozenset(), 0): 0}, Fraction(0))
    return search.best


@dataclass
class _Search:
    problem: Problem
    options: Mapping[int, Sequence[Dates]]
    best: Fraction
    bits: dict[date, int] = field(default_factory=dict)
    levels: dict[tuple[int, int], Fraction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.classes = self._classes()
        for bit, days in enumerate(self.classes):
            self.bits.update(dict.fromkeys(days, 1 << bit))
        weak, needs = self.problem.floors, self.problem.needs
        self.order = sorted(needs, key=lambda p: (p not in weak, -needs[p]))
        self.masks = {p: [self._mask(days) for days in self.options[p]] for p in needs}

    def _classes(self) -> list[list[date]]:
        """Return the days in sets of those that no choice of days and no minimum distinguishes."""
        classes: dict[object, list[date]] = {}
        for day in self.problem.days:
            owners = tuple(day in days for p in self.problem.needs for days in self.options[p])
            due = tuple(day in floor.due for floor in self.problem.floors.values())
            classes.setdefault((owners, due), []).append(day)
        return list(classes.values())

    def _mask(self, days: Dates) -> int:
        mask = 0
        for day in days:
            mask |= self.bits[day]
        return mask

    def _days(self, mask: int) -> Iterator[date]:
        for bit, days in enumerate(self.classes):
            if mask >> bit & 1:
                yield from days

    def extend(self, index: int, taken: Taken, level: Fraction) -> None:
        """Try all days of the next content after some contents whose sets reach a level."""
        if index == len(self.order):
            self.best = min(self.best, max(level, self._minimums()))
            return
        position = self.order[index]
        is_weak = position in self.problem.floors
        for mask in self.masks[position]:
            new: Taken = {}
            for (weak, days), minutes in taken.items():
                key = (weak | {position} if is_weak else weak, days | mask)
                new[key] = max(new.get(key, 0), minutes + self.problem.needs[position])
            highest = level
            for key, minutes in new.items():
                highest = max(highest, self._level(key, minutes))
                if highest >= self.best:
                    break
            else:
                merged = dict(taken)
                for key, minutes in new.items():
                    merged[key] = max(merged.get(key, 0), minutes)
                self.extend(index + 1, merged, highest)

    def _level(self, key: tuple[frozenset[int], int], minutes: int) -> Fraction:
        weak, mask = key
        need = minutes
        for position, floor in self.problem.floors.items():
            if position not in weak:
                need += self._floor(position, floor.minutes, mask)
        if (need, mask) not in self.levels:
            kinds = Counter(self.problem.days[day] for day in self._days(mask))
            found = level_for(need, kinds)
            self.levels[need, mask] = self.best if found is None else found
        return self.levels[need, mask]

    def _floor(self, position: int, minutes: int, mask: int) -> int:
        floor = self.problem.floors[position]
        own = self.problem.own[position]
        within = [day for day in (floor.due or own) if self.bits[day] & mask]
        if floor.due:
            return minutes * len(within)
        return minutes * max(0, min(floor.sessions, len(own)) - (len(own) - len(within)))

    def _minimums(self) -> Fraction:
        levels = [self.problem.level_of_minimums(day) for day in self.problem.days]
        return max((level for level in levels if level is not None), default=Fraction(0))
