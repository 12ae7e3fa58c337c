"""Reviews of units in pieces, of which some are done: the others stay planned."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import combinations

import pytest

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import PlanKind, Request, SpecialDay, Strategy
from tests.unit.scheduling.build import (
    block,
    book,
    checked_schedule,
    lecture,
    make_request,
    off,
    on,
    reviews,
)
from tests.unit.scheduling.lives import Life

STRATEGIES = pytest.mark.parametrize("strategy", list(Strategy))
REVIEW_DAY = on("01-08")
SPANS = {
    "two pieces of a unit": tuple((start, start + 30) for start in range(600, 900, 60)),
    "three pieces of a unit": tuple((start, start + 16) for start in range(600, 1200, 30)),
    "pieces of different lengths": ((600, 605), (620, 657), (700, 715), (720, 759), (800, 839)),
    "too short for all": ((600, 615), (640, 655), (680, 695), (720, 735)),
}


def cut_reviews(strategy: Strategy, spans: tuple[tuple[int, int], ...]) -> Life:
    """Return a group whose review day has these spans, after the study before it is done."""
    request = make_request(
        lecture(*[100] * 4, position=1),
        book(1, 20, 6, position=2),
        period="01-06..01-14",
        cycle=(2, 1),
        blocks=block(10, 18),
        non_study_blocks=(),
        special_days=(SpecialDay(REVIEW_DAY, spans),),
    )
    life = Life(replace(request, strategy=strategy))
    life.do(REVIEW_DAY)
    return life


def subsets_of_done_pieces(life: Life) -> Iterator[Collection[ScheduledPlan]]:
    """Yield ways to do only some pieces of the units that are reviewed in pieces."""
    rows = [plan for plan in life.planned if plan.date == REVIEW_DAY]
    pieces = [plan for plan in rows if plan.parts > 1]
    for count in range(1, len(pieces)):
        yield from combinations(pieces, count)


def after_doing(life: Life, done: Collection[ScheduledPlan]) -> Request:
    copied = life.copy()
    for plan in done:
        copied.mark(plan)
    return copied.request_on(REVIEW_DAY)


@STRATEGIES
@pytest.mark.parametrize("spans", SPANS.values(), ids=list(SPANS))
def test_generation_plans_the_other_pieces_of_a_review_of_which_some_are_done(
    strategy: Strategy, spans: tuple[tuple[int, int], ...]
) -> None:
    life = cut_reviews(strategy, spans)
    before = {
        (plan.content, unit)
        for plan in life.planned
        if plan.date == REVIEW_DAY
        for unit in range(plan.first_unit, plan.last_unit + 1)
    }
    minutes = sum(plan.minutes for plan in life.planned if plan.date == REVIEW_DAY)
    ways = list(subsets_of_done_pieces(life))
    assert ways
    for done in ways:
        result = checked_schedule(after_doing(life, done))
        planned = [row for row in reviews(result) if row.date == REVIEW_DAY]
        assert minutes == sum(row.minutes for row in [*planned, *done])
        rows = [*planned, *done]
        assert before == {
            (row.content, unit) for row in rows for unit in range(row.first_unit, row.last_unit + 1)
        }
        for content, unit in {(row.content, row.first_unit) for row in done}:
            own = [row for row in rows if (row.content, row.first_unit) == (content, unit)]
            assert sorted(row.part for row in own) == [*range(1, len(own) + 1)]


@STRATEGIES
def test_generation_does_not_plan_more_of_a_review_whose_pieces_are_all_done(
    strategy: Strategy,
) -> None:
    life = cut_reviews(strategy, SPANS["two pieces of a unit"])
    rows = [plan for plan in life.planned if plan.date == REVIEW_DAY]
    result = checked_schedule(after_doing(life, rows))
    assert [row for row in reviews(result) if row.date == REVIEW_DAY] == []


@STRATEGIES
def test_generation_reports_the_rest_of_a_review_for_which_no_day_is_left(
    strategy: Strategy,
) -> None:
    life = cut_reviews(strategy, SPANS["two pieces of a unit"])
    pieces = [plan for plan in life.planned if plan.date == REVIEW_DAY and plan.parts > 1]
    life.mark(pieces[0])
    found = checked_schedule(life.request_on(on("01-09")))
    reported = [warning.data for warning in found.warnings if warning.code == "unreviewed"]
    assert (1, pieces[0].content, pieces[0].first_unit) in [
        (one["cycle"], one["content"], one["first_unit"]) for one in reported
    ]
    assert all(row.kind is not PlanKind.REVIEW or row.cycle > 1 for row in found.plans)


@STRATEGIES
def test_review_in_pieces_follows_its_unit_if_all_pieces_of_an_earlier_one_are_done(
    strategy: Strategy,
) -> None:
    """A review without a missing piece is not begun, also if its unit is studied later."""
    spans = ((600, 630), (700, 730))
    request = make_request(
        lecture(100),
        period="01-06..01-14",
        cycle=(2, 1),
        blocks=block(10, 18),
        non_study_blocks=(),
        special_days=(SpecialDay(REVIEW_DAY, spans), SpecialDay(on("01-11"), spans)),
    )
    life = Life(replace(request, strategy=strategy))
    for review in [plan for plan in life.planned if plan.date == REVIEW_DAY]:
        assert review.parts == 2
        life.mark(review)
    found = life.reschedule(on("01-09"))
    assert [(row.date, row.parts) for row in reviews(found)] == [(on("01-11"), 2)] * 2
    found = life.reschedule(on("01-10"), request=replace(life.request, exclusions=off("01-10")))
    assert [row.date for row in reviews(found)] == [on("01-14")]
