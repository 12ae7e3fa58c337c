"""The calendar of a request minute by minute, and the minutes of its contents unit by unit.

The code is simple rather than fast: a day is two sets of minutes. It shares nothing with the
engine, so a bug remains undetected only if both implementations have it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from functools import cached_property
from math import floor
from typing import Literal

from domain.scheduling.types import (
    Allocation,
    BlockKind,
    Busy,
    Content,
    ContentType,
    Difficulty,
    ExclusionType,
    Factors,
    KeptPlan,
    PlanKind,
    Request,
)

Minutes = frozenset[int]
Kind = Literal["study", "review", "holiday", "none"]
NOTHING: Minutes = frozenset()


@dataclass(frozen=True)
class Day:
    """A date of the period; a ``holiday`` is a designated holiday whose reserve is open."""

    date: date
    kind: Kind
    week: int
    cycle: int
    cycle_day: int | None
    study: Minutes
    reserve: Minutes


@dataclass(frozen=True)
class World:
    """The days and the free time of a request before anything is planned."""

    request: Request

    @cached_property
    def first(self) -> date:
        """The first day that may be planned."""
        return max(self.request.today, self.request.period_start)

    @cached_property
    def days(self) -> dict[date, Day]:
        """Every date of the period."""
        return {day.date: day for day in _days(self.request)}

    @cached_property
    def occupied(self) -> dict[date, Minutes]:
        """The minutes of the plans that stay live: kept plans, and plans of other groups."""
        occupied: dict[date, set[int]] = {}
        plans: list[Busy | KeptPlan] = [*self.request.busy, *self.request.kept]
        for plan in plans:
            occupied.setdefault(plan.date, set()).update(range(plan.start_minute, plan.end_minute))
        return {day: frozenset(minutes) for day, minutes in occupied.items()}

    def free(self, day: date, *, reserve: bool) -> Minutes:
        """Return the minutes of study time, or of the reserve, that are free for new plans."""
        if day not in self.days or day < self.first:
            return NOTHING
        minutes = self.days[day].reserve if reserve else self.days[day].study
        return minutes - self.occupied.get(day, NOTHING)

    def room(self, day: date) -> int:
        """Return the number of free minutes of a day, study time and reserve."""
        return len(self.free(day, reserve=False)) + len(self.free(day, reserve=True))

    def study_days(self) -> list[date]:
        """Return the study days from today on."""
        return [d.date for d in self.days.values() if d.kind == "study" and d.date >= self.first]

    def own_days(self, content: Content) -> list[date]:
        """Return the study days from today on that belong to the content."""
        own = _own_days(self.days.values(), content)
        return [day for day in own if day >= self.first]

    def open_days(self, content: Content) -> list[date]:
        """Return the content's own days, and the holidays whose reserve it may use."""
        if content.allocation is not Allocation.WEAKNESS:
            return self.own_days(content)
        holidays = [d.date for d in self.days.values() if d.kind == "holiday"]
        return sorted(self.own_days(content) + [day for day in holidays if day >= self.first])

    def cycle_of(self, day: date) -> int:
        """Return the cycle of a date, or that of the last counted date before it."""
        return self.days[day].cycle

    def review_days(self, cycle: int) -> list[date]:
        """Return the review days of a cycle from today on."""
        days = (d for d in self.days.values() if d.kind == "review" and d.cycle == cycle)
        return [d.date for d in days if d.date >= self.first]


def spans(minutes: Minutes) -> list[tuple[int, int]]:
    """Return the maximal half-open spans of a set of minutes."""
    starts = sorted(m for m in minutes if m - 1 not in minutes)
    ends = sorted(m + 1 for m in minutes if m + 1 not in minutes)
    return list(zip(starts, ends, strict=True))


def weekday(day: date) -> int:
    """Return the day of the week, from 0 for Sunday to 6 for Saturday."""
    return day.isoweekday() % 7


