"""A plan at another time: whether the time is free, and the fields that follow from it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date

from domain.errors import FieldError, InvalidInputError
from domain.scheduling.calendar import Day, DayKind, calendar
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.spans import Span, contains, merged
from domain.scheduling.types import MINUTES_PER_DAY, Allocation, Busy, Request


def move(
    request: Request, plan: ScheduledPlan, day: date, start: int, taken: Iterable[Busy]
) -> ScheduledPlan:
    """Return the plan at ``start`` minutes of another day, or of the same one, with its length.

    The time has to be free: within the study time or the reserve of the day, which may be on any
    weekday of the period that is not excluded. On a designated holiday only a weakness content has
    a reserve. ``taken`` has the times of the student's other live plans. The content may be studied
    there although it is not one of its own days, and after its deadline.

    :raises InvalidInputError: for ``date`` and ``start_minute``.
    """
    InvalidInputError.raise_if_any(_date_errors(request, day))
    found = calendar(request)[(day - request.period_start).days]
    span = (start, start + plan.minutes)
    InvalidInputError.raise_if_any(_time_errors(found, span, taken, _allocation(request, plan)))
    return replace(
        plan,
        date=day,
        start_minute=span[0],
        end_minute=span[1],
        reserve=not contains(found.study, span),
        week=found.week,
        cycle=found.cycle,
        cycle_day=found.cycle_day,
    )


def may_be_moved_to(kind: DayKind, allocation: Allocation | None) -> bool:
    """Whether a plan of a content may be moved to a day of a kind, if the day has time for it."""
    is_weakness = allocation is Allocation.WEAKNESS
    return kind is not DayKind.EXCLUDED and (kind is not DayKind.HOLIDAY or is_weakness)


def _date_errors(request: Request, day: date) -> Iterator[FieldError]:
    if not request.period_start <= day <= request.period_end:
        yield FieldError("date", "must be within the period")
    elif day < request.today:
        yield FieldError("date", "must not be before today")


def _time_errors(
    day: Day, span: Span, taken: Iterable[Busy], allocation: Allocation | None
) -> Iterator[FieldError]:
    if span[0] < 0 or span[1] > MINUTES_PER_DAY:
        yield FieldError("start_minute", "must leave room for the plan within the day")
        return
    if not may_be_moved_to(day.kind, allocation):
        yield FieldError("date", "is an excluded day")
        return
    if not contains(merged([*day.study, *day.reserve]), span):
        yield FieldError("start_minute", "must be within study time or self-study time")
    for busy in taken:
        if busy.date == day.date and busy.start_minute < span[1] and span[0] < busy.end_minute:
            yield FieldError("start_minute", "overlaps another plan of the student")
            return


def _allocation(request: Request, plan: ScheduledPlan) -> Allocation | None:
    found = (one.allocation for one in request.contents if one.position == plan.content)
    return next(found, None)
