"""Requests begun before: some rows kept; and the same request in another order."""

from dataclasses import replace

from hypothesis import strategies as st

from domain.scheduling.planning import Busy, Content, KeptPlan, Request
from domain.scheduling.vocabulary import PlanKind
from tests.unit.scheduling.checking.amounts import Amounts
from tests.unit.scheduling.checking.calendar import World
from tests.unit.scheduling.strategies import any_requests, tight_requests


@st.composite
def kept_requests(draw: st.DrawFn) -> Request:
    """In mid-period: some rows done or part done before today, some pinned after it."""
    base = st.one_of(any_requests(), tight_requests())
    request = draw(base.filter(lambda r: any(d.kind == "study" for d in World(r).days.values())))
    kept: list[KeptPlan] = []
    for content in request.contents:
        kept += draw(_kept_rows(request, content))
    alone = [row for i, row in enumerate(kept) if not any(_meet(row, o) for o in kept[:i])]
    free = [row for row in alone if not any(_meet(row, other) for other in request.busy)]
    return replace(request, kept=tuple(free))


@st.composite
def _kept_rows(draw: st.DrawFn, request: Request, content: Content) -> list[KeptPlan]:
    days = [day.date for day in World(request).days.values() if day.kind == "study"]
    costs, unit = Amounts(content, request).minutes, content.first_unit
    rows: list[KeptPlan] = []
    while unit <= content.last_unit and len(rows) < 4:
        first = unit + draw(st.integers(0, 4))
        last = min(first + draw(st.integers(0, 5)), content.last_unit)
        unit = last + 1
        if first > last:
            break
        minutes = sum(costs[u] for u in range(first, last + 1))
        start = draw(st.integers(0, 1440 // 30 - 1)) * 30
        done = st.one_of(st.none(), st.integers(first, max(first, last - 1)))
        if start + minutes <= 1440:
            rows.append(
                KeptPlan(
                    content=content.position,
                    kind=PlanKind.STUDY,
                    date=draw(st.sampled_from(days)),
                    start_minute=start,
                    end_minute=start + minutes,
                    first_unit=first,
                    last_unit=last,
                    done_through=draw(done) if first < last else None,
                )
            )
    return rows


def _meet(a: KeptPlan, b: KeptPlan | Busy) -> bool:
    return a.date == b.date and a.start_minute < b.end_minute and b.start_minute < a.end_minute


@st.composite
def shuffled(draw: st.DrawFn, request: Request) -> Request:
    """The same request, its rows in another order."""
    return replace(
        request,
        contents=tuple(draw(st.permutations(request.contents))),
        blocks=tuple(draw(st.permutations(request.blocks))),
        non_study_blocks=tuple(draw(st.permutations(request.non_study_blocks))),
        academy_schedules=tuple(draw(st.permutations(request.academy_schedules))),
        exclusions=tuple(draw(st.permutations(request.exclusions))),
        busy=tuple(draw(st.permutations(request.busy))),
        kept=tuple(draw(st.permutations(request.kept))),
    )
