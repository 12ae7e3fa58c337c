"""Checks of what a schedule says about itself: certificate, repairs, and measures of quality."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from functools import partial
from math import ceil, isqrt

from domain.scheduling.result import Repair, RepairKind, Schedule, ScheduledPlan
from domain.scheduling.types import Balance, KeptPlan, PlanKind, Request, SpecialDay
from tests.unit.scheduling.checking.amounts import SHORTEST_SPLIT, amounts_of, half_up
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.flows import fit_beside, fits, least_unplaced
from tests.unit.scheduling.checking.levels import least_level, study_time
from tests.unit.scheduling.checking.world import World, spans

MAX_SPANS = 24
SHORT_ROW = 10


def check_certificate(case: Case) -> Iterator[str]:
    """Check that the certificate adds up, and that no other set of contents has a larger excess."""
    certificate = case.schedule.certificate
    excess = least_unplaced(case.needs, case.open_days, case.room)
    if not case.schedule.unplaced or not excess:
        if certificate is not None:
            yield f"no contents need more than their days hold, but there is {certificate}"
        return
    if certificate is None:
        yield f"{excess} min are more than the days hold, but there is no certificate"
        return
    members = certificate.contents
    if list(members) != sorted(set(members) & set(case.contents)) or not members:
        yield f"the certificate has the contents {members}"
        return
    reached = {day for p in members for day in case.open_days[p] if case.room[day]}
    if list(certificate.days) != sorted(reached):
        yield f"the certificate has {len(certificate.days)} days, not the {len(reached)} with room"
    need, have = sum(case.needs[p] for p in members), sum(case.room[day] for day in reached)
    if (certificate.need, certificate.have) != (need, have):
        yield f"need {need} and have {have} are {certificate.need} and {certificate.have}"
    if need - have != excess:
        yield f"the excess of the certificate is {need - have}, but the largest is {excess}"


def check_repairs(case: Case, plan: Callable[[Request], Schedule]) -> Iterator[str]:
    """Check that each repair, applied alone, places everything, and that less does not.

    ``plan`` returns the schedule of a request. It keeps the day shifts, which are stored.
    """
    yield from check_repair_forms(case)
    request = case.request.with_day_shifts(case.schedule.day_shifts)
    for repair in filter(partial(_is_well_formed, case), case.schedule.repairs):
        mended = repaired(request, repair)
        if mended is not None and mended.contents and plan(mended).unplaced:
            yield f"{repair} leaves {plan(mended).unplaced}"
        less = repaired(request, replace(repair, amount=repair.amount - 1))
        if mended is not None and less is not None and _surely_fits(less):
            yield f"{repair} is not the least: one less is enough"
    for content, count, found in _only_tail(case):
        if found and found[0].amount > count:
            left_out = repaired(request, Repair(RepairKind.UNITS, count, content))
            if left_out is not None and not plan(left_out).unplaced:
                yield f"{found[0]} is not the least: {count} are enough"


def check_repair_forms(case: Case) -> Iterator[str]:
    """Check what can be said of repairs without trying them."""
    repairs = case.schedule.repairs
    if repairs and not case.schedule.unplaced:
        yield f"nothing is unplaced, but there are repairs: {repairs}"
    if len({(repair.kind, repair.content) for repair in repairs}) < len(repairs):
        yield f"a repair occurs twice: {repairs}"
    for repair in repairs:
        if not _is_well_formed(case, repair):
            yield f"{repair} is not well-formed"
    for content, count, found in _only_tail(case):
        if not found:
            yield f"{count} units of content {content} can be left out, but no repair says so"


def _is_well_formed(case: Case, repair: Repair) -> bool:
    return repair.amount > 0 and (repair.content in case.contents) == (repair.kind == "units")


def repaired(request: Request, repair: Repair) -> Request | None:
    """Return the request with a repair, or ``None`` if the repair cannot be tried."""
    if repair.kind == "days":
        return replace(request, period_end=request.period_end + timedelta(days=repair.amount))
    if repair.kind == "minutes_per_day":
        return _longer_days(request, repair.amount)
    rows = []
    remaining = {p: amounts.remaining for p, amounts in amounts_of(request).items()}
    for content in request.contents:
        last = content.last_unit
        if content.position == repair.content and repair.amount:
            last = remaining[content.position][-repair.amount] - 1
        episodes = content.episode_minutes[: last - content.first_unit + 1]
        if last >= content.first_unit:
            rows.append(replace(content, last_unit=last, episode_minutes=episodes))
    return replace(request, contents=tuple(rows))


def _longer_days(request: Request, minutes: int) -> Request | None:
    """Return the request with a longer last span on each study day, as special days.

    ``None`` if something follows the span too early, or if a day has too many spans.
    """
    world = World(request)
    special = {day.date: day for day in request.special_days}
    for day in world.study_days():
        study, reserve = (spans(m) for m in (world.days[day].study, world.days[day].reserve))
        end = study[-1][1]
        later = frozenset(range(end, end + minutes))
        taken = world.occupied.get(day, frozenset()) | world.days[day].reserve
        is_cut = later & taken or {end - 1} & taken or end + minutes > 1440
        if is_cut or max(len(study), len(reserve)) > MAX_SPANS:
            return None
        longer = (*study[:-1], (study[-1][0], end + minutes))
        special[day] = SpecialDay(day, longer, tuple(reserve))
    extended = replace(request, special_days=tuple(special.values()))
    grown = World(extended)
    for day in world.study_days():
        if len(grown.days[day].study) != len(world.days[day].study) + minutes:
            return None
    return extended


def _surely_fits(request: Request) -> bool:
    """Whether everything certainly fits, which is decided only if all units can be split."""
    world = World(request)
    amounts = amounts_of(request).values()
    if any(minutes < SHORTEST_SPLIT for a in amounts for minutes in a.left.values()):
        return False
    return fits(
        {a.content.position: a.cost_left(a.remaining) for a in amounts},
        {a.content.position: world.open_days(a.content) for a in amounts},
        {day: world.room(day) for day in world.days},
    )


def _only_tail(case: Case) -> Iterator[tuple[int, int, list[Repair]]]:
    """Yield the content that alone has unplaced units, their number, and its repair if it has one.

    The schedule proves that these units may be left out, even if no plan without them is found.
    """
    tails = case.schedule.unplaced
    if len({tail.content for tail in tails}) == 1 and not case.request.kept:
        content = tails[0].content
        count = sum(tail.last_unit - tail.first_unit + 1 for tail in tails)
        repairs = case.schedule.repairs
        yield content, count, [r for r in repairs if (r.kind, r.content) == ("units", content)]


def check_measures(case: Case) -> Iterator[str]:
    """Check fullness, variation, short rows and slack days."""
    quality = case.schedule.quality
    filled = list(fullness_of(case).values())
    expected = {
        "fullness": half_up(1000 * max(filled, default=Fraction(0))),
        "variation": variation(filled),
        "short_rows": sum(_length(row) < SHORT_ROW for row in _study_rows(case)),
        "slack_days": _slack_days(case),
    }
    reported = {
        "fullness": quality.fullness,
        "variation": quality.variation,
        "short_rows": quality.short_rows,
        "slack_days": quality.slack_days,
    }
    for measure, value in expected.items():
        if reported[measure] != value:
            yield f"{measure} is {value}, but is reported as {reported[measure]}"
    # The schedule itself shows what is possible; a bound is rounded up, a fullness half up.
    least = min(expected["fullness"], least_fullness(case))
    most = min(expected["fullness"], _least_with_minimums(case))
    if not least <= quality.least_fullness <= max(least, most):
        found = str(least) if most <= least else f"{least} to {most}"
        yield f"least_fullness is {found}, but is reported as {quality.least_fullness}"


def _least_with_minimums(case: Case) -> int:
    """Return the least fullness under ``balanced`` with the minimums of goal 4, 0 without any.

    They give way where something needs the reserve, or is unplaced.
    """
    needs = {p: a.cost_left(case.placed(p)) for p, a in case.amounts.items()}
    gives_way = case.schedule.unplaced or any(row.reserve for row in case.study)
    if not case.is_balanced or gives_way:
        return 0
    return ceil(1000 * (least_level(case.world, case.amounts, needs, Balance.ROOM) or 0))


def _study_rows(case: Case) -> list[ScheduledPlan | KeptPlan]:
    """Return the new and the kept study rows from today on."""
    kept = [plan for plan in case.request.kept if plan.kind is PlanKind.STUDY]
    return [*case.study, *(plan for plan in kept if plan.date >= case.world.first)]


def _length(row: ScheduledPlan | KeptPlan) -> int:
    return row.end_minute - row.start_minute


def _study_time(case: Case) -> dict[date, int]:
    """Return the study time of the study days, without the plans of other groups, if any is left.

    A day whose study time is taken completely has no fullness.
    """
    times = {day: study_time(case.world, day) for day in case.world.study_days()}
    return {day: minutes for day, minutes in times.items() if minutes}


def fullness_of(case: Case) -> dict[date, Fraction]:
    """Return the fullness of every study day that has study time."""
    load: Counter[date] = Counter()
    for row in _study_rows(case):
        load[row.date] += _length(row)
    return {day: Fraction(load[day], minutes) for day, minutes in _study_time(case).items()}


def variation(values: list[Fraction]) -> int:
    """Return the coefficient of variation in thousandths, rounded half up; 0 if the mean is 0."""
    mean = sum(values, Fraction(0)) / max(1, len(values))
    if not mean:
        return 0
    variance = sum(((value - mean) ** 2 for value in values), Fraction(0)) / len(values)
    # ⌊y + ½⌋ = (⌊2y⌋ + 1) // 2, and ⌊√x⌋ is the integer root of ⌊x⌋, so no float is needed.
    square = 4 * 1_000_000 * variance / mean**2
    return (isqrt(square.numerator // square.denominator) + 1) // 2


def least_fullness(case: Case) -> int:
    """Return the least t such that the placed minutes fit if no day is fuller than t thousandths.

    It is found by bisection. Holidays, spare days and days without fullness get at most as many
    minutes together as they have.
    """
    time = _study_time(case)
    kept: Counter[date] = Counter()
    for row in _study_rows(case):
        if isinstance(row, KeptPlan):
            kept[row.date] += _length(row)
    needs = {p: a.cost_left(case.placed(p)) for p, a in case.amounts.items() if case.placed(p)}
    usable = case.open_days if case.on_spare_days else case.planned_days
    other = {day: room for day, room in case.room.items() if day not in time}
    outside = sum(row.minutes for row in case.study if row.date in other)

    def possible(thousandths: int) -> bool:
        limit = {d: Fraction(thousandths * time[d], 1000) - kept[d] for d in time}
        if min(limit.values(), default=Fraction(0)) < 0:
            return False
        limited = {day: min(most, Fraction(case.room[day])) for day, most in limit.items()}
        return _fit_beside(needs, usable, limited, other, outside)

    # A study day of one minute may be filled with all others, and its reserve.
    too_low, enough = -1, 1000 * 1440
    while enough - too_low > 1:
        middle = (too_low + enough) // 2
        too_low, enough = (too_low, middle) if possible(middle) else (middle, enough)
    return enough


def _fit_beside(
    needs: Mapping[int, int],
    days: Mapping[int, list[date]],
    room: Mapping[date, Fraction],
    other: Mapping[date, int],
    most: int,
) -> bool:
    """Whether minutes fit into days, in 1000ths of a minute so that all numbers are integers."""
    return fit_beside(
        {position: 1000 * need for position, need in needs.items()},
        days,
        {day: int(1000 * minutes) for day, minutes in room.items()},
        {day: 1000 * minutes for day, minutes in other.items()},
        1000 * most,
    )


def _slack_days(case: Case) -> int:
    """Return the least number of days after a content's last row and before its deadline or end."""
    slack = []
    for position, content in case.contents.items():
        dates = [row.date for row in _study_rows(case) if row.content == position]
        if dates:
            slack.append((case.world.stop(content) - max(dates)).days - 1)
    return max(0, min(slack, default=0))
