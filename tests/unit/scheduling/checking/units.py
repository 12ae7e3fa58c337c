"""What rows carry: every unit once, in order, for its minutes; and what was left out."""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from fractions import Fraction
from itertools import chain, combinations, pairwise

from domain.scheduling.schedule import ScheduledPlan
from domain.scheduling.vocabulary import ContentType, PlanKind, UnplacedReason
from tests.unit.scheduling.checking.case import Case, listed, name, units
from tests.unit.scheduling.checking.world import Amounts


def check_units(case: Case) -> Iterator[str]:
    """The cover of every range, the minutes of rows, wrap-ups and the unplaced tail."""
    for amounts in case.amounts.values():
        yield from _cover(case, amounts)
        yield from _ascending(case.study_of(amounts.content.position))
        yield from _study_minutes(case.study_of(amounts.content.position), amounts)
        yield from _fragments(case, amounts)
        yield from _wrap_ups(case, amounts)
    yield from _unplaced(case)
    yield from _everything_placed(case)
    yield from _shares(case)


def pieces_are_whole(rows: Iterable[ScheduledPlan]) -> Iterator[str]:
    """Of a unit in parts, every part stands there once, in order of time."""
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


def carried(rows: Iterable[ScheduledPlan]) -> Counter[int]:
    """How often each unit is carried; the pieces of a unit carry it once together."""
    whole = [row for row in rows if row.part == row.parts]
    return Counter(unit for row in whole for unit in units(row))


def _cover(case: Case, amounts: Amounts) -> Iterator[str]:
    position = amounts.content.position
    rows = case.study_of(position)
    yield from pieces_are_whole(rows)
    found = carried(rows) + Counter(amounts.kept)
    for tail in case.schedule.unplaced:
        if tail.content == position:
            found.update(range(tail.first_unit, tail.last_unit + 1))
    missing = set(amounts.units) - set(found)
    strange = set(found) - set(amounts.units)
    twice = {unit for unit, times in found.items() if times > 1}
    for what, which in (("missing", missing), ("outside the range", strange), ("twice", twice)):
        if which:
            yield f"content {position}: units {listed(which)} are {what}"


def _ascending(rows: list[ScheduledPlan]) -> Iterator[str]:
    for before, after in pairwise(rows):
        continued = before.last_unit == after.first_unit and before.part + 1 == after.part
        if after.first_unit <= before.last_unit and not continued:
            yield f"{name(after)} does not ascend after {name(before)}"


def _study_minutes(rows: list[ScheduledPlan], amounts: Amounts) -> Iterator[str]:
    pieces: Counter[int] = Counter()
    for row in rows:
        net = row.minutes - row.wrap_up_minutes
        if not set(units(row)) <= set(amounts.units):
            continue
        if row.parts > 1:
            pieces[row.first_unit] += net
            if net < 1:
                yield f"{name(row)} is wrap-up alone"
        elif net != amounts.cost(units(row)):
            yield f"{name(row)} takes {net} min, its units cost {amounts.cost(units(row))}"
        if amounts.content.type is ContentType.LECTURE and row.first_unit != row.last_unit:
            yield f"{name(row)} holds more than one episode"
    for unit, net in pieces.items():
        if net != amounts.minutes[unit]:
            yield f"the pieces of unit {unit} take {net} min, it costs {amounts.minutes[unit]}"


def _fragments(case: Case, amounts: Amounts) -> Iterator[str]:
    """Only the end of a span divides a row (and an episode stands alone)."""
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
    told = {str(n["date"]): n for n in case.warnings("wrap_up_shrunk") if n["content"] == position}
    for day, rows in by_day.items():
        given = rows[-1].wrap_up_minutes
        if any(row.wrap_up_minutes for row in rows[:-1]):
            yield f"content {position} has a wrap-up before its last row of {day}"
        if given > wanted:
            yield f"{name(rows[-1])} has {given} min of wrap-up, the content {wanted}"
        if _kept_that_day(case, position, day):
            continue
        if given < wanted:
            yield from _shrunk_wrap_up(case, rows[-1], wanted, told.get(str(day)))
        elif str(day) in told:
            yield f"the wrap-up of content {position} on {day} is reported as shrunk and is not"
    for row in case.reviews:
        if row.content == position and row.wrap_up_minutes:
            yield f"{name(row)} is a review with a wrap-up"


def _kept_that_day(case: Case, position: int, day: object) -> bool:
    """A kept row of the day may already carry the day's one wrap-up."""
    kept = (p for p in case.request.kept if p.kind is PlanKind.STUDY)
    return any(plan.content == position and plan.date == day for plan in kept)


def _shrunk_wrap_up(
    case: Case, row: ScheduledPlan, wanted: int, told: dict[str, object] | None
) -> Iterator[str]:
    if told is None:
        yield f"the wrap-up of {name(row)} is {row.wrap_up_minutes} of {wanted} min, unreported"
    elif (told["need"], told["given"]) != (wanted, row.wrap_up_minutes):
        yield f"the warning about the wrap-up of {name(row)} says {told}"
    free = case.world.free(row.date, reserve=row.reserve)
    followed = any(r.date == row.date and r.start_minute == row.end_minute for r in case.rows)
    if row.end_minute in free and not followed:
        yield f"the wrap-up of {name(row)} is shrunk although room follows"


