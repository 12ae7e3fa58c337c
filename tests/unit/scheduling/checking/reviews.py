"""Reviews: of what the cycle studied before, once, for a part of its minutes."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

from domain.scheduling.schedule import ScheduledPlan
from domain.scheduling.vocabulary import PlanKind
from tests.unit.scheduling.checking.amounts import half_up, runs
from tests.unit.scheduling.checking.case import Case, Slot, listed, name, units
from tests.unit.scheduling.checking.units import carried, pieces_are_whole


def check_reviews(case: Case) -> Iterator[str]:
    """Every cycle's reviews against what the cycle studied."""
    studied = Studied(case)
    for cycle in sorted(studied.cycles | {row.cycle for row in case.reviews}):
        for position in case.contents:
            yield from _content(case, studied, cycle, position)
        yield from _minutes(case, studied, cycle)


class Studied:
    """Which units each cycle studied of each content, and when the unit was complete."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.new: dict[tuple[int, int], dict[int, date]] = defaultdict(dict)
        self.kept: dict[tuple[int, int], dict[int, date]] = defaultdict(dict)
        for row in case.study:
            if row.part == row.parts:
                self.new[row.cycle, row.content].update(dict.fromkeys(units(row), row.date))
        for plan in case.request.kept:
            if plan.kind is PlanKind.STUDY and plan.part == plan.parts:
                kept = range(plan.first_unit, plan.last_kept_unit + 1)
                cycle = case.world.cycle_of(plan.date)
                self.kept[cycle, plan.content].update(dict.fromkeys(kept, plan.date))

    @cached_property
    def cycles(self) -> set[int]:
        """The cycles in which anything is studied."""
        return {cycle for cycle, _ in (*self.new, *self.kept)}

    def units(self, cycle: int, position: int) -> dict[int, date]:
        """Every unit of a content that the cycle studied, new or kept, with its date."""
        return {**self.kept[cycle, position], **self.new[cycle, position]}

    def reviewable(self, cycle: int, position: int) -> list[int]:
        """The units that a review day from today on comes after."""
        last = max(self.case.world.review_days(cycle), default=date.min)
        return sorted(unit for unit, day in self.units(cycle, position).items() if day < last)


def _content(case: Case, studied: Studied, cycle: int, position: int) -> Iterator[str]:
    rows = [row for row in case.reviews if (row.cycle, row.content) == (cycle, position)]
    when = studied.units(cycle, position)
    for row in rows:
        early = [unit for unit in units(row) if when.get(unit, date.max) >= row.date]
        if early:
            yield f"{name(row)} covers units {listed(early)}, not studied before in its cycle"
    yield from pieces_are_whole(rows)
    yield from _coverage(case, studied, cycle, position)
    for first, last in runs(when):
        within = [row for row in rows if first <= row.first_unit and row.last_unit <= last]
        yield from _one_row_a_span(case, within)


def _coverage(case: Case, studied: Studied, cycle: int, position: int) -> Iterator[str]:
    rows = [row for row in case.reviews if (row.cycle, row.content) == (cycle, position)]
    covered = carried(rows)
    kept = _kept_reviews(case, cycle, position)
    told = _unreviewed(case, position)
    twice = {unit for unit, times in (covered + kept).items() if times > 1}
    if twice:
        yield f"units {listed(twice)} of content {position} are reviewed twice in cycle {cycle}"
    wanted = set(studied.reviewable(cycle, position))
    if case.request.review_days and case.study:
        wanted |= set(studied.new[cycle, position])
    missing = wanted - set(covered) - set(kept) - told
    if missing:
        yield f"units {listed(missing)} of content {position}, cycle {cycle}: no review, no warning"
    both = told & set(covered) & set(studied.units(cycle, position))
    if both:
        yield f"units {listed(both)} of content {position} are reviewed and told as unreviewed"


def _kept_reviews(case: Case, cycle: int, position: int) -> Counter[int]:
    plans = (p for p in case.request.kept if p.kind is PlanKind.REVIEW and p.part == p.parts)
    return Counter(
        unit
        for plan in plans
        if plan.content == position and case.world.cycle_of(plan.date) == cycle
        for unit in range(plan.first_unit, plan.last_kept_unit + 1)
    )


def _unreviewed(case: Case, position: int) -> set[int]:
    return {
        unit
        for data in case.notices("unreviewed")
        if data["content"] == position
        for unit in range(int(str(data["first_unit"])), int(str(data["last_unit"])) + 1)
    }


def _one_row_a_span(case: Case, rows: list[ScheduledPlan]) -> Iterator[str]:
    """Only the end of a span divides the review of a contiguous range."""
    used: dict[Slot | None, ScheduledPlan] = {}
    for before, after in pairwise(rows):
        continued = before.last_unit == after.first_unit and before.part + 1 == after.part
        if after.first_unit <= before.last_unit and not continued:
            yield f"{name(after)} does not ascend after {name(before)}"
    for row in rows:
        slot = case.slot_of(row)
        if slot in used and slot and row.parts == used[slot].parts == 1:
            yield f"{name(used[slot])} and {name(row)} should be one row"
        used[slot] = row


def _minutes(case: Case, studied: Studied, cycle: int) -> Iterator[str]:
    """The need, or all reviews shrunk alike to the room there is.

    Left alone where kept reviews count for some of the need, and where a holiday's study
    comes too late for the first review day, so that not all of the room is for all.
    """
    days = case.world.review_days(cycle)
    positions = sorted({p for p in case.contents if studied.reviewable(cycle, p)})
    late = any(
        studied.units(cycle, p)[u] >= days[0] for p in positions for u in studied.units(cycle, p)
    )
    if not positions or late or any(_kept_reviews(case, cycle, p) for p in positions):
        return
    needs = {p: _needs(case, studied.reviewable(cycle, p), p) for p in positions}
    least, most = (sum(side(need) for need in needs.values()) for side in (min, max))
    room = sum(case.room[day] for day in days)
    told = [data for data in case.notices("review_shrunk") if data["cycle"] == cycle]
    given = {
        p: sum(r.minutes for r in case.reviews if (r.cycle, r.content) == (cycle, p))
        for p in positions
    }
    if most <= room:
        if told:
            yield f"the reviews of cycle {cycle} need {most} of {room} min and are told as shrunk"
        for p, minutes in given.items():
            if minutes not in needs[p]:
                yield f"content {p} is reviewed {minutes} min in cycle {cycle}, not {needs[p]}"
    if least > room:
        yield from _shrunk(cycle, needs, given, room, told)


def _needs(case: Case, reviewed: list[int], position: int) -> set[int]:
    """Rounded for the content as a whole, or range by range: the rule allows both."""
    factor = Fraction(case.request.factors.review)
    amounts = case.amounts[position]
    ranges = (range(first, last + 1) for first, last in runs(reviewed))
    together = half_up(factor * amounts.cost(reviewed))
    return {together, sum(half_up(factor * amounts.cost(r)) for r in ranges)}


def _shrunk(
    cycle: int,
    needs: dict[int, set[int]],
    given: dict[int, int],
    room: int,
    told: list[dict[str, object]],
) -> Iterator[str]:
    possible = {sum(side(n) for n in needs.values()) for side in (min, max)}
    need = next((int(str(d["need"])) for d in told), max(possible))
    if not told and room:
        yield f"the reviews of cycle {cycle} are shrunk ({need} of {room} min) without a warning"
    if len(told) > 1 or need not in range(min(possible), max(possible) + 1):
        yield f"the shrinking of cycle {cycle} is told as {told}, the need is {possible}"
    if any(data["free"] != room for data in told):
        yield f"the shrinking of cycle {cycle} is told as {told}, the room is {room}"
    if sum(given.values()) != room:
        yield f"the shrunk reviews of cycle {cycle} use {sum(given.values())} of {room} min"
    for position, minutes in given.items():
        fair = [Fraction(side(needs[position]) * room, need) for side in (min, max)]
        if not fair[0] - 1 <= minutes <= fair[1] + 1:
            yield f"content {position} is reviewed {minutes} min, alike were {float(fair[0]):.1f}"
