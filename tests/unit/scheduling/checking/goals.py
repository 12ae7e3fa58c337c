"""Checks of the goals of ``balanced``: the shifts, the buffer days, weaknesses and short sessions.

A goal is a matter of degree, so a violation is reported only where a witness proves it: a change of
the schedule that improves the goal and costs no earlier one.

* Shifts: the days of strategy contents are those of one shift in all cycles (the other checks use
  the shifts of the result), a given ``day_shift`` is obeyed.
* Buffer days have no study if all minutes certainly fit into study time without them. (§4b does not
  say whether the reserve or the buffer is used first; a schedule may do either.) They have the
  reviews of a last cycle without a review day, if they are idle.
* A day with kept study of a content is left aside, because its session is more than its new rows.
* Goal 4: no weakness has fewer than m units on one of its days if another day of the content can
  give what is missing and keeps m units itself, and the study time of the day holds it.
* Goal 5: no session is below ``shortest_session``, unless it is all that remains, if it can join
  another session of the content, or if another session can give what is missing.
"""

from collections.abc import Iterator
from datetime import date

from domain.scheduling.types import Allocation
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.flows import fits
from tests.unit.scheduling.checking.minimums import kept_days, least_units
from tests.unit.scheduling.checking.room import can_move, sessions, spare_study_time
from tests.unit.scheduling.checking.unplaced import sure_room


def check_goals(case: Case) -> Iterator[str]:
    """Check what §4b demands beyond the rules of both strategies."""
    yield from _buffer(case)
    yield from _owed_reviews(case)
    for position in case.contents:
        if not case.needs[position]:
            continue
        if case.contents[position].allocation is Allocation.WEAKNESS:
            yield from _weakness(case, position)
        yield from _short_sessions(case, position)


def check_shifts(case: Case) -> Iterator[str]:
    """Check that the schedule names a possible shift for each strategy content, and no other."""
    shifts = case.schedule.day_shifts
    strategies = {
        p for p, one in case.contents.items() if one.allocation is Allocation.STRATEGY
    } if case.is_balanced else set()  # fmt: skip
    for position in sorted(set(shifts) - strategies):
        yield f"content {position} has a shift, but is no strategy content under balanced"
    for position in sorted(strategies):
        given, found = case.contents[position].day_shift, shifts.get(position)
        if found is None:
            if case.study_of(position):
                yield f"content {position} is studied, but has no shift"
        elif found not in range(case.request.study_days):
            yield f"content {position} has the impossible shift {found}"
        elif given is not None and found != given:
            yield f"content {position} has shift {found}, but {given} was given"


def _buffer(case: Case) -> Iterator[str]:
    number = case.request.buffer_days
    if not number:
        return
    room = sure_room(case, reserve=False)
    shut = {p: set(case.world.buffer_days(content, number)) for p, content in case.contents.items()}
    days = {p: [d for d in own if d not in shut[p]] for p, own in case.own_days.items()}
    if fits(case.needs, days, room):
        for position, dates in shut.items():
            used = sorted({row.date for row in case.study_of(position)} & dates)
            if used:
                yield f"content {position} uses the buffer day {used[0]}, but all fits without it"


def _owed_reviews(case: Case) -> Iterator[str]:
    """Check that a cycle without a review day is reviewed on free buffer days."""
    if not case.world.buffer or not case.request.review_days:
        return
    for position, content in case.contents.items():
        for cycle in {row.cycle for row in case.study_of(position)}:
            last = case.world.buffer_days(content, case.world.buffer)
            days = [d for d in last if case.world.cycle_of(d) == cycle]
            idle = sum(sum(spare_study_time(case, day)) for day in days)
            minutes = sum(r.minutes for r in case.study_of(position) if r.cycle == cycle)
            reviews = [r for r in case.reviews if (r.cycle, r.content) == (cycle, position)]
            owed = not case.world.review_days(cycle) and not reviews
            if owed and minutes and idle >= case.request.factors.review * minutes + 1:
                yield f"content {position} has no review in cycle {cycle} on idle buffer days"


def _weakness(case: Case, position: int) -> Iterator[str]:
    least = least_units(case.amounts[position], case.request.shortest_session)
    found = sessions(case, position)
    for day in case.own_days[position]:
        missing = least - len(found.get(day, []))
        if missing <= 0 or day in kept_days(case.request, position):
            continue
        giver = _giver(case, position, missing, least, day)
        if giver:
            yield (
                f"weakness {position} has {least - missing} of {least} units on {day}, "
                f"but {giver} can give {missing} of its {len(found[giver])}"
            )


def _giver(case: Case, position: int, missing: int, kept: int, day: date) -> date | None:
    """Return a day that can give so many units to a day and keeps enough units itself."""
    for giver, numbers in sessions(case, position).items():
        is_enough = giver != day and len(numbers) - missing >= kept
        if is_enough and can_move(case, position, missing, (giver, day)):
            return giver
    return None


def _short_sessions(case: Case, position: int) -> Iterator[str]:
    amounts, found = case.amounts[position], sessions(case, position)
    shortest = min(case.request.shortest_session, case.needs[position])
    for day, numbers in found.items():
        minutes = amounts.cost_left(numbers)
        if minutes >= shortest or day in kept_days(case.request, position):
            continue
        text = f"the session of content {position} on {day} has only {minutes} min, but"
        others = (other for other in _neighbours(day, list(found)))
        joined = next((o for o in others if can_move(case, position, len(numbers), (day, o))), None)
        if joined:
            yield f"{text} can join that of {joined}"
            continue
        least = min(amounts.left.values())
        missing = -(-(shortest - minutes) // least)
        kept = -(-case.request.shortest_session // least)
        if giver := _giver(case, position, missing, kept, day):
            yield f"{text} {giver} can give it {missing} of {len(found[giver])} units"


def _neighbours(day: date, days: list[date]) -> list[date]:
    """Return the days before and after a day."""
    index = days.index(day)
    return days[max(0, index - 1) : index] + days[index + 1 : index + 2]
