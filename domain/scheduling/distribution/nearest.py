"""Deals the units of a content to days that cannot hold the even deal.

The result has the cumulative counts nearest to the even ones that the days can hold: those with
the least sum of squared deviations and, in case of a tie, with earlier units. How many units a day
can hold depends on which units are next. Therefore the count after a day is limited by two bounds
that increase with the count before it, and dynamic programming over the counts finds the optimum.

The cost per day is proportional to the number of counts that are tried (see ``_Chain._step``). In
small problems all counts are tried. In large ones only those in a band around the best counts so
far are tried, repeatedly, until the counts do not change. If all units have the same length, the
result is also optimal, because the problem is then L♮-convex, so that a local minimum is a global
one (Murota, Discrete Convex Analysis, 2003). Otherwise, no result is better in which the count
after each day differs by at most ``_BAND``.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from domain.scheduling.demand import Demand
from domain.scheduling.placement import Room, reach, reach_back
from domain.scheduling.splitting import fewest_cuts

_BAND: Final = 8
_SMALL: Final = 40_000
"""The number of days × items up to which all counts are tried."""


@dataclass(slots=True)
class Deal:
    """The items of a demand that each day gets.

    Items are whole units, or pieces of units that had to be cut. Item ``i`` belongs to the unit
    with number ``units[i]``, the first ``i`` items need ``prefix[i]`` minutes, and day
    ``days[j]`` gets the items ``[counts[j - 1], counts[j])``.
    """

    demand: Demand
    units: list[int]
    prefix: list[int]
    days: list[int]
    counts: list[int]

    def by_day(self) -> list[tuple[int, int, int]]:
        """Return (day, first item, index after the last item) for each day that gets items."""
        return [
            (day, before, after)
            for day, before, after in zip(self.days, [0, *self.counts], self.counts, strict=False)
            if after > before
        ]


def deal_nearest(demand: Demand, even: Sequence[int], rooms: Sequence[Room]) -> Deal:
    """Deal all units of a demand whose minutes fit into ``rooms``, one per own day.

    ``even`` has the even cumulative counts for the same days. Uncut units in study time are tried
    first, then uncut units in study time and reserve. Only if both fail, units are cut, as few as
    possible.
    """
    days, prefix, units, targets = demand.own, demand.prefix, demand.units, list(even)
    deal = _deal_whole(prefix, targets, rooms)
    if deal is None:
        units, prefix, targets = _cut(demand, targets, rooms)
        deal = _deal_whole(prefix, targets, rooms)
    if deal is None:
        raise AssertionError("pieces must fit into the spans for which they were cut")
    return Deal(demand, units, prefix, days, deal)


def fits_whole(demand: Demand, rooms: Sequence[Room]) -> bool:
    """Whether ``rooms``, one per own day, can hold all units of a demand uncut."""
    lengths = [room.lengths() for room in rooms]
    return _furthest(demand.prefix, lengths)[-1] == len(demand.units)


def _cut(
    demand: Demand, even: Sequence[int], rooms: Sequence[Room]
) -> tuple[list[int], list[int], list[int]]:
    """Return the units, prefix and even counts of a demand's items after the fewest cuts."""
    lengths = [length for room in rooms for length in room.lengths()]
    cuts = fewest_cuts(demand.prefix, lengths)
    if cuts is None:
        raise AssertionError("the caller must ensure that the minutes fit")
    prefix = sorted({*demand.prefix, *cuts})
    units = [demand.units[bisect_left(demand.prefix, end) - 1] for end in prefix[1:]]
    return units, prefix, [bisect_left(prefix, demand.prefix[count]) for count in even]


def _deal_whole(
    prefix: Sequence[int], even: Sequence[int], rooms: Sequence[Room]
) -> list[int] | None:
    """Return the nearest cumulative counts with all items uncut, or ``None`` if there are none."""
    study = [[end - start for start, end in room.study] for room in rooms]
    items = len(prefix) - 1
    if _furthest(prefix, study)[-1] == items:
        return _Chain(prefix, study, None).nearest(even)
    both = [room.lengths() for room in rooms]
    if _furthest(prefix, both)[-1] == items:
        return _Chain(prefix, both, study).nearest(even)
    return None


def _furthest(prefix: Sequence[int], lengths: Sequence[Sequence[int]]) -> list[int]:
    """Return 0 and the highest possible count after each day: each takes as much as it holds."""
    return list(accumulate(lengths, lambda at, spans: reach(prefix, at, spans), initial=0))


