"""Measures how good a schedule is, and computes lower bounds for its peak and its fullness.

A lower bound is the least level at which all minutes fit if no day takes more than the level. It is
found by bisection, because minutes that fit at a level also fit at a higher one, and each step
decides by Gale's condition (see ``feasibility``) whether they fit. Days that are alike are grouped,
so that the cost of a step does not grow with the length of the period.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt, lcm
from typing import Final, NamedTuple, TypeAlias

from domain.scheduling.calendar import DayKind
from domain.scheduling.demand import Problem, study_times
from domain.scheduling.distribution.deal import Deal, place_all_units
from domain.scheduling.distribution.goals import Minimum
from domain.scheduling.feasibility import DaySets
from domain.scheduling.result import Quality
from domain.scheduling.rows import Row, row_of
from domain.scheduling.spans import total
from domain.scheduling.types import PlanKind

_SHORT_ROW: Final = 10


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
        self._kept = _Sums({}, {}).with_rows(_kept_rows(problem))
        self._times = study_times(problem)
        self._capacities: dict[tuple[bool, bool], _Capacity] = {}

    def quality(
        self, deals: Sequence[Deal], rows: Sequence[Row], minimums: Sequence[Minimum] = ()
    ) -> Quality:
        """Return the quality of a schedule of the problem, see the function ``quality``."""
        sums = self._kept.with_rows(rows)
        loads = [sums.load.get(day, 0) for day in self._times]
        full = [
            (load, time) for load, time in zip(loads, self._times.values(), strict=True) if time
        ]
        peak = max(loads, default=0)
        fullness = max(((2000 * minutes + time) // (2 * time) for minutes, time in full), default=0)
        bound, peak_bound = self._bounds(deals, minimums, rows)
        # The schedule itself shows what is possible, even if it lacks minimums that the bounds
        # contain; and a bound, which is rounded up, may be above a fullness that is rounded down.
        return Quality(
            peak=peak,
            least_peak=min(peak, peak_bound.least_level(_minutes_at)),
            spread=peak - min(loads, default=0),
            reserve=sums.reserve,
            fullness=fullness,
            least_fullness=min(fullness, bound.least_level(_share_at)) if full else 0,
            variation=_variation(full),
            short_rows=sums.short_rows,
            slack_days=_slack(self._problem, sums.last_days),
        )

    def _bounds(
        self, deals: Sequence[Deal], minimums: Sequence[Minimum], rows: Sequence[Row]
    ) -> tuple["_Bound", "_Bound"]:
        """Return the bounds of the fullness and of the peak."""
        # Minimums give way to whatever needs the reserve, or finds no place.
        if minimums and (
            any(row.reserve for row in rows) or not place_all_units(deals, self._problem.demands)
        ):
            minimums = ()
        # Days without study time are the last resort, so they count only if they are used.
        kinds = self._problem.days
        has_spare_days = any(
            kinds[day].kind is DayKind.NO_TIME for day in {row.day for row in rows}
        )
        bound = self._bound(deals, minimums, has_spare_days=has_spare_days, is_peak=False)
        if all(self._times.values()):
            return bound, bound
        return bound, self._bound(deals, minimums, has_spare_days=has_spare_days, is_peak=True)

    def _bound(
        self,
        deals: Sequence[Deal],
        minimums: Sequence[Minimum],
        *,
        has_spare_days: bool,
        is_peak: bool,
    ) -> "_Bound":
        """Return the bound for schedules with the minimums, or without them if none has them."""
        day_sets = self._spare_day_sets if has_spare_days else self._day_sets
        taken, needs = _with_minimums(deals, minimums)
        if minimums and not self._holds(day_sets, taken, needs):
            return self._bound(deals, (), has_spare_days=has_spare_days, is_peak=is_peak)
        if minimums:
            capacity = self._capacity(day_sets, taken, is_peak=is_peak)
        else:
            key = has_spare_days, is_peak
            if key not in self._capacities:
                self._capacities[key] = self._capacity(day_sets, taken, is_peak=is_peak)
            capacity = self._capacities[key]
        return _Bound(capacity, day_sets.needs(needs))

    def _holds(self, day_sets: DaySets, taken: Mapping[int, int], needs: Sequence[int]) -> bool:
        """Whether study time holds what is needed beside the minimums.

        Otherwise other contents need the time of the minimums, which give way to less reserve.
        """
        rooms = self._problem.rooms
        held = day_sets.held(lambda day: total(rooms[day].study) - taken.get(day, 0))
        return day_sets.fits(needs, held)

    def _capacity(
        self, day_sets: DaySets, taken: Mapping[int, int], *, is_peak: bool
    ) -> "_Capacity":
        times: Mapping[int, int] = self._times
        if is_peak:
            # A day that the student's other plans fill has no fullness, but counts for the peak.
            times = {day: time or 1 for day, time in times.items()}
        return _Capacity(self._problem, day_sets, _Days(taken, self._kept.load, times))

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
        if plan.date >= problem.request.today and plan.kind is PlanKind.STUDY
        for day in ((plan.date - problem.request.period_start).days,)
        if day in problem.rooms
    ]


@dataclass(slots=True)
class _Sums:
    """The minutes of each day, the last day of each content, and what else rows add up to."""

    load: dict[int, int]
    last_days: dict[int, int]
    reserve: int = 0
    short_rows: int = 0

    def with_rows(self, rows: Iterable[Row]) -> "_Sums":
        """Return the sums with more rows."""
        sums = _Sums(dict(self.load), dict(self.last_days), self.reserve, self.short_rows)
        load, last_days = sums.load, sums.last_days
        for row in rows:
            minutes = row.stop - row.start
            load[row.day] = load.get(row.day, 0) + minutes
            if row.day > last_days.get(row.content, -1):
                last_days[row.content] = row.day
            if row.reserve:
                sums.reserve += minutes
            if minutes < _SHORT_ROW:
                sums.short_rows += 1
        return sums


def _variation(full: Sequence[tuple[int, int]]) -> int:
    """Return the coefficient of variation in thousandths, rounded half up, in exact integers.

    ``full`` has the minutes and the study time of each day. A common denominator of their ratios
    does not change the coefficient.
    """
    common = lcm(*(time for _, time in full))
    values = [minutes * (common // time) for minutes, time in full]
    sum_ = sum(values)
    if not sum_:
        return 0
    squares = len(values) * sum(value * value for value in values) - sum_ * sum_
    return (isqrt(4_000_000 * squares // sum_**2) + 1) // 2


def _slack(problem: Problem, last_days: Mapping[int, int]) -> int:
    """Return the least number of days after the last study of a content, before its deadline."""
    return min(
        (
            max(0, demand.stop - 1 - last_days[demand.content.position])
            for demand in problem.demands
            if demand.content.position in last_days
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


_Limit: TypeAlias = Callable[[int, int], int]
"""Returns the thousandths of minutes that a day may take, from a level and its study time."""


def _minutes_at(level: int, _time: int) -> int:
    return 1000 * level


def _share_at(level: int, time: int) -> int:
    return level * time


class _Capacity:
    """What the days of each day set hold at a level, whatever is needed of them."""

    def __init__(self, problem: Problem, day_sets: DaySets, days: "_Days") -> None:
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
        self._per_level: dict[_Limit, dict[int, int]] = {}

    def per_level(self, limit: _Limit) -> Mapping[int, int]:
        """Return by how much each level increases what days hold, if nothing else limits them."""
        if limit not in self._per_level:
            self._per_level[limit] = {
                owners: sum(
                    limit(1, kind.time) * count for kind, count in kinds.items() if kind.time
                )
                for owners, kinds in self.kinds.items()
            }
        return self._per_level[limit]


class _Bound:
    """Finds the least level at which the placed minutes fit."""

    def __init__(self, capacity: _Capacity, needs: Mapping[int, int]) -> None:
        self.capacity = capacity
        self.kinds = capacity.kinds
        self.subsets = [(need, capacity.owners[subset]) for subset, need in needs.items()]

    def least_level(self, limit: _Limit) -> int:
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

    def _least_without_caps(self, limit: _Limit) -> int:
        """Return the least level if days had no limit but the level: a lower bound."""
        per_level, unlimited = self.capacity.per_level(limit), self.capacity.unlimited
        least = 0
        for need, masks in self.subsets:
            rest = 1000 * (need - sum(map(unlimited.__getitem__, masks)))
            if rest > 0 and (slope := sum(map(per_level.__getitem__, masks))):
                least = max(least, -(-rest // slope))
        return least

    def _is_enough(self, level: int, limit: _Limit) -> bool:
        if any(limit(level, time) < 1000 * minutes for minutes, time in self.capacity.kept):
            return False
        # Without the second condition a search for a level that does not exist would not end.
        return self._fits(level, limit) or all(
            1000 * (kind.free + kind.kept) <= limit(level, kind.time)
            for kinds in self.kinds.values()
            for kind in kinds
            if kind.time
        )

    def _fits(self, level: int, limit: _Limit) -> bool:
        held = {
            owners: sum(
                count * min(1000 * free, limit(level, time) - 1000 * kept if time else 1000 * free)
                for (free, kept, time), count in kinds.items()
            )
            for owners, kinds in self.kinds.items()
        }
        return all(1000 * need <= sum(map(held.__getitem__, masks)) for need, masks in self.subsets)
