"""Measures how good a schedule is, and how good schedules could be at best."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt, lcm
from typing import Final

from domain.scheduling.calendar import DayKind
from domain.scheduling.demand import Placed, Problem, study_times
from domain.scheduling.distribution.goals import Minimum
from domain.scheduling.feasibility import DaySets
from domain.scheduling.least_levels import Bound, Capacity, Days, minutes_at, share_at
from domain.scheduling.result import Quality
from domain.scheduling.rows import Row, row_of
from domain.scheduling.spans import total
from domain.scheduling.types import PlanKind

_SHORT_ROW: Final = 10


def quality(
    problem: Problem,
    placed: Sequence[Placed],
    rows: Sequence[Row],
    minimums: Sequence[Minimum] = (),
) -> Quality:
    """Return the quality of the schedule that has these study rows.

    ``placed`` is what they have of each demand. ``minimums`` has those of each demand; the least
    levels are those of schedules that have them.
    """
    return Measure(problem).quality(placed, rows, minimums)


class Measure:
    """Measures schedules of one problem; what depends on the problem alone is computed once."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._kept = _Sums({}, {}).with_rows(_kept_rows(problem))
        self._times = study_times(problem)
        self._capacities: dict[tuple[bool, bool], Capacity] = {}

    def quality(
        self, placed: Sequence[Placed], rows: Sequence[Row], minimums: Sequence[Minimum] = ()
    ) -> Quality:
        """Return the quality of a schedule of the problem, see the function ``quality``."""
        sums = self._kept.with_rows(rows)
        loads = [sums.load.get(day, 0) for day in self._times]
        full = [
            (load, time) for load, time in zip(loads, self._times.values(), strict=True) if time
        ]
        peak = max(loads, default=0)
        fullness = max(((2000 * minutes + time) // (2 * time) for minutes, time in full), default=0)
        bound, peak_bound = self._bounds(placed, minimums, rows)
        # The schedule itself shows what is possible, even if it lacks minimums that the bounds
        # contain; and a bound, which is rounded up, may be above a fullness that is rounded down.
        return Quality(
            peak=peak,
            least_peak=min(peak, peak_bound.least_level(minutes_at)),
            spread=peak - min(loads, default=0),
            reserve=sums.reserve,
            fullness=fullness,
            least_fullness=min(fullness, bound.least_level(share_at)) if full else 0,
            variation=_variation(full),
            short_rows=sums.short_rows,
            slack_days=_slack(self._problem, sums.last_days),
        )

    def _bounds(
        self, placed: Sequence[Placed], minimums: Sequence[Minimum], rows: Sequence[Row]
    ) -> tuple[Bound, Bound]:
        """Return the bounds of the fullness and of the peak."""
        # Minimums give way to whatever needs the reserve, or finds no place.
        if minimums and (any(row.reserve for row in rows) or not self._places_all(placed)):
            minimums = ()
        # Days without study time are the last resort, so they count only if they are used.
        kinds = self._problem.days
        has_spare_days = any(
            kinds[day].kind is DayKind.NO_TIME for day in {row.day for row in rows}
        )

        def bound(*, is_peak: bool) -> Bound:
            capacity, needs = self._limits(
                placed, minimums, has_spare_days=has_spare_days, is_peak=is_peak
            )
            times = self._times
            outside = sum(
                row.stop - row.start
                for row in rows
                if not (row.day in times if is_peak else times.get(row.day))
            )
            return Bound(capacity, needs, outside)

        found = bound(is_peak=False)
        return found, found if all(self._times.values()) else bound(is_peak=True)

    def _places_all(self, placed: Sequence[Placed]) -> bool:
        demands = self._problem.demands
        return all(
            one.units == len(demand.units) for one, demand in zip(placed, demands, strict=True)
        )

    def _limits(
        self,
        placed: Sequence[Placed],
        minimums: Sequence[Minimum],
        *,
        has_spare_days: bool,
        is_peak: bool,
    ) -> tuple[Capacity, Mapping[int, int]]:
        """Return what days hold and what is needed, with the minimums if a schedule has them."""
        day_sets = self._spare_day_sets if has_spare_days else self._day_sets
        taken, needs = _with_minimums(placed, minimums)
        if minimums and not self._holds(day_sets, taken, needs):
            return self._limits(placed, (), has_spare_days=has_spare_days, is_peak=is_peak)
        if minimums:
            capacity = self._capacity(day_sets, taken, is_peak=is_peak)
        else:
            key = has_spare_days, is_peak
            if key not in self._capacities:
                self._capacities[key] = self._capacity(day_sets, taken, is_peak=is_peak)
            capacity = self._capacities[key]
        return capacity, day_sets.needs(needs)

    def _holds(self, day_sets: DaySets, taken: Mapping[int, int], needs: Sequence[int]) -> bool:
        """Whether study time holds what is needed beside the minimums.

        Otherwise other contents need the time of the minimums, which give way to less reserve.
        """
        rooms = self._problem.rooms
        held = day_sets.held(lambda day: total(rooms[day].study) - taken.get(day, 0))
        return day_sets.fits(needs, held)

    def _capacity(self, day_sets: DaySets, taken: Mapping[int, int], *, is_peak: bool) -> Capacity:
        times: Mapping[int, int] = self._times
        if is_peak:
            # A day that the student's other plans fill has no fullness, but counts for the peak.
            times = {day: time or 1 for day, time in times.items()}
        return Capacity(self._problem, day_sets, Days(taken, self._kept.load, times))

    @cached_property
    def _day_sets(self) -> DaySets:
        return DaySets.among(self._problem.demands)

    @cached_property
    def _spare_day_sets(self) -> DaySets:
        return DaySets.among([demand.with_spare_days() for demand in self._problem.demands])


def _with_minimums(
    placed: Sequence[Placed], minimums: Sequence[Minimum]
) -> tuple[Counter[int], list[int]]:
    """Return the minimums per day, and the minutes that are placed without them."""
    taken: Counter[int] = Counter()
    needs = [one.minutes for one in placed]
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
