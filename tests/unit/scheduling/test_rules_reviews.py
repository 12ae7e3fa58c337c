"""Reviews of a period with kept plans, and reviews in pieces."""

from decimal import Decimal

import pytest

from domain.scheduling.schedule import schedule
from domain.scheduling.types import Factors, PlanKind
from tests.unit.scheduling.build import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    block,
    book,
    checked_schedule,
    custom,
    holiday,
    kept,
    make_request,
    reserve,
    reviews,
)

CASES = {"around": (1, 50, 21), "start": (1, 15, 6), "end": (20, 60, 11), "outside": (31, 60, 0)}


@pytest.mark.parametrize(("first", "last", "reviewed"), CASES.values(), ids=list(CASES))
def test_review_omits_kept_units_outside_the_range_of_the_content(
    first: int, last: int, reviewed: int
) -> None:
    """The range was reduced to 10–30 after the plan was done."""
    done = kept(first, last, "01-06", 10, 15)
    result = schedule(make_request(book(10, 30, 10), today="01-11", kept=(done,)))
    rows = [plan for plan in result.plans if plan.kind is PlanKind.REVIEW]
    units = [unit for plan in rows for unit in range(plan.first_unit, plan.last_unit + 1)]
    assert sorted(units) == list(range(10, 31)), (
        "each unit is reviewed once, whether its plan is new or kept"
    )
    assert len([unit for unit in units if first <= unit <= last]) == reviewed
    assert sum(plan.end_minute - plan.start_minute for plan in rows) == round(21 * 10 * 0.4)


def test_pieces_of_reviews_are_numbered_per_unit() -> None:
    # Two units of 100 minutes fill the review day, whose spans end after 60, 110 and 160 minutes.
    spans = [("10:00", "11:00"), ("12:00", "12:50"), ("14:00", "14:50"), ("16:00", "16:40")]
    wednesday = [one for start, end in spans for one in block(start, end, [WEDNESDAY])]
    request = make_request(
        custom(1, 2, 100),
        period="01-06..01-08",
        cycle=(2, 1),
        blocks=(*block(10, "11:40", [MONDAY, TUESDAY]), *wednesday),
        non_study_blocks=(),
        factors=Factors(weakness=Decimal(1), review=Decimal(1)),
    )
    rows = reviews(checked_schedule(request))
    pieces = [(row.first_unit, row.part, row.parts) for row in rows]
    assert pieces == [(1, 1, 2), (1, 2, 2), (2, 1, 3), (2, 2, 3), (2, 3, 3)]


def test_units_that_are_studied_after_the_review_day_divide_the_reviewed_ranges() -> None:
    """A holiday's reserve belongs to the cycle whose review day is before it."""
    request = make_request(
        book(1, 8, 6),
        period="01-06..01-08",
        cycle=(1, 1),
        blocks=(*block(10, "10:12", [MONDAY, TUESDAY]), *reserve(10, 11, [WEDNESDAY])),
        kept=(kept(5, 6, "01-06", 8, 8.2),),
        exclusions=holiday("01-08"),
        self_study_on_holidays=True,
    )
    rows = reviews(checked_schedule(request))
    assert [(row.first_unit, row.last_unit) for row in rows] == [(1, 2), (5, 6)]
