"""The computation of a schedule, for both generation and preview."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Final

from domain.errors import (
    DayReason,
    DayWithoutPlan,
    InvalidInputError,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
)
from domain.scheduling.calendar import Day, DayKind, calendar
from domain.scheduling.demand import Demand, demands
from domain.scheduling.distribution.even import Allotment, allot
from domain.scheduling.distribution.in_turn import even_minutes
from domain.scheduling.layout import Row, place
from domain.scheduling.minutes import UNKNOWN_EPISODE_MINUTES
from domain.scheduling.placement import Room
from domain.scheduling.quality import quality
from domain.scheduling.result import PlanWarning, Schedule, ScheduledPlan, Unplaced, warning
from domain.scheduling.review import place_reviews
from domain.scheduling.spans import Span, merged, total, without
from domain.scheduling.types import ContentType, Request, UnplacedReason
from domain.scheduling.validation import field_errors

ENGINE_VERSION: Final = "1"
"""Increased when the same request may give another schedule; stored with each generation."""

_WEEKDAYS: Final = "월화수목금토일"
_WEEKDAYS_EN: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def schedule(request: Request) -> Schedule:
    """Plan the remaining units of every content from ``request.today`` on.

    The function is pure and deterministic: equal requests give equal schedules, whatever the order
    of their rows. A full calendar is not an error: ``unplaced`` has the units that do not fit.

    Raises ``InvalidInputError`` (with every error), ``NoContentsError``, ``NoBlocksError``,
    ``NoStudyDaysError`` and ``NothingPlacedError``.
    """
    _check(request)
    days = calendar(request)
    first_day = max(0, (request.today - request.period_start).days)
    rooms = _free_time(request, days, first_day)
    needs = demands(request, days, first_day)
    allotment = allot(needs, rooms)
    rows, shrunk = place(allotment, rooms)
    if not rows and any(need.units for need in needs):
        raise _nothing_placed(days, rooms, first_day)
    reviews, review_warnings = place_reviews(request, days, needs, rows, rooms)
    limited = [need.limited(n) for need, n in zip(needs, allotment.counts, strict=True)]
    kept = [((plan.date - request.period_start).days, plan) for plan in request.kept]
    # If all units are placed in study time, no time is short, whatever the even deal would need.
    is_short = any(row.reserve for row in rows) or any(
        count < len(need.units) for need, count in zip(needs, allotment.counts, strict=True)
    )
    return Schedule(
        plans=_plans(days, [*rows, *reviews]),
        unplaced=tuple(_unplaced(needs, allotment, rooms)),
        warnings=(
            *_input_warnings(request, needs),
            *(_shortages(days, needs, rooms) if is_short else ()),
            *(one.warning(days[one.day].date.isoformat()) for one in shrunk),
            *review_warnings,
        ),
        quality=quality(days, limited, rows, rooms, kept),
    )


def _check(request: Request) -> None:
    if found := field_errors(request):
        raise InvalidInputError(found)
    if not request.contents:
        raise NoContentsError
    if not request.blocks:
        raise NoBlocksError


def _free_time(request: Request, days: Sequence[Day], first_day: int) -> dict[int, Room]:
    """Return study time and reserve of each day from today on, without the student's plans."""
    taken: Mapping[date, list[Span]] = defaultdict(list)
    for busy in request.busy:
        taken[busy.date].append((busy.start_minute, busy.end_minute))
    for plan in request.kept:
        taken[plan.date].append((plan.start_minute, plan.end_minute))
    rooms = {}
    for index in range(first_day, len(days)):
        day = days[index]
        holes = merged(taken[day.date]) if day.date in taken else ()
        rooms[index] = Room(without(day.study, holes), without(day.reserve, holes))
    return rooms


def _plans(days: Sequence[Day], rows: Sequence[Row]) -> tuple[ScheduledPlan, ...]:
    return tuple(
        ScheduledPlan(sequence, day.date, *row[1:], day.week, day.cycle, day.cycle_day)
        for sequence, row in enumerate(sorted(rows), 1)
        for day in (days[row.day],)
    )


def _unplaced(
    needs: Sequence[Demand], allotment: Allotment, rooms: Mapping[int, Room]
) -> Iterator[Unplaced]:
    """Yield the unplaced units of each content, by position, as ranges without gaps."""
    tails = zip(needs, allotment.counts, strict=True)
    for need, count in sorted(tails, key=lambda tail: tail[0].content.position):
        if count == len(need.units):
            continue
        longest = max((_held(rooms[day]) for day in need.own), default=0)
        if not need.own:
            reason = UnplacedReason.NO_DAY
        elif 0 < longest < need.prefix[count + 1] - need.prefix[count]:
            reason = UnplacedReason.DAY_TOO_SHORT
        else:
            reason = UnplacedReason.NO_ROOM
        tail = range(count, len(need.units))
        for _, stretch in groupby(tail, key=lambda i: need.units[i] - i):
            indexes = list(stretch)
            first, last = indexes[0], indexes[-1]
            minutes = need.prefix[last + 1] - need.prefix[first]
            yield Unplaced(
                need.content.position, need.units[first], need.units[last], minutes, reason
            )


def _input_warnings(request: Request, needs: Sequence[Demand]) -> Iterator[PlanWarning]:
    length = (request.period_end - request.period_start).days + 1
    if length > 366:
        yield warning("long_period", days=length)
    if len(request.contents) > 6:
        yield warning("many_contents", count=len(request.contents))
    for content in sorted(request.contents, key=lambda content: content.position):
        if content.type is ContentType.LECTURE:
            unknown = [
                content.first_unit + i for i, m in enumerate(content.episode_minutes) if m is None
            ]
            for first, after in merged((unit, unit + 1) for unit in unknown):
                yield warning(
                    "assumed_minutes",
                    content=content.position,
                    first_unit=first,
                    last_unit=after - 1,
                    minutes=UNKNOWN_EPISODE_MINUTES,
                )
    if not any(need.units for need in needs):
        yield warning("nothing_left")


def _shortages(
    days: Sequence[Day], needs: Sequence[Demand], rooms: Mapping[int, Room]
) -> Iterator[PlanWarning]:
    """Yield a warning for each study day to which the even deal gives more than its study time."""
    dealt: Mapping[int, list[int]] = defaultdict(list)
    for need in needs:
        for index, minutes in even_minutes(need).items():
            dealt[index].append(minutes)
    for index in sorted(dealt):
        day, free = days[index], total(rooms[index].study)
        if sum(dealt[index]) > free:
            yield warning(
                "shortage",
                week=day.week,
                weekday=_WEEKDAYS[day.date.weekday()],
                weekday_en=_WEEKDAYS_EN[day.date.weekday()],
                date=day.date.isoformat(),
                need=sum(dealt[index]),
                free=free,
            )


def _nothing_placed(
    days: Sequence[Day], rooms: Mapping[int, Room], first_day: int
) -> NoStudyDaysError | NothingPlacedError:
    left = days[first_day:]
    if all(day.kind is DayKind.EXCLUDED for day in left):
        return NoStudyDaysError()
    reasons: dict[DayKind, DayReason] = {
        DayKind.EXCLUDED: "excluded",
        DayKind.NO_TIME: "no_study_time",
    }
    return NothingPlacedError(
        days=tuple(
            DayWithoutPlan(day.date, reasons.get(day.kind) or _fullness(rooms[index]))
            for index, day in enumerate(left, first_day)
        )
    )


def _fullness(room: Room) -> DayReason:
    return "unused" if _held(room) else "full"


def _held(room: Room) -> int:
    return total(room.study) + total(room.reserve)
