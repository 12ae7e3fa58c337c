"""What has to be solved: the calendar, the free time and the demands of a request.

A day is identified by its index in the calendar, which is the number of days since the start of
the period.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from domain.scheduling.calendar import Day, calendar
from domain.scheduling.demand import Demand, demands
from domain.scheduling.placement import Room
from domain.scheduling.spans import Span, merged, without
from domain.scheduling.types import Request


@dataclass(frozen=True, slots=True)
class Problem:
    """A request with what is computed from it before any unit is placed.

    ``days`` are all days of the period, ``first_day`` is the index of today (or of the first day),
    ``rooms`` has the free time of each day from today on, and ``demands`` are in the order of
    placing.
    """

    request: Request
    days: Sequence[Day]
    first_day: int
    rooms: Mapping[int, Room]
    demands: Sequence[Demand]


def problem_of(request: Request) -> Problem:
    """Return the problem of a valid request."""
    days = calendar(request)
    first_day = max(0, (request.today - request.period_start).days)
    return Problem(
        request=request,
        days=days,
        first_day=first_day,
        rooms=_free_time(request, days, first_day),
        demands=demands(request, days, first_day),
    )


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
