"""Dealing a content's units to days that cannot hold the even deal.

Sought are the cumulative counts nearest to the even ones (least sum of squared
deviations, ties: units earlier) that the days can hold. What a day can take depends on
the units that are next, so the count after a day lies between two bounds that ascend with
the count before it, and dynamic programming over the counts finds the optimum. Small
worlds are searched whole. Large ones are searched in a band around the best counts so far,
until it does not move: for units of one length that is the optimum too, for the problem is
L♮-convex then (Murota, Discrete Convex Analysis, 2003: a local minimum is a global one);
for others no joint move of up to ``_BAND`` units a day is better.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from domain.scheduling.demand import Demand
from domain.scheduling.packing import Room, fewest_cuts, reach, reach_back

_BAND: Final = 8
_SMALL: Final = 40_000
"""Days × items up to which all counts are tried."""


@dataclass(slots=True)
class Deal:
    """What each day gets of a demand.

    Items are whole units, or pieces of units that had to be cut: item ``i`` is of unit
    number ``units[i]``, the first ``i`` items last ``prefix[i]`` minutes, and day
    ``days[j]`` gets the items ``[counts[j - 1], counts[j])``.
    """

    demand: Demand
    units: list[int]
    prefix: list[int]
    days: list[int]
    counts: list[int]

    def by_day(self) -> list[tuple[int, int, int]]:
        """(day, first item, after the last item) for every day that gets something."""
        return [
            (day, before, after)
            for day, before, after in zip(self.days, [0, *self.counts], self.counts, strict=False)
            if after > before
        ]


def deal_nearest(demand: Demand, even: Sequence[int], rooms: Sequence[Room]) -> Deal:
    """Deal all units of a demand whose minutes fit ``rooms`` (one for each of its own days).

    ``even`` are the even cumulative counts for the same days. Whole units in study time
    are tried first, then whole units with the reserve; only when neither holds everything
    are units cut, as few as possible.
    """
    days, prefix, units, targets = demand.own, demand.prefix, demand.units, list(even)
    deal = _deal_whole(prefix, targets, rooms)
    if deal is None:
        units, prefix, targets = _cut(demand, targets, rooms)
        deal = _deal_whole(prefix, targets, rooms)
    if deal is None:
        raise AssertionError("pieces cut to measure must fit where they were measured")
    return Deal(demand, units, prefix, days, deal)


def fits_whole(demand: Demand, rooms: Sequence[Room]) -> bool:
    """Whether the rooms of its own days hold all units of a demand uncut."""
    lengths = [room.lengths() for room in rooms]
    return _furthest(demand.prefix, lengths)[-1] == len(demand.units)


def _cut(
    demand: Demand, even: Sequence[int], rooms: Sequence[Room]
) -> tuple[list[int], list[int], list[int]]:
    """Units, prefix and even counts of the demand's pieces."""
    lengths = [length for room in rooms for length in room.lengths()]
    cuts = fewest_cuts(demand.prefix, lengths)
    if cuts is None:
        raise AssertionError("the caller has made sure that the minutes fit")
    prefix = sorted({*demand.prefix, *cuts})
    units = [demand.units[bisect_left(demand.prefix, end) - 1] for end in prefix[1:]]
    return units, prefix, [bisect_left(prefix, demand.prefix[count]) for count in even]


def _deal_whole(
    prefix: Sequence[int], even: Sequence[int], rooms: Sequence[Room]
) -> list[int] | None:
    """The nearest cumulative counts that keep every item whole, or ``None``."""
    study = [[end - start for start, end in room.study] for room in rooms]
    items = len(prefix) - 1
    if _furthest(prefix, study)[-1] == items:
        return _Chain(prefix, study, None).nearest(even)
    both = [room.lengths() for room in rooms]
    if _furthest(prefix, both)[-1] == items:
        return _Chain(prefix, both, study).nearest(even)
    return None


def _furthest(prefix: Sequence[int], lengths: Sequence[Sequence[int]]) -> list[int]:
    return list(accumulate(lengths, lambda at, spans: reach(prefix, at, spans), initial=0))


