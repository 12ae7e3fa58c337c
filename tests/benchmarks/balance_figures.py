"""What the benchmark ``balanced`` measures of one schedule, with the code of the checker only.

Every figure is computed from the rows of the schedule and the request, never from the engine.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from functools import cached_property
from math import sqrt
from statistics import median

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Allocation, Balance, Request
from tests.unit.scheduling.checking.amounts import amounts_of
from tests.unit.scheduling.checking.case import Case, units
from tests.unit.scheduling.checking.day_layout import (
    is_divided,
    joinable_reviews,
    repeated_openers,
    study_sessions,
)
from tests.unit.scheduling.checking.flows import fits, least_unplaced
from tests.unit.scheduling.checking.levels import kept_minutes, least_level, study_time
from tests.unit.scheduling.checking.minimums import minimums_of
from tests.unit.scheduling.checking.room import spare
from tests.unit.scheduling.checking.shifts import choices, combination_count, least_over_shifts
from tests.unit.scheduling.checking.sittings import (
    MARK,
    Sitting,
    laid_out,
    long_sittings,
    off_marks,
)
from tests.unit.scheduling.checking.unplaced import sure_room
from tests.unit.scheduling.checking.world import World

SHORT_ROW = 10
SHORT_REVIEW = 5
MAX_COMBINATIONS = 4_000


def everything_fits(request: Request) -> bool:
    """Whether a flow places all minutes at the shifts 0, in study time and the reserve."""
    world = World(request)
    needs = {p: one.cost(one.remaining) for p, one in amounts_of(request).items()}
    days = {content.position: world.open_days(content) for content in request.contents}
    return fits(needs, days, {day: world.room(day) for day in world.days})


@dataclass(frozen=True)
class Figures:
    """The figures of one schedule. The level of a day is its fullness, or its minutes."""

    case: Case

    @cached_property
    def levels(self) -> dict[date, Fraction]:
        """The level of every study day that has study time, with all its minutes of study."""
        return self._levels(wrap_ups=True)

    def _levels(self, *, wrap_ups: bool) -> dict[date, Fraction]:
        load = kept_minutes(self.case.world)
        for row in self.case.study:
            load[row.date] += row.minutes - (0 if wrap_ups else row.wrap_up_minutes)
        return {day: Fraction(load[day], rate) for day, rate in self._rates.items()}

    @cached_property
    def _rates(self) -> dict[date, int]:
        """The minutes that correspond to level 1: the study time, or 1 if minutes are balanced."""
        times = {day: study_time(self.case.world, day) for day in self.case.world.study_days()}
        by_minutes = self.case.request.balance is Balance.MINUTES
        return {day: min(time, 1) if by_minutes else time for day, time in times.items() if time}

    @cached_property
    def least(self) -> Fraction | None:
        """The least possible highest level at the shifts of the schedule."""
        case = self.case
        return least_level(case.world, case.amounts, case.needs, case.request.balance)

    def excess(self, *, wrap_ups: bool = True) -> float | None:
        """Return the highest level / the least possible."""
        highest = max(self._levels(wrap_ups=wrap_ups).values(), default=Fraction(0))
        return float(highest / self.least) if self.least and highest else None

    @cached_property
    def unit_excess(self) -> float | None:
        """The highest level / the least possible, or one unit of its day if that is more."""
        if not self.least or not max(self.levels.values(), default=0):
            return None
        day = max(self.levels, key=lambda day: (self.levels[day], self._unit(day)))
        bound = max(self.least, Fraction(self._unit(day), self._rates[day]))
        return float(self.levels[day] / bound)

    @cached_property
    def is_within_one_unit(self) -> bool | None:
        """Whether no day exceeds the least by more than its longest unit or a session."""
        if self.least is None:
            return None
        return all(
            (level - self.least) * self._rates[day] <= self._unit(day)
            for day, level in self.levels.items()
        )

    def _unit(self, day: date) -> int:
        """Return the longest unit that is studied on a day, at least the shortest session."""
        return max(self.case.request.shortest_session, self._longest_units.get(day, 0))

    @cached_property
    def _longest_units(self) -> dict[date, int]:
        found: dict[date, int] = {}
        for row in self.case.study:
            minutes = self.case.amounts[row.content].minutes
            longest = max(minutes[unit] for unit in units(row))
            found[row.date] = max(found.get(row.date, 0), longest)
        return found

    @cached_property
    def shift_ratio(self) -> float | None:
        """The least at the chosen shifts / the least over all shifts, ``None`` if not compared.

        It is compared if there are 2 to 4,000 combinations of different days, and the chosen one
        needs no reserve. A combination that does not fit into study time is never the least.
        """
        case = self.case
        plain = replace(case.world, shifts={})
        options = choices(plain, case.amounts)
        problem_days = {day for days in case.planned_days.values() for day in days}
        room = {day: len(case.world.free(day, reserve=False)) for day in problem_days}
        own = {p: case.world.own_days(content) for p, content in case.contents.items()}
        count = combination_count(options)
        if not self.least or not 2 <= count <= MAX_COMBINATIONS or not fits(case.needs, own, room):
            return None
        return float(self.least / least_over_shifts(plain, case.amounts, options, self.least))

    def variation(self, *, used_days: bool = False) -> float | None:
        """Return the coefficient of variation of the levels.

        With ``used_days``, only days that belong to a content with units count.
        """
        values = [float(level) for day, level in self.levels.items()]
        if used_days:
            own = {day for p, days in self.case.planned_days.items() if self.case.needs[p]
                   for day in days}  # fmt: skip
            values = [float(level) for day, level in self.levels.items() if day in own]
        mean = sum(values) / len(values) if values else 0
        if not mean:
            return None
        return sqrt(sum((value - mean) ** 2 for value in values) / len(values)) / mean

    @cached_property
    def weakness_days(self) -> Counter[str]:
        """The study days on which a weakness is due, absent, and below its minimum (or absent)."""
        counts: Counter[str] = Counter()
        for position, minimum in minimums_of(self.case.world, self.case.amounts).items():
            studied = units_by_day(self.case.study_of(position))
            counts["due"] += len(minimum.due)
            counts["absent"] += sum(not studied[day] for day in minimum.due)
            counts["below"] += sum(studied[day] < minimum.units for day in minimum.due)
        return counts

    @cached_property
    def short_rows(self) -> float | None:
        """The share of study rows under ten minutes."""
        return share(row.minutes < SHORT_ROW for row in self.case.study)

    @cached_property
    def short_pieces(self) -> float | None:
        """The share of study rows under ten minutes in sessions that are not that short."""
        minutes: Counter[tuple[int, date]] = Counter()
        for row in self.case.study:
            minutes[row.content, row.date] += row.minutes
        return share(
            row.minutes < SHORT_ROW <= minutes[row.content, row.date] for row in self.case.study
        )

    @cached_property
    def short_sessions(self) -> float | None:
        """The share of sessions below the shortest that are not all that remains."""
        sessions = self.sessions()
        shortest = self.case.request.shortest_session
        return share(
            minutes < min(shortest, self.case.needs[position])
            for (position, _), minutes in sessions.items()
        )

    def sessions(self) -> Mapping[tuple[int, date], int]:
        """Return the minutes, without wrap-up, of each content on each day."""
        minutes: Counter[tuple[int, date]] = Counter()
        for row in self.case.study:
            minutes[row.content, row.date] += row.minutes - row.wrap_up_minutes
        return minutes

    @cached_property
    def short_reviews(self) -> float | None:
        """The share of review rows under five minutes."""
        return share(row.minutes < SHORT_REVIEW for row in self.case.reviews)

    @cached_property
    def divided_short_reviews(self) -> float | None:
        """The share of reviews under five minutes that belong to more minutes of their cycle.

        The others are all that the cycle reviews of a content: they have no other to join.
        """
        minutes: Counter[tuple[int, int]] = Counter()
        for row in self.case.reviews:
            minutes[row.cycle, row.content] += row.minutes
        return share(
            row.minutes < SHORT_REVIEW <= minutes[row.cycle, row.content]
            for row in self.case.reviews
        )

    @cached_property
    def joinable_reviews(self) -> int:
        """The reviews under five minutes that could have joined another."""
        return sum(1 for _ in joinable_reviews(self.case))

    @cached_property
    def review_excess(self) -> float | None:
        """The highest fullness of review days / the least, of the cycles with several of them.

        Only cycles count whose contents may all use the same review days.
        """
        found: list[float] = []
        for cycle in {row.cycle for row in self.case.reviews}:
            rows = [row for row in self.case.reviews if row.cycle == cycle]
            days = {tuple(self.case.world.review_days(cycle, self.case.contents[row.content]))
                    for row in rows}  # fmt: skip
            times = {day: study_time(self.case.world, day) for day in min(days)}
            if len(days) == 1 and len(times) > 1 and all(times.values()):
                load = Counter(dict.fromkeys(times, 0))
                for row in rows:
                    load[row.date] += row.minutes
                least = Fraction(sum(load.values()), sum(times.values()))
                highest = max(Fraction(load[day], times[day]) for day in times)
                found.append(float(highest / least))
        return median(found) if found else None

    @cached_property
    def days(self) -> list[date]:
        """The days with rows."""
        return sorted({row.date for row in self.case.rows})

    def long_sitting_days(self, *, is_certain: bool) -> float | None:
        """Return the share of days with a sitting that is too long although there is room.

        The room is certain if the same rows in the same spans hold the pauses, otherwise possible,
        if only the sum of the day's idle time is enough for the pauses.
        """
        return share(
            bool(too_long) and (laid_out(self.case, day, marks=False) if is_certain
                                else self._idle(day) >= self._pauses(too_long))
            for day in self.days
            for too_long in (long_sittings(self.case, day),)
        )  # fmt: skip

    def off_mark_starts(self, *, is_certain: bool) -> float | None:
        """Return the share of rows that are not on a mark although there is room."""
        count = 0
        for day in self.days:
            off = off_marks(self.case, day)
            need = self._pauses(long_sittings(self.case, day)) + (MARK - 1) * len(
                self.case.rows_on(day)
            )
            has_room = laid_out(self.case, day, marks=True) if is_certain and off else (
                self._idle(day) >= need)  # fmt: skip
            count += len(off) if has_room else 0
        return count / len(self.case.rows) if self.case.rows else None

    def _pauses(self, too_long: list[Sitting]) -> int:
        """Return the minutes of the pauses that some sittings need at least."""
        limit, pause = self.case.request.longest_sitting, self.case.request.pause_minutes
        return sum(pause * (-(-one.minutes // limit) - 1) for one in too_long)

    def _idle(self, day: date) -> int:
        """Return the idle minutes of a day: study time, and the reserve if it is used."""
        uses_reserve = any(row.reserve for row in self.case.rows_on(day))
        left = spare(self.case, day)
        return sum(minutes for slot, minutes in left.items() if uses_reserve or not slot[3])

    @cached_property
    def divided_sessions(self) -> float | None:
        """The share of sessions that are divided over spans although a span could hold them."""
        return share(
            is_divided(self.case, rows) and sum(row.minutes for row in rows) <= longest
            for day in self.days
            for longest in (max(end - start for _, start, end, _ in self.case.slots[day]),)
            for rows in study_sessions(self.case, day).values()
        )

    @cached_property
    def same_openers(self) -> int:
        """The days that begin like the day before, among weaknesses or among strategies."""
        return sum(
            1 for allocation in Allocation for _ in repeated_openers(self.case, allocation)
        )  # fmt: skip

    @cached_property
    def reserve_excess(self) -> int:
        """The minutes of study in the reserve, wrap-ups aside, beyond the least possible."""
        case = self.case
        used = sum(row.minutes - row.wrap_up_minutes for row in case.study if row.reserve)
        own = {p: case.world.own_days(content) for p, content in case.contents.items()}
        room = {day: len(case.world.free(day, reserve=False)) for day in case.world.days}
        return used - min(used, least_unplaced(case.needs, own, room))

    @cached_property
    def unplaced(self) -> tuple[int, float]:
        """The minutes unplaced beyond the least, and that in units of the contents concerned.

        The least is that of the room which certainly holds whole units: pages of a few minutes lose
        the rest of every span. The second number is below 1 if less than one unit per content is
        lost.
        """
        case = self.case
        found = sum(tail.minutes for tail in case.schedule.unplaced)
        excess = found - least_unplaced(case.needs, case.open_days, sure_room(case))
        nexts = {p: case.first_unplaced(p) for p in case.amounts}
        lost = sum(case.amounts[p].minutes[unit] for p, unit in nexts.items() if unit is not None)
        return max(0, excess), max(0, excess) / lost if lost else 0.0


def units_by_day(rows: list[ScheduledPlan]) -> Mapping[date, int]:
    """Return how many units the rows of a content have on each day; a piece counts as one."""
    found: dict[date, set[int]] = defaultdict(set)
    for row in rows:
        found[row.date].update(units(row))
    return Counter({day: len(numbers) for day, numbers in found.items()})


def share(conditions: Iterator[bool]) -> float | None:
    """Return the share of true conditions, ``None`` if there are no conditions."""
    values = list(conditions)
    return sum(values) / len(values) if values else None
