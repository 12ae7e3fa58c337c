"""Lower bounds for the peak and the fullness of schedules.

A lower bound is the least level at which all minutes fit if no day takes more than the level. It is
found by bisection, because minutes that fit at a level also fit at a higher one, and each step
decides by Gale's condition (see ``feasibility``) whether they fit. Days that are alike are grouped,
so that the cost of a step does not grow with the length of the period.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from domain.scheduling.demand import Problem
from domain.scheduling.feasibility import DaySets


class Days(NamedTuple):
    """Minutes per day: those of minimums, those of kept plans, and the study time."""

    taken: Mapping[int, int]
    kept: Mapping[int, int]
    times: Mapping[int, int]


class _KindOfDay(NamedTuple):
    """What days that are alike have in common: free minutes, decided ones, and study time.

    Decided are the minutes of kept plans and of minimums, which are not free any more.

    A day without study time is a day to which no level applies: it is not a study day, or the
    student's other plans fill it.
    """

    free: int
    kept: int
    time: int


Limit: TypeAlias = Callable[[int, int], int]
"""Returns the thousandths of minutes that a day may take, from a level and its study time."""


def minutes_at(level: int, _time: int) -> int:
    return 1000 * level


def share_at(level: int, time: int) -> int:
    return level * time


class Capacity:
    """What the days of each day set hold at a level, whatever is needed of them."""

    def __init__(self, problem: Problem, day_sets: DaySets, days: Days) -> None:
        self.kinds: dict[int, Counter[_KindOfDay]] = defaultdict(Counter)
        """The kinds of days, with the number of each, by the day sets that own the days."""
        for day, owners in day_sets.day_owners.items():
            taken = days.taken.get(day, 0)
            kind = _KindOfDay(
                free=problem.rooms[day].minutes - taken,
                kept=days.kept.get(day, 0) + taken,
                time=days.times.get(day, 0),
            )
            self.kinds[owners][kind] += 1
        decided = {d: days.kept.get(d, 0) + days.taken.get(d, 0) for d in days.times}
        self.kept = [
            (minutes, days.times[day])
            for day, minutes in decided.items()
            if minutes and days.times[day]
        ]
        self.owners = {
            subset: [owners for owners in self.kinds if owners & subset]
            for subset in day_sets.subsets
        }
        """The owners of the days that each subset of the day sets may use."""
        self.unlimited = {
            owners: sum(kind.free * count for kind, count in kinds.items() if not kind.time)
            for owners, kinds in self.kinds.items()
        }
        self._per_level: dict[Limit, dict[int, int]] = {}

    def per_level(self, limit: Limit) -> Mapping[int, int]:
        """Return by how much each level increases what days hold, if nothing else limits them."""
        if limit not in self._per_level:
            self._per_level[limit] = {
                owners: sum(
                    limit(1, kind.time) * count for kind, count in kinds.items() if kind.time
                )
                for owners, kinds in self.kinds.items()
            }
        return self._per_level[limit]


class Bound:
    """Finds the least level at which the placed minutes fit.

    Days to which no level applies get at most as many minutes as in the schedule (``outside``): to
    use more of the reserve would cost an earlier goal.
    """

    def __init__(self, capacity: Capacity, needs: Mapping[int, int], outside: int) -> None:
        self.capacity = capacity
        self.kinds = capacity.kinds
        self.subsets = []
        for subset, need in needs.items():
            owners = capacity.owners[subset]
            unlimited = sum(map(capacity.unlimited.__getitem__, owners)) if outside else 0
            self.subsets.append((need - min(outside, unlimited), owners))

    def least_level(self, limit: Limit) -> int:
        """Return the least level; if the minutes fit at none, one at which all days are full."""
        enough, step = self._least_without_caps(limit), 1
        too_low = enough - 1
        while not self._is_enough(enough, limit):
            too_low, enough, step = enough, enough + step, 2 * step
        while enough - too_low > 1:
            middle = (too_low + enough) // 2
            if self._is_enough(middle, limit):
                enough = middle
            else:
                too_low = middle
        return enough

    def _least_without_caps(self, limit: Limit) -> int:
        """Return the least level if days had no limit but the level: a lower bound."""
        per_level = self.capacity.per_level(limit)
        least = 0
        for need, masks in self.subsets:
            if need > 0 and (slope := sum(map(per_level.__getitem__, masks))):
                least = max(least, -(-1000 * need // slope))
        return least

    def _is_enough(self, level: int, limit: Limit) -> bool:
        if any(limit(level, time) < 1000 * minutes for minutes, time in self.capacity.kept):
            return False
        # Without the second condition a search for a level that does not exist would not end.
        return self._fits(level, limit) or all(
            1000 * (kind.free + kind.kept) <= limit(level, kind.time)
            for kinds in self.kinds.values()
            for kind in kinds
            if kind.time
        )

    def _fits(self, level: int, limit: Limit) -> bool:
        held = {
            owners: sum(
                count * min(1000 * free, limit(level, time) - 1000 * kept)
                for (free, kept, time), count in kinds.items()
                if time
            )
            for owners, kinds in self.kinds.items()
        }
        return all(1000 * need <= sum(map(held.__getitem__, masks)) for need, masks in self.subsets)
