"""How even the result is: the even deal where it fits, and the figures of quality."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import pairwise

from domain.scheduling.vocabulary import PlanKind
from tests.unit.scheduling.checking.case import Case, units
from tests.unit.scheduling.checking.flow import fits, least_peak


def even_counts(total: int, days: int) -> list[int]:
    """How many units the even deal gives each of some days."""
    if not days:
        return []
    if total < days:
        used = [(2 * unit + 1) * days // (2 * total) for unit in range(total)]
        return [used.count(day) for day in range(days)]
    ends = [(2 * total * day + days) // (2 * days) for day in range(days + 1)]
    return [end - start for start, end in pairwise(ends)]


def check_evenness(case: Case) -> Iterator[str]:
    """The even deal, the shortage warnings and the quality."""
    yield from _deal(case)
    yield from _shortage(case)
    yield from _quality(case)


def dealt(case: Case) -> dict[int, dict[date, list[int]]]:
    """The even deal of what remains: content → own day → units."""
    deal: dict[int, dict[date, list[int]]] = {}
    for position, content in case.contents.items():
        days = case.world.own_days(content)
        rest = list(case.amounts[position].remaining)
        deal[position] = {}
        for day, count in zip(days, even_counts(len(rest), len(days)), strict=True):
            deal[position][day], rest = rest[:count], rest[count:]
    return deal


def _deal(case: Case) -> Iterator[str]:
    deal = dealt(case)
    if not all(_surely_fits(case, deal, day) for day in case.world.study_days()):
        return
    for position, days in deal.items():
        if not days:
            continue
        if any(row.parts > 1 for row in case.study_of(position)):
            yield f"content {position} is split although the even deal fits"
        found = Counter(dict.fromkeys(days, 0))
        for row in case.study_of(position):
            found[row.date] += len(units(row))
        expected = {day: len(part) for day, part in days.items()}
        if dict(found) != expected:
            yield (
                f"content {position}: the even deal {list(expected.values())} fits, "
                f"the days have {[found[day] for day in sorted(found)]}"
            )


def _surely_fits(case: Case, deal: dict[int, dict[date, list[int]]], day: date) -> bool:
    """Whether a day's deal fits its study time even if every span wastes almost a unit."""
    mine = {p: days[day] for p, days in deal.items() if days.get(day)}
    if not mine:
        return True
    longest = max(case.amounts[p].minutes[unit] for p, part in mine.items() for unit in part)
    count = sum(1 for slot in case.slots[day] if not slot[3])
    room = len(case.world.free(day, reserve=False))
    return day_need(case, deal, day) <= room - (count - 1) * (longest - 1)


def day_need(
    case: Case, deal: dict[int, dict[date, list[int]]], day: date, *, wrap_ups: bool = True
) -> int:
    """The minutes dealt to a day."""
    return sum(
        case.amounts[p].cost(days[day]) + (case.contents[p].wrap_up_minutes if wrap_ups else 0)
        for p, days in deal.items()
        if days.get(day)
    )


def _shortage(case: Case) -> Iterator[str]:
    """Told for a day dealt more than its study time; wrap-ups may count for it or not."""
    deal = dealt(case)
    told = {str(data["date"]): data for data in case.notices("shortage")}
    known = {str(day) for day in case.world.study_days()}
    if set(told) - known:
        yield f"a shortage is told of {set(told) - known}, which are no study days"
    if case.schedule.unplaced:
        return
    for day in case.world.study_days():
        free = len(case.world.free(day, reserve=False))
        least, most = (day_need(case, deal, day, wrap_ups=w) for w in (False, True))
        data = told.get(str(day))
        if data is None and least > free:
            yield f"{day} was dealt {least} of {free} min, and no shortage is told"
        if data is not None and most <= free:
            yield f"{day} was dealt {most} of {free} min, and a shortage is told"
        if data is not None and (data["free"] != free or data["need"] not in (least, most)):
            yield f"the shortage of {day} says {data}, it is {least} or {most} of {free}"


def _quality(case: Case) -> Iterator[str]:
    days = case.world.study_days()
    kept = [p for p in case.request.kept if p.kind is PlanKind.STUDY and p.date >= case.world.first]
    load = Counter(dict.fromkeys(days, 0))
    fixed = dict.fromkeys(days, 0)
    for row in case.study:
        load[row.date] += row.minutes
    for plan in kept:
        load[plan.date] += plan.end_minute - plan.start_minute
        if plan.date in fixed:
            fixed[plan.date] += plan.end_minute - plan.start_minute
    told = case.schedule.quality
    loads = [load[day] for day in days] or [0]
    if (told.peak, told.spread) != (max(loads), max(loads) - min(loads)):
        yield f"peak {max(loads)} and spread {max(loads) - min(loads)} are told as {told}"
    needs = {p: a.cost(case.placed(p)) for p, a in case.amounts.items() if case.placed(p)}
    bound = least_peak(needs, case.open_days, case.room, fixed) if _possible(case, needs) else 0
    if told.least_peak != bound:
        yield f"the least peak is {bound}, told as {told.least_peak}"
    if told.peak < told.least_peak:
        yield f"the peak {told.peak} is below its least {told.least_peak}"
    outside = sum(row.minutes for row in case.study if row.reserve)
    outside += sum(plan.end_minute - plan.start_minute for plan in kept if plan.reserve)
    if told.reserve != outside:
        yield f"{outside} min of study use the reserve, told as {told.reserve}"


def _possible(case: Case, needs: dict[int, int]) -> bool:
    """A sabotaged schedule may place what cannot flow; other checks say so."""
    return fits(needs, case.open_days, case.room)
