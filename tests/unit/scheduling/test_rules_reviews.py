"""Reviews beside plans that were kept."""

import pytest

from domain.scheduling.engine import schedule
from domain.scheduling.vocabulary import PlanKind
from tests.unit.scheduling.build import ask, book, kept

CASES = {"around": (1, 50, 21), "head": (1, 15, 6), "tail": (20, 60, 11), "gone": (31, 60, 0)}


@pytest.mark.parametrize(("first", "last", "reviewed"), CASES.values(), ids=list(CASES))
def test_what_a_kept_plan_studied_beyond_the_contents_range_is_not_reviewed(
    first: int, last: int, reviewed: int
) -> None:
    """The range shrank to 10–30 after the plan was done."""
    done = kept(first, last, "01-06", 10, 15)
    result = schedule(ask(book(10, 30, 10), today="01-11", kept=(done,)))
    reviews = [plan for plan in result.plans if plan.kind is PlanKind.REVIEW]
    units = [unit for plan in reviews for unit in range(plan.first_unit, plan.last_unit + 1)]
    assert sorted(units) == list(range(10, 31)), "new or kept, each unit once"
    assert len([unit for unit in units if first <= unit <= last]) == reviewed
    assert sum(plan.end_minute - plan.start_minute for plan in reviews) == round(21 * 10 * 0.4)
