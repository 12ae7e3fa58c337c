"""The counts of units per day that are nearest to targets and fit the free time.

Counts are cumulative: how many items a content has been dealt after each of its days. The nearest
ones have the least sum of squared deviations from the targets and, in case of a tie, earlier
items. If only the capacities of the days were limits, they would be an isotonic regression, which
the pool-adjacent-violators algorithm computes in linear time (Ayer et al., 1955). For items of one
length it is exact. Otherwise how many items a day can hold depends on which items are next, and the
regression is followed as nearly as the days allow.

In small problems dynamic programming finds the exact optimum for items of different lengths, too:
the count after a day is limited by two bounds that increase with the count before it. In large ones
it would nearly double the time of schedules and reduce the sum of squares by 0.1 %
(``python -m tests.benchmarks scheduling``).
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from domain.scheduling.placement import reach, reach_back

MAX_SMALL: Final = 4_000
"""The number of days × items up to which the exact optimum is searched."""

_LACK: Final = 10**12
"""What a day costs that has less than its least number of items; it outweighs all squares."""


def nearest_counts(
    prefix: Sequence[int],
    targets: Sequence[int],
    study: Sequence[Sequence[int]],
    both: Sequence[Sequence[int]],
    least: Sequence[int] = (),
) -> list[int] | None:
    """Return the nearest cumulative counts with all items uncut, or ``None`` if there are none.

    ``study`` has the lengths of each day's study spans, and ``both`` those of all its spans; they
    are the same list if there is no reserve. The reserve is only used if study time does not
    suffice, and then as little of it as possible. ``least`` has the numbers of items that days
    should have at least: in small problems as many days as possible have them, in large ones those
    that have the room.
    """
    items = len(prefix) - 1
    opened = Opened(both, furthest(prefix, both))
    if opened.furthest[-1] < items:
        return None
    if study is both:
        return Search(prefix, opened, None, least).nearest(targets)
    first = Opened(study, furthest(prefix, study))
    if first.furthest[-1] == items:
        return Search(prefix, first, None, least).nearest(targets)
    return Search(prefix, opened, first, least).nearest(targets)


def furthest(prefix: Sequence[int], lengths: Sequence[Sequence[int]]) -> list[int]:
    """Return 0 and the highest possible count after each day: each takes as much as it holds."""
    return list(accumulate(lengths, lambda at, spans: reach(prefix, at, spans), initial=0))


def latest_counts(prefix: Sequence[int], lengths: Sequence[Sequence[int]]) -> list[int]:
    """Return the lowest count after each day with which the rest fits into later days."""
    need = len(prefix) - 1
    backwards = []
    for spans in reversed(lengths):
        backwards.append(need)
        need = reach_back(prefix, need, spans)
    return backwards[::-1]


class Opened(NamedTuple):
    """The lengths of the spans that are open on each day, and their ``furthest`` counts."""

    lengths: Sequence[Sequence[int]]
    furthest: list[int]


def nearest_count(prefix: Sequence[int], minute: int) -> int:
    """Return the number of items whose minutes are nearest; in case of a tie, the higher one."""
    index = min(bisect_left(prefix, minute), len(prefix) - 1)
    if index and minute - prefix[index - 1] < prefix[index] - minute:
        return index - 1
    return index


class Search:
    """The search for the counts after each day, each of which is bounded by the previous one.

    ``opened`` is all open time. ``first`` is the time that a day must fill before it uses other
    time (study time before the reserve), or ``None`` if there is no such rule. ``least`` has the
    numbers of items that days should have at least, if there are any.
    """

    def __init__(
        self, prefix: Sequence[int], opened: Opened, first: Opened | None, least: Sequence[int] = ()
    ) -> None:
        self.prefix, self.lengths = prefix, opened.lengths
        self.first = first and first.lengths
        self.items = len(prefix) - 1
        # If all units have the same length, a span holds the same number of them whichever is
        # first, so no search is needed in _reached.
        self.unit = _common_length(prefix)
        self.lowest = latest_counts(prefix, opened.lengths)
        self.furthest = self.highest = opened.furthest[1:]
        if first is not None:
            early, late = first.furthest[1:], latest_counts(prefix, first.lengths)
            self.lowest = [max(pair) for pair in zip(self.lowest, early, strict=True)]
            # With higher counts, later days would not have enough units to fill ``first``.
            capped = [min(pair) for pair in zip(self.highest, late, strict=True)]
            if all(low <= high for low, high in zip(self.lowest, capped, strict=True)):
                self.highest = capped
        has_least = self.items > 0 and any(least)
        self.least = _possible_least(prefix, opened.lengths, least) if has_least else []

    def nearest(self, targets: Sequence[int]) -> list[int]:
        """Return the feasible counts with the least squared distance from ``targets``."""
        centre = [
            min(max(target, low), high)
            for target, low, high in zip(targets, self.lowest, self.highest, strict=True)
        ]
        # Each count in ``centre`` is the nearest to its target that its day allows, so if they
        # are feasible together, they are optimal.
        if self._possible(centre):
            return centre
        if self.items * len(targets) <= MAX_SMALL:
            found = self._optimum(targets)
        else:
            found = self._kept_close(self._projection(targets))
        if found is None:
            # With items of different lengths, no counts may be feasible within the caps of
            # __init__. Without these caps there is a solution, because the caller has checked it.
            self.highest = self.furthest
            return self.nearest(targets)
        return found

    def _projection(self, targets: Sequence[int]) -> list[int]:
        """Return the nearest cumulative counts if only the minutes of days were limits.

        What is dealt until a day minus what the days until then hold must not increase.
        """
        unit = self.unit or 1
        held = list(accumulate(sum(span // unit for span in spans) for spans in self.lengths))
        need = self.prefix[-1] // unit
        pools: list[tuple[int, int]] = []  # sums of the differences and numbers of days
        for count, sum_ in zip(targets, held, strict=True):
            pool = self.prefix[count] // unit - sum_, 1
            while pools and pools[-1][0] * pool[1] < pool[0] * pools[-1][1]:
                before = pools.pop()
                pool = before[0] + pool[0], before[1] + pool[1]
            pools.append(pool)
        levels = [(2 * sum_ + days) // (2 * days) for sum_, days in pools for _ in range(days)]
        limited = (min(max(level, need - held[-1]), 0) for level in levels)
        dealt = (level + sum_ for level, sum_ in zip(limited, held, strict=True))
        return [nearest_count(self.prefix, units * unit) for units in dealt]

    def _kept_close(self, targets: Sequence[int]) -> list[int] | None:
        """Return feasible counts, greedily: each as near to its target as its day allows."""
        counts = [0]
        later = sum(self.least)
        for day, target in enumerate(targets):
            low, high = self._bounds(day, counts[-1])
            low, high = max(low, self.lowest[day]), min(high, self.highest[day])
            if low > high:
                return None
            if self.least:
                later -= self.least[day]
                enough = counts[-1] + self.least[day]
                low = max(low, enough) if enough <= high else low
                high = max(low, min(high, self.items - later))
            counts.append(min(max(target, low), high))
        return counts[1:]

    def _possible(self, counts: Sequence[int]) -> bool:
        """Whether each count is between the bounds that result from the previous one."""
        for day, (before, after) in enumerate(pairwise([0, *counts])):
            low, high = self._bounds(day, before)
            if self.least:
                low = max(low, before + self.least[day])
            if not low <= after <= high:
                return False
        return True

    def _bounds(self, day: int, before: int) -> tuple[int, int]:
        """Return the lowest and the highest count after a day, given the count before it."""
        one = range(before, before + 1)
        (high,) = self._reached(one, self.lengths[day])
        (low,) = one if self.first is None else self._reached(one, self.first[day])
        return low, high

    def _optimum(self, targets: Sequence[int]) -> list[int] | None:
        """Return the feasible counts with the least squared distance from ``targets``, or ``None``.

        Dynamic programming from the last day to the first: ``ahead`` has, for each count before
        the days that have been processed, the least cost of these days. ``choices`` has the next
        count for each, from which the optimal counts are read in the end.
        """
        bounds = list(zip(self.lowest, self.highest, strict=True))
        ahead: dict[int, int] = {self.items: 0}
        choices: list[dict[int, int]] = []
        for day in range(len(targets) - 1, -1, -1):
            low, high = bounds[day]
            costs = {
                count: cost + (count - targets[day]) ** 2
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

        In case of a tie, the highest count is returned: units earlier. If the day has a least
        number of items, counts with which it has less cost more than all squares do.
        """
        afters = sorted(costs)
        highs = self._reached(befores, self.lengths[day])
        lows = befores if self.first is None else self._reached(befores, self.first[day])
        least = self.least[day] if self.least else 0
        enough = lows
        if least:
            enough = [max(low, at + least) for low, at in zip(lows, befores, strict=True)]
        choice = _best_in_windows(befores, enough, highs, afters, costs)
        best = {before: costs[after] for before, after in choice.items()}
        if not least:
            return best, choice
        below = [min(high, at + least - 1) for high, at in zip(highs, befores, strict=True)]
        for before, after in _best_in_windows(befores, lows, below, afters, costs).items():
            cost = costs[after] + _LACK
            if before not in best or cost < best[before]:
                best[before], choice[before] = cost, after
        return best, choice


