"""The days of a period: the kind of each day, its position in the cycle, and its time.

Only dates that have study time and are not excluded count in a cycle, so an exclusion postpones
the review day and does not replace it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from domain.scheduling.planning import Request
from domain.scheduling.spans import Span, merged, without
from domain.scheduling.vocabulary import MINUTES_PER_DAY, BlockKind, ExclusionType


class DayKind(StrEnum):
    """The kind of a date."""

    STUDY = "study"
    REVIEW = "review"
    HOLIDAY = "holiday"
    """A designated holiday whose reserve can be used, by weakness contents only."""
    EXCLUDED = "excluded"
    NO_TIME = "no_time"


@dataclass(frozen=True, slots=True)
class Day:
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


def calendar(request: Request) -> list[Day]:
    """Return every date of the period in order."""
    weekly = [_weekday_time(request, weekday) for weekday in range(7)]
    excluded = _excluded(request)
    length = request.study_days + request.review_days
    days: list[Day] = []
    counted = 0
    for offset in range((request.period_end - request.period_start).days + 1):
        today = request.period_start + timedelta(days=offset)
        study, reserve, holiday_reserve = weekly[today.isoweekday() % 7]
        cycle, cycle_day = max(1, -(-counted // length)), None
        kind = DayKind.NO_TIME
        if today in excluded:
            kind, study, reserve = DayKind.EXCLUDED, (), ()
            if excluded[today] and request.self_study_on_holidays:
                kind, reserve = DayKind.HOLIDAY, holiday_reserve
        elif study:
            cycle, cycle_day = counted // length + 1, counted % length + 1
            kind = DayKind.STUDY if cycle_day <= request.study_days else DayKind.REVIEW
            counted += 1
        days.append(Day(today, kind, offset // 7 + 1, cycle, cycle_day, study, reserve))
    return days


def _excluded(request: Request) -> dict[date, bool]:
    """Return the excluded dates, each with whether all its exclusions are designated holidays."""
    dates: dict[date, bool] = {}
    for exclusion in request.exclusions:
        holiday = exclusion.type is ExclusionType.DESIGNATED_HOLIDAY
        dates[exclusion.date] = dates.get(exclusion.date, True) and holiday
    return dates


def _weekday_time(
    request: Request, weekday: int
) -> tuple[tuple[Span, ...], tuple[Span, ...], tuple[Span, ...]]:
    """Return the study time, the reserve, and the reserve on a holiday.

    On a holiday, the study time is not subtracted from the reserve.
    """
    closed = [
        (other.start_minute, other.end_minute)
        for other in request.non_study_blocks
        if other.weekday == weekday
    ]
    closed += [
        (lesson.start_minute - lesson.travel_minutes, lesson.end_minute + lesson.travel_minutes)
        for lesson in request.academy_schedules
        if lesson.weekday == weekday
    ]

    def open_time(kind: BlockKind) -> list[Span]:
        blocks = (b for b in request.blocks if b.weekday == weekday and b.kind is kind)
        return without(merged(_clipped((b.start_minute, b.end_minute) for b in blocks)), closed)

    study = open_time(BlockKind.STUDY)
    self_study = open_time(BlockKind.SELF_STUDY)
    return tuple(study), tuple(without(self_study, study)), tuple(self_study)


def _clipped(spans: Iterable[Span]) -> Iterable[Span]:
    return ((max(0, start), min(MINUTES_PER_DAY, end)) for start, end in spans)