class _Chain:
    """The search for the counts after each day, each of which is bounded by the previous one.

    ``lengths`` has the lengths of all spans per day. ``first`` has the lengths of the spans that a
    day must fill before it uses others (study time before the reserve), or is ``None`` if there
    is no such rule.
    """

    def __init__(
        self,
        prefix: Sequence[int],
        lengths: Sequence[Sequence[int]],
        first: Sequence[Sequence[int]] | None,
    ) -> None:
        self.prefix, self.lengths, self.first = prefix, lengths, first
        self.items = len(prefix) - 1
        # If all units have the same length, a span holds the same number of them whichever is
        # first, so no search is needed in _reached.
        self.unit = _common_length(prefix)
        self.lowest = self._latest(lengths)
        self.highest = _furthest(prefix, lengths)[1:]
        if first is not None:
            early, late = _furthest(prefix, first)[1:], self._latest(first)
            self.lowest = [max(pair) for pair in zip(self.lowest, early, strict=True)]
            # With higher counts, later days would not have enough units to fill ``first``.
            capped = [min(pair) for pair in zip(self.highest, late, strict=True)]
            if all(low <= high for low, high in zip(self.lowest, capped, strict=True)):
                self.highest = capped

    def nearest(self, even: Sequence[int]) -> list[int]:
        """Return the feasible counts with the least squared distance from ``even``."""
        centre = [
            min(max(target, low), high)
            for target, low, high in zip(even, self.lowest, self.highest, strict=True)
        ]
        # Each count in ``centre`` is the nearest to the even one that its day allows, so if they
        # are feasible together, they are optimal.
        if self._possible(centre):
            return centre
        if self.items * len(even) <= _SMALL:
            found = self._within(even, centre, self.items)
        else:
            start = self._kept_close(even)
            found = start and self._descended(even, start)
        if found is None:
            # With items of different lengths, no counts may be feasible within the caps of
            # __init__. Without these caps there is a solution, because the caller has checked it.
            self.highest = _furthest(self.prefix, self.lengths)[1:]
            return self.nearest(even)
        return found

    def _kept_close(self, even: Sequence[int]) -> list[int] | None:
        """Return feasible counts, greedily: each as near to the even one as its day allows."""
        counts = [0]
        for day, target in enumerate(even):
            low, high = self._bounds(day, counts[-1])
            low, high = max(low, self.lowest[day]), min(high, self.highest[day])
            if low > high:
                return None
            counts.append(min(max(target, low), high))
        return counts[1:]

    def _descended(self, even: Sequence[int], counts: list[int]) -> list[int]:
        """Search a band around the last counts repeatedly, until the counts do not change.

        Every search that changes the counts reduces the sum of squared deviations, or moves units
        to earlier days, so this ends.
        """
        while (better := self._within(even, counts, _BAND)) not in (None, counts):
            counts = better or counts
        return counts

    def _possible(self, counts: Sequence[int]) -> bool:
        """Whether each count is between the bounds that result from the previous one."""
        for day, (before, after) in enumerate(pairwise([0, *counts])):
            low, high = self._bounds(day, before)
            if not low <= after <= high:
                return False
        return True

    def _bounds(self, day: int, before: int) -> tuple[int, int]:
        """Return the lowest and the highest count after a day, given the count before it."""
        one = range(before, before + 1)
        (high,) = self._reached(one, self.lengths[day])
        (low,) = one if self.first is None else self._reached(one, self.first[day])
        return low, high

    def _latest(self, lengths: Sequence[Sequence[int]]) -> list[int]:
        """Return the lowest count after each day with which the rest fits into later days."""
        need = self.items
        backwards = []
        for spans in reversed(lengths):
            backwards.append(need)
            need = reach_back(self.prefix, need, spans)
        return backwards[::-1]

    def _within(self, even: Sequence[int], centre: Sequence[int], band: int) -> list[int] | None:
        """Return the nearest feasible counts within ``band`` of ``centre``, or ``None``.

        Dynamic programming from the last day to the first: ``ahead`` has, for each count before
        the days that have been processed, the least cost of these days. ``choices`` has the next
        count for each, from which the optimal counts are read in the end.
        """
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
        """Return the count that uncut items reach in a day's spans, for each count before it."""
        if self.unit:
            slots = sum(length // self.unit for length in lengths)
            return [min(before + slots, self.items) for before in befores]
        return [reach(self.prefix, before, lengths) for before in befores]

    def _step(
        self, day: int, befores: range, costs: dict[int, int]
    ) -> tuple[dict[int, int], dict[int, int]]:
        """Return, for each count before the day, the least cost and the count after it.

        In case of a tie, the highest count is returned: units earlier. Both bounds of the count
        after the day increase with the count before it, so they form a sliding window. A monotone
        queue, which has the candidates of the window in order of increasing cost, finds all minima
        in one pass: each count enters and leaves the queue at most once. The time is therefore
        linear, apart from the bounds and the sorting of the counts.
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
    """Return the length of all items, or 0 if they have different lengths."""
    lengths = {after - before for before, after in pairwise(prefix)}
    return lengths.pop() if len(lengths) == 1 else 0
