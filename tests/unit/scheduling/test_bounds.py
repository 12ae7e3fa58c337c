"""The work for a schedule is limited, whatever the input is. It is counted and not timed."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from domain.scheduling import explanation
from domain.scheduling.demand import Placed, problem_of
from domain.scheduling.distribution import deal, in_turn
from domain.scheduling.distribution.in_turn import Effort
from domain.scheduling.quality import quality
from domain.scheduling.rows import new_row
from domain.scheduling.schedule import schedule
from domain.scheduling.types import PlanKind, Request
from tests.benchmarks.extremes import Recipe, build
from tests.unit.scheduling.build import book, make_request
from tests.unit.scheduling.checker import check

MAX_EFFORT = 400_000
"""Units and spans: the limits of distribution and repairs, and one last attempt of each."""


def measured(function: Callable[[Request], Any], request: Request) -> tuple[int, Any]:
    """Return the units and spans that all deals of a call examine, and the result of the call."""
    examined = 0

    def counting(demand: Any, targets: Any, rooms: Any, divisible: int) -> Any:
        nonlocal examined
        spans = sum(len(rooms[day].study) + len(rooms[day].reserve) for day in demand.own)
        examined += spans + len(demand.units)
        return deal.deal_one(demand, targets, rooms, divisible)

    with patch.object(in_turn, "deal_one", counting):
        result = function(request)
    return examined, result


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(days=366, study_spans=24, lectures=9, longest=1440, percent_full=100),
        Recipe(days=731, study_spans=12, shortest=2, longest=8, deadlines=9, percent_full=98),
        Recipe(days=92, study_spans=24, shortest=1, longest=7, kept=2000, percent_full=110),
        Recipe(days=60, study_spans=4, lectures=5, percent_full=105),
        Recipe(days=92, study_spans=12, classes=24, lectures=9, shortest=2, longest=240),
        Recipe(self_study_spans=24, meals=24, classes=24, weaknesses=6, busy=2000, study_days=4),
        Recipe(self_study_spans=24, meals=24, classes=24, percent_full=90, study_days=4),
    ],
    ids=[
        "long lectures",
        "short units",
        "kept plans",
        "small",
        "lectures cut into many spans",
        "100 spans",
        "90 % of 100 spans",
    ],
)
def test_deals_of_a_schedule_examine_a_limited_number_of_units_and_spans(recipe: Recipe) -> None:
    examined, _ = measured(schedule, build(recipe))
    assert 0 < examined < MAX_EFFORT


def test_schedule_without_remaining_effort_breaks_no_rule() -> None:
    request = build(Recipe(days=40, study_spans=3, self_study_spans=1, percent_full=97))
    with patch("domain.scheduling.distribution.even.MAX_EFFORT", 0):
        assert check(request, schedule(request)) == []


def test_repairs_of_a_problem_that_exceeds_the_effort_are_not_tried() -> None:
    request = build(Recipe(days=30, study_spans=2, percent_full=130))
    problem, result = problem_of(request), schedule(request)
    assert result.repairs
    with patch.object(explanation, "_MAX_EFFORT", 10):
        assert explanation.repairs(problem, result.unplaced) == ()


def test_effort_is_reached_if_demands_cannot_be_dealt_twice() -> None:
    problem = problem_of(build(Recipe(days=30, study_spans=2)))
    effort = Effort(10**6)
    assert effort.require_two_deals(problem.demands, problem.rooms)
    effort.spend(problem.demands[0], problem.rooms)
    assert effort.left < 10**6
    effort.left = 10
    assert not effort.require_two_deals(problem.demands, problem.rooms)
    assert not effort.remains


@pytest.mark.parametrize("minutes", [960, 961, 50_000])
def test_least_level_of_minutes_that_no_day_could_hold_is_found(minutes: int) -> None:
    problem = problem_of(make_request(book(1, 100), period="01-06..01-07"))
    row = new_row(
        day=0,
        start=0,
        stop=minutes,
        content=1,
        kind=PlanKind.STUDY,
        first_unit=1,
        last_unit=1,
        part=1,
        parts=1,
        wrap_up=0,
        reserve=False,
    )
    found = quality(problem, [Placed(1, minutes)], [row])
    assert found.least_peak == -(-minutes // 2)
    assert found.least_fullness == -(-1000 * minutes // 960)
