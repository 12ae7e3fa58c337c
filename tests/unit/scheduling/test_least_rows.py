"""A reschedule changes few more study rows than the least that is possible."""

import pytest

from domain.scheduling.types import Strategy
from tests.unit.scheduling.build import block, book, make_request, on
from tests.unit.scheduling.least_rows import least_changed_rows
from tests.unit.scheduling.lives import Life, next_day, places
from tests.unit.scheduling.test_rescheduling import lives


@pytest.mark.parametrize(("minutes", "least"), [(120, 1), (80, 3)])
def test_least_rows_are_those_of_the_days_that_have_to_take_more(minutes: int, least: int) -> None:
    request = make_request(
        book(1, 36, 10), blocks=block(10, 10 + minutes / 60), non_study_blocks=()
    )
    life = Life(request)
    life.do(on("01-07"))
    assert least_changed_rows(life, on("01-08")) == least


@pytest.mark.parametrize("strategy", list(Strategy))
def test_reschedule_changes_few_more_rows_than_the_least(strategy: Strategy) -> None:
    rows, bound = 0, 0
    for generated in lives(strategy, 40):
        for quarter in (1, 2, 3):
            life = generated.copy()
            missed = life.study_dates[len(life.study_dates) * quarter // 4]
            life.do(missed)
            least = least_changed_rows(life, next_day(missed))
            before = [plan for plan in life.planned if plan.date > missed and plan.kind == "study"]
            found = life.reschedule(next_day(missed))
            if least is None or found.unplaced or any(plan.reserve for plan in found.plans):
                continue
            rows += len(places(before) - places(found.plans))
            bound += least
    assert bound > 20
    assert rows <= 1.12 * bound, (rows, bound)
