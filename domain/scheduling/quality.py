"""Measures how even a schedule is, and computes a lower bound for its peak."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from domain.scheduling.calendar import Day, DayKind
from domain.scheduling.demand import Demand
from domain.scheduling.feasibility import DaySets
from domain.scheduling.layout import Row
from domain.scheduling.placement import Room
from domain.scheduling.result import Quality
from domain.scheduling.spans import total
from domain.scheduling.types import KeptPlan, PlanKind


def quality(
    days: Sequence[Day],
    demands: Sequence[Demand],
    rows: Iterable[Row],
    rooms: Mapping[int, Room],
    kept: Iterable[tuple[int, KeptPlan]],
) -> Quality:
    """Return the quality of a schedule, measured over the study days in ``rooms``.

    ``demands`` are the demands that ``rows`` place, and ``kept`` has the kept plans with their
    days.
    """
    kept_load: Counter[int] = Counter()
    reserve = 0
    for day, plan in kept:
        if plan.kind is PlanKind.STUDY and day in rooms:
            kept_load[day] += plan.end_minute - plan.start_minute
            reserve += (plan.end_minute - plan.start_minute) * plan.reserve
    load = Counter(kept_load)
    for row in rows:
        load[row.day] += row.end - row.start
        reserve += (row.end - row.start) * row.reserve
    loads = [load[day] for day in rooms if days[day].kind is DayKind.STUDY]
    if not loads:
        return Quality(peak=0, least_peak=0, spread=0, reserve=reserve)
    return Quality(
        peak=max(loads),
        least_peak=_least_peak(days, demands, rooms, kept_load),
        spread=max(loads) - min(loads),
        reserve=reserve,
    )


def _least_peak(
    days: Sequence[Day],
    demands: Sequence[Demand],
    rooms: Mapping[int, Room],
    kept: Mapping[int, int],
) -> int:
    """Return the lowest peak with which all minutes fit into the days.

    It is found by bisection, because minutes that fit under a peak also fit under a higher one.
    Each step decides by ``DaySets.fits`` whether they fit. A holiday is not a study day, so the
    peak does not limit it.
    """
    day_sets = DaySets.among(demands)
    needs = [demand.prefix[-1] for demand in demands]
    study = [day for day in rooms if days[day].kind is DayKind.STUDY]
    # Days with equal owners, room and kept minutes are grouped, so that the cost of a step does
    # not grow with the length of the period. A negative number marks a holiday.
    alike: Counter[tuple[int, int, int]] = Counter()
    for day, owners in day_sets.day_owners.items():
        held = total(rooms[day].study) + total(rooms[day].reserve)
        known = kept[day] if days[day].kind is DayKind.STUDY else -held
        alike[owners, held, known] += 1

    def possible(peak: int) -> bool:
        held = dict.fromkeys(day_sets.subsets, 0)
        for (owners, room, known), count in alike.items():
            open_ = count * (room if known < 0 else min(room, max(0, peak - known)))
            for subset in day_sets.subsets:
                if subset & owners:
                    held[subset] += open_
        return day_sets.fits(needs, held)

    too_low = max((kept[day] for day in study), default=0) - 1
    full = (kept[day] + total(rooms[day].study) + total(rooms[day].reserve) for day in study)
    enough = max(too_low + 1, *full)
    while enough - too_low > 1:
        middle = (too_low + enough) // 2
        if possible(middle):
            enough = middle
        else:
            too_low = middle
    return enough
