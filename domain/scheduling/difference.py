"""The difference between the live plans of a group and the plans of a new schedule.

Plans are matched in three steps, each among those that the steps before have left:

1. A live plan that the schedule has too, at the same place, stays. Its place is its content, kind,
   range and piece, its date and time, its wrap-up, and whether it is in the reserve.
2. A live plan of the same content, kind, range and piece has moved to another place.
3. A live plan of the same content, kind and day with units in common has changed its range.

In steps 2 and 3 the new plan continues the *lineage* of the live one. The rest of the schedule is
new, and the rest of the live plans is dropped. So the kept, moved and dropped plans are those that
were live before, and the kept, moved and new ones are those that are live after.

Step 1 needs no choice, because no two live plans of a student overlap. Steps 2 and 3 take plans in
order of time, and step 3 prefers the live plan with the most units in common. The running time is
linear in the number of plans, apart from a logarithmic factor, because among the plans of one
content, kind and day only pieces of a unit have units in common.
"""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import Final
from uuid import UUID

from domain.scheduling.result import ScheduledPlan

PLACE: Final = (
    *("content", "kind", "date", "start_minute", "end_minute", "first_unit", "last_unit"),
    *("part", "parts", "wrap_up_minutes", "reserve"),
)
"""The fields that identify a plan. The others follow the calendar and may change in place."""
CALENDAR: Final = ("week", "cycle", "cycle_day")
place_of: Final[Callable[[ScheduledPlan], Hashable]] = attrgetter(*PLACE)
_range: Final[Callable[[ScheduledPlan], Hashable]] = attrgetter(
    "content", "kind", "first_unit", "last_unit", "part", "parts"
)
_day: Final[Callable[[ScheduledPlan], Hashable]] = attrgetter("content", "kind", "date")
_time: Final = attrgetter("date", "start_minute")
calendar_of: Final = attrgetter(*CALENDAR)


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A live plan as it is stored; ``plan`` has its place and range.

    ``generation`` is the number of the run that made it.
    """

    id: UUID
    lineage: UUID
    generation: int
    version: int
    plan: ScheduledPlan


@dataclass(frozen=True, slots=True)
class PlanChanges:
    """How many live plans a run has kept, moved, added and dropped.

    A moved plan is continued by another one of its lineage, at another time or with another range.
    ``kept``, ``moved`` and ``dropped`` are all plans that were live before; ``kept``, ``moved`` and
    ``new`` are all that are live afterwards.
    """

    kept: int = 0
    moved: int = 0
    new: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """What a schedule changes, in order of time; ``kept`` and ``moved`` pair the old with the new.

    ``moved`` includes the plans whose range has changed; they continue a lineage, too.
    """

    kept: tuple[tuple[StoredPlan, ScheduledPlan], ...] = ()
    moved: tuple[tuple[StoredPlan, ScheduledPlan], ...] = ()
    new: tuple[ScheduledPlan, ...] = ()
    dropped: tuple[StoredPlan, ...] = ()

    def changes(self, others: int) -> PlanChanges:
        """Return the counts; ``others`` is the number of live plans that were not compared."""
        kept = len(self.kept) + others
        return PlanChanges(kept, len(self.moved), len(self.new), len(self.dropped))

    @property
    def retired(self) -> tuple[StoredPlan, ...]:
        """The plans that are no longer live after the run."""
        return (*(old for old, _ in self.moved), *self.dropped)

    @property
    def recounted(self) -> tuple[tuple[StoredPlan, ScheduledPlan], ...]:
        """The kept plans whose week, cycle or day of the cycle differs."""
        return tuple(
            pair for pair in self.kept if calendar_of(pair[0].plan) != calendar_of(pair[1])
        )


def difference(live: Iterable[StoredPlan], planned: Iterable[ScheduledPlan]) -> Difference:
    """Match the live plans that may be replaced with a schedule's plans, both in any order."""
    old = {
        place_of(stored.plan): stored for stored in sorted(live, key=lambda row: _time(row.plan))
    }
    kept, wanted = [], []
    for plan in sorted(planned, key=_time):
        stored = old.pop(place_of(plan), None)
        if stored is None:
            wanted.append(plan)
        else:
            kept.append((stored, plan))
    moved, wanted, rest = _pair_ranges(wanted, old.values())
    changed, new, dropped = _pair_days(wanted, rest)
    moved = sorted([*moved, *changed], key=lambda pair: _time(pair[1]))
    return Difference(tuple(kept), tuple(moved), tuple(new), tuple(dropped))


