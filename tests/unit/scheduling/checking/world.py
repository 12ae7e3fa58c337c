"""The calendar of a request minute by minute.

The code is simple rather than fast: a day is two sets of minutes. It shares nothing with the
engine, so a bug remains undetected only if both implementations have it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import Literal

from domain.scheduling.types import (
    Allocation,
    BlockKind,
    Busy,
    Content,
    ExclusionType,
    KeptPlan,
    Request,
)

Minutes = frozenset[int]
Kind = Literal["study", "review", "holiday", "no_time", "none"]
NOTHING: Minutes = frozenset()


@dataclass(frozen=True)
class Day:
    """A date of the period.

    A ``holiday`` is a designated holiday whose reserve is open, and ``no_time`` is a date that is
    not excluded and has no study time, and perhaps a reserve.
    """

    date: date
    kind: Kind
    week: int
    cycle: int
    cycle_day: int | None
    study: Minutes
    reserve: Minutes


@dataclass(frozen=True)
class World:
    """The days and the free time of a request before anything is planned.

    ``shifts`` has the shifts of strategy contents by position; a content without one has shift 0.
    The last ``buffer`` study days before its deadline are no days of a content.
    """

    request: Request
    shifts: Mapping[int, int] = field(default_factory=dict)
    buffer: int = 0

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
        return self._free[day][reserve]

    @cached_property
    def _free(self) -> dict[date, tuple[Minutes, Minutes]]:
        """The free minutes of every date of the period: of study time, and of the reserve."""
        occupied = self.occupied
        return {
            day.date: (
                day.study - occupied.get(day.date, NOTHING),
                day.reserve - occupied.get(day.date, NOTHING),
            )
            for day in self.days.values()
        }

    def room(self, day: date) -> int:
        """Return the number of free minutes of a day, study time and reserve."""
        return len(self.free(day, reserve=False)) + len(self.free(day, reserve=True))

    def study_days(self) -> list[date]:
        """Return the study days from today on."""
        return [d.date for d in self.days.values() if d.kind == "study" and d.date >= self.first]

    def stop(self, content: Content) -> date:
        """Return the first date on which the content is neither studied nor reviewed.

        It is the earliest of its deadline, a target date in the period, and the end of the period.
        """
        target = self.request.target_date or date.max
        if target > self.request.period_end:
            target = date.max
        after = self.request.period_end + timedelta(days=1)
        return min(content.deadline or date.max, target, after)

    def own_days(self, content: Content) -> list[date]:
        """Return the study days from today to the deadline that belong to the content."""
        own = _own_days(self.days.values(), content, self.shifts.get(content.position, 0))
        shut = set(self.buffer_days(content, self.buffer))
        return [day for day in own if self.first <= day < self.stop(content) and day not in shut]

    def buffer_days(self, content: Content, count: int) -> list[date]:
        """Return the last study days before the content's deadline or the end of the period."""
        days = [day for day in self.study_days() if day < self.stop(content)]
        return days[max(0, len(days) - count) :]

    def spare_days(self, content: Content) -> list[date]:
        """Return the days without study time whose reserve is the content's last resort."""
        return self._with_reserve("no_time", content)

    def planned_days(self, content: Content) -> list[date]:
        """Return the content's own days, and the holidays whose reserve it may use."""
        if content.allocation is not Allocation.WEAKNESS:
            return self.own_days(content)
        return sorted(self.own_days(content) + self._with_reserve("holiday", content))

    def open_days(self, content: Content) -> list[date]:
        """Return all days that the content may use, the spare days included."""
        return sorted(self.planned_days(content) + self.spare_days(content))

    def _with_reserve(self, kind: Kind, content: Content) -> list[date]:
        days = [day.date for day in self.days.values() if day.kind == kind and day.reserve]
        return [day for day in days if self.first <= day < self.stop(content)]

    def cycle_of(self, day: date) -> int:
        """Return the cycle of a date, or that of the last counted date before it."""
        return self.days[day].cycle

    def review_days(self, cycle: int, content: Content | None = None) -> list[date]:
        """Return the review days of a cycle from today on, before the content's deadline if any."""
        days = (d for d in self.days.values() if d.kind == "review" and d.cycle == cycle)
        stop = date.max if content is None else self.stop(content)
        return [d.date for d in days if self.first <= d.date < stop]


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
        excluded = any(exclusion.date == day for exclusion in request.exclusions)
        kind: Kind = "none" if excluded else "no_time"
        if _is_open_holiday(request, day):
            kind = "holiday"
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
    study, self_study = (minutes - blocked for minutes in _offered(request, day))
    kinds = {block.kind for block in request.blocks}
    # Without blocks, the special days decide whether there is any study time.
    has_study = BlockKind.STUDY in kinds if kinds else any(d.study for d in request.special_days)
    if not has_study:
        study, self_study = study | self_study, NOTHING
    # A holiday has no study time, so minutes in both kinds of block are reserve on that day.
    return (NOTHING, self_study) if excluded else (study, self_study - study)


def _is_open_holiday(request: Request, day: date) -> bool:
    types = {exclusion.type for exclusion in request.exclusions if exclusion.date == day}
    return request.self_study_on_holidays and types == {ExclusionType.DESIGNATED_HOLIDAY}


def _offered(request: Request, day: date) -> tuple[Minutes, Minutes]:
    """Return the minutes of study and of self-study of a date: of a special day or its weekday."""
    for special in request.special_days:
        if special.date == day:
            return _of_spans(special.study), _of_spans(special.self_study)
    study, self_study = (
        [(b.start_minute, b.end_minute) for b in request.blocks if (b.weekday, b.kind) == key]
        for key in ((weekday(day), BlockKind.STUDY), (weekday(day), BlockKind.SELF_STUDY))
    )
    return _of_spans(study), _of_spans(self_study)


def _of_spans(found: Iterable[tuple[int, int]]) -> Minutes:
    return frozenset(minute for start, end in found for minute in range(start, end))


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


def _own_days(days: Iterable[Day], content: Content, shift: int) -> list[date]:
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
        if (index - shift) % len(dates) in strategy_indices(len(dates), wanted)
    ]