def strategy_indices(count: int, wanted: int) -> set[int]:
    """Return which of the ``count`` study days of a cycle a strategy of ``wanted`` days uses.

    Day i is in the middle of the i-th of ``wanted`` equal shares of the cycle.
    """
    if count <= wanted:
        return set(range(count))
    return {(2 * i + 1) * count // (2 * wanted) for i in range(wanted)}


def _days(request: Request) -> Iterator[Day]:
    size = request.study_days + request.review_days
    counted, cycle = 0, 1
    for offset in range((request.period_end - request.period_start).days + 1):
        day = request.period_start + timedelta(days=offset)
        study, reserve = _hours(request, day)
        kind: Kind = "holiday" if _is_open_holiday(request, day) else "none"
        position: int | None = None
        if study:
            cycle, index = counted // size + 1, counted % size
            position, kind = index + 1, "study" if index < request.study_days else "review"
            counted += 1
        yield Day(day, kind, offset // 7 + 1, cycle, position, study, reserve)


def _hours(request: Request, day: date) -> tuple[Minutes, Minutes]:
    excluded = any(exclusion.date == day for exclusion in request.exclusions)
    if excluded and not _is_open_holiday(request, day):
        return NOTHING, NOTHING
    blocked = _blocked(request, weekday(day))
    study = _block_minutes(request, weekday(day), BlockKind.STUDY) - blocked
    self_study = _block_minutes(request, weekday(day), BlockKind.SELF_STUDY) - blocked
    # A holiday has no study time, so minutes in both kinds of block are reserve on that day.
    return (NOTHING, self_study) if excluded else (study, self_study - study)


def _is_open_holiday(request: Request, day: date) -> bool:
    types = {exclusion.type for exclusion in request.exclusions if exclusion.date == day}
    return request.self_study_on_holidays and types == {ExclusionType.DESIGNATED_HOLIDAY}


def _block_minutes(request: Request, on: int, kind: BlockKind) -> Minutes:
    blocks = (b for b in request.blocks if b.weekday == on and b.kind is kind)
    return frozenset(minute for b in blocks for minute in range(b.start_minute, b.end_minute))


def _blocked(request: Request, on: int) -> Minutes:
    """Return the minutes of meals, and of classes with the travel before and after them."""
    meals = {
        m
        for b in request.non_study_blocks
        if b.weekday == on
        for m in range(b.start_minute, b.end_minute)
    }
    classes = {
        minute
        for c in request.academy_schedules
        if c.weekday == on
        for minute in range(c.start_minute - c.travel_minutes, c.end_minute + c.travel_minutes)
    }
    return frozenset(meals | classes)


def _own_days(days: Iterable[Day], content: Content) -> list[date]:
    cycles: dict[int, list[date]] = {}
    for day in days:
        if day.kind == "study":
            cycles.setdefault(day.cycle, []).append(day.date)
    if content.allocation is Allocation.WEAKNESS:
        return [day for dates in cycles.values() for day in dates]
    wanted = content.weekly_days or 0
    return [
        day
        for dates in cycles.values()
        for index, day in enumerate(dates)
        if index in strategy_indices(len(dates), wanted)
    ]


UNKNOWN_EPISODE = 30
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
        """The units of kept plans; a unit occurs twice only if two kept plans have it.

        A divided unit is kept with its last piece, because no request here keeps only some pieces.
        """
        return [
            unit
            for plan in self.request.kept
            if plan.content == self.content.position
            and plan.kind is PlanKind.STUDY
            and plan.part == plan.parts
            for unit in range(plan.first_unit, plan.last_kept_unit + 1)
        ]

    @cached_property
    def remaining(self) -> list[int]:
        """The units that are left to plan, in order."""
        return [unit for unit in self.units if unit not in set(self.kept)]

    def cost(self, units: Iterable[int]) -> int:
        """Return the minutes of some units, without wrap-up."""
        return sum(self.minutes[unit] for unit in units)

    @property
    def is_uniform(self) -> bool:
        """Whether all remaining units have the same minutes."""
        return len({self.minutes[unit] for unit in self.remaining}) == 1


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
