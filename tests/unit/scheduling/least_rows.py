"""The least number of study rows that a reschedule has to change, by dynamic programming.

For each content by itself: after every own day, each number of units that can be done by then has a
least number of rows that had to change. Rows of other contents keep their time, units stay in
order, and only study time is used; there is no limit on the minutes of a day, and contents do not
compete for the same free time. So a reschedule changes fewer rows only if another content leaves
time free, and it may have to change more. The cost is quadratic in the units of a day, so this is
for small groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations

from domain.scheduling.demand import Demand, Problem, own_days, problem_of
from domain.scheduling.placement import Room, pack
from domain.scheduling.rescheduling.session import within
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.spans import Span, without
from domain.scheduling.types import MINUTES_PER_DAY, PlanKind, Strategy
from tests.unit.scheduling.lives import Life

MAX_UNITS = 60


def least_changed_rows(life: Life, today: date) -> int | None:
    """Return the least number of study rows to change on a day with missed plans.

    ``None`` for groups that are too large, have units in pieces, or need more than study time.
    """
    request = life.request_on(today)
    problem = problem_of(request, life.baseline.days(request))
    shifts = request.strategy is Strategy.BALANCED
    sum_ = 0
    for demand in problem.demands:
        if len(demand.units) > MAX_UNITS or any(plan.parts > 1 for plan in life.planned):
            return None
        shift = (demand.content.day_shift or 0) if shifts else 0
        least = _least(_Content(life, today, problem, demand, shift))
        if least is None:
            return None
        sum_ += least
    return sum_


class _Content:
    """A content with its own days, the free time of these, and its rows as ranges of items."""

    def __init__(
        self, life: Life, today: date, problem: Problem, demand: Demand, shift: int
    ) -> None:
        self.demand = demand
        index = {unit: item for item, unit in enumerate(demand.units)}
        usable = range(problem.first_day, demand.stop)
        self.days = [day for day in own_days(demand.content, problem.days, shift) if day in usable]
        self.rooms: dict[int, Room] = {}
        self.rows: dict[int, list[_Row]] = {}
        for day in self.days:
            plans = [plan for plan in life.planned if plan.date == problem.days[day].date]
            own = [plan for plan in plans if self._is_own(plan)]
            others = sorted(
                (plan.start_minute, plan.end_minute) for plan in plans if not self._is_own(plan)
            )
            self.rooms[day] = Room(without(problem.rooms[day].study, others), ())
            self.rows[day] = [
                _Row(
                    (plan.start_minute, plan.end_minute),
                    range(index[plan.first_unit], index[plan.last_unit] + 1),
                )
                for plan in own
            ]

    def _is_own(self, plan: ScheduledPlan) -> bool:
        return plan.content == self.demand.content.position and plan.kind is PlanKind.STUDY


@dataclass(frozen=True, slots=True)
class _Row:
    span: Span
    items: range


def _least(content: _Content) -> int | None:
    prefix, count = content.demand.prefix, len(content.demand.units)
    if sum(len(row.items) for rows in content.rows.values() for row in rows) == count:
        return 0
    changed = {0: 0}
    for day in content.days:
        rows, room = content.rows[day], content.rooms[day]
        after: dict[int, int] = {}
        for done, before in changed.items():
            for stop in range(done, count + 1):
                if prefix[stop] - prefix[done] > room.minutes:
                    break
                stay = _most_that_stay(content.demand, range(done, stop), rows, room)
                if stay is not None:
                    cost = before + len(rows) - stay
                    after[stop] = min(cost, after.get(stop, cost))
        changed = after
    return changed.get(count)


def _most_that_stay(demand: Demand, items: range, rows: Sequence[_Row], room: Room) -> int | None:
    """Return how many rows can stay on a day with these items; ``None`` if they do not fit."""
    inside = [
        row for row in rows if items.start <= row.items.start and row.items.stop <= items.stop
    ]
    for size in range(len(inside), -1, -1):
        if any(_fits(demand, items, kept, room) for kept in combinations(inside, size)):
            return size
    return None


def _fits(demand: Demand, items: range, kept: Sequence[_Row], room: Room) -> bool:
    """Whether the items that no kept row has find room between the kept rows, in order."""
    free = Room(without(room.study, [row.span for row in kept]), ())
    at, minute = items.start, 0
    for stop, start, next_ in (
        *((row.items.start, row.span[0], row) for row in kept),
        (items.stop, MINUTES_PER_DAY, None),
    ):
        gap = range(at, stop)
        if gap and pack(demand.prefix, gap, within(free, (minute, start))) is None:
            return False
        if next_ is not None:
            at, minute = next_.items.stop, next_.span[1]
    return True
