"""Reviews of a period with kept plans."""

import pytest

from domain.scheduling.schedule import schedule
from domain.scheduling.types import PlanKind
from tests.unit.scheduling.build import book, kept, make_request

CASES = {"around": (1, 50, 21), "start": (1, 15, 6), "end": (20, 60, 11), "outside": (31, 60, 0)}


@pytest.mark.parametrize(("first", "last", "reviewed"), CASES.values(), ids=list(CASES))
def test_review_omits_kept_units_outside_the_range_of_the_content(
    first: int, last: int, reviewed: int
) -> None:
    """The range was reduced to 10–30 after the plan was done."""
    done = kept(first, last, "01-06", 10, 15)
    result = schedule(make_request(book(10, 30, 10), today="01-11", kept=(done,)))
    reviews = [plan for plan in result.plans if plan.kind is PlanKind.REVIEW]
    units = [unit for plan in reviews for unit in range(plan.first_unit, plan.last_unit + 1)]
    assert sorted(units) == list(range(10, 31)), (
        "each unit is reviewed once, whether its plan is new or kept"
    )
    assert len([unit for unit in units if first <= unit <= last]) == reviewed
    assert sum(plan.end_minute - plan.start_minute for plan in reviews) == round(21 * 10 * 0.4)
