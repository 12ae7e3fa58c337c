"""A reschedule changes the reviews whose units differ, and only these."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain.scheduling.types import PlanKind, Strategy
from tests.unit.scheduling.build import (
    DAILY,
    THURSDAY,
    block,
    book,
    kept,
    make_request,
    off,
    on,
    reserve,
)
from tests.unit.scheduling.lives import Life, violations


@pytest.mark.parametrize("strategy", list(Strategy))
def test_review_covers_no_unit_that_is_caught_up_after_it(strategy: Strategy) -> None:
    # A Thursday has self-study time alone. It is the last resort, and lies behind the review day.
    request = make_request(
        book(1, 28, 6),
        period="01-06..01-12",
        cycle=(2, 1),
        blocks=(
            *block(9, 9.7, [day for day in DAILY if day != THURSDAY]),
            *reserve(19, 20, [THURSDAY]),
        ),
        non_study_blocks=(),
    )
    life = Life(replace(request, strategy=strategy))
    missed, review_day = on("01-06"), on("01-08")
    before = [plan for plan in life.planned if plan.date == review_day]
    assert [(plan.first_unit, plan.last_unit) for plan in before] == [(1, 14)]
    found = life.reschedule(missed + timedelta(1))
    late = [plan for plan in found.plans if plan.date == on("01-09")]
    assert [plan.kind for plan in late] == [PlanKind.STUDY]
    (review,) = [plan for plan in found.plans if plan.date == review_day]
    assert (review.first_unit, review.last_unit) == (1, late[0].first_unit - 1)
    assert [warning.code for warning in found.warnings] == ["unreviewed"]
    assert list(violations(life, missed + timedelta(1))) == []


@pytest.mark.parametrize("strategy", list(Strategy))
def test_review_of_the_rest_of_a_part_done_one_leaves_with_its_units(strategy: Strategy) -> None:
    request = make_request(book(1, 10, 6), period="01-06..01-08", cycle=(2, 1))
    life = Life(replace(request, strategy=strategy))
    (review,) = [plan for plan in life.planned if plan.kind is PlanKind.REVIEW]
    life.planned.remove(review)
    life.done.append(kept(1, 10, "01-08", 10, 10.4, kind=PlanKind.REVIEW, done_through=1))
    life.planned.append(replace(review, start_minute=660, end_minute=681, first_unit=2))
    found = life.reschedule(on("01-06"), request=replace(request, exclusions=off("01-06", "01-07")))
    assert found.plans == ()