class _Chain:
    """Counts after each day, every one bounded by the one before it.

    ``first`` are lengths that a day must fill before others are used (study time before
    the reserve), ``None`` if there is no such duty.
    """

    def __init__(
        self,
        prefix: Sequence[int],
        lengths: Sequence[Sequence[int]],
        first: Sequence[Sequence[int]] | None,
    ) -> None:
        self.prefix, self.lengths, self.first = prefix, lengths, first
        self.items = len(prefix) - 1
        # Of units of one length a span holds the same number wherever they begin.
        self.unit = _common_length(prefix)
        self.lowest = self._latest(lengths)
        self.highest = _furthest(prefix, lengths)[1:]
        if first is not None:
            early, late = _furthest(prefix, first)[1:], self._latest(first)
            self.lowest = [max(pair) for pair in zip(self.lowest, early, strict=True)]
            # Further on than this, the time to fill first on later days would stay idle.
            capped = [min(pair) for pair in zip(self.highest, late, strict=True)]
            if all(low <= high for low, high in zip(self.lowest, capped, strict=True)):
                self.highest = capped

    def nearest(self, even: Sequence[int]) -> list[int]:
        """The feasible counts with the least squared distance from ``even``."""
        centre = [
            min(max(target, low), high)
            for target, low, high in zip(even, self.lowest, self.highest, strict=True)
        ]
        if self._possible(centre):
            return centre
        if self.items * len(even) <= _SMALL:
            found = self._within(even, centre, self.items)
        else:
            start = self._kept_close(even)
            found = start and self._descended(even, start)
        if found is None:
            # Items of different lengths may leave no way below the caps; then they are lifted.
            self.highest = _furthest(self.prefix, self.lengths)[1:]
            return self.nearest(even)
        return found

    def _kept_close(self, even: Sequence[int]) -> list[int] | None:
        """Feasible counts: day by day the even one, or as near to it as the day allows."""
        counts = [0]
        for day, target in enumerate(even):
            low, high = self._bounds(day, counts[-1])
            low, high = max(low, self.lowest[day]), min(high, self.highest[day])
            if low > high:
                return None
            counts.append(min(max(target, low), high))
        return counts[1:]

    def _descended(self, even: Sequence[int], counts: list[int]) -> list[int]:
        """Move to the nearest counts within a band around the last ones, until nothing moves."""
        while (better := self._within(even, counts, _BAND)) not in (None, counts):
            counts = better or counts
        return counts

    def _possible(self, counts: Sequence[int]) -> bool:
        """Whether each day can take its step; nothing is nearer to even than the centre then."""
        for day, (before, after) in enumerate(pairwise([0, *counts])):
            low, high = self._bounds(day, before)
            if not low <= after <= high:
                return False
        return True

    def _bounds(self, day: int, before: int) -> tuple[int, int]:
        """The least and the highest count after a day."""
        one = range(before, before + 1)
        (high,) = self._reached(one, self.lengths[day])
        (low,) = one if self.first is None else self._reached(one, self.first[day])
        return low, high

    def _latest(self, lengths: Sequence[Sequence[int]]) -> list[int]:
        """The least count after each day from which the rest still fits into ``lengths``."""
        need = self.items
        backwards = []
        for spans in reversed(lengths):
            backwards.append(need)
            need = reach_back(self.prefix, need, spans)
        return backwards[::-1]

    def _within(self, even: Sequence[int], centre: Sequence[int], band: int) -> list[int] | None:
        """The nearest feasible counts within ``band`` of ``centre``."""
        bounds = [
            (max(low, c - band), min(high, c + band))
            for low, high, c in zip(self.lowest, self.highest, centre, strict=True)
        ]
        ahead: dict[int, int] = {self.items: 0}
        choices: list[dict[int, int]] = []
        for day in range(len(even) - 1, -1, -1):
            low, high = bounds[day]
            costs = {
                count: cost + (count - even[day]) ** 2
                for count, cost in ahead.items()
                if low <= count <= high
            }
            before = bounds[day - 1] if day else (0, 0)
            ahead, choice = self._step(day, range(before[0], before[1] + 1), costs)
            choices.append(choice)
        if 0 not in ahead:
            return None
        counts = list(accumulate(reversed(choices), lambda at, choice: choice[at], initial=0))
        return counts[1:]

    def _reached(self, befores: range, lengths: Sequence[int]) -> Sequence[int]:
        if self.unit:
            slots = sum(length // self.unit for length in lengths)
            return [min(before + slots, self.items) for before in befores]
        return [reach(self.prefix, before, lengths) for before in befores]

    def _step(
        self, day: int, befores: range, costs: dict[int, int]
    ) -> tuple[dict[int, int], dict[int, int]]:
        """For every count before the day the cheapest count after it, the highest if tied.

        Both bounds of a window ascend with the count before, so a monotone queue finds
        all minima in one pass.
        """
        afters = sorted(costs)
        window: deque[int] = deque()
        best: dict[int, int] = {}
        choice: dict[int, int] = {}
        entered = 0
        highs = self._reached(befores, self.lengths[day])
        lows = befores if self.first is None else self._reached(befores, self.first[day])
        for before, low, high in zip(befores, lows, highs, strict=True):
            while entered < len(afters) and afters[entered] <= high:
                after = afters[entered]
                while window and costs[window[-1]] >= costs[after]:
                    window.pop()
                window.append(after)
                entered += 1
            while window and window[0] < low:
                window.popleft()
            if window:
                choice[before] = window[0]
                best[before] = costs[window[0]]
        return best, choice


def _common_length(prefix: Sequence[int]) -> int:
    """The length that all items share, 0 if they differ."""
    lengths = {after - before for before, after in pairwise(prefix)}
    return lengths.pop() if len(lengths) == 1 else 0
