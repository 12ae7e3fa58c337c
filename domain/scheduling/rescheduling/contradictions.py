"""Which planned rows contradict the data of their group, because these were edited since.

A reschedule plans the units of exactly these rows again, and of those that were missed.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from domain.scheduling.demand import Demand, problem_of
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.rescheduling.timetable import Timetable
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


def contradiction(
    row: Row, demand: Demand | None, remaining: frozenset[int], timetable: Timetable
) -> Contradiction | None:
    """Return why a row contradicts the data, or ``None`` if it does not.

    ``demand`` is that of its content, and ``remaining`` has the units of the content that are not
    done.
    """
    if not timetable.is_free(row):
        return Contradiction.TIME
    if demand is None:
        return Contradiction.RANGE
    if row.day >= demand.stop:
        return Contradiction.DEADLINE
    content = demand.content
    if row.kind is PlanKind.REVIEW:
        is_planned = content.first_unit <= row.first_unit and row.last_unit <= content.last_unit
    else:
        is_planned = remaining.issuperset(range(row.first_unit, row.last_unit + 1))
    return None if is_planned else Contradiction.RANGE


def contradictions(
    request: Request, planned: Sequence[ScheduledPlan], baseline: Baseline
) -> list[Contradiction | None]:
    """Return for each plan why it contradicts the data of the request, in the given order.

    ``request.kept`` are the plans that are done or part done, and ``planned`` the other live ones.
    The dates before ``request.today`` have no time.
    """
    problem = problem_of(request, baseline.days(request))
    demands: Mapping[int, Demand] = {one.content.position: one for one in problem.demands}
    remaining = {position: frozenset(one.units) for position, one in demands.items()}
    rows = [row_of(plan, (plan.date - request.period_start).days) for plan in planned]
    timetable = Timetable(problem.rooms, rows, {})
    return [
        contradiction(
            row, demands.get(row.content), remaining.get(row.content, frozenset()), timetable
        )
        for row in rows
    ]