def _possible_least(
    prefix: Sequence[int], lengths: Sequence[Sequence[int]], least: Sequence[int]
) -> list[int]:
    """Return the least numbers of items, 0 for days that do not hold so many of any length."""
    shortest = max(1, min(after - before for before, after in pairwise(prefix)))
    return [
        items if items <= sum(length // shortest for length in spans) else 0
        for spans, items in zip(lengths, least, strict=True)
    ]


def _best_in_windows(
    befores: range,
    lows: Sequence[int],
    highs: Sequence[int],
    afters: Sequence[int],
    costs: Mapping[int, int],
) -> dict[int, int]:
    """Return the best count after a day for each count before it, if there is one.

    Both bounds of the count after the day, ``lows`` and ``highs``, increase with the count before
    it, so they form a sliding window. A monotone queue, which has the candidates of the window in
    order of increasing cost, finds all minima in one pass: each count enters and leaves the queue
    at most once. The time is therefore linear, apart from the bounds and the sorting of the counts.
    """
    window: deque[int] = deque()
    choice: dict[int, int] = {}
    entered = 0
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
    return choice


def _common_length(prefix: Sequence[int]) -> int:
    """Return the length of all items, or 0 if they have different lengths."""
    lengths = {after - before for before, after in pairwise(prefix)}
    return lengths.pop() if len(lengths) == 1 else 0
