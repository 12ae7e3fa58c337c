"""Checks of the reported fullness of the days: highest, least possible and variation."""

from collections.abc import Iterator, Mapping
from datetime import date
from fractions import Fraction
from math import ceil, isqrt

from domain.scheduling.types import Balance
from tests.unit.scheduling.checking.amounts import half_up
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.levels import (
    kept_minutes,
    least_level,
    level_with_reserve,
    study_time,
)

SHORT_ROW = 10


def check_fullness(case: Case) -> Iterator[str]:
    """Check the fullness and the number of short rows in the quality.

    The least possible is reported in thousandths, rounded up. It is a lower bound that may or may
    not consider goal 3 (least reserve) and goal 4 (the minimums, about which §4b is not exact), so
    any value between those without them and with them is accepted.
    """
    quality = case.schedule.quality
    full = fullness_of(case)
    highest = half_up(1000 * max(full.values(), default=Fraction(0)))
    if quality.fullness != highest:
        yield f"the highest fullness is {highest}, but is reported as {quality.fullness}"
    if abs(quality.variation - (found := variation(list(full.values())))) > 1:
        yield f"the variation is {found}, but is reported as {quality.variation}"
    rows = [row.minutes for row in case.study]
    rows += [
        plan.end_minute - plan.start_minute
        for plan in case.request.kept
        if plan.kind.value == "study" and plan.date >= case.world.first
    ]
    short = sum(minutes < SHORT_ROW for minutes in rows)
    if quality.short_rows != short:
        yield f"{short} rows have under ten minutes, but {quality.short_rows} are reported"
    yield from _least(case)


def fullness_of(case: Case) -> Mapping[date, Fraction]:
    """Return the fullness of every study day that has study time."""
    load = kept_minutes(case.world)
    for row in case.study:
        load[row.date] += row.minutes
    times = {day: study_time(case.world, day) for day in case.world.study_days()}
    return {day: Fraction(load[day], time) for day, time in times.items() if time}


def variation(values: list[Fraction]) -> int:
    """Return the coefficient of variation in thousandths, rounded half up."""
    if not sum(values):
        return 0
    mean = sum(values) / len(values)
    square = sum((value - mean) ** 2 for value in values) / len(values) / mean**2
    return (isqrt(int(4 * 10**6 * square)) + 1) // 2


def _least(case: Case) -> Iterator[str]:
    if case.schedule.unplaced or case.on_spare_days or not fullness_of(case):
        return
    quality = case.schedule.quality
    needs = {p: need for p, need in case.needs.items() if need}
    plain = level_with_reserve(case.world, case.amounts, needs, Balance.ROOM)
    if plain is None:
        return
    most = max(plain, least_level(case.world, case.amounts, needs, Balance.ROOM) or plain)
    low, high = ceil(1000 * plain), ceil(1000 * most)
    if not low <= quality.least_fullness <= high:
        yield f"the least fullness is {low} to {high}, but is reported as {quality.least_fullness}"
