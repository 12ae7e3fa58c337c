"""Measures how good a schedule is, and computes lower bounds for its peak and its fullness.

A lower bound is the least level at which all minutes fit if no day takes more than the level. It is
found by bisection, because minutes that fit at a level also fit at a higher one, and each step
decides by Gale's condition (see ``feasibility``) whether they fit. Days that are alike are grouped,
so that the cost of a step does not grow with the length of the period.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import isqrt
from typing import Final, NamedTuple

from domain.scheduling.calendar import DayKind
from domain.scheduling.demand import Problem, study_times
from domain.scheduling.distribution.deal import Deal
from domain.scheduling.distribution.goals import Minimum
from domain.scheduling.feasibility import DaySets
from domain.scheduling.result import Quality
from domain.scheduling.rows import Row, row_of
from domain.scheduling.types import PlanKind

_SHORT_ROW: Final = 10
_EXACT: Final = 10**12
"""The factor with which fractions are computed as integers."""


def quality(
    problem: Problem, deals: Sequence[Deal], rows: Sequence[Row], minimums: Sequence[Minimum] = ()
) -> Quality:
    """Return the quality of the schedule that has these deals and study rows.

    ``minimums`` has those of each deal; the least levels are those of schedules that have them.
    """
    return Measure(problem).quality(deals, rows, minimums)


class Measure:
    """Measures schedules of one problem; what depends on the problem alone is computed once."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._kept = _kept_rows(problem)
        self._kept_load = _loads(self._kept)
        self._times = study_times(problem)

    def quality(
        self, deals: Sequence[Deal], rows: Sequence[Row], minimums: Sequence[Minimum] = ()
    ) -> Quality:
        """Return the quality of a schedule of the problem, see the function ``quality``."""
        both = [*self._kept, *rows]
        load = self._kept_load + _loads(rows)
        loads = [load[day] for day in self._times]
        full = [(load[day], time) for day, time in self._times.items() if time]
        fullness = ((2000 * minutes + time) // (2 * time) for minutes, time in full)
        bound, peak_bound = self._bounds(deals, minimums, rows)
        return Quality(
            peak=max(loads, default=0),
            least_peak=peak_bound.least_level(lambda level, _: 1000 * level) if loads else 0,
            spread=max(loads, default=0) - min(loads, default=0),
            reserve=sum(row.stop - row.start for row in both if row.reserve),
            fullness=max(fullness, default=0),
            least_fullness=bound.least_level(lambda level, time: level * time) if full else 0,
            variation=_variation([_EXACT * minutes // time for minutes, time in full]),
            short_rows=sum(row.stop - row.start < _SHORT_ROW for row in both),
            slack_days=_slack(self._problem, both),
        )

    def _bounds(
        self, deals: Sequence[Deal], minimums: Sequence[Minimum], rows: Sequence[Row]
    ) -> tuple["_Bound", "_Bound"]:
        """Return the bounds of the fullness and of the peak."""
        # Minimums give way to whatever needs the reserve, or finds no place.
        if any(row.reserve for row in rows) or any(
            deal.placed_units < len(deal.demand.units) for deal in deals
        ):
            minimums = ()
        # Days without study time are the last resort, so they count only if they are used.
        kinds = self._problem.days
        has_spare_days = any(kinds[row.day].kind is DayKind.NO_TIME for row in rows)
        day_sets = self._spare_day_sets if has_spare_days else self._day_sets
        bound = self._bound(deals, minimums, day_sets, self._times)
        if all(self._times.values()):
            return bound, bound
        # A day that the student's other plans fill has no fullness, but counts for the peak.
        times = {day: time or 1 for day, time in self._times.items()}
        return bound, self._bound(deals, minimums, day_sets, times)

    def _bound(
        self,
        deals: Sequence[Deal],
        minimums: Sequence[Minimum],
        day_sets: DaySets,
        times: Mapping[int, int],
    ) -> "_Bound":
        """Return the bound for schedules with the minimums, or without them if none has them."""
        taken, needs = _with_minimums(deals, minimums)
        days = _Days(taken, self._kept_load, times)
        bound = _Bound(self._problem, day_sets, day_sets.needs(needs), days)
        if minimums and not bound.is_possible():  # other contents need the time of the minimums
            return self._bound(deals, (), day_sets, times)
        return bound

    @cached_property
    def _day_sets(self) -> DaySets:
        return DaySets.among(self._problem.demands)

    @cached_property
    def _spare_day_sets(self) -> DaySets:
        return DaySets.among([demand.with_spare_days() for demand in self._problem.demands])


def _with_minimums(
    deals: Sequence[Deal], minimums: Sequence[Minimum]
) -> tuple[Counter[int], list[int]]:
    """Return the minimums per day, and the minutes of each deal without them."""
    taken: Counter[int] = Counter()
    needs = [deal.prefix[-1] for deal in deals]
    for index, minimum in enumerate(minimums):
        needs[index] -= minimum.minutes * len(minimum.days)
        taken.update(dict.fromkeys(minimum.days, minimum.minutes))
    return taken, needs


def _kept_rows(problem: Problem) -> list[Row]:
    """Return the kept study plans from today on as rows."""
    return [
        row_of(plan, day)
        for plan in problem.request.kept
        if plan.kind is PlanKind.STUDY
        for day in ((plan.date - problem.request.period_start).days,)
        if day in problem.rooms
    ]


def _loads(rows: Sequence[Row]) -> Counter[int]:
    load: Counter[int] = Counter()
    for row in rows:
        load[row.day] += row.stop - row.start
    return load


def _variation(values: Sequence[int]) -> int:
    """Return the coefficient of variation in thousandths, rounded half up, in integers."""
    sum_ = sum(values)
    if not sum_:
        return 0
    squares = len(values) * sum(value * value for value in values) - sum_ * sum_
    return (isqrt(4_000_000 * squares) // sum_ + 1) // 2


def _slack(problem: Problem, rows: Sequence[Row]) -> int:
    """Return the least number of days after the last study of a content, before its deadline."""
    last_day: dict[int, int] = {}
    for row in rows:
        if row.day > last_day.get(row.content, -1):
            last_day[row.content] = row.day
    return min(
        (
            max(0, demand.stop - 1 - last_day[demand.content.position])
            for demand in problem.demands
            if demand.content.position in last_day
        ),
        default=0,
    )


class _Days(NamedTuple):
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


class _Bound:
    """Finds the least level at which the placed minutes fit."""

    def __init__(
        self, problem: Problem, day_sets: DaySets, needs: Mapping[int, int], days: "_Days"
    ) -> None:
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
        self.subsets = [
            (need, [owners for owners in self.kinds if owners & subset])
            for subset, need in needs.items()
        ]
        decided = {d: days.kept.get(d, 0) + days.taken.get(d, 0) for d in days.times}
        self.kept = [
            (minutes, days.times[day])
            for day, minutes in decided.items()
            if minutes and days.times[day]
        ]

    def is_possible(self) -> bool:
        """Whether the minutes fit at any level."""
        held = {
            owners: sum(count * kind.free for kind, count in kinds.items())
            for owners, kinds in self.kinds.items()
        }
        return all(need <= sum(map(held.__getitem__, masks)) for need, masks in self.subsets)

    def least_level(self, limit: Callable[[int, int], int]) -> int:
        """Return the least level; if the minutes fit at none, one at which all days are full.

        ``limit`` returns the thousandths of minutes that a day may take, from the level and the
        day's study time.
        """
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

    def _least_without_caps(self, limit: Callable[[int, int], int]) -> int:
        """Return the least level if days had no limit but the level: a lower bound."""
        per_level = {
            owners: sum(limit(1, kind.time) * count for kind, count in kinds.items() if kind.time)
            for owners, kinds in self.kinds.items()
        }
        unlimited = {
            owners: sum(kind.free * count for kind, count in kinds.items() if not kind.time)
            for owners, kinds in self.kinds.items()
        }
        least = 0
        for need, masks in self.subsets:
            rest = 1000 * (need - sum(map(unlimited.__getitem__, masks)))
            if rest > 0 and (slope := sum(map(per_level.__getitem__, masks))):
                least = max(least, -(-rest // slope))
        return least

    def _is_enough(self, level: int, limit: Callable[[int, int], int]) -> bool:
        if any(limit(level, time) < 1000 * minutes for minutes, time in self.kept):
            return False
        # Without the second condition a search for a level that does not exist would not end.
        return self._fits(level, limit) or all(
            1000 * (kind.free + kind.kept) <= limit(level, kind.time)
            for kinds in self.kinds.values()
            for kind in kinds
            if kind.time
        )

    def _fits(self, level: int, limit: Callable[[int, int], int]) -> bool:
        held = {
            owners: sum(
                count * min(1000 * free, limit(level, time) - 1000 * kept if time else 1000 * free)
                for (free, kept, time), count in kinds.items()
            )
            for owners, kinds in self.kinds.items()
        }
        return all(1000 * need <= sum(map(held.__getitem__, masks)) for need, masks in self.subsets)
