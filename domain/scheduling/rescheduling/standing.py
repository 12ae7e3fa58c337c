"""What stands before a reschedule: items of contents, rows of plans, and kept plans."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import accumulate, count

from domain.scheduling.calendar import DayKind
from domain.scheduling.demand import Demand, Problem, is_complete
from domain.scheduling.distribution.deal import Deal
from domain.scheduling.rescheduling.catching_up import AT_ONCE, CaughtUp, Content
from domain.scheduling.rescheduling.timetable import RowsByContent
from domain.scheduling.rounding import even_deal
from domain.scheduling.rows import Row, piece_of
from domain.scheduling.types import KeptPlan, PlanKind, Request


def within_period(day: int, days: Sequence[object]) -> int:
    """Return a day of the period: the nearest one for a plan that the period no longer includes."""
    return day if 0 <= day < len(days) else min(max(day, 0), len(days) - 1)


def even_due(units: int, days: int) -> list[int]:
    """Return the position of the day on which each unit is due if they are dealt out evenly."""
    if not days:
        return [AT_ONCE] * units
    counts = even_deal(units, days)
    return [bisect_right(counts, unit) for unit in range(units)]


def whole_units(content: Content, found: CaughtUp) -> CaughtUp:
    """Return the result without the pieces of a unit that could not be placed completely."""
    units, placed = content.deal.units, found.placed
    if placed == len(units) or not placed or units[placed] != units[placed - 1]:
        return found
    partial = units[placed]
    rows = [row for row in found.rows if row.parts == 1 or row.first_unit != partial]
    return CaughtUp(rows, units.index(partial))


def undone_units(content: Content) -> Iterator[int]:
    """Yield the units of which an item has no standing row."""
    standing = {item for rows in content.standing.values() for one in rows for item in one.items}
    return (unit for item, unit in enumerate(content.deal.units) if item not in standing)


def unfinished_units(demand: Demand, planned: Iterable[Row]) -> list[int]:
    """Return the units of which a piece is kept or planned, and another one is not."""
    pieces = {unit: dict(own) for unit, own in demand.kept_pieces.items()}
    for row in planned:
        if row.parts > 1:
            pieces.setdefault(row.first_unit, {})[row.part] = piece_of(row)
    return [unit for unit, own in pieces.items() if not is_complete(own, demand.unit_minutes(unit))]


def items_of(demand: Demand, planned: Iterable[Row]) -> tuple[Deal, list[tuple[int, int]]]:
    """Return the remaining units as items: pieces as they were planned, and whole units.

    The second result has the part and the parts of each item. What remains of a unit beside its
    planned pieces is one more piece.
    """
    pieces: dict[int, dict[int, Row]] = defaultdict(dict)
    for row in planned:
        if row.parts > 1:
            pieces[row.first_unit][row.part] = row
    if not pieces and not demand.kept_pieces:
        return Deal(demand, demand.units, demand.prefix, [], []), [(1, 1)] * len(demand.units)
    units: list[int] = []
    minutes: list[int] = []
    numbers: list[tuple[int, int]] = []
    for i, unit in enumerate(demand.units):
        own = {number: piece_of(row) for number, row in pieces.get(unit, {}).items()}
        taken = {**demand.kept_pieces.get(unit, {}), **own}
        found = [(part, *piece) for part, piece in own.items()]
        # Pieces keep their minutes, also if those of the unit are other ones by now.
        if not taken or not is_complete(taken, demand.unit_minutes(unit)):
            rest = demand.length(i) - sum(piece.minutes for piece in own.values())
            parts = max(len(taken) + 1, *(piece.parts for piece in own.values()), 1)
            found.append((_lowest_free(taken), parts, rest))
        for part, parts, length in sorted(found):
            units.append(unit)
            minutes.append(length)
            numbers.append((part, parts))
    cuts = len(units) - len(demand.units)
    return Deal(demand, units, [0, *accumulate(minutes)], [], [], cuts=cuts), numbers


def renumbered(demands: Mapping[int, Demand], planned: Sequence[Row]) -> list[Row]:
    """Return rows in order of time, of which the pieces of a unit are as many as they say.

    Some pieces may have been missed by hand: they are planned again as one, and not at all if the
    others have all minutes of a unit that was made shorter since. The others keep their time.
    """
    pieces: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
    for index, row in enumerate(planned):
        if row.parts > 1 and row.kind is PlanKind.STUDY and row.content in demands:
            pieces[row.content, row.first_unit][row.part] = index
    rows = list(planned)
    for (content, unit), indexes in pieces.items():
        demand = demands[content]
        kept = demand.kept_pieces.get(unit, {})
        taken = {**kept, **{number: piece_of(rows[at]) for number, at in indexes.items()}}
        missing = () if is_complete(taken, demand.unit_minutes(unit)) else (_lowest_free(taken),)
        parts = len(taken) + len(missing)
        if parts < max(piece.parts for piece in taken.values()):
            free = [n for n in range(1, parts + 1) if n not in kept and n not in missing]
            for at, number in zip(sorted(indexes.values()), free, strict=False):
                rows[at] = rows[at]._replace(part=number, parts=parts)
    return rows


def _lowest_free(taken: Container[int]) -> int:
    return next(number for number in count(1) if number not in taken)


def counted_whole(plan: KeptPlan) -> KeptPlan:
    """Return the plan, as a whole if it is a part done study plan."""
    if plan.kind is PlanKind.STUDY and plan.done_through is not None:
        return replace(plan, done_through=None)
    return plan


def kept_by_content(request: Request) -> dict[int, list[KeptPlan]]:
    kept: dict[int, list[KeptPlan]] = {}
    for plan in request.kept:
        kept.setdefault(plan.content, []).append(plan)
    return kept


def behind_reviews(
    reviews: RowsByContent, rows: RowsByContent, kept: Mapping[int, Iterable[KeptPlan]], start: date
) -> Iterator[tuple[int, int]]:
    """Yield the content and the day of study that is not before a planned review of its units.

    It was moved there by hand. ``rows`` are planned study; ``start`` is the period's first date.
    """
    for content, own in reviews.items():
        studied = [(row.day, row.first_unit, row.last_unit) for row in rows.get(content, ())]
        studied += [
            ((plan.date - start).days, plan.first_unit, plan.last_kept_unit)
            for plan in kept.get(content, ())
            if plan.kind is PlanKind.STUDY
        ]
        for day, first, last in studied:
            if any(
                one.day <= day and first <= one.last_unit and one.first_unit <= last for one in own
            ):
                yield content, day


def kept_minutes(request: Request) -> dict[int, int]:
    """Return the minutes of kept study on each day from today on."""
    minutes: dict[int, int] = defaultdict(int)
    for plan in request.kept:
        if plan.date >= request.today and plan.kind is PlanKind.STUDY:
            day = (plan.date - request.period_start).days
            minutes[day] += plan.end_minute - plan.start_minute
    return minutes


def with_study_days(problem: Problem) -> Problem:
    """Return the problem as a strategy would get it, for the trials of repairs.

    A closed study day is one without study time there, whose reserve is the last resort of all
    contents, and no content has days of other kinds of its own.
    """
    days = list(problem.days)
    reserve = []
    for index, day in enumerate(days):
        if day.kind is DayKind.STUDY and not day.study:
            days[index] = day._replace(kind=DayKind.NO_TIME, cycle_day=None)
            if index >= problem.first_day and day.reserve:
                reserve.append(index)
    demands = [
        replace(
            demand,
            days=[day for day in demand.days if days[day].kind is DayKind.STUDY],
            spare_days=sorted({*demand.spare_days, *(d for d in reserve if d < demand.stop)}),
        )
        for demand in problem.demands
    ]
    return replace(problem, days=days, demands=demands)
