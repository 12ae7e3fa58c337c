"""Checks of units: each is placed once, in order and with its minutes, or is reported."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import ContentType, PlanKind
from tests.unit.scheduling.checking.amounts import SHORTEST_SPLIT, Amounts
from tests.unit.scheduling.checking.case import Case, listed, name, units

NONE: Mapping[int, Collection[int]] = {}


def check_units(case: Case) -> Iterator[str]:
    """Check the cover of every range, the minutes of rows, the pieces and the wrap-ups."""
    for amounts in case.amounts.values():
        yield from _cover(case, amounts)
        yield from _ascending(case.study_of(amounts.content.position))
        yield from _study_minutes(case.study_of(amounts.content.position), amounts)
        yield from _short_pieces(case, amounts)
        yield from _fragments(case, amounts)
        yield from _wrap_ups(case, amounts)
        yield from _second_wrap_ups(case, amounts.content.position)


def check_pieces(
    rows: Iterable[ScheduledPlan], kept: Mapping[int, Collection[int]] = NONE
) -> Iterator[str]:
    """Check that every piece of a divided unit occurs once, in order of time.

    ``kept`` has the numbers of the pieces of each unit that are kept.
    """
    pieces: dict[int, list[ScheduledPlan]] = defaultdict(list)
    for row in rows:
        if row.parts == 1 and row.part == 1:
            continue
        if row.first_unit != row.last_unit:
            yield f"{name(row)} is a piece of more than one unit"
        pieces[row.first_unit].append(row)
    for unit, found in pieces.items():
        numbers, taken = [(row.part, row.parts) for row in found], kept.get(unit, ())
        count = len(found) + len(taken)
        free = (number for number in range(1, sum(taken) + count + 1) if number not in taken)
        if numbers != [(number, count) for number in islice(free, len(found))]:
            yield f"the pieces of unit {unit} of content {found[0].content} are {numbers}"


def coverage(rows: Sequence[ScheduledPlan]) -> Counter[int]:
    """Count how often each unit is covered; all pieces of a unit together cover it once."""
    pieces = {row.first_unit for row in rows if row.parts > 1}
    return Counter(pieces) + Counter(unit for row in rows if row.parts == 1 for unit in units(row))


def _cover(case: Case, amounts: Amounts) -> Iterator[str]:
    position = amounts.content.position
    rows = case.study_of(position)
    yield from check_pieces(rows, amounts.kept_pieces)
    found = coverage(rows) + Counter(amounts.kept)
    for tail in case.schedule.unplaced:
        if tail.content == position:
            found.update(range(tail.first_unit, tail.last_unit + 1))
    missing = set(amounts.units) - set(found)
    outside = set(found) - set(amounts.units)
    twice = {unit for unit, times in found.items() if times > 1}
    problems = {"missing": missing, "outside the range": outside, "covered twice": twice}
    for problem, affected in problems.items():
        if affected:
            yield f"units {listed(affected)} of content {position} are {problem}"


def _ascending(rows: list[ScheduledPlan]) -> Iterator[str]:
    for before, after in pairwise(rows):
        continued = before.last_unit == after.first_unit and before.part < after.part
        if after.first_unit <= before.last_unit and not continued:
            yield f"{name(after)} is not in ascending order after {name(before)}"


def _study_minutes(rows: list[ScheduledPlan], amounts: Amounts) -> Iterator[str]:
    pieces: Counter[int] = Counter()
    for row in rows:
        net = row.minutes - row.wrap_up_minutes
        if not set(units(row)) <= set(amounts.units):
            continue
        if row.parts > 1:
            pieces[row.first_unit] += net
            if net < 1:
                yield f"{name(row)} consists only of wrap-up"
        elif net != amounts.cost(units(row)):
            yield f"{name(row)} takes {net} min, but its units cost {amounts.cost(units(row))}"
        if amounts.content.type is ContentType.LECTURE and row.first_unit != row.last_unit:
            yield f"{name(row)} has more than one episode"
    for unit, planned in pieces.items():
        net = planned + sum(amounts.kept_pieces.get(unit, {}).values())
        if net != amounts.minutes[unit]:
            yield f"the pieces of unit {unit} take {net} min, but it costs {amounts.minutes[unit]}"


def _short_pieces(case: Case, amounts: Amounts) -> Iterator[str]:
    for row in case.study_of(amounts.content.position):
        minutes = amounts.minutes.get(row.first_unit, SHORTEST_SPLIT)
        if row.parts > 1 and minutes < SHORTEST_SPLIT:
            yield f"{name(row)} is a piece of a unit of only {minutes} min"


def _fragments(case: Case, amounts: Amounts) -> Iterator[str]:
    """Check that rows are divided only at the ends of spans, except between episodes."""
    if amounts.content.type is ContentType.LECTURE:
        return
    for a, b in pairwise(case.study_of(amounts.content.position)):
        touching = (a.date, a.end_minute, a.reserve) == (b.date, b.start_minute, b.reserve)
        if touching and a.parts == b.parts == 1 and a.last_unit + 1 == b.first_unit:
            yield f"{name(a)} and {name(b)} should be one row"


def _wrap_ups(case: Case, amounts: Amounts) -> Iterator[str]:
    position, wanted = amounts.content.position, amounts.content.wrap_up_minutes
    by_day: dict[object, list[ScheduledPlan]] = defaultdict(list)
    for row in case.study_of(position):
        by_day[row.date].append(row)
    shrunk = case.warnings("wrap_up_shrunk")
    reported = {str(data["date"]): data for data in shrunk if data["content"] == position}
    for day, rows in by_day.items():
        given = rows[-1].wrap_up_minutes
        if any(row.wrap_up_minutes for row in rows[:-1]):
            yield f"content {position} has a wrap-up before its last row of {day}"
        if given > wanted:
            yield f"{name(rows[-1])} has {given} min of wrap-up, but its content has {wanted}"
        if _has_kept_row(case, position, day):
            continue
        if given < wanted:
            yield from _shrunk_wrap_up(case, rows[-1], wanted, reported.get(str(day)))
        elif str(day) in reported:
            yield f"the wrap-up of content {position} on {day} is reported as shrunk, but is not"
    for row in case.reviews:
        if row.content == position and row.wrap_up_minutes:
            yield f"{name(row)} is a review with a wrap-up"


def _has_kept_row(case: Case, position: int, day: object) -> bool:
    """Whether a kept row of the day may already have the wrap-up of the day."""
    kept = (p for p in case.request.kept if p.kind is PlanKind.STUDY)
    return any(plan.content == position and plan.date == day for plan in kept)


def _second_wrap_ups(case: Case, position: int) -> Iterator[str]:
    """Check that no row has a wrap-up if a kept row of the day that is not part done has it."""
    wrapped_up = {
        plan.date
        for plan in case.request.kept
        if plan.content == position and plan.wrap_up_minutes and plan.done_through is None
    }
    for row in case.study_of(position):
        if row.wrap_up_minutes and row.date in wrapped_up:
            yield f"{name(row)} has the second wrap-up of its day"


def _shrunk_wrap_up(
    case: Case, row: ScheduledPlan, wanted: int, reported: dict[str, object] | None
) -> Iterator[str]:
    if reported is None:
        yield (
            f"the wrap-up of {name(row)} has {row.wrap_up_minutes} of {wanted} min "
            "without a warning"
        )
    elif (reported["need"], reported["given"]) != (wanted, row.wrap_up_minutes):
        yield f"the wrap-up of {name(row)} is reported with the wrong minutes: {reported}"
    free = case.world.free(row.date, reserve=row.reserve)
    # Under ``balanced``, a few minutes before the next row may be the way to its five-minute mark.
    idle = range(row.end_minute, row.end_minute + (5 if case.is_balanced else 1))
    followed = any(r.date == row.date and r.start_minute in idle for r in case.rows)
    if set(idle) <= free and not followed:
        yield f"the wrap-up of {name(row)} is shrunk although free time follows"
