"""What is unplaced after a reschedule: reported as before, tried again, explained and repaired."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest

from domain.scheduling.calendar import Day, DayKind, calendar
from domain.scheduling.difference import place_of
from domain.scheduling.rescheduling.reschedule import CatchUp
from domain.scheduling.result import Certificate, RepairKind
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request, SpecialDay, Strategy
from tests.unit.scheduling.build import (
    DAILY,
    WEDNESDAY,
    block,
    book,
    custom,
    holiday,
    make_request,
    off,
    on,
    reserve,
)
from tests.unit.scheduling.lives import Life, next_day, places
from tests.unit.scheduling.test_rescheduling import lives, with_range

REPORTED = Certificate(contents=(1,), days=(on("01-06"),), need=2, have=1)


def overfull() -> Life:
    """Return a group with an hour a day and twelve pages too many, with a certificate of its own.

    No computation would find that certificate.
    """
    life = Life(make_request(book(1, 48, 10), blocks=block(10, 11), non_study_blocks=()))
    assert [item.minutes for item in life.baseline.unplaced] == [120]
    life.baseline = replace(life.baseline, certificate=REPORTED)
    return life


def with_more_time(request: Request) -> Request:
    return replace(request, special_days=(SpecialDay(on("01-09"), ((600, 900),)),))


def test_report_of_the_last_run_is_returned_if_nothing_has_happened() -> None:
    life = overfull()
    life.do(on("01-08"))
    before, reported = list(life.planned), life.baseline
    found = life.reschedule(on("01-08"))
    assert [place_of(plan) for plan in found.plans] == [place_of(plan) for plan in before]
    assert found.certificate == REPORTED
    assert (found.unplaced, found.repairs) == (reported.unplaced, reported.repairs)


def test_unplaced_units_are_not_tried_again_only_because_there_is_more_time() -> None:
    life = overfull()
    life.do(on("01-08"))
    before = places(life.planned)
    found = life.reschedule(on("01-08"), request=with_more_time(life.request))
    assert places(found.plans) == before
    assert found.unplaced


def test_unplaced_units_are_tried_again_if_something_was_missed() -> None:
    life = overfull()
    life.do(on("01-07"))
    found = life.reschedule(on("01-08"), request=with_more_time(life.request))
    assert found.unplaced == ()
    assert found.certificate is None


@pytest.mark.parametrize("strategy", list(Strategy))
def test_repairs_of_a_reschedule_are_enough(strategy: Strategy) -> None:
    tried = 0
    for life in lives(strategy, 40):
        missed = life.study_dates[len(life.study_dates) * 3 // 4]
        life.do(missed)
        before = life.copy()
        for repair in life.reschedule(next_day(missed)).repairs:
            if repair.kind is RepairKind.UNITS and repair.content is not None:
                tried += 1
                assert is_enough(before.copy(), repair.content, repair.amount)
    assert tried > 1


def is_enough(life: Life, content: int, units: int) -> bool:
    """Whether a reschedule or a generation places everything without so many last units."""
    last = next(one.last_unit for one in life.request.contents if one.position == content)
    request = with_range(life.request, content, last - units)
    today = next_day(min(plan.date for plan in life.planned))
    generated = replace(request, today=today, kept=tuple(life.done))
    found = life.reschedule(today, request=request)
    return not found.unplaced or not schedule(generated).unplaced


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("cycle", [(1, 1), (2, 1), (3, 1)])
def test_minutes_per_day_are_enough_on_the_study_days_then_and_on_those_now(
    strategy: Strategy, cycle: tuple[int, int]
) -> None:
    """An exclusion since the generation has turned study days into review days, and back."""
    tried, today = 0, on("01-07")
    for excluded, units, minutes in product(range(7, 10), (4, 6, 9), (20, 30)):
        request = make_request(
            custom(1, units, minutes),
            period="01-06..01-14",
            cycle=cycle,
            blocks=block(10, 11),
            non_study_blocks=(),
        )
        life = Life(replace(request, strategy=strategy))
        edited = with_range(life.request, 1, units + 12)
        edited = replace(edited, exclusions=off(f"01-{excluded:02}"))
        before = life.copy()
        for repair in life.reschedule(today, request=edited).repairs:
            if repair.kind is RepairKind.MINUTES_PER_DAY:
                tried += 1
                for days in (life.baseline.days(edited), calendar(edited)):
                    longer = with_longer_days(edited, days, repair.amount)
                    found = before.copy().reschedule(today, request=longer)
                    generated = replace(longer, today=today)
                    assert not found.unplaced or not schedule(generated).unplaced
    assert tried


def with_longer_days(request: Request, days: Sequence[Day], minutes: int) -> Request:
    """Return the request with more minutes on each study day, which begins at ten."""
    longer = (
        SpecialDay(day.date, ((600, 660 + minutes),)) for day in days if day.kind is DayKind.STUDY
    )
    return replace(request, special_days=tuple(longer))


@pytest.mark.parametrize("catch_up", list(CatchUp))
@pytest.mark.parametrize("strategy", list(Strategy))
def test_missed_units_are_caught_up_in_the_reserve_of_a_holiday(
    strategy: Strategy, catch_up: CatchUp
) -> None:
    """Three days have an hour of study and one of self-study; the last one is a holiday."""
    request = replace(
        make_request(
            book(1, 18, 10),
            period="01-06..01-08",
            blocks=(*block(10, 11), *reserve(12, 13)),
            non_study_blocks=(),
            exclusions=holiday("01-08"),
            self_study_on_holidays=True,
        ),
        strategy=strategy,
    )
    life = Life(request)
    found = life.reschedule(on("01-07"), how=catch_up)
    assert found.unplaced == ()
    assert sum(plan.minutes for plan in found.plans if plan.date == on("01-08")) == 60


def test_missed_unit_is_cut_into_the_reserve_of_a_holiday() -> None:
    request = make_request(
        custom(1, 1, 100),
        period="01-06..01-08",
        blocks=(*block(10, 12), *reserve(12, 13)),
        non_study_blocks=(),
        exclusions=holiday("01-08"),
        self_study_on_holidays=True,
    )
    life = Life(request)
    shorter = replace(request, special_days=(SpecialDay(on("01-07"), ((600, 640),)),))
    found = life.reschedule(on("01-07"), request=shorter)
    assert found.unplaced == ()


def test_repair_does_not_use_the_time_of_frozen_days() -> None:
    """The frozen Wednesday has an hour left; without it, two more days are needed."""
    other_days = [day for day in DAILY if day != WEDNESDAY]
    blocks = (*block(10, 11, other_days), *block(10, 12, [WEDNESDAY]))
    life = Life(make_request(book(1, 4, 60), period="01-06..01-09", cycle=(6, 0), blocks=blocks))
    found = life.reschedule(on("01-08"), frozen_until=on("01-09"))
    (days,) = (repair.amount for repair in found.repairs if repair.kind is RepairKind.DAYS)
    assert days == 2
