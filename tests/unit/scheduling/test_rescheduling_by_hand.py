"""A reschedule after changes by hand, with frozen days, on buffer days and beside begun reviews."""

from collections import Counter
from dataclasses import replace
from itertools import combinations_with_replacement, product

import pytest

from domain.scheduling.difference import place_of
from domain.scheduling.rescheduling.remaining import in_order
from domain.scheduling.rescheduling.reschedule import CatchUp
from domain.scheduling.result import RepairKind, Rescheduled, ScheduledPlan
from domain.scheduling.types import PlanKind, Request, SpecialDay, Strategy
from tests.unit.scheduling.build import block, book, lecture, make_request, off, on
from tests.unit.scheduling.lives import Life, places

STRATEGIES = pytest.mark.parametrize("strategy", list(Strategy))


def reviews(plans: tuple[ScheduledPlan, ...] | list[ScheduledPlan]) -> list[tuple[int, int, int]]:
    """Return the day of the month and the units of the reviews."""
    return [
        (plan.date.day, plan.first_unit, plan.last_unit)
        for plan in plans
        if plan.kind is PlanKind.REVIEW
    ]


@STRATEGIES
@pytest.mark.parametrize("missed", [0, 4, -2])
def test_plan_missed_by_hand_leaves_the_rows_before_it(strategy: Strategy, missed: int) -> None:
    request = make_request(
        book(1, 80, 6), period="01-06..01-17", blocks=block(10, 12), non_study_blocks=()
    )
    life = Life(replace(request, strategy=strategy))
    gone = [plan for plan in life.planned if plan.kind is PlanKind.STUDY][missed]
    life.planned.remove(gone)
    standing = places(life.planned)
    found = life.reschedule(request.period_start)
    assert standing <= places(found.plans)
    assert found.unplaced == ()


@pytest.mark.parametrize("is_pinned", [True, False])
def test_study_moved_behind_its_review_is_reviewed_where_it_is_studied(*, is_pinned: bool) -> None:
    request = make_request(
        book(1, 40, 6), period="01-06..01-13", cycle=(2, 1), blocks=block(10, 12),
        non_study_blocks=(),
    )  # fmt: skip
    life = Life(replace(request, strategy=Strategy.EVEN))
    (plan,) = (plan for plan in life.planned if plan.date == on("01-07"))
    before = reviews(life.planned)
    assert before[:2] == [(8, 1, plan.last_unit), (11, plan.last_unit + 1, 27)]
    moved = replace(plan, date=on("01-10"), start_minute=660, end_minute=660 + plan.minutes)
    life.planned.remove(plan)
    if is_pinned:
        life.done.append(moved.as_kept())
    else:
        life.planned.append(moved)
    found = life.reschedule(request.period_start)
    assert reviews(found.plans)[:2] == [(8, 1, plan.first_unit - 1), (11, plan.first_unit, 27)]
    again = life.reschedule(request.period_start)
    assert places(again.plans) == places(found.plans)


def with_buffer() -> Life:
    """Return a group whose last cycle, which has no review day, is reviewed on the buffer day."""
    request = make_request(
        book(1, 40, 6), period="01-06..01-12", cycle=(3, 1), blocks=block(10, 12),
        non_study_blocks=(), buffer_days=1,
    )  # fmt: skip
    life = Life(replace(request, strategy=Strategy.BALANCED))
    assert reviews(life.planned) == [(9, 1, 24), (12, 25, 40)]
    return life


def test_review_on_a_buffer_day_follows_its_units() -> None:
    life = with_buffer()
    life.do(on("01-08"))
    found = life.reschedule(on("01-09"))
    assert reviews(found.plans) == [(9, 1, 16), (12, 17, 40)]
    assert found.warnings == ()


def test_review_on_a_buffer_day_that_lost_its_time_is_renewed_there() -> None:
    life = with_buffer()
    later = SpecialDay(on("01-12"), ((720, 840),))
    found = life.reschedule(on("01-06"), request=replace(life.request, special_days=(later,)))
    assert reviews(found.plans) == [(9, 1, 24), (12, 25, 40)]
    assert found.plans[-1].start_minute == 720


def begun_review() -> tuple[Life, ScheduledPlan]:
    """Return a group in which a piece of a review is done, and the other piece."""
    short = tuple(SpecialDay(on(day), ((600, 625),)) for day in ("01-07", "01-08"))
    request = make_request(
        lecture(100, 100, 100), period="01-06..01-15", cycle=(1, 2),
        blocks=block(10, "12:10"), non_study_blocks=(), special_days=short,
    )  # fmt: skip
    life = Life(replace(request, strategy=Strategy.EVEN))
    life.do(on("01-08"))
    (rest,) = (plan for plan in life.planned if plan.date == on("01-08"))
    assert (rest.kind, rest.part, rest.parts) == (PlanKind.REVIEW, 2, 2)
    return life, rest


def test_rest_of_a_review_stands_after_a_piece_of_it_is_done() -> None:
    life, rest = begun_review()
    last = max(plan.date for plan in life.planned if plan.kind is PlanKind.STUDY)
    request = replace(life.request, exclusions=off(f"{last:%m-%d}"))
    found = life.reschedule(on("01-08"), request=request)
    assert place_of(rest) in places(found.plans)


