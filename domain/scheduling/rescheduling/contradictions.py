"""Which planned rows contradict the data of their group, because these were edited since.

A reschedule plans the units of exactly these rows again, and of those that were missed.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from functools import cached_property

from domain.scheduling.demand import Demand, Problem, problem_of
from domain.scheduling.moving import may_be_moved_to
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.rescheduling.timetable import holds
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.rows import Row, row_of
from domain.scheduling.types import PlanKind, Request


class Contradiction(StrEnum):
    """Why a plan contradicts the data of its group."""

    TIME = "time"
    """A class, an exclusion, a special day, another block or period has taken its time."""
    DEADLINE = "deadline"
    """It is not before the deadline of its content or the target date of the group."""
    RANGE = "range"
    """The range of its content does not contain all of its units."""


class OpenTime:
    """The time in which planned rows may stand.

    A date that was opened since the last generation has no time in the problem of a reschedule, but
    a plan can be moved there by hand, and stands there then.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def holds(self, row: Row, demand: Demand | None) -> bool:
        """Whether a row of a content lies in this time, apart from the other rows."""
        room = self._problem.rooms.get(row.day)
        if room is not None and holds(room, row):
            return True
        opened = self._now.rooms.get(row.day)
        allocation = None if demand is None else demand.content.allocation
        return (
            opened is not None
            and may_be_moved_to(self._now.days[row.day].kind, allocation)
            and holds(opened, row)
        )

    @cached_property
    def _now(self) -> Problem:
        """The problem with the calendar as it is now."""
        request = self._problem.request
        first = request.period_start + timedelta(days=self._problem.first_day)
        return problem_of(request, first_date=first)


def contradiction(row: Row, demand: Demand | None, time: OpenTime) -> Contradiction | None:
    """Return why a row contradicts the data, or ``None`` if it does not.

    ``demand`` is that of its content, with the units that are not done.
    """
    if not time.holds(row, demand):
        return Contradiction.TIME
    if demand is None:
        return Contradiction.RANGE
    if row.day >= demand.stop:
        return Contradiction.DEADLINE
    content = demand.content
    if row.kind is PlanKind.REVIEW:
        is_planned = content.first_unit <= row.first_unit and row.last_unit <= content.last_unit
    else:
        is_planned = _has_all(demand.units, row.first_unit, row.last_unit)
    return None if is_planned else Contradiction.RANGE


def _has_all(units: Sequence[int], first: int, last: int) -> bool:
    """Whether ascending units include all from the first to the last."""
    at = bisect_left(units, first)
    stop = at + last - first
    return stop < len(units) and units[at] == first and units[stop] == last


def contradictions(
    request: Request, planned: Sequence[ScheduledPlan], baseline: Baseline
) -> list[Contradiction | None]:
    """Return for each plan why it contradicts the data of the request, in the given order.

    ``request.kept`` are the plans that are done or part done, and ``planned`` the other live ones.
    The dates before ``request.today`` have no time.
    """
    problem = problem_of(request, baseline.days(request))
    demands: Mapping[int, Demand] = {one.content.position: one for one in problem.demands}
    rows = [row_of(plan, (plan.date - request.period_start).days) for plan in planned]
    time = OpenTime(problem)
    return [contradiction(row, demands.get(row.content), time) for row in rows]
