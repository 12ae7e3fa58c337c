"""Checks of the reviews after a reschedule: each cycle that changed is reviewed, or reported."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from fractions import Fraction

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import KeptPlan, PlanKind
from tests.unit.scheduling.checking.amounts import Amounts, half_up, runs
from tests.unit.scheduling.checking.case import listed, units
from tests.unit.scheduling.checking.reschedule import Rescheduled, place_of
from tests.unit.scheduling.checking.world import World

Key = tuple[int, int]
"""A cycle and the position of a content."""
Studied = Mapping[Key, Mapping[int, date]]
"""The last day of each unit of which all pieces have a plan, by the cycle of that day."""


def check_followed(case: Rescheduled) -> Iterator[str]:
    """Check that all units of each changed review have one or are reported, and its minutes."""
    if not case.request.review_days:
        return
    before = _studied(case, case.before, is_whole=True)
    after = _studied(case, case.result.plans, is_whole=False)
    gone = _gone(case)
    for key in sorted({*before, *after, *gone}):
        changed = _timely(case, key, before) != _timely(case, key, after)
        if changed or key in gone:
            yield from _covered(case, key, after.get(key, {}))
    yield from _missed(case)
    yield from _review_minutes(case)


def _studied(
    case: Rescheduled, plans: Iterable[ScheduledPlan], *, is_whole: bool
) -> dict[Key, dict[int, date]]:
    """Return what is studied.

    ``is_whole`` tells whether part done plans count as a whole, save units that are planned again.
    """
    rows = [(row, row.last_unit) for row in plans if row.kind is PlanKind.STUDY]
    planned = {(row.content, unit) for row, _ in rows for unit in units(row)}
    kept = [
        (plan, plan.last_unit if is_whole else plan.last_kept_unit)
        for plan in case.request.kept
        if plan.kind is PlanKind.STUDY
    ]
    last: dict[tuple[int, int], date] = {}
    share: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
    amounts = {c.position: Amounts(c, case.request).minutes for c in case.request.contents}
    both: list[tuple[ScheduledPlan | KeptPlan, int]] = [*rows, *kept]
    for row, end in both:
        net = row.end_minute - row.start_minute - row.wrap_up_minutes
        for unit in range(row.first_unit, end + 1):
            if (cost := amounts.get(row.content, {}).get(unit)) is None:
                continue
            one = row.content, unit
            if isinstance(row, KeptPlan) and unit > row.last_kept_unit and one in planned:
                continue
            share[one] += 1 if row.parts == 1 else Fraction(net, cost)
            last[one] = max(last.get(one, date.min), row.date)
    found: dict[Key, dict[int, date]] = defaultdict(dict)
    for (position, unit), day in last.items():
        if share[position, unit] >= 1:
            found[_cycle(case, day), position][unit] = day
    return found


def _cycle(case: Rescheduled, day: date) -> int:
    """Return the cycle of a date, or of the nearest one that the last generation has counted."""
    days = case.decided.days
    return days[min(max(day, min(days)), max(days))].cycle


def _timely(case: Rescheduled, key: Key, studied: Studied) -> tuple[set[int], set[int]]:
    """Return the units that a cycle studies before its first review day, and the others.

    Units that a kept review of the cycle covers are left out.
    """
    days = [d.date for d in case.decided.days.values() if d.kind == "review" and d.cycle == key[0]]
    first, found = min(days, default=date.max), studied.get(key, {})
    timely = {unit for unit, day in found.items() if day < first} - _reviewed(case, key)
    return timely, found.keys() - timely - _reviewed(case, key)


def _reviewed(case: Rescheduled, key: Key) -> set[int]:
    """Return the units that kept reviews of a cycle cover."""
    return {
        unit
        for plan in case.request.kept
        if plan.kind is PlanKind.REVIEW and (_cycle(case, plan.date), plan.content) == key
        for unit in range(plan.first_unit, plan.last_kept_unit + 1)
    }


def _review_days(case: Rescheduled, key: Key) -> list[date]:
    """Return the review days that a cycle has left before the deadline of a content."""
    cycle, position = key
    content = next(one for one in case.request.contents if one.position == position)
    stop = World(case.request).stop(content)
    return [
        d.date
        for d in case.decided.days.values()
        if d.kind == "review" and d.cycle == cycle and case.first <= d.date < stop
    ]


def _gone(case: Rescheduled) -> set[Key]:
    """Return the cycles and contents of which a planned review is not where it was."""
    after = {place_of(row) for row in case.result.plans}
    return {
        (_cycle(case, row.date), row.content)
        for row in case.before
        if row.kind is PlanKind.REVIEW and row.date >= case.first and place_of(row) not in after
    }


def _changes(case: Rescheduled) -> bool:
    """Whether any plan from the first day on has changed its place."""
    before = {place_of(row) for row in case.before if row.date >= case.first}
    return before != {place_of(row) for row in case.result.plans if row.date >= case.first}


def _covered(case: Rescheduled, key: Key, studied: Mapping[int, date]) -> Iterator[str]:
    cycle, position = key
    if not _review_days(case, key):
        return
    rows = [row for row in case.result.plans if row.kind is PlanKind.REVIEW]
    has_review = {
        unit for row in rows if (_cycle(case, row.date), row.content) == key for unit in units(row)
    }
    missing = studied.keys() - has_review - _reviewed(case, key) - _reported(case, position)
    if not _changes(case):
        # An earlier run has reported the units that are studied on a review day.
        first = min(
            d.date for d in case.decided.days.values() if (d.kind, d.cycle) == ("review", cycle)
        )
        missing -= {unit for unit, day in studied.items() if day >= first}
    if missing:
        yield (
            f"units {listed(missing)} of content {position} have neither a review nor a warning "
            f"in cycle {cycle}, which has changed"
        )


def _reported(case: Rescheduled, position: int) -> set[int]:
    return {
        unit
        for data in case.warnings("unreviewed")
        if data["content"] == position
        for unit in range(int(str(data["first_unit"])), int(str(data["last_unit"])) + 1)
    }


def _missed(case: Rescheduled) -> Iterator[str]:
    """Check that the done units of a missed review are reviewed elsewhere or reported.

    So are those that are left of a part done one, if anything has changed.
    """
    for row in case.before:
        if row.kind is PlanKind.REVIEW and row.date < case.request.today:
            yield from _lost(case, row, {*units(row)})
    for plan in case.request.kept if _changes(case) else ():
        if plan.kind is PlanKind.REVIEW:
            yield from _lost(case, plan, {*range(plan.last_kept_unit + 1, plan.last_unit + 1)})


def _lost(case: Rescheduled, row: ScheduledPlan | KeptPlan, due: set[int]) -> Iterator[str]:
    """Yield the units due for review that were done before a review, and have none now."""
    content = next((c for c in case.request.contents if c.position == row.content), None)
    if content is None:
        return
    amounts = Amounts(content, case.request)
    # What is done later, before its date, belongs to the cycle of that date.
    earlier = {
        unit
        for plan in case.request.kept
        if (plan.kind, plan.content) == (PlanKind.STUDY, row.content) and plan.date < row.date
        for unit in range(plan.first_unit, plan.last_kept_unit + 1)
    }
    due = due & {*amounts.kept} & {*amounts.units} & earlier
    both: list[ScheduledPlan | KeptPlan] = [*case.result.plans, *case.request.kept]
    for other in both:
        if other.kind is PlanKind.REVIEW and other.content == row.content:
            last = other.last_kept_unit if isinstance(other, KeptPlan) else other.last_unit
            due -= {*range(other.first_unit, last + 1)}
    factor = Fraction(case.request.factors.review)
    for first, last in runs(due - _reported(case, row.content)):
        if half_up(factor * amounts.cost(range(first, last + 1))):
            yield f"units {first}-{last} of content {row.content} have lost their review"


def _review_minutes(case: Rescheduled) -> Iterator[str]:
    """Check the minutes of reviews that are all new, of a content in a cycle.

    A missed review may be offered in another cycle than that of its units, and the minutes of each
    range may be rounded for themselves.
    """
    made = {place_of(row) for row in case.made}
    found: dict[Key, list[ScheduledPlan]] = defaultdict(list)
    for row in case.result.plans:
        if row.kind is PlanKind.REVIEW:
            found[_cycle(case, row.date), row.content].append(row)
    shrunk = {data["cycle"] for data in case.warnings("review_shrunk")}
    factor = Fraction(case.request.factors.review)
    for (cycle, position), rows in found.items():
        content = next(one for one in case.request.contents if one.position == position)
        if not all(place_of(row) in made for row in rows):
            continue
        amounts, minutes = Amounts(content, case.request), sum(row.minutes for row in rows)
        ranges = runs(unit for row in rows for unit in units(row) if unit in amounts.units)
        need = factor * sum(amounts.cost(range(a, b + 1)) for a, b in ranges)
        if abs(minutes - need) > len(rows) and (minutes > need or cycle not in shrunk):
            yield f"content {position} is reviewed {minutes} min in cycle {cycle}, not {need}"
