"""What remains of each content, by when it was due, and which of its rows stand."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Final, NamedTuple

from domain.scheduling.demand import Demand, Problem, own_days
from domain.scheduling.layout.comfort import comfort_of
from domain.scheduling.rescheduling.catching_up import AT_ONCE, Content
from domain.scheduling.rescheduling.session import Standing
from domain.scheduling.rescheduling.standing import even_due, items_of, kept_by_content
from domain.scheduling.rescheduling.timetable import RowsByContent, Timetable
from domain.scheduling.rows import Row
from domain.scheduling.types import KeptPlan, PlanKind, Strategy


@dataclass(frozen=True, slots=True)
class _Own:
    """The kept plans of one content, and its study rows.

    Missed and hit rows are among ``rows``, which are in order of time.
    """

    kept: Sequence[KeptPlan]
    rows: Sequence[Row]
    standing: Sequence[Row]
    undone: Sequence[Row]

    @property
    def kept_study(self) -> list[KeptPlan]:
        return [plan for plan in self.kept if plan.kind is PlanKind.STUDY]


def remaining_contents(
    problem: Problem,
    *,
    rows: RowsByContent,
    standing: RowsByContent,
    undone: RowsByContent,
    timetable: Timetable,
) -> list[Content]:
    """Return what remains of each content.

    :param rows: the study rows before the reschedule, missed ones included.
    :param standing: those that stand.
    :param undone: the others, which were missed or hit.
    """
    kept = kept_by_content(problem.request)
    found = []
    for demand in problem.demands:
        at = demand.content.position
        own = _Own(kept.get(at, ()), rows.get(at, ()), standing.get(at, ()), undone.get(at, ()))
        found.append(_content(problem, demand, own, timetable))
    return found


def _content(problem: Problem, demand: Demand, own: _Own, timetable: Timetable) -> Content:
    deal, numbers = items_of(demand, own.rows)
    items = _Items(deal.units, numbers)
    standing: dict[int, list[Standing]] = defaultdict(list)
    for row in own.standing:
        standing[row.day].append(Standing(row, items.of(row)))
    days = sorted({*_own_days(problem, demand, own, timetable), *standing})
    due = [_NEVER] * len(deal.units)
    for day, units, part in _undone_units(problem, own):
        at = bisect_right(days, day) - 1
        for item in items.remaining(units, part):
            due[item] = at
    for at, day in enumerate(days):
        for one in standing.get(day, ()):
            due[one.items.start : one.items.stop] = [at] * len(one.items)
    return Content(
        deal=deal,
        numbers=numbers,
        days=days,
        due=_due(due, deal.units, len(days), own),
        standing=standing,
        reserve_days=frozenset(row.day for row in own.rows if row.reserve),
        comfort=comfort_of(problem.request),
    )


class _Items(NamedTuple):
    """The ascending units of items, each with its part and the parts."""

    units: Sequence[int]
    numbers: Sequence[tuple[int, int]]

    def of(self, row: Row) -> range:
        """Return the items of a row of which all remain."""
        first = bisect_left(self.units, row.first_unit)
        while self.numbers[first][0] != row.part:
            first += 1
        return range(first, first + row.last_unit - row.first_unit + 1)

    def remaining(self, units: range, part: int) -> Iterator[int]:
        """Yield the items of units, or of the pieces of units with this number, that remain."""
        first, stop = bisect_left(self.units, units.start), bisect_left(self.units, units.stop)
        return (item for item in range(first, stop) if self.numbers[item][0] == part)


def _own_days(problem: Problem, demand: Demand, own: _Own, timetable: Timetable) -> set[int]:
    """Return the days that the last generation gave the content, and days of hit plans.

    A plan that only lost units keeps its day, also if that is not one of the content's own.
    """
    content, request = demand.content, problem.request
    shift = (content.day_shift or 0) if request.strategy is Strategy.BALANCED else 0
    hit = (row.day for row in own.undone if timetable.is_free(row))
    usable = range(problem.first_day, demand.stop)
    days = own_days(content, problem.days, shift) if shift else demand.days
    return {*days, *hit}.intersection(usable)


_NEVER: Final = -2
"""Instead of a day, for an item that was not planned."""


def _due(due: list[int], units: Sequence[int], days: int, own: _Own) -> list[int]:
    """Return the position in the days by which each remaining item was due.

    ``due`` has it for the items that were planned.
    """
    if _NEVER in due:
        stop = next((item + 1 for item in reversed(range(len(due))) if due[item] != _NEVER), 0)
        if not stop and not own.kept_study:
            return even_due(len(units), days)
        # Items below a planned or kept one were left undone, and follow the one before them; others
        # were added to the end.
        kept = max((plan.last_unit for plan in own.kept), default=0)
        stop = max(stop, bisect_right(units, kept))
        known = accumulate(
            due[:stop], lambda before, at: before if at == _NEVER else at, initial=AT_ONCE
        )
        added = [days - 1 if at == _NEVER else at for at in due[stop:]]
        due = [*islice(known, 1, None), *added]
    return due if due == sorted(due) else in_order(due)


def in_order(due: Sequence[int]) -> list[int]:
    """Return when items are due if no item is due before an earlier one.

    As few of them as possible are due at another time: those that are not in a longest
    subsequence that does not decrease. They were moved by hand, and are due with the next item of
    the subsequence, or with its last one.
    """
    ends: list[int] = []  # the least end of a subsequence of each length
    lengths = []
    for at in due:
        length = bisect_right(ends, at)
        ends[length : length + 1] = [at]
        lengths.append(length)
    found = list(due)
    length, at = len(ends) - 1, ends[-1]
    for item in reversed(range(len(due))):
        if lengths[item] == length and due[item] <= at:
            length, at = length - 1, due[item]
        found[item] = at
    return found


def _undone_units(problem: Problem, own: _Own) -> Iterator[tuple[int, range, int]]:
    """Yield the day of each row that is missed, hit or part done, with its units and part.

    A plan of a later day may be part done in advance; the rest of it is due on its day.
    """
    for plan in own.kept_study:
        if plan.done_through:
            day = (plan.date - problem.request.period_start).days
            yield day, range(plan.done_through + 1, plan.last_unit + 1), plan.part
    for row in own.undone:
        yield row.day, range(row.first_unit, row.last_unit + 1), row.part