_Pairs = list[tuple[StoredPlan, ScheduledPlan]]
_Matched = tuple[_Pairs, list[ScheduledPlan], list[StoredPlan]]


def _pair_ranges(wanted: Iterable[ScheduledPlan], old: Iterable[StoredPlan]) -> _Matched:
    """Pair plans of the same range, the earliest with the earliest."""
    queues: dict[Hashable, deque[StoredPlan]] = defaultdict(deque)
    for stored in old:
        queues[_range(stored.plan)].append(stored)
    pairs, unmatched = [], []
    for plan in wanted:
        if queue := queues.get(_range(plan)):
            pairs.append((queue.popleft(), plan))
        else:
            unmatched.append(plan)
    return pairs, unmatched, _by_time(stored for queue in queues.values() for stored in queue)


def _pair_days(wanted: Iterable[ScheduledPlan], old: Sequence[StoredPlan]) -> _Matched:
    """Pair plans of the same day that have units in common, as many as possible for each."""
    by_day: dict[Hashable, list[StoredPlan]] = defaultdict(list)
    for stored in old:
        by_day[_day(stored.plan)].append(stored)
    days = {day: _OfDay(rows) for day, rows in by_day.items()}
    pairs, unmatched = [], []
    for plan in wanted:
        day = days.get(_day(plan))
        best = None if day is None else day.take(plan)
        if best is None:
            unmatched.append(plan)
        else:
            pairs.append((best, plan))
    return pairs, unmatched, _by_time(stored for day in days.values() for stored in day.left)


class _OfDay:
    """The live plans of a content, kind and day, by their first unit."""

    def __init__(self, plans: Sequence[StoredPlan]) -> None:
        """Store plans, which are in order of time."""
        self._plans = sorted(enumerate(plans), key=lambda one: one[1].plan.first_unit)
        self._firsts = [stored.plan.first_unit for _, stored in self._plans]
        # The highest last unit of the plans until each one: none of them has a unit above it.
        self._reach = list(accumulate((stored.plan.last_unit for _, stored in self._plans), max))
        self._taken: set[int] = set()

    def take(self, plan: ScheduledPlan) -> StoredPlan | None:
        """Take the plan with the most units in common, and of several the earliest, if any."""
        index = bisect_right(self._firsts, plan.last_unit) - 1
        best: tuple[int, int, int] | None = None
        while index >= 0 and self._reach[index] >= plan.first_unit:
            number, stored = self._plans[index]
            found = _common(stored.plan, plan), -number, index
            if number not in self._taken and found[0] > 0 and (best is None or found > best):
                best = found
            index -= 1
        if best is None:
            return None
        _, number, index = best
        self._taken.add(-number)
        return self._plans[index][1]

    @property
    def left(self) -> Iterator[StoredPlan]:
        """The plans that were not taken."""
        return (stored for number, stored in self._plans if number not in self._taken)


def _common(one: ScheduledPlan, other: ScheduledPlan) -> int:
    """Return the number of units that two plans have in common."""
    return min(one.last_unit, other.last_unit) - max(one.first_unit, other.first_unit) + 1


def _by_time(plans: Iterable[StoredPlan]) -> list[StoredPlan]:
    return sorted(plans, key=lambda stored: _time(stored.plan))
