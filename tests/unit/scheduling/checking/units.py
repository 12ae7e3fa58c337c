"""Checks of units: each is placed once, in order and with its minutes, or is unplaced."""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from fractions import Fraction
from itertools import chain, combinations, pairwise

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import ContentType, PlanKind, UnplacedReason
from tests.unit.scheduling.checking.case import Case, listed, name, units
from tests.unit.scheduling.checking.world import Amounts


def check_units(case: Case) -> Iterator[str]:
    """Check the cover of every range, the minutes of rows, the wrap-ups and the unplaced units."""
    for amounts in case.amounts.values():
        yield from _cover(case, amounts)
        yield from _ascending(case.study_of(amounts.content.position))
        yield from _study_minutes(case.study_of(amounts.content.position), amounts)
        yield from _fragments(case, amounts)
        yield from _wrap_ups(case, amounts)
    yield from _unplaced(case)
    yield from _everything_placed(case)
    yield from _shares(case)


def check_pieces(rows: Iterable[ScheduledPlan]) -> Iterator[str]:
    """Check that every piece of a divided unit occurs once, in order of time."""
    pieces: dict[int, list[ScheduledPlan]] = defaultdict(list)
    for row in rows:
        if row.parts == 1 and row.part == 1:
            continue
        if row.first_unit != row.last_unit:
            yield f"{name(row)} is a piece of more than one unit"
        pieces[row.first_unit].append(row)
    for unit, found in pieces.items():
        numbers = [(row.part, row.parts) for row in found]
        if numbers != [(i, len(found)) for i in range(1, len(found) + 1)]:
            yield f"the pieces of unit {unit} of content {found[0].content} are {numbers}"


def coverage(rows: Iterable[ScheduledPlan]) -> Counter[int]:
    """Count how often each unit is covered; all pieces of a unit together cover it once."""
    complete = [row for row in rows if row.part == row.parts]
    return Counter(unit for row in complete for unit in units(row))


def _cover(case: Case, amounts: Amounts) -> Iterator[str]:
    position = amounts.content.position
    rows = case.study_of(position)
    yield from check_pieces(rows)
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
        continued = before.last_unit == after.first_unit and before.part + 1 == after.part
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
    for unit, net in pieces.items():
        if net != amounts.minutes[unit]:
            yield f"the pieces of unit {unit} take {net} min, but it costs {amounts.minutes[unit]}"


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
    followed = any(r.date == row.date and r.start_minute == row.end_minute for r in case.rows)
    if row.end_minute in free and not followed:
        yield f"the wrap-up of {name(row)} is shrunk although free time follows"


def _unplaced(case: Case) -> Iterator[str]:
    placed = {p: a.cost(case.placed(p)) for p, a in case.amounts.items()}
    order = [(tail.content, tail.first_unit) for tail in case.schedule.unplaced]
    if order != sorted(order):
        yield "the unplaced units are not ordered by position"
    for position, amounts in case.amounts.items():
        tails = [tail for tail in case.schedule.unplaced if tail.content == position]
        for tail in tails:
            cost = amounts.cost(range(tail.first_unit, tail.last_unit + 1))
            if tail.minutes != cost:
                yield f"{tail} costs {cost} min"
        if not tails:
            continue
        next_unit = min(tail.first_unit for tail in tails)
        if any(unit > next_unit for unit in case.placed(position)):
            yield f"the unplaced units of content {position} are not its last units"
        with_next = {**placed, position: placed[position] + amounts.minutes[next_unit]}
        if fits(with_next, case.open_days, case.room):
            yield f"unit {next_unit} of content {position} is unplaced, but would fit"
        yield from _reasons(case, amounts, {tail.reason for tail in tails}, next_unit)


def _reasons(
    case: Case, amounts: Amounts, reasons: set[UnplacedReason], next_unit: int
) -> Iterator[str]:
    position = amounts.content.position
    days = case.open_days[position]
    if (UnplacedReason.NO_DAY in reasons) != (not days):
        yield f"content {position} has {len(days)} days left, but the reasons are {reasons}"
    longest = max((case.room[day] for day in days), default=0)
    if UnplacedReason.DAY_TOO_SHORT in reasons and amounts.minutes[next_unit] <= longest:
        yield f"unit {next_unit} of content {position} fits, but the reason is day_too_short"


def _everything_placed(case: Case) -> Iterator[str]:
    needs = {p: a.cost(a.remaining) for p, a in case.amounts.items()}
    if case.schedule.unplaced and fits(needs, case.open_days, case.room):
        yield f"all minutes fit, but {len(case.schedule.unplaced)} ranges are unplaced"


