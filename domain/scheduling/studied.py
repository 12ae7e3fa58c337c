"""The units that each cycle has studied and not yet reviewed, in new rows and in kept plans."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from domain.scheduling.calendar import Day
from domain.scheduling.placement import Row
from domain.scheduling.planning import KeptPlan, Request
from domain.scheduling.spans import Span, merged, without
from domain.scheduling.vocabulary import PlanKind

Studied = dict[int, dict[int, list[tuple[Span, int]]]]
"""Cycle → content → half-open ranges of units, each with the day on which it is studied."""


def studied_by_cycle(request: Request, days: Sequence[Day], rows: Iterable[Row]) -> Studied:
    """Return the studied ranges by the cycle of their day.

    A unit in pieces belongs to the cycle of its last piece. Ranges that a kept review of the same
    cycle covers are omitted. A kept plan outside the period is assigned to the nearest day of the
    period.
    """
    whole: dict[int, list[tuple[Span, int]]] = defaultdict(list)
    last_piece: dict[tuple[int, int], int] = {}

    def add(content: int, units: Span, parts: int, day: int) -> None:
        if parts == 1:
            whole[content].append((units, day))
        else:
            unit = content, units[0]
            last_piece[unit] = max(day, last_piece.get(unit, day))

    for row in rows:
        add(row.content, (row.first_unit, row.last_unit + 1), row.parts, row.day)
    for plan, day in _kept(request, PlanKind.STUDY):
        add(plan.content, (plan.first_unit, plan.last_kept_unit + 1), plan.parts, day)
    for (content, unit), day in last_piece.items():
        whole[content].append(((unit, unit + 1), day))
    cycles: Studied = defaultdict(lambda: defaultdict(list))
    for content, ranges in whole.items():
        for units, day in ranges:
            cycles[days[day].cycle][content].append((units, day))
    _leave_out_reviewed(cycles, request, days)
    return cycles


def _leave_out_reviewed(cycles: Studied, request: Request, days: Sequence[Day]) -> None:
    reviewed: Mapping[tuple[int, int], list[Span]] = defaultdict(list)
    for plan, day in _kept(request, PlanKind.REVIEW):
        units = plan.first_unit, plan.last_kept_unit + 1
        reviewed[days[day].cycle, plan.content].append(units)
    for (cycle, content), ranges in reviewed.items():
        cycles[cycle][content] = [
            (rest, day)
            for units, day in cycles[cycle][content]
            for rest in without([units], merged(ranges))
        ]


def _kept(request: Request, kind: PlanKind) -> Iterable[tuple[KeptPlan, int]]:
    last = (request.period_end - request.period_start).days
    for plan in request.kept:
        if plan.kind is kind:
            yield plan, min(max((plan.date - request.period_start).days, 0), last)
