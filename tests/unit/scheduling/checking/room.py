"""The study time that a schedule leaves, and the units that could be moved into it.

These are witnesses: what they find possible certainly is, so that a schedule which had to do it is
wrong. What they do not find may be possible all the same.
"""

from collections.abc import Mapping
from datetime import date

from domain.scheduling.types import ContentType
from tests.unit.scheduling.checking.case import Case, Slot, units
from tests.unit.scheduling.checking.minimums import fit_uncut


def spare(case: Case, day: date) -> dict[Slot, int]:
    """Return the minutes that are free in each span of a day, which need not be contiguous."""
    left = {slot: slot[2] - slot[1] for slot in case.slots.get(day, [])}
    for row in case.rows_on(day):
        slot = case.slot_of(row)
        if slot:
            left[slot] -= row.minutes
    return left


def spare_study_time(case: Case, day: date) -> list[int]:
    """Return the free minutes of each span of study time of a day."""
    return [minutes for slot, minutes in spare(case, day).items() if not slot[3]]


def sessions(case: Case, position: int) -> Mapping[date, list[int]]:
    """Return the units of a content on each of its days, in order of time."""
    found: dict[date, set[int]] = {}
    for row in case.study_of(position):
        found.setdefault(row.date, set()).update(units(row))
    return {day: sorted(numbers) for day, numbers in sorted(found.items())}


def can_move(case: Case, position: int, count: int, days: tuple[date, date]) -> bool:
    """Whether the study time of the second day certainly holds so many units of the first day.

    The days between them keep their number of units, but not the units themselves, and so do the
    spans of the second day. If units differ by a minute because of rounding, a minute more must be
    free in each of these. A lecture with episodes of various lengths only moves to the next or
    previous day, and to a day of one span. Contents with a divided unit are left aside.
    """
    source, target = days
    amounts = case.amounts[position]
    if any(row.parts > 1 for row in case.study_of(position)):
        return False
    room = spare_study_time(case, target)
    between = [day for day in sessions(case, position) if min(days) < day < max(days)]
    if not amounts.is_uniform:
        if amounts.content.type is ContentType.LECTURE:
            if between or len(room) > 1:
                return False
        else:
            changed = [source, *between]
            if any(min(spare_study_time(case, day), default=0) < 1 for day in changed):
                return False
            room = [minutes - 1 for minutes in room]
    return fit_uncut([amounts.longest] * count, room)