def _shares(case: Case) -> Iterator[str]:
    """Check that each content gets at least the complete units of its proportional share."""
    needs = {p: a.cost(a.remaining) for p, a in case.amounts.items()}
    possible = {p: need for p, need in needs.items() if case.open_days[p]}
    share = fair_share(possible, case.open_days, case.room)
    for position in possible:
        amounts = case.amounts[position]
        rest = [unit for unit in amounts.remaining if unit not in case.placed(position)]
        got = amounts.cost(case.placed(position))
        if rest and got + amounts.minutes[rest[0]] <= share * needs[position]:
            yield (
                f"content {position} got {got} min without unit {rest[0]}, "
                f"but its share is {float(share * needs[position]):.1f} of {needs[position]} min"
            )


Needs = Mapping[int, int]
Days = Mapping[int, Collection[date]]
Room = Mapping[date, int]


def fits(needs: Needs, days: Days, room: Room) -> bool:
    """Whether the minutes of all contents fit into the days that each of them may use.

    This asks for a flow from the contents to the days. A content may fill any of its days up to the
    day's room, so by the max-flow min-cut theorem the minutes fit if and only if no set of contents
    needs more minutes than its days have together. Nine contents have 511 such sets. ``max_flow``
    computes the flow itself with augmenting paths, as a cross-check.
    """
    return all(need <= capacity for need, capacity in _cuts(needs, days, room))


def fair_share(needs: Needs, days: Days, room: Room) -> Fraction:
    """Return the greatest fraction of its need, at most 1, that all contents can get together."""
    parts = (Fraction(capacity, need) for need, capacity in _cuts(needs, days, room) if need)
    return min(chain([Fraction(1)], parts))


def least_peak(needs: Needs, days: Days, room: Room, fixed: Mapping[date, int]) -> int:
    """Return the smallest P with fixed + new minutes of at most P on every day in ``fixed``.

    Days that are not in ``fixed`` (holidays) are limited only by their room. The search does not
    end if the needs do not fit into the days.
    """
    peak = max(fixed.values(), default=0)
    while not fits(needs, days, _below(peak, room, fixed)):
        peak += 1
    return peak


def max_flow(needs: Needs, days: Days, room: Room) -> int:
    """Return the maximum flow in minutes, found by shortest augmenting paths (Edmonds–Karp)."""
    left, capacity = dict(needs), dict(room)
    used = {(content, day): 0 for content in needs for day in days[content]}
    total = 0
    while path := _augmenting_path(left, capacity, days, used):
        amount = min([left[path[0][0]], capacity[path[-1][1]], *_backward(path, used)])
        left[path[0][0]] -= amount
        capacity[path[-1][1]] -= amount
        for index, (content, day) in enumerate(path):
            used[content, day] += amount
            if index:
                used[content, path[index - 1][1]] -= amount
        total += amount
    return total


Path = list[tuple[int, date]]
"""Pairs of content and day; each content after the first moves minutes off the previous day."""


def _cuts(needs: Needs, days: Days, room: Room) -> Iterator[tuple[int, int]]:
    """Yield the need of every set of contents, and the room of its days."""
    contents = sorted(needs)
    subsets = chain.from_iterable(
        combinations(contents, size) for size in range(1, len(contents) + 1)
    )
    for subset in subsets:
        reached = {day for content in subset for day in days[content]}
        yield sum(needs[content] for content in subset), sum(room[day] for day in reached)


def _below(peak: int, room: Room, fixed: Mapping[date, int]) -> Room:
    return {
        day: min(capacity, peak - fixed[day]) if day in fixed else capacity
        for day, capacity in room.items()
    }


def _backward(path: Path, used: Mapping[tuple[int, date], int]) -> list[int]:
    """Return the minutes that each later content of the path can move off the previous day."""
    return [used[path[i + 1][0], path[i][1]] for i in range(len(path) - 1)]


def _augmenting_path(
    left: Needs, capacity: Room, days: Days, used: Mapping[tuple[int, date], int]
) -> Path | None:
    """Return a shortest path, by breadth-first search, to a day with room; ``None`` if none."""
    queue: deque[tuple[int, Path]] = deque((c, []) for c in left if left[c] > 0)
    seen: set[date] = set()
    while queue:
        content, path = queue.popleft()
        for day in days[content]:
            if day in seen:
                continue
            seen.add(day)
            longer = [*path, (content, day)]
            if capacity[day] > 0:
                return longer
            queue.extend((c, longer) for c in left if used.get((c, day), 0) > 0)
    return None