def test_rest_of_a_review_that_is_missed_is_reported() -> None:
    life, rest = begun_review()
    found = life.reschedule(on("01-09"))
    unit = {"first_unit": rest.first_unit, "last_unit": rest.last_unit}
    data = [warning.data for warning in found.warnings if warning.code == "unreviewed"]
    assert [one for one in data if unit.items() <= one.items()] == [
        {"cycle": rest.cycle, "content": rest.content, **unit}
    ]


def test_quality_contains_the_frozen_days() -> None:
    short = SpecialDay(on("01-06"), ((600, 640),))
    request = make_request(
        book(1, 50, 6), period="01-06..01-10", cycle=(6, 0), blocks=block(10, 12),
        non_study_blocks=(), special_days=(short,),
    )  # fmt: skip
    life = Life(replace(request, strategy=Strategy.EVEN))
    expected = life.reschedule(on("01-06")).quality
    found = life.reschedule(on("01-06"), frozen_until=on("01-10")).quality
    least = {"least_peak": found.least_peak, "least_fullness": found.least_fullness}
    assert replace(expected, **least) == found


def test_frozen_piece_of_a_unit_is_no_event() -> None:
    """Two of three pieces are done, and the third one is frozen."""
    request = make_request(
        lecture(90, 30, 30, 30, 30), period="01-06..01-11", cycle=(6, 0),
        blocks=block(10, 10.5), non_study_blocks=(),
    )  # fmt: skip
    life = Life(replace(request, strategy=Strategy.EVEN))
    assert Counter(plan.parts for plan in life.planned) == {3: 3, 1: 3}
    life.do(on("01-08"))
    before = places(life.planned)
    longer = replace(request, special_days=(SpecialDay(on("01-10"), ((600, 720),)),))
    found = life.reschedule(on("01-08"), request=longer, frozen_until=on("01-09"))
    assert places(found.plans) == before


def closed(request: Request, *reserve: tuple[int, int]) -> Rescheduled:
    """Return a reschedule after a study day has got self-study time alone."""
    life = Life(replace(request, strategy=Strategy.EVEN))
    day = SpecialDay(on("01-07"), (), reserve)
    return life.reschedule(
        on("01-06"), request=replace(request, special_days=(day,)), how=CatchUp.SOONEST
    )


def test_certificate_and_repairs_count_the_reserve_of_a_day_without_study_time() -> None:
    request = make_request(
        book(1, 30, 6), period="01-06..01-08", cycle=(6, 0), blocks=block(10, 11),
        non_study_blocks=(),
    )  # fmt: skip
    found = closed(request, (1140, 1190))
    assert [(one.first_unit, one.last_unit) for one in found.unplaced] == [(29, 30)]
    assert found.certificate is not None
    assert (found.certificate.need, found.certificate.have) == (180, 60 + 50 + 60)
    (units,) = (one.amount for one in found.repairs if one.kind is RepairKind.UNITS)
    assert units == 2


def test_plan_moved_ahead_by_hand_leaves_the_rows_before_it() -> None:
    """Only the moved row and those of the excluded day find other places."""
    request = make_request(
        book(1, 80, 6), period="01-06..01-15", cycle=(10, 0), blocks=block(10, 12),
        non_study_blocks=(),
    )  # fmt: skip
    life = Life(replace(request, strategy=Strategy.EVEN))
    moved, last = life.planned[7], life.planned[9].date
    before = places(life.planned[:7])
    ahead = replace(moved, date=on("01-07"), start_minute=660, end_minute=660 + moved.minutes)
    life.planned[7] = ahead
    excluded = replace(life.request, exclusions=off(f"{last:%m-%d}"))
    found = life.reschedule(request.period_start, request=excluded)
    assert before <= places(found.plans)
    assert place_of(ahead) not in places(found.plans)
    assert found.unplaced == ()


def test_items_due_at_another_time_are_as_few_as_possible() -> None:
    for due in product(range(-1, 3), repeat=5):
        found = in_order(due)
        assert found == sorted(found)
        least = min(
            sum(a != b for a, b in zip(due, other, strict=True))
            for other in combinations_with_replacement(range(-1, 3), 5)
        )
        assert sum(a != b for a, b in zip(due, found, strict=True)) == least


def test_units_whose_review_was_offered_again_are_not_reported() -> None:
    """Study of the second cycle is done by hand on the first of the two review days before it."""
    request = make_request(
        book(1, 40, 6), period="01-06..01-13", cycle=(2, 2), blocks=block(10, 12),
        non_study_blocks=(),
    )  # fmt: skip
    life = Life(replace(request, strategy=Strategy.EVEN))
    (plan,) = (plan for plan in life.planned if plan.date == on("01-10"))
    units = range(plan.first_unit, plan.last_unit + 1)
    life.planned.remove(plan)
    moved = replace(plan, date=on("01-08"), start_minute=660, end_minute=660 + plan.minutes)
    life.done.append(moved.as_kept())
    found = life.reschedule(on("01-07"))
    reviewed = {unit for _, first, last in reviews(found.plans) for unit in range(first, last + 1)}
    assert {*units} <= reviewed
    assert not [one for one in found.warnings if one.data["first_unit"] in units]
