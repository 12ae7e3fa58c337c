"""Checks of what is unplaced, and of the last resorts that are used before that.

Units of 20 minutes and more can be split, so that a flow of minutes decides exactly whether they
can be placed. Shorter units cannot be split. For them ``sure_room`` has minutes that are enough.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from fractions import Fraction

from domain.scheduling.types import UnplacedReason
from tests.unit.scheduling.checking.amounts import SHORTEST_SPLIT, Amounts
from tests.unit.scheduling.checking.case import Case, clock, name
from tests.unit.scheduling.checking.flows import fair_share, fits, least_unplaced
from tests.unit.scheduling.checking.world import spans


def check_unplaced(case: Case) -> Iterator[str]:
    """Check the unplaced units, and that nothing is unplaced which can certainly be placed."""
    sure = sure_room(case)
    for position in case.amounts:
        yield from _tail(case, position, sure)
        yield from _room_left(case, position)
    order = [(tail.content, tail.first_unit) for tail in case.schedule.unplaced]
    if order != sorted(order):
        yield "the unplaced units are not ordered by position"
    yield from _everything_placed(case, sure)
    yield from _least_unplaced(case, sure)
    yield from _shares(case, sure)
    yield from _last_resort(case, sure)


def sure_room(case: Case, *, reserve: bool = True) -> dict[date, int]:
    """Return minutes of each day such that whatever fits into them can be placed in whole units.

    Without ``reserve``, only the spans of study time count.

    Proof: let a flow give each content c minutes of each span, in order of time. Let c take its
    units in order until it has as many minutes as the flow gave it so far, where a unit that can be
    split is cut and another one is completed. If the longest of the latter has L(c) minutes, c
    takes at most L(c) - 1 more of a span than the flow gave it. So everything is placed if each
    span has Σ (L(c) - 1) minutes more than the flow uses of it, over the contents c that may use
    its day. If all units can be split, these are all minutes of the day.
    """
    room = {}
    for day in case.world.days:
        users = [p for p, days in case.open_days.items() if day in days]
        lost = sum(max(0, case.amounts[p].longest_whole - 1) for p in users)
        room[day] = sum(
            max(0, end - start - lost)
            for _, start, end, is_reserve in case.slots[day]
            if reserve or not is_reserve
        )
    return room


def _tail(case: Case, position: int, sure: Mapping[date, int]) -> Iterator[str]:
    amounts = case.amounts[position]
    tails = [tail for tail in case.schedule.unplaced if tail.content == position]
    for tail in tails:
        cost = amounts.cost_left(range(tail.first_unit, tail.last_unit + 1))
        if tail.minutes != cost:
            yield f"{tail} costs {cost} min"
    if not tails:
        return
    next_unit = min(tail.first_unit for tail in tails)
    if any(unit > next_unit for unit in case.placed(position)):
        yield f"the unplaced units of content {position} are not its last units"
    placed = {p: a.cost_left(case.placed(p)) for p, a in case.amounts.items()}
    with_next = {**placed, position: placed[position] + amounts.left[next_unit]}
    if fits(with_next, case.open_days, sure):
        yield f"unit {next_unit} of content {position} is unplaced, but would fit"
    yield from _reasons(case, amounts, {tail.reason for tail in tails}, next_unit)


def _reasons(
    case: Case, amounts: Amounts, reasons: set[UnplacedReason], next_unit: int
) -> Iterator[str]:
    position, minutes = amounts.content.position, amounts.left[next_unit]
    days = case.open_days[position]
    if (UnplacedReason.NO_DAY in reasons) != (not days):
        yield f"content {position} has {len(days)} days left, but the reasons are {reasons}"
    lengths = {day: [end - start for _, start, end, _ in case.slots[day]] for day in days}
    # A unit that cannot be split is limited by the longest span of a day.
    hold = max if minutes < SHORTEST_SPLIT else sum
    longest = max((hold(found) for found in lengths.values() if found), default=0)
    if UnplacedReason.DAY_TOO_SHORT in reasons and minutes <= longest:
        yield f"unit {next_unit} of content {position} fits, but the reason is day_too_short"


def _room_left(case: Case, position: int) -> Iterator[str]:
    """Check that the first unplaced unit does not fit into the free spans behind the placed ones.

    A unit that cannot be split must not fit into one span, another one not into all together.
    Wrap-ups give way to units, so their time counts as free. Days with rows of other contents do
    not count: the rows of a day are moved together after the units are distributed, and two spans
    that did not hold the unit may have become one.
    """
    unit = min((t.first_unit for t in case.schedule.unplaced if t.content == position), default=0)
    if not unit:
        return
    minutes, later = case.amounts[position].left[unit], _later_spans(case, position)
    for day, start, end in later:
        if end - start >= minutes:
            when = f"{day} {clock(start)}-{clock(end)}"
            yield f"unit {unit} of content {position} is unplaced, but {when} is free"
    free = sum(end - start for _, start, end in later)
    if free >= minutes >= SHORTEST_SPLIT:
        yield f"unit {unit} of content {position} is unplaced, but {free} min are free for it"


def _later_spans(case: Case, position: int) -> list[tuple[date, int, int]]:
    """Return the free spans of a content's days that are not before its last row.

    If all units have the same minutes, spans before the last row of its day count too, because
    the units can be renumbered.
    """
    rows = case.study_of(position)
    others = {row.date for row in case.study if row.content != position}
    last_day = rows[-1].date if rows else date.min
    behind = rows[-1].end_minute - rows[-1].wrap_up_minutes if rows else 0
    if case.amounts[position].is_uniform and all(row.parts == 1 for row in rows):
        behind = 0
    return [
        (day, start, end)
        for day in case.open_days[position]
        for start, end in free_spans(case, day)
        if day not in others and (day > last_day or (day == last_day and start >= behind))
    ]


def free_spans(case: Case, day: date) -> list[tuple[int, int]]:
    """Return the spans of study time and of reserve that the new study rows leave free."""
    used = {
        minute
        for row in case.study
        if row.date == day
        for minute in range(row.start_minute, row.end_minute - row.wrap_up_minutes)
    }
    return [
        span
        for reserve in (False, True)
        for span in spans(case.world.free(day, reserve=reserve) - used)
    ]


def _everything_placed(case: Case, sure: Mapping[date, int]) -> Iterator[str]:
    if case.schedule.unplaced and fits(case.needs, case.open_days, sure):
        yield f"all minutes fit, but {len(case.schedule.unplaced)} ranges are unplaced"


def _least_unplaced(case: Case, sure: Mapping[date, int]) -> Iterator[str]:
    """Check that the unplaced minutes are at most the least, and less than a unit per content.

    Minutes that are placed to the last one are a maximum of a flow, and whole units lose less than
    the next unit of each content that has one left.
    """
    unplaced = sum(tail.minutes for tail in case.schedule.unplaced)
    nexts = {p: case.first_unplaced(p) for p in case.amounts}
    lost = sum(case.amounts[p].left[unit] - 1 for p, unit in nexts.items() if unit is not None)
    least = least_unplaced(case.needs, case.open_days, sure)
    if unplaced > least + lost:
        yield f"{unplaced} min are unplaced, but at most {least} + {lost} min have to be"


def _shares(case: Case, sure: Mapping[date, int]) -> Iterator[str]:
    """Check that each content gets at least the complete units of its proportional share.

    A content with a unit in pieces may have more than its share, which the others lack: less than
    its longest unit, because that one is placed completely or not at all.
    """
    possible = {p: need for p, need in case.needs.items() if case.open_days[p]}
    share = fair_share(possible, case.open_days, sure)
    got = {p: case.amounts[p].cost_left(case.placed(p)) for p in possible}
    excess = {
        p: min(max(Fraction(0), got[p] - share * need), Fraction(case.amounts[p].longest - 1))
        for p, need in possible.items()
        if any(row.parts > 1 for row in case.study_of(p))
    }
    for position, need in possible.items():
        unit = case.first_unplaced(position)
        wanted = share * need - sum(more for p, more in excess.items() if p != position)
        if unit is not None and got[position] + case.amounts[position].left[unit] <= wanted:
            yield (
                f"content {position} got {got[position]} min without unit {unit}, "
                f"but its share is {float(wanted):.1f} of {need} min"
            )


def _last_resort(case: Case, sure: Mapping[date, int]) -> Iterator[str]:
    """Check that days without study time are used only if the other days do not hold everything.

    The converse holds because of ``_room_left``: they are used before anything is unplaced.
    """
    if fits(case.needs, case.planned_days, sure):
        for row in case.on_spare_days:
            yield f"{name(row)} is on a day without study time, but the others hold everything"
