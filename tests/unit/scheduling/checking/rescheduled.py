"""Checks of a reschedule: every unit once, every row where it can be, reviews after their study.

The minutes and the distribution of rows that stand are those of earlier runs, so only what must
hold of every reschedule is checked here.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from fractions import Fraction
from itertools import pairwise

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Allocation, Content, KeptPlan, PlanKind
from tests.unit.scheduling.checking.amounts import Amounts
from tests.unit.scheduling.checking.case import listed, name, units
from tests.unit.scheduling.checking.followed import check_followed
from tests.unit.scheduling.checking.reschedule import Rescheduled, place_of
from tests.unit.scheduling.checking.world import World


def check_rescheduled(case: Rescheduled) -> Iterator[str]:
    """Return what is wrong with a reschedule, one sentence each."""
    for content in case.request.contents:
        yield from _cover(case, content)
    for row in case.result.plans:
        if row.date >= case.first:  # frozen plans stay, also where their time was lost
            yield from _time(case, row)
            yield from _before_deadline(case, row)
    for row in case.made:
        yield from _calendar(case, row)
        if row.date < case.first:
            yield f"{name(row)} is new before {case.first}"
        yield from _own_day(case, row)
        yield from _kind_of_time(case, row)
        yield from _minutes(case, row)
    yield from _sequence(case)
    yield from _overlaps(case)
    yield from _ascending(case)
    yield from _reviews(case)
    yield from check_followed(case)


def _cover(case: Rescheduled, content: Content) -> Iterator[str]:
    found = dict.fromkeys(range(content.first_unit, content.last_unit + 1), Fraction(0))
    kept = [row for row in case.request.kept if _studies(row, content)]
    planned = [row for row in case.result.plans if _studies(row, content)]
    for plan in planned:
        if not {*units(plan)} <= found.keys() and plan.date >= case.first:
            yield f"{name(plan)} is outside the range"
    minutes = Amounts(content, case.request).minutes
    rows: list[ScheduledPlan | KeptPlan] = [*kept, *planned]
    for row in rows:
        last = row.last_kept_unit if isinstance(row, KeptPlan) else row.last_unit
        for unit in found.keys() & {*range(row.first_unit, last + 1)}:
            found[unit] += _share(row, minutes[unit])
    for item in case.result.unplaced:
        if item.content == content.position:
            for unit in range(item.first_unit, item.last_unit + 1):
                # Some pieces of a unit may be done whose last ones are reported.
                found[unit] = Fraction(1) if found.get(unit, 1) < 1 else Fraction(2)
    for unit, share in found.items():
        if share != 1:
            yield f"unit {unit} of content {content.position} is covered {share} times"


def _share(row: ScheduledPlan | KeptPlan, minutes: int) -> Fraction:
    """Return the part of a unit that a row has; the rest of a unit may have been cut again."""
    net = row.end_minute - row.start_minute - row.wrap_up_minutes
    return Fraction(1) if row.parts == 1 else Fraction(net, minutes)


def _studies(row: ScheduledPlan | KeptPlan, content: Content) -> bool:
    return row.content == content.position and row.kind is PlanKind.STUDY


def _time(case: Rescheduled, row: ScheduledPlan) -> Iterator[str]:
    now = World(case.request)
    minutes = {*range(row.start_minute, row.end_minute)}
    if not minutes or not 0 <= row.wrap_up_minutes <= row.minutes:
        yield f"{name(row)} has no minutes, or more wrap-up than minutes"
    free = now.free(row.date, reserve=False) | now.free(row.date, reserve=True)
    if not minutes <= free:
        yield f"{name(row)} uses {len(minutes - free)} min that are not free"


def _kind_of_time(case: Rescheduled, row: ScheduledPlan) -> Iterator[str]:
    """Check that a new row lies in study time, or in the reserve, as it says."""
    free = World(case.request).free(row.date, reserve=row.reserve)
    if not {*range(row.start_minute, row.end_minute)} <= free:
        kind = "reserve" if row.reserve else "study time"
        yield f"{name(row)} does not lie in free {kind}"


def _minutes(case: Rescheduled, row: ScheduledPlan) -> Iterator[str]:
    """Check the minutes of a new study row, and the wrap-up of any new row.

    Each session has one, behind its last row; it is reported if it is shortened. If a kept row of
    the day that is not part done has the wrap-up, there is no other one. The minutes of pieces are
    compared with their unit where its cover is checked.
    """
    content = next(one for one in case.request.contents if one.position == row.content)
    wanted = content.wrap_up_minutes if _ends_session(case, row) else 0
    reported = {
        (data["date"], data["content"], data["given"]) for data in case.warnings("wrap_up_shrunk")
    }
    is_reported = (row.date.isoformat(), row.content, row.wrap_up_minutes) in reported
    if row.wrap_up_minutes != wanted and not (is_reported and row.wrap_up_minutes < wanted):
        yield f"{name(row)} has {row.wrap_up_minutes} min of wrap-up, not {wanted}"
    if row.kind is PlanKind.STUDY and row.parts == 1:
        own = Amounts(content, case.request)
        net, cost = row.minutes - row.wrap_up_minutes, own.cost({*units(row)} & {*own.units})
        if net != cost:
            yield f"{name(row)} takes {net} min, but its units cost {cost}"


def _ends_session(case: Rescheduled, row: ScheduledPlan) -> bool:
    """Whether no other planned row of the content is behind a study row on its day.

    Nor a kept row with the wrap-up of the day anywhere on it.
    """
    wrapped_up = {
        (plan.date, plan.content)
        for plan in case.request.kept
        if plan.wrap_up_minutes and plan.done_through is None
    }
    if (row.date, row.content) in wrapped_up:
        return False
    return row.kind is PlanKind.STUDY and not any(
        (other.date, other.content, other.kind) == (row.date, row.content, row.kind)
        and other.start_minute > row.start_minute
        for other in case.result.plans
    )


def _sequence(case: Rescheduled) -> Iterator[str]:
    plans = case.result.plans
    if [row.sequence for row in plans] != list(range(1, len(plans) + 1)):
        yield "the sequence numbers do not count the rows from 1"
    if any((a.date, a.start_minute) > (b.date, b.start_minute) for a, b in pairwise(plans)):
        yield "the rows are not in order of time"


def _before_deadline(case: Rescheduled, row: ScheduledPlan) -> Iterator[str]:
    content = next(one for one in case.request.contents if one.position == row.content)
    if row.date >= World(case.request).stop(content):
        yield f"{name(row)} is on or after the deadline of its content"


def _calendar(case: Rescheduled, row: ScheduledPlan) -> Iterator[str]:
    day = case.decided.days.get(row.date)
    if day is None:
        yield f"{name(row)} is on a date that the last generation did not have"
        return
    week = (row.date - case.request.period_start).days // 7 + 1
    expected = (week, day.cycle, day.cycle_day)
    if (row.week, row.cycle, row.cycle_day) != expected:
        yield f"{name(row)} does not have the week, cycle and cycle day {expected}"


def _own_day(case: Rescheduled, row: ScheduledPlan) -> Iterator[str]:
    """Check the day of a new row.

    It is one of its content, the day of a plan that stood or was hit there, or a day with nothing
    but a reserve.
    """
    content = next(one for one in case.request.contents if one.position == row.content)
    day = case.decided.days.get(row.date)
    if day is None:
        return  # reported with the calendar
    had = {one.date for one in case.before if (one.content, one.kind) == (row.content, row.kind)}
    own = {*case.decided.own_days(content), *had}
    if row.kind is PlanKind.REVIEW:
        own = {one.date for one in case.decided.days.values() if one.kind == "review"} | had
    is_spare = row.reserve and day.kind in {"no_time", "holiday"}
    if row.date not in own and not is_spare:
        yield f"{name(row)} is not on a day of its content"
    if day.kind == "holiday" and content.allocation is not Allocation.WEAKNESS:
        yield f"{name(row)} is on a holiday that is not open to its content"


def _overlaps(case: Rescheduled) -> Iterator[str]:
    days: dict[date, list[tuple[int, int]]] = defaultdict(list)
    rows: list[ScheduledPlan | KeptPlan] = [*case.result.plans, *case.request.kept]
    for row in rows:
        days[row.date].append((row.start_minute, row.end_minute))
    for day, spans in days.items():
        spans.sort()
        if day >= case.request.today and any(b < a for (_, a), (b, _) in pairwise(spans)):
            yield f"plans overlap on {day}"


def _ascending(case: Rescheduled) -> Iterator[str]:
    by_content: dict[int, list[ScheduledPlan]] = defaultdict(list)
    for row in case.made:
        if row.kind is PlanKind.STUDY:
            by_content[row.content].append(row)
    for rows in by_content.values():
        for one, other in pairwise(sorted(rows, key=lambda row: (row.date, row.start_minute))):
            continued = one.last_unit == other.first_unit and one.part < other.part
            if other.first_unit <= one.last_unit and not continued:
                yield f"{name(other)} comes after {name(one)}"


def _reviews(case: Rescheduled) -> Iterator[str]:
    """Check that the units of a review are studied before it.

    Without a change, a review may stand that no run would have planned so, because a plan was
    missed by hand or its mark as done was taken back.
    """
    now = _last_study([*case.result.plans, *case.request.kept])
    then = _last_study([*case.before, *case.request.kept])
    made = {place_of(row) for row in case.made}
    for row in case.result.plans:
        if row.kind is PlanKind.REVIEW and row.date >= case.first:
            late = {u for u in units(row) if now.get((row.content, u), date.max) >= row.date}
            if not made:
                late -= {u for u in late if then.get((row.content, u), date.max) >= row.date}
            if late:
                yield f"{name(row)} reviews units {listed(late)}, which are not studied before it"


def _last_study(rows: Iterable[ScheduledPlan | KeptPlan]) -> dict[tuple[int, int], date]:
    """Return the last day on which each unit is studied, by content and unit."""
    found: dict[tuple[int, int], date] = {}
    for row in rows:
        if row.kind is PlanKind.STUDY:
            end = row.last_kept_unit if isinstance(row, KeptPlan) else row.last_unit
            for unit in range(row.first_unit, end + 1):
                last = found.get((row.content, unit), date.min)
                found[row.content, unit] = max(last, row.date)
    return found