def _unplaced(case: Case) -> Iterator[str]:
    placed = {p: a.cost(case.placed(p)) for p, a in case.amounts.items()}
    order = [(tail.content, tail.first_unit) for tail in case.schedule.unplaced]
    if order != sorted(order):
        yield "the unplaced do not stand by position"
    for position, amounts in case.amounts.items():
        tails = [tail for tail in case.schedule.unplaced if tail.content == position]
        for tail in tails:
            cost = amounts.cost(range(tail.first_unit, tail.last_unit + 1))
            if tail.minutes != cost:
                yield f"{tail} costs {cost} min"
        if not tails:
            continue
        following = min(tail.first_unit for tail in tails)
        if any(unit > following for unit in case.placed(position)):
            yield f"what is unplaced of content {position} is not the tail"
        more = {**placed, position: placed[position] + amounts.minutes[following]}
        if fits(more, case.open_days, case.room):
            yield f"unit {following} of content {position} is unplaced and would fit"
        yield from _reasons(case, amounts, {tail.reason for tail in tails}, following)


def _reasons(
    case: Case, amounts: Amounts, reasons: set[UnplacedReason], following: int
) -> Iterator[str]:
    position = amounts.content.position
    days = case.open_days[position]
    if (UnplacedReason.NO_DAY in reasons) != (not days):
        yield f"content {position} has {len(days)} days left and is unplaced for {reasons}"
    longest = max((case.room[day] for day in days), default=0)
    if UnplacedReason.DAY_TOO_SHORT in reasons and amounts.minutes[following] <= longest:
        yield f"unit {following} of content {position} is not too long for every day"


def _everything_placed(case: Case) -> Iterator[str]:
    needs = {p: a.cost(a.remaining) for p, a in case.amounts.items()}
    if case.schedule.unplaced and fits(needs, case.open_days, case.room):
        yield f"the minutes fit, and {len(case.schedule.unplaced)} tails are unplaced"


def _shares(case: Case) -> Iterator[str]:
    """Each content gets at least the whole units of its proportional share."""
    needs = {p: a.cost(a.remaining) for p, a in case.amounts.items()}
    possible = {p: need for p, need in needs.items() if case.open_days[p]}
    part = fair_share(possible, case.open_days, case.room)
    for position in possible:
        amounts = case.amounts[position]
        rest = [unit for unit in amounts.remaining if unit not in case.placed(position)]
        got = amounts.cost(case.placed(position))
        if rest and got + amounts.minutes[rest[0]] <= part * needs[position]:
            yield (
                f"content {position} got {got} min and not unit {rest[0]}, "
                f"its share is {float(part * needs[position]):.1f} of {needs[position]} min"
            )


Needs = Mapping[int, int]
Days = Mapping[int, Collection[date]]
Room = Mapping[date, int]


def fits(needs: Needs, days: Days, room: Room) -> bool:
    """Whether every content's minutes can flow onto its own days.

    A content may use any of its days without a limit other than the day's room, so the minimum
    cut is given by the contents on its near side: the minutes fit exactly if no set of contents
    needs more than all their days together hold. With nine contents that is 511 sums.
    ``max_flow`` finds the same number by augmenting paths, as the cross-check.
    """
    return all(need <= held for need, held in _cuts(needs, days, room))


def fair_share(needs: Needs, days: Days, room: Room) -> Fraction:
    """The greatest part of its need that every content can have at once, at most 1."""
    parts = (Fraction(held, need) for need, held in _cuts(needs, days, room) if need)
    return min(chain([Fraction(1)], parts))


def least_peak(needs: Needs, days: Days, room: Room, fixed: Mapping[date, int]) -> int:
    """The smallest P with fixed + new minutes at most P on every day named in ``fixed``.

    Days that ``fixed`` leaves out (holidays) are held by their room alone.
    """
    peak = max(fixed.values(), default=0)
    while not fits(needs, days, _below(peak, room, fixed)):
        peak += 1
    return peak


def max_flow(needs: Needs, days: Days, room: Room) -> int:
    """The most minutes that can flow, by shortest augmenting paths."""
    left, held = dict(needs), dict(room)
    used = {(content, day): 0 for content in needs for day in days[content]}
    total = 0
    while path := _augmenting(left, held, days, used):
        amount = min([left[path[0][0]], held[path[-1][1]], *_backward(path, used)])
        left[path[0][0]] -= amount
        held[path[-1][1]] -= amount
        for index, (content, day) in enumerate(path):
            used[content, day] += amount
            if index:
                used[content, path[index - 1][1]] -= amount
        total += amount
    return total


Path = list[tuple[int, date]]


def _cuts(needs: Needs, days: Days, room: Room) -> Iterator[tuple[int, int]]:
    contents = sorted(needs)
    subsets = chain.from_iterable(
        combinations(contents, size) for size in range(1, len(contents) + 1)
    )
    for subset in subsets:
        reached = {day for content in subset for day in days[content]}
        yield sum(needs[content] for content in subset), sum(room[day] for day in reached)


def _below(peak: int, room: Room, fixed: Mapping[date, int]) -> Room:
    return {
        day: min(held, peak - fixed[day]) if day in fixed else held for day, held in room.items()
    }


def _backward(path: Path, used: Mapping[tuple[int, date], int]) -> list[int]:
    return [used[path[i + 1][0], path[i][1]] for i in range(len(path) - 1)]


def _augmenting(
    left: Needs, held: Room, days: Days, used: Mapping[tuple[int, date], int]
) -> Path | None:
    queue: deque[tuple[int, Path]] = deque((c, []) for c in left if left[c] > 0)
    seen: set[date] = set()
    while queue:
        content, path = queue.popleft()
        for day in days[content]:
            if day in seen:
                continue
            seen.add(day)
            longer = [*path, (content, day)]
            if held[day] > 0:
                return longer
            queue.extend((c, longer) for c in left if used.get((c, day), 0) > 0)
    return None
