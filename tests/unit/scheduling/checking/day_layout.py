"""Checks of the layout of the days of ``balanced`` (§5), in the order of its rules.

A layout gives way where the day has not the room, so a violation is reported only where a witness
proves the room:

1. a session is divided over spans of study time although first fit, of the sessions in turn or of
   the longest first, leaves all sessions of the day whole; or a piece of it has under ten minutes
   although a neighbouring piece can take it, or can give it what is missing; or two pieces of a
   unit touch;
2. a sitting is too long although the same rows in the same order have room for all pauses;
3. a row does not begin on a five-minute mark although they have room for that and for the pauses;
4. two days in a row are opened by the same weakness (or the first strategy is the same) although
   another session can take its place, with the pauses and marks that the day has;
5. a review under five minutes can join its neighbour of the same content and cycle.

Beyond the rules: weaknesses are before strategies on a day of one span that has the room; no gap
before a row is longer than a pause and the way to the next mark; and a day whose sessions, in turn,
fit into its study time has no row in the reserve.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Allocation, PlanKind
from tests.unit.scheduling.checking.case import Case, Slot, name, units
from tests.unit.scheduling.checking.reviews import kept_pieces
from tests.unit.scheduling.checking.room import spare
from tests.unit.scheduling.checking.sittings import (
    MARK,
    SHORTEST_PIECE,
    Atoms,
    atoms,
    joined,
    laid_out,
    lay_out,
    long_sittings,
    off_marks,
)

SHORT_REVIEW = 5
Rows = Sequence[ScheduledPlan]


def check_layout(case: Case) -> Iterator[str]:
    """Check the layout of every day, and what opens it."""
    for day in case.world.days:
        if case.rows_on(day):
            yield from _gaps(case, day)
            yield from _whole_sessions(case, day)
            yield from _short_pieces(case, day)
            yield from _touching_pieces(case, day)
            yield from _pauses_and_marks(case, day)
            yield from _weakness_first(case, day)
    for allocation in Allocation:
        for day in repeated_openers(case, allocation):
            if _can_open_differently(case, day, allocation):
                yield f"{day} begins with the same {allocation} as the day before"
    for row, other in joinable_reviews(case):
        yield f"{name(row)} has {row.minutes} min, but can join {name(other)}"


def _gaps(case: Case, day: date) -> Iterator[str]:
    for slot, rows in _by_slot(case, day).items():
        end = slot[1]
        for row in rows:
            longest = MARK - 1 + case.request.pause_minutes
            if row.start_minute - end > longest:
                yield f"{name(row)} begins {row.start_minute - end} min later than it could"
            end = row.end_minute


def _by_slot(case: Case, day: date) -> dict[Slot, list[ScheduledPlan]]:
    found: dict[Slot, list[ScheduledPlan]] = defaultdict(list)
    for row in case.rows_on(day):
        if slot := case.slot_of(row):
            found[slot].append(row)
    return found


def study_sessions(case: Case, day: date) -> dict[int, list[ScheduledPlan]]:
    """Return the study rows of each content on a day: weaknesses first, then by position."""
    found: dict[int, list[ScheduledPlan]] = defaultdict(list)
    for row in case.rows_on(day):
        if row.kind is PlanKind.STUDY:
            found[row.content].append(row)
    weak = {p: one.allocation is Allocation.WEAKNESS for p, one in case.contents.items()}
    return {p: found[p] for p in sorted(found, key=lambda p: (not weak[p], p))}


def _reviews(case: Case, day: date) -> dict[int, list[ScheduledPlan]]:
    found: dict[int, list[ScheduledPlan]] = defaultdict(list)
    for row in case.rows_on(day):
        found[row.content].append(row)
    return found


def is_divided(case: Case, rows: Rows) -> bool:
    """Whether the rows of a session are in several spans."""
    return len({case.slot_of(row) for row in rows}) > 1


def _whole_sessions(case: Case, day: date) -> Iterator[str]:
    sessions = study_sessions(case, day) or _reviews(case, day)
    studied = study_sessions(case, day)
    divided = [p for p, rows in studied.items() if is_divided(case, rows)]
    uses_reserve = any(row.reserve for row in case.rows_on(day))
    lengths = [sum(row.minutes for row in rows) for rows in sessions.values()]
    free = [slot[2] - slot[1] for slot in case.slots[day] if not slot[3]]
    if divided and not uses_reserve:
        orders = (lengths, sorted(lengths, reverse=True))
        if any(first_fit([[length] for length in order], free) for order in orders):
            yield f"the session of content {divided[0]} on {day} is divided, but all fit whole"
    if uses_reserve:
        whole = [[sum(row.minutes for row in rows)] for rows in sessions.values()]
        cut = [[m for row in rows for m in atoms(case, row)] for rows in sessions.values()]
        if sessions and (first_fit(whole, free) or first_fit(cut, free)):
            yield f"{day} uses the reserve, but its study time holds all its sessions"


def first_fit(sessions: Sequence[Atoms], lengths: Sequence[int]) -> bool:
    """Whether the sessions fit if each atom, in turn, goes into the first span with room.

    The atoms of a session stay in order: none is in a span before that of the atom before it.
    """
    left = list(lengths)
    for session in sessions:
        index: int | None = 0
        for atom in session:
            index = next((i for i in range(index or 0, len(left)) if left[i] >= atom), None)
            if index is None:
                return False
            left[index] -= atom
    return True


def _short_pieces(case: Case, day: date) -> Iterator[str]:
    room = spare(case, day)
    for position, rows in study_sessions(case, day).items():
        pieces: dict[Slot, Atoms] = defaultdict(list)
        for row in rows:
            if slot := case.slot_of(row):
                pieces[slot].extend(atoms(case, row))
        if len(pieces) < 2 or any(row.parts > 1 or row.reserve for row in rows):
            continue
        slots = sorted(pieces)
        for i, slot in enumerate(slots):
            minutes = sum(pieces[slot])
            if minutes >= SHORTEST_PIECE:
                continue
            for other in slots[max(0, i - 1) : i] + slots[i + 1 : i + 2]:
                given = _needed(pieces[other], SHORTEST_PIECE - minutes, is_head=other > slot)
                can_give = given <= room[slot] and sum(pieces[other]) - given >= SHORTEST_PIECE
                if room[other] >= minutes or can_give:
                    yield f"content {position} has a piece of only {minutes} min on {day}"


def _touching_pieces(case: Case, day: date) -> Iterator[str]:
    for before, row in pairwise(case.rows_on(day)):
        same = (before.kind, before.content, before.first_unit, before.reserve) == (
            row.kind, row.content, row.first_unit, row.reserve)  # fmt: skip
        if same and row.parts > 1 and before.end_minute == row.start_minute:
            yield f"{name(before)} ends where {name(row)} begins, but they could be one"


def _needed(row: Atoms, minutes: int, *, is_head: bool) -> int:
    """Return the minutes of the fewest first or last atoms that have so many minutes."""
    total = 0
    for atom in row if is_head else reversed(row):
        if total < minutes:
            total += atom
    return total


def _pauses_and_marks(case: Case, day: date) -> Iterator[str]:
    too_long, off = long_sittings(case, day), off_marks(case, day)
    if too_long and laid_out(case, day, marks=False):
        row = too_long[0].rows[0]
        yield f"{too_long[0].minutes} min without a pause follow {name(row)}"
    if off and laid_out(case, day, marks=True):
        yield f"{name(off[0])} is not on a five-minute mark although the day has the room"


def _weakness_first(case: Case, day: date) -> Iterator[str]:
    """Check that weaknesses open a day of one span if the day has the room for that order."""
    rows = [row for row in case.rows_on(day) if row.kind is PlanKind.STUDY]
    is_weak = [case.contents[r.content].allocation is Allocation.WEAKNESS for r in rows]
    if is_weak == sorted(is_weak, reverse=True):
        return
    sessions = study_sessions(case, day)
    if _holds_in_order(case, day, list(sessions)):
        yield f"a strategy is before a weakness on {day}, but the day has the room for the order"


def _holds_in_order(case: Case, day: date, order: Sequence[int]) -> bool:
    """Whether the one span of a day holds its sessions in an order, with all pauses.

    The rows must then be on marks if they are now.
    """
    slots = list(_by_slot(case, day))
    if len(slots) > 1 or long_sittings(case, day):
        return False
    sessions = study_sessions(case, day)
    rows = [row for p in order for row in joined(case, sessions[p])]
    marks = not off_marks(case, day)
    return lay_out(case.request, [(slots[0][1], slots[0][2], rows)], marks=marks)


def repeated_openers(case: Case, allocation: Allocation) -> Iterator[date]:
    """Yield the days whose first content of an allocation was also the first one the day before.

    The day before is the last one with a session of the allocation. Only days with a choice count.
    """
    last = None
    for day in case.world.days:
        rows = [
            row
            for row in case.rows_on(day)
            if row.kind is PlanKind.STUDY and case.contents[row.content].allocation is allocation
        ]
        if not rows:
            continue
        if rows[0].content == last and len({row.content for row in rows}) > 1:
            yield day
        last = rows[0].content


def _can_open_differently(case: Case, day: date, allocation: Allocation) -> bool:
    """Whether another session of the allocation can be first on a day that uses one span."""
    sessions = study_sessions(case, day)
    group = [p for p in sessions if case.contents[p].allocation is allocation]
    others = [p for p in sessions if p not in group]
    first = next(r.content for r in case.rows_on(day) if r.content in group)
    for opener in group:
        turned = [opener, *(p for p in group if p != opener)]
        order = turned + others if allocation is Allocation.WEAKNESS else others + turned
        if opener != first and _holds_in_order(case, day, order):
            return True
    return False


def joinable_reviews(case: Case) -> Iterator[tuple[ScheduledPlan, ScheduledPlan]]:
    """Yield each review under five minutes that can join another one, with that one.

    The rest of a review of which pieces are kept is a review of its own.
    """
    reviews = [
        row
        for row in case.reviews
        if row.first_unit not in kept_pieces(case, row.cycle, row.content)
    ]
    for row in reviews:
        if row.minutes >= SHORT_REVIEW:
            continue
        for other in reviews:
            same = (other.cycle, other.content) == (row.cycle, row.content) and other is not row
            touches = other.first_unit - 1 <= row.last_unit and row.first_unit <= (
                other.last_unit + 1
            )
            if same and touches and _has_room(case, row, other):
                yield row, other
                break


def _has_room(case: Case, row: ScheduledPlan, other: ScheduledPlan) -> bool:
    """Whether one of two reviews can move into the span of the other, not into the reserve."""
    for moved, to in ((row, other), (other, row)):
        slot = case.slot_of(to)
        studied = {unit: r.date for r in case.study_of(row.content) for unit in units(r)}
        if any(studied.get(unit, date.min) >= to.date for unit in units(moved)):
            continue
        if slot and not (slot[3] and not moved.reserve):
            if spare(case, slot[0])[slot] >= moved.minutes:
                return True
            if case.slot_of(moved) == slot:
                return True
    return False
