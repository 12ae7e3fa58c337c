"""A review that loses its place is offered again or reported, also if nothing else has happened."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Factors, PlanKind, SpecialDay, Strategy
from tests.unit.scheduling.build import block, book, lecture, make_request, on
from tests.unit.scheduling.lives import Life, places

STRATEGIES = pytest.mark.parametrize("strategy", list(Strategy))
TINY_REVIEWS = Factors(weakness=Decimal("1.0"), review=Decimal("0.05"))


def life_before_a_review(strategy: Strategy, **options: Any) -> Life:
    """Return a life on its first review day, after the study of units 1 to 12 is done."""
    request = make_request(book(1, 60, 6), period="01-06..01-20", cycle=(2, 1), **options)
    life = Life(replace(request, strategy=strategy))
    life.do(on("01-08"))
    return life


def life_after_a_part(strategy: Strategy, through: int, **options: Any) -> Life:
    """Return a life whose first review was done through a unit."""
    life = life_before_a_review(strategy, **options)
    (review,) = [plan for plan in life.planned if plan.date == on("01-08")]
    assert (review.first_unit, review.last_unit) == (1, 12)
    life.mark(review, through)
    return life


def early_reviews(result: Schedule) -> list[tuple[str, int, int]]:
    """Return the planned reviews of units 1 to 12."""
    return [
        (f"{plan.date:%m-%d}", plan.first_unit, plan.last_unit)
        for plan in result.plans
        if plan.kind is PlanKind.REVIEW and plan.last_unit <= 12
    ]


def unreviewed(result: Schedule) -> list[tuple[object, object]]:
    return [
        (one.data["first_unit"], one.data["last_unit"])
        for one in result.warnings
        if one.code == "unreviewed"
    ]


@STRATEGIES
def test_rest_of_a_part_done_review_is_offered_if_nothing_else_has_happened(
    strategy: Strategy,
) -> None:
    life = life_after_a_part(strategy, 5)
    before = places(life.planned)
    found = life.reschedule(on("01-09"))
    assert early_reviews(found) == [("01-11", 6, 12)]
    assert before < places(found.plans)
    assert found.warnings == ()
    assert life.reschedule(on("01-09")).plans == found.plans


@STRATEGIES
def test_rest_of_a_part_done_review_without_room_is_reported_and_no_plan_changes(
    strategy: Strategy,
) -> None:
    days = ("01-11", "01-14", "01-17", "01-20")
    full = tuple(SpecialDay(on(day), ((600, 601),)) for day in days)
    life = life_after_a_part(strategy, 2, special_days=full)
    before = places(life.planned)
    found = life.reschedule(on("01-09"))
    assert places(found.plans) == before
    assert unreviewed(found) == [(3, 12)]


@STRATEGIES
def test_rest_of_a_part_done_review_that_rounds_to_no_minute_is_reported(
    strategy: Strategy,
) -> None:
    found = life_after_a_part(strategy, 11, factors=TINY_REVIEWS).reschedule(on("01-09"))
    assert early_reviews(found) == []
    assert unreviewed(found) == [(12, 12)]


@STRATEGIES
def test_review_that_a_deadline_takes_away_is_reported(strategy: Strategy) -> None:
    life = life_before_a_review(strategy)
    found = life.reschedule(on("01-08"), request=replace(life.request, target_date=on("01-08")))
    assert [plan for plan in found.plans if plan.kind is PlanKind.REVIEW] == []
    assert unreviewed(found)[0] == (1, 12)


@STRATEGIES
def test_review_of_units_that_are_caught_up_in_a_cycle_without_review_days_is_reported(
    strategy: Strategy,
) -> None:
    """Units 7 to 12 move from the first cycle to the second one, which is cut short."""
    request = make_request(
        book(1, 24, 6), period="01-06..01-10", cycle=(2, 1), blocks=block(10, 10.6)
    )
    life = Life(replace(request, strategy=strategy))
    assert unreviewed(schedule(life.request)) == [(13, 24)]
    life.do(on("01-07"))
    found = life.reschedule(on("01-08"))
    assert early_reviews(found) == [("01-08", 1, 6)]
    assert unreviewed(found) == [(7, 12)]
    assert unreviewed(life.reschedule(on("01-08"))) == []


@STRATEGIES
def test_review_of_units_that_lost_their_study_while_it_was_frozen_leaves_afterwards(
    strategy: Strategy,
) -> None:
    request = make_request(book(1, 12, 6), period="01-06..01-08", cycle=(2, 1))
    life = Life(replace(request, strategy=strategy))
    frozen = life.reschedule(on("01-08"), frozen_until=on("01-09"))
    assert early_reviews(frozen) == [("01-08", 1, 12)]
    found = life.reschedule(on("01-08"))
    assert found.plans == ()
    assert life.reschedule(on("01-08")).plans == ()


@STRATEGIES
def test_review_of_a_unit_that_lost_a_piece_while_it_was_frozen_leaves_afterwards(
    strategy: Strategy,
) -> None:
    request = make_request(lecture(100), period="01-06..01-08", cycle=(2, 1), blocks=block(10, 11))
    life = Life(replace(request, strategy=strategy))
    assert [plan.parts for plan in life.planned] == [2, 2, 1]
    life.do(on("01-07"))
    assert life.reschedule(on("01-08"), frozen_until=on("01-09")).plans
    assert life.reschedule(on("01-08")).plans == ()
