"""The days of a period: the kind of each day, its position in the cycle, and its time.

Only dates that have study time and are not excluded count in a cycle, so an exclusion postpones
the review day and does not replace it. The time of a date is that of its special day or of its
weekday. One pass over the dates; the time of a weekday is computed once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from domain.scheduling.spans import Span, merged, without
from domain.scheduling.types import MINUTES_PER_DAY, BlockKind, ExclusionType, Request


class DayKind(StrEnum):
    """The kind of a date."""

    STUDY = "study"
    REVIEW = "review"
    HOLIDAY = "holiday"
    """A designated holiday whose reserve can be used, by weakness contents only."""
    EXCLUDED = "excluded"
    NO_TIME = "no_time"
    """A date without study time. Its reserve is used only as the last resort."""


class Day(NamedTuple):
    """One date of the period.

    A date that does not count in a cycle has the ``cycle`` of the last date that does (1 if there
    is none), and its ``cycle_day`` is ``None``. ``study`` and ``reserve`` are tidy spans, from
    which the time of existing plans is not subtracted.
    """

    date: date
    kind: DayKind
    week: int
    cycle: int
    cycle_day: int | None
    study: tuple[Span, ...]
    reserve: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _DayTime:
    """The study time of a date, its reserve, and the reserve if the date is a holiday."""

    study: tuple[Span, ...]
    reserve: tuple[Span, ...]
    holiday_reserve: tuple[Span, ...]


def calendar(request: Request) -> list[Day]:
    """Return every date of the period in order."""
    time_of = _times(request)
    excluded = _excluded(request)
    cycles = Cycles(request.study_days + request.review_days)
    days: list[Day] = []
    start = request.period_start.toordinal()
    for offset in range(request.period_end.toordinal() - start + 1):
        day = date.fromordinal(start + offset)
        time = time_of(day)
        study, reserve = time.study, time.reserve
        cycle, cycle_day = cycles.place(is_counted=bool(study) and day not in excluded)
        if cycle_day is not None:
            kind = DayKind.STUDY if cycle_day <= request.study_days else DayKind.REVIEW
        else:
            kind = DayKind.NO_TIME
            if day in excluded:
                kind, study, reserve = DayKind.EXCLUDED, (), ()
                if excluded[day] and request.self_study_on_holidays:
                    kind, reserve = DayKind.HOLIDAY, time.holiday_reserve
        days.append(Day(day, kind, offset // 7 + 1, cycle, cycle_day, study, reserve))
    return days


class Cycles:
    """Counts dates in cycles of so many days."""

    def __init__(self, length: int) -> None:
        self._length, self._counted = length, 0

    def place(self, *, is_counted: bool) -> tuple[int, int | None]:
        """Return the cycle and the day of the cycle of the next date.

        One that is not counted has the cycle of the last counted date before it, 1 if there is
        none, and no day.
        """
        if not is_counted:
            return max(1, -(-self._counted // self._length)), None
        cycle, cycle_day = divmod(self._counted, self._length)
        self._counted += 1
        return cycle + 1, cycle_day + 1


def _excluded(request: Request) -> dict[date, bool]:
    """Return the excluded dates, each with whether all its exclusions are designated holidays."""
    dates: dict[date, bool] = {}
    for exclusion in request.exclusions:
        holiday = exclusion.type is ExclusionType.DESIGNATED_HOLIDAY
        dates[exclusion.date] = dates.get(exclusion.date, True) and holiday
    return dates


def _times(request: Request) -> Callable[[date], _DayTime]:
    """Return a function for the time of a date: its special day's, or else its weekday's."""
    closed = _closed(request)
    blocks: dict[BlockKind, list[list[Span]]] = {kind: _weekdays() for kind in BlockKind}
    for block in request.blocks:
        blocks[block.kind][block.weekday].append((block.start_minute, block.end_minute))
    # Without study time of its own, a group studies in its self-study time, and has no reserve.
    has_study_time = (
        any(block.kind is BlockKind.STUDY for block in request.blocks)
        if request.blocks
        else any(day.study for day in request.special_days)
    )

    @cache  # most weekdays have the same blocks
    def open_time(
        study: tuple[Span, ...], self_study: tuple[Span, ...], closed: tuple[Span, ...]
    ) -> _DayTime:
        if not has_study_time:
            study, self_study = (*study, *self_study), ()
        first = without(merged(_clipped(study)), closed)
        second = without(merged(_clipped(self_study)), closed)
        return _DayTime(tuple(first), tuple(without(second, first)), tuple(second))

    spans = blocks[BlockKind.STUDY], blocks[BlockKind.SELF_STUDY], closed
    weekly = [open_time(*map(tuple, own)) for own in zip(*spans, strict=True)]
    special = {
        day.date: open_time(day.study, day.self_study, tuple(closed[_weekday(day.date)]))
        for day in request.special_days
    }
    return lambda day: special.get(day) or weekly[_weekday(day)]


def _closed(request: Request) -> list[list[Span]]:
    """Return the spans of each weekday that are never planned: non-study blocks, classes, travel.

    They are tidy.
    """
    closed = _weekdays()
    for other in request.non_study_blocks:
        closed[other.weekday].append((other.start_minute, other.end_minute))
    for lesson in request.academy_schedules:
        travel = lesson.travel_minutes
        span = lesson.start_minute - travel, lesson.end_minute + travel
        closed[lesson.weekday].append(span)
    return [merged(spans) for spans in closed]


def _weekdays() -> list[list[Span]]:
    return [[] for _ in range(7)]


def _weekday(day: date) -> int:
    return day.isoweekday() % 7


def _clipped(spans: Iterable[Span]) -> Iterable[Span]:
    return ((max(0, start), min(MINUTES_PER_DAY, end)) for start, end in spans)
