"""Hypothesis strategies for requests with kept plans: study, pieces of units, and reviews."""

from dataclasses import replace

from hypothesis import strategies as st

from domain.scheduling.types import Busy, Content, KeptPlan, PlanKind, Request
from tests.unit.scheduling.checking.amounts import SHORTEST_SPLIT, Amounts
from tests.unit.scheduling.checking.world import World
from tests.unit.scheduling.strategies import any_requests, tight_requests

HALF_HOURS = st.integers(0, 1440 // 30 - 1).map(lambda number: 30 * number)


@st.composite
def kept_requests(draw: st.DrawFn) -> Request:
    """Requests with kept plans: done or partly done before today, or pinned after it."""
    base = st.one_of(any_requests(), tight_requests())
    request = draw(base.filter(lambda r: any(d.kind == "study" for d in World(r).days.values())))
    kept: list[KeptPlan] = []
    for content in request.contents:
        own = draw(_kept_rows(request, content))
        kept += own
        for plan in own:
            kept += draw(_kept_review(request, plan))
    # The database excludes live plans that overlap, so a well-formed request has none.
    disjoint = [row for i, row in enumerate(kept) if not any(_overlap(row, o) for o in kept[:i])]
    free = [row for row in disjoint if not any(_overlap(row, other) for other in request.busy)]
    return replace(request, kept=tuple(free))


@st.composite
def _kept_rows(draw: st.DrawFn, request: Request, content: Content) -> list[KeptPlan]:
    days = [day.date for day in World(request).days.values() if day.kind == "study"]
    costs, unit = Amounts(content, request).minutes, content.first_unit
    rows: list[KeptPlan] = []
    while unit <= content.last_unit and len(rows) < 4:
        first = unit + draw(st.integers(0, 4))
        last = min(first + draw(st.integers(0, 5)), content.last_unit)
        if first > last:
            break
        minutes = sum(costs[u] for u in range(first, last + 1))
        done = st.one_of(st.none(), st.integers(first, max(first, last - 1)))
        row = KeptPlan(
            content=content.position,
            kind=PlanKind.STUDY,
            date=draw(st.sampled_from(days)),
            start_minute=(start := draw(HALF_HOURS)),
            end_minute=start + minutes,
            first_unit=first,
            last_unit=last,
            done_through=draw(done) if first < last else None,
        )
        if costs[first] >= SHORTEST_SPLIT and draw(st.booleans()):
            row = draw(_piece(row, costs[first]))
        unit = row.last_unit + 1
        if row.end_minute <= 1440:
            rows.append(row)
    return rows


@st.composite
def _piece(draw: st.DrawFn, row: KeptPlan, minutes: int) -> KeptPlan:
    """One of some pieces of the first unit of a row; the others were missed or are not due yet."""
    end = row.start_minute + draw(st.integers(1, minutes - 1))
    parts = draw(st.sampled_from([2, 2, 3]))
    part = draw(st.integers(1, parts))
    return replace(
        row, end_minute=end, last_unit=row.first_unit, done_through=None, part=part, parts=parts
    )


@st.composite
def _kept_review(draw: st.DrawFn, request: Request, studied: KeptPlan) -> list[KeptPlan]:
    """Perhaps a review of some units of a kept plan, on a review day of its cycle."""
    world = World(request)
    days = [
        day.date
        for day in world.days.values()
        if day.kind == "review" and day.cycle == world.cycle_of(studied.date)
    ]
    if not days or studied.parts > 1 or draw(st.booleans()):
        return []
    first = draw(st.integers(studied.first_unit, studied.last_kept_unit))
    start = draw(HALF_HOURS)
    review = replace(
        studied,
        kind=PlanKind.REVIEW,
        date=draw(st.sampled_from(days)),
        start_minute=start,
        end_minute=start + draw(st.integers(1, 30)),
        first_unit=first,
        last_unit=draw(st.integers(first, studied.last_kept_unit)),
        done_through=None,
    )
    return [review]


def _overlap(a: KeptPlan, b: KeptPlan | Busy) -> bool:
    return a.date == b.date and a.start_minute < b.end_minute and b.start_minute < a.end_minute
