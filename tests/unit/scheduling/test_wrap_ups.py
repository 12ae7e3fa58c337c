"""One wrap-up per content and day, also if a part of the day's session was done before."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from itertools import chain, combinations

import pytest

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Content, KeptPlan, PlanKind, Strategy
from tests.unit.scheduling.build import block, book, checked_schedule, lecture, make_request, on
from tests.unit.scheduling.lives import Life

STRATEGIES = pytest.mark.parametrize("strategy", list(Strategy))
CONTENTS = {
    "lecture": lecture(*[30] * 12, wrap_up_minutes=15),
    "book": book(1, 40, 8, wrap_up_minutes=10),
}
EACH_CONTENT = pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
YESTERDAY, TODAY = on("01-06"), on("01-07")


def wrap_ups(plans: Iterable[ScheduledPlan | KeptPlan]) -> Counter[date]:
    """Count the study rows of each date that have a wrap-up."""
    return Counter(
        plan.date for plan in plans if plan.kind is PlanKind.STUDY and plan.wrap_up_minutes
    )


def lives_with_some_plans_of_today_done(content: Content, strategy: Strategy) -> list[Life]:
    """Return lives in which some, or all, plans of today are done, and yesterday was missed."""
    request = make_request(
        content,
        period="01-06..01-09",
        cycle=(6, 0),
        blocks=(*block(10, 11), *block(14, 17)),
        non_study_blocks=(),
    )
    life = Life(replace(request, strategy=strategy))
    rows = [plan for plan in life.planned if plan.date == TODAY]
    ways = chain.from_iterable(combinations(rows, count) for count in range(1, len(rows) + 1))
    lives = []
    for done in ways:
        copied = life.copy()
        for plan in done:
            copied.mark(plan)
        lives.append(copied)
    assert any(one.wrap_up_minutes for life in lives for one in life.done)
    return lives


@STRATEGIES
@EACH_CONTENT
def test_generation_plans_no_second_wrap_up_after_a_part_of_the_session_is_done(
    content: Content, strategy: Strategy
) -> None:
    for life in lives_with_some_plans_of_today_done(content, strategy):
        result = checked_schedule(life.request_on(TODAY))
        plans: list[ScheduledPlan | KeptPlan] = [*result.plans, *life.done]
        assert wrap_ups(plans) == {plan.date: 1 for plan in plans}


@STRATEGIES
@EACH_CONTENT
def test_reschedule_plans_no_second_wrap_up_after_a_part_of_the_session_is_done(
    content: Content, strategy: Strategy
) -> None:
    has_more_today = False
    for life in lives_with_some_plans_of_today_done(content, strategy):
        done = list(life.done)
        found = life.reschedule(TODAY)
        has_more_today |= any(plan.date == TODAY for plan in found.plans)
        plans: list[ScheduledPlan | KeptPlan] = [*found.plans, *done]
        assert wrap_ups(plans) == {plan.date: 1 for plan in plans}
        assert found.warnings == ()
    assert has_more_today


@STRATEGIES
def test_session_after_a_part_done_plan_has_the_wrap_up(strategy: Strategy) -> None:
    (life,) = lives_with_some_plans_of_today_done(CONTENTS["book"], strategy)[-1:]
    life.done[-1] = replace(life.done[-1], done_through=life.done[-1].first_unit)
    found = life.reschedule(TODAY)
    assert wrap_ups(found.plans)[TODAY] == 1
