"""A reschedule changes the reviews whose units differ, and only these."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from domain.scheduling.demand import problem_of
from domain.scheduling.difference import place_of
from domain.scheduling.rescheduling.reviews import Follow
from domain.scheduling.rescheduling.timetable import Timetable
from domain.scheduling.result import ScheduledPlan, clock
from domain.scheduling.rows import new_row
from domain.scheduling.types import PlanKind, SpecialDay, Strategy
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
from tests.unit.scheduling.lives import Life, places, violations


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


def done(life: Life, *days: str) -> None:
    """Mark all study of some days as done."""
    for day in days:
        for plan in [one for one in life.planned if one.date == on(day)]:
            life.planned.remove(plan)
            life.done.append(plan.as_kept())


def reviews(plans: Iterable[ScheduledPlan]) -> list[tuple[str, int, int]]:
    found = [plan for plan in plans if plan.kind is PlanKind.REVIEW]
    return [(f"{plan.date:%m-%d}", plan.first_unit, plan.last_unit) for plan in found]


def life_with_an_offered_review(strategy: Strategy) -> Life:
    """Return a life in which the review of the first cycle is offered in the second one."""
    request = make_request(book(1, 60, 6), period="01-06..01-20", cycle=(2, 1))
    life = Life(replace(request, strategy=strategy))
    done(life, "01-06", "01-07")
    life.planned = list(life.reschedule(on("01-09")).plans)
    assert reviews(life.planned)[:2] == [("01-11", 13, 24), ("01-11", 1, 12)]
    return life


@pytest.mark.parametrize("strategy", list(Strategy))
def test_offered_review_stays_if_the_cycle_in_which_it_lies_changes(strategy: Strategy) -> None:
    life = life_with_an_offered_review(strategy)
    (offered,) = [
        plan for plan in life.planned if plan.date == on("01-11") and plan.last_unit == 12
    ]
    found = life.reschedule(on("01-11"))
    assert reviews(found.plans)[:2] == [("01-11", 1, 12), ("01-14", 13, 30)]
    assert place_of(offered) in places(found.plans)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_offered_review_that_loses_its_time_is_offered_again(strategy: Strategy) -> None:
    life = life_with_an_offered_review(strategy)
    request = replace(life.request, exclusions=off("01-11"))
    found = life.reschedule(on("01-09"), request=request)
    offered = [day for day, first, last in reviews(found.plans) if (first, last) == (1, 12)]
    assert offered == ["01-14"]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_offered_review_has_no_units_that_are_pinned_to_later(strategy: Strategy) -> None:
    life = life_with_an_offered_review(strategy)
    life.done[0] = replace(life.done[0], date=on("01-20"))
    found = life.reschedule(on("01-11"))
    assert reviews(found.plans)[:2] == [("01-11", 7, 12), ("01-14", 13, 30)]
    (late,) = [dict(warning.data) for warning in found.warnings]
    assert (late["first_unit"], late["last_unit"]) == (1, 6)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_offered_review_leaves_when_its_units_are_reviewed_elsewhere(strategy: Strategy) -> None:
    life = life_with_an_offered_review(strategy)
    life.done.append(kept(1, 12, "01-08", 10, 10.8, kind=PlanKind.REVIEW))
    found = life.reschedule(on("01-11"))
    assert reviews(found.plans)[0] == ("01-14", 13, 30)


def life_with_a_part_done_review(strategy: Strategy, through: int, **options: Any) -> Life:
    """Return a life on the day after a review was done through a unit; the next day is missed."""
    request = make_request(book(1, 60, 6), period="01-06..01-20", cycle=(2, 1), **options)
    life = Life(replace(request, strategy=strategy))
    done(life, "01-06", "01-07")
    (review,) = [plan for plan in life.planned if plan.date == on("01-08")]
    assert (review.first_unit, review.last_unit) == (1, 12)
    life.mark(review, through)
    return life


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("through", [1, 5, 11])
def test_rest_of_a_part_done_review_is_offered_on_the_next_review_day(
    strategy: Strategy, through: int
) -> None:
    life = life_with_a_part_done_review(strategy, through)
    found = life.reschedule(on("01-10"))
    assert [one for one in reviews(found.plans) if one[2] <= 12] == [("01-11", through + 1, 12)]
    assert [one for one in found.warnings if one.code == "unreviewed"] == []
    before = places(found.plans)
    assert places(life.reschedule(on("01-10")).plans) == before
    done(life, "01-10")
    again = life.reschedule(on("01-12"))
    assert [one for one in reviews(again.plans) if one[2] <= 12] == [("01-14", through + 1, 12)]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_rest_of_a_part_done_review_is_reported_once_if_no_review_day_has_room(
    strategy: Strategy,
) -> None:
    life = life_with_a_part_done_review(strategy, 2)
    full = [SpecialDay(on(day), ((600, 601),)) for day in ("01-11", "01-14", "01-17", "01-20")]
    found = life.reschedule(on("01-10"), request=replace(life.request, special_days=tuple(full)))
    reported = [dict(one.data) for one in found.warnings if one.code == "unreviewed"]
    rest = {"cycle": 1, "content": 1, "first_unit": 3, "last_unit": 12}
    assert [one for one in reported if one["cycle"] == 1] == [rest]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_rest_of_a_part_done_review_has_only_units_that_are_done_and_not_planned(
    strategy: Strategy,
) -> None:
    life = life_with_a_part_done_review(strategy, 2)
    (study,) = [one for one in life.done if one.last_unit == 12 and one.kind is PlanKind.STUDY]
    life.done.remove(study)
    life.done.append(replace(study, done_through=10))
    life.done.append(kept(5, 6, "01-08", 8, 8.2, kind=PlanKind.REVIEW))
    found = life.reschedule(on("01-10"))
    offered = [one for one in reviews(found.plans) if one[0] == "01-11"]
    assert {(first, last) for _, first, last in offered} >= {(3, 4), (7, 10)}
    assert not [one for one in offered if one[1] <= 6 and one[2] >= 5]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_rest_of_a_review_that_is_part_done_in_advance_is_not_offered_before_its_day(
    strategy: Strategy,
) -> None:
    life = life_with_a_part_done_review(strategy, 2)
    ahead = life.done.pop()
    life.done.append(replace(ahead, date=on("01-14")))
    found = life.reschedule(on("01-10"))
    assert ("01-14", 3, 12) in reviews(found.plans)


Found = list[tuple[str, int, int]]
"""The times and units of reviews."""


def renewed(
    strategy: Strategy,
    *,
    old: Sequence[tuple[int, int, int, int]],
    studied: range,
    morning: str = "10:40",
    rest: str = "17:00",
    review_days: int = 1,
) -> Found:
    """Return the reviews of a cycle whose units have changed, after those of another content.

    ``old`` has the start, the stop and the units of the planned rows.
    """
    request = make_request(
        book(1, 30, 6, position=1),
        book(1, 10, 6, position=2),
        period="01-06..01-08",
        cycle=(3 - review_days, review_days),
        blocks=(*block(10, morning), *block(15, rest)),
        non_study_blocks=(),
    )
    problem = problem_of(replace(request, strategy=strategy))
    review = partial(
        new_row, day=2, kind=PlanKind.REVIEW, part=1, parts=1, wrap_up=0, reserve=False
    )
    other = review(content=2, start=900, stop=922, first_unit=1, last_unit=10)
    planned = [
        review(content=1, start=start, stop=stop, first_unit=first, last_unit=last)
        for start, stop, first, last in old
    ]
    timetable = Timetable(problem.rooms, [*planned, other], {})
    demands = {demand.content.position: demand for demand in problem.demands}
    study = partial(new_row, day=0, kind=PlanKind.STUDY, part=1, parts=1, wrap_up=0, reserve=False)
    same = [study(content=2, start=900, stop=960, first_unit=1, last_unit=10)]
    first, last = min(row.first_unit for row in planned), max(row.last_unit for row in planned)
    before = [study(content=1, start=600, stop=630, first_unit=first, last_unit=last)]
    after = [study(content=1, start=600, stop=640, first_unit=studied[0], last_unit=studied[-1])]
    follow = Follow(problem, demands, timetable)
    assert follow.follow({1: before, 2: same}, {1: after, 2: same}, [], []) == []
    assert other in timetable.rows
    rows = timetable.of(1, PlanKind.REVIEW)
    return [(clock(row.start), row.first_unit, row.last_unit) for row in rows]


def grown_review(strategy: Strategy, *, rest: str) -> Found:
    return renewed(strategy, old=[(600, 636, 1, 15)], studied=range(1, 31), rest=rest)


def test_review_that_outgrows_its_place_stays_beside_the_new_units_after_a_pause() -> None:
    grown = grown_review(Strategy.BALANCED, rest="17:00")
    assert grown == [("10:00", 1, 15), ("15:35", 16, 30)]
    assert grown_review(Strategy.EVEN, rest="17:00") == [("10:00", 1, 15), ("15:22", 16, 30)]


def test_review_that_outgrows_its_place_goes_on_elsewhere_if_the_new_units_would_be_shortened() -> (
    None
):
    """Where it is, it can have the last minutes of the morning."""
    assert grown_review(Strategy.BALANCED, rest="15:57") == [("10:00", 1, 16), ("15:22", 17, 30)]


def test_review_that_outgrows_its_place_has_no_pause_if_the_day_has_not_the_room() -> None:
    assert grown_review(Strategy.BALANCED, rest="15:58") == [("10:00", 1, 15), ("15:22", 16, 30)]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_review_grows_in_its_place_if_that_holds_it(strategy: Strategy) -> None:
    old = [(600, 636, 1, 15)]
    assert renewed(strategy, old=old, studied=range(1, 31), morning="11:20") == [("10:00", 1, 30)]


def test_review_rows_whose_units_are_still_reviewed_stay_if_others_are_lost_or_added() -> None:
    """Laid out anew from the place of the first row on, all of them would change."""
    old = [(600, 620, 11, 18), (620, 632, 19, 23), (1000, 1012, 24, 28)]
    less = renewed(Strategy.EVEN, old=old, studied=range(11, 24))
    assert less == [("10:00", 11, 18), ("10:20", 19, 23)]
    more = renewed(Strategy.EVEN, old=old, studied=range(9, 29))
    assert more == [("10:00", 11, 18), ("10:20", 19, 23), ("10:32", 9, 10), ("16:40", 24, 28)]


def test_review_rows_stay_if_only_another_day_has_a_span_for_the_new_units() -> None:
    old = [(600, 638, 1, 16)]
    found = renewed(Strategy.EVEN, old=old, studied=range(1, 31), rest="15:30", review_days=2)
    assert found == [("10:00", 17, 30), ("10:00", 1, 16)]


@pytest.mark.parametrize("late", [None, 3])
def test_review_of_units_without_a_plan_before_it_is_renewed_even_if_no_study_row_changed(
    late: int | None,
) -> None:
    """They were missed by hand, and found no room then, or only later than the review."""
    request = make_request(book(1, 10, 6), period="01-06..01-10", cycle=(2, 1))
    problem = problem_of(request)
    review = new_row(
        content=1, day=2, kind=PlanKind.REVIEW, start=600, stop=624, first_unit=1, last_unit=10,
        part=1, parts=1, wrap_up=0, reserve=False,
    )  # fmt: skip
    study = review._replace(kind=PlanKind.STUDY, day=0, stop=630, first_unit=6)
    rows = [study] if late is None else [study, study._replace(day=late, first_unit=1, last_unit=5)]
    timetable = Timetable(problem.rooms, [review, *rows], {})
    demands = {demand.content.position: demand for demand in problem.demands}
    Follow(problem, demands, timetable).follow({1: rows}, {1: rows}, [], [])
    found = [(row.first_unit, row.last_unit) for row in timetable.of(1, PlanKind.REVIEW)]
    assert found == [(6, 10)]
