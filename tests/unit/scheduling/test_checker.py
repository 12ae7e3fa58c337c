"""The checker accepts a valid schedule and reports what is wrong with an invalid one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InvalidInputError, NoStudyDaysError, NothingPlacedError
from domain.scheduling.result import Quality, Schedule, ScheduledPlan, Unplaced, warning
from domain.scheduling.types import Factors, PlanKind, UnplacedReason
from tests.unit.scheduling.build import block, book, busy, make_request, on, reserve, row
from tests.unit.scheduling.checker import check, check_refusal
from tests.unit.scheduling.checking.flows import fits, max_flow

SIX_DAYS = make_request(book(1, 100), blocks=block(10, 19) + reserve(19, 22))
QUALITY = Quality(
    peak=102,
    least_peak=100,
    spread=6,
    reserve=0,
    fullness=213,
    least_fullness=209,
    variation=28,
    short_rows=0,
    slack_days=1,
)
RANGES = [(1, 17), (18, 33), (34, 50), (51, 67), (68, 83), (84, 100)]


def valid_schedule() -> Schedule:
    """Return a correct schedule of ``SIX_DAYS``, written by hand: case S1 of the planning rules."""
    study = [row(i, 600, 600 + 6 * (b - a + 1), a, b) for i, (a, b) in enumerate(RANGES, 1)]
    reviews = [
        row(7, 600, 720, 1, 50, kind=PlanKind.REVIEW),
        row(7, 780, 900, 51, 100, kind=PlanKind.REVIEW, sequence=8),
    ]
    return Schedule((*study, *reviews), (), (), QUALITY)


def changed(index: int, **options: Any) -> Schedule:
    """Return the valid schedule with one row changed."""
    plans = list(valid_schedule().plans)
    plans[index] = replace(plans[index], **options)
    return replace(valid_schedule(), plans=tuple(plans))


def without_rows(*indices: int) -> Schedule:
    """Return the valid schedule without some rows, renumbered."""
    plans = [plan for index, plan in enumerate(valid_schedule().plans) if index not in indices]
    renumbered = [replace(plan, sequence=i) for i, plan in enumerate(plans, 1)]
    return replace(valid_schedule(), plans=tuple(renumbered))


def with_row(extra: ScheduledPlan) -> Schedule:
    """Return the valid schedule with an additional row, renumbered by time."""
    plans = sorted(
        [*valid_schedule().plans, extra], key=lambda plan: (plan.date, plan.start_minute)
    )
    renumbered = [replace(plan, sequence=i) for i, plan in enumerate(plans, 1)]
    return replace(valid_schedule(), plans=tuple(renumbered))


def test_checker_accepts_a_valid_schedule() -> None:
    assert check(SIX_DAYS, valid_schedule()) == []


def _swapped(plans: tuple[ScheduledPlan, ...]) -> tuple[ScheduledPlan, ...]:
    first, third = plans[0], plans[2]
    return (
        replace(first, first_unit=third.first_unit, last_unit=third.last_unit),
        plans[1],
        replace(third, first_unit=first.first_unit, last_unit=first.last_unit),
        *plans[3:],
    )


def _moved_unit() -> Schedule:
    plans = list(valid_schedule().plans)
    plans[0] = replace(plans[0], last_unit=16, end_minute=696)
    plans[1] = replace(plans[1], first_unit=17, end_minute=702)
    return replace(valid_schedule(), plans=tuple(plans))


def _quality(**options: int) -> Schedule:
    return replace(valid_schedule(), quality=replace(valid_schedule().quality, **options))


VIOLATIONS: dict[str, tuple[Callable[[], Schedule], str]] = {
    "a row overlaps another": (lambda: with_row(row(1, 660, 666, 1, 1)), "overlap"),
    "a row lies in lunch": (
        lambda: changed(1, start_minute=700, end_minute=796),
        "not free study time",
    ),
    "a row lies before the block": (
        lambda: changed(1, start_minute=540, end_minute=636),
        "not free study",
    ),
    "a row in study time is marked as reserve": (lambda: changed(1, reserve=True), "not free res"),
    "a row starts after an idle gap": (lambda: changed(0, start_minute=800, end_minute=902), "gap"),
    "a row lies before today": (lambda: changed(0, date=on("01-05")), "outside the period"),
    "a row lies after the period": (lambda: changed(5, date=on("01-13")), "outside the period"),
    "a study row lies on the review day": (
        lambda: changed(5, date=on("01-12"), start_minute=900, end_minute=1002, cycle_day=7),
        "not on a day of its content",
    ),
    "a review lies on a study day": (
        lambda: changed(6, date=on("01-11"), start_minute=702, end_minute=720, cycle_day=6),
        "not on a review day",
    ),
    "a row is missing": (lambda: without_rows(2), "missing"),
    "a range occurs twice": (lambda: changed(1, first_unit=1, last_unit=16), "twice"),
    "a range descends": (
        lambda: replace(valid_schedule(), plans=_swapped(valid_schedule().plans)),
        "not in ascending order",
    ),
    "a row is too short for its units": (lambda: changed(0, end_minute=700), "cost 102"),
    "a row has no minutes": (lambda: changed(0, end_minute=600), "has no minute"),
    "a row has a wrap-up that its content does not have": (
        lambda: changed(0, end_minute=712, wrap_up_minutes=10),
        "wrap-up",
    ),
    "a piece has no other piece": (lambda: changed(0, parts=2), "pieces of unit"),
    "a row has the wrong cycle": (lambda: changed(3, cycle=2), "does not have the week"),
    "a row has the wrong week": (lambda: changed(3, week=2), "does not have the week"),
    "a row has the wrong cycle day": (lambda: changed(3, cycle_day=None), "does not have the week"),
    "the sequence numbers have a gap": (lambda: changed(7, sequence=9), "sequence"),
    "a row has an unknown content": (lambda: changed(0, content=9), "does not have"),
    "the review is missing": (lambda: without_rows(6, 7), "neither a review nor a warning"),
    "the review is too short": (lambda: changed(7, end_minute=890), "is reviewed 230 min"),
    "a review covers a unit that was not studied": (
        lambda: changed(7, last_unit=101),
        "has not studied before",
    ),
    "a range is reviewed twice": (lambda: changed(7, first_unit=50), "reviewed twice"),
    "a review is reported as shrunk and is not": (
        lambda: replace(
            valid_schedule(), warnings=(warning("review_shrunk", cycle=1, need=9, free=8),)
        ),
        "reported as shrunk",
    ),
    "units that fit are unplaced": (
        lambda: replace(
            without_rows(5), unplaced=(Unplaced(1, 84, 100, 102, UnplacedReason.NO_ROOM),)
        ),
        "would fit",
    ),
    "unplaced units have the wrong minutes": (
        lambda: replace(
            without_rows(5), unplaced=(Unplaced(1, 84, 100, 99, UnplacedReason.NO_ROOM),)
        ),
        "costs 102",
    ),
    "the reason is no day although there are days": (
        lambda: replace(
            without_rows(5), unplaced=(Unplaced(1, 84, 100, 102, UnplacedReason.NO_DAY),)
        ),
        "6 days left",
    ),
    "the deal is uneven": (_moved_unit, "even deal"),
    "the peak is too low": (lambda: _quality(peak=101), "peak 102"),
    "the least peak is too low": (lambda: _quality(least_peak=99), "least peak is 100"),
    "the spread is wrong": (lambda: _quality(spread=7), "spread 6"),
    "the reserve is wrong": (lambda: _quality(reserve=1), "use the reserve"),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_checker_reports(violation: str) -> None:
    build, expected = VIOLATIONS[violation]
    assert expected in " | ".join(check(SIX_DAYS, build()))


def test_checker_reports_a_row_at_the_time_of_another_group() -> None:
    taken = replace(SIX_DAYS, busy=(busy("01-06", 11, 12),))
    assert "not free study time" in " | ".join(check(taken, valid_schedule()))


def test_checker_reports_a_factor_that_is_not_applied() -> None:
    slower = replace(SIX_DAYS, factors=Factors(weakness=Decimal("1.2")))
    assert "its units cost" in " | ".join(check(slower, valid_schedule()))


def test_checker_reports_too_many_strategy_days() -> None:
    strategy = replace(SIX_DAYS, contents=(book(1, 100, weekly=3),))
    found = " | ".join(check(strategy, valid_schedule()))
    assert "studied on 6 days of cycle 1" in found
    assert "not on a day of its content" in found


def test_checker_reports_an_error_without_a_cause() -> None:
    assert check_refusal(SIX_DAYS, NoStudyDaysError())
    assert check_refusal(SIX_DAYS, NothingPlacedError())
    assert check_refusal(SIX_DAYS, InvalidInputError.of("contents", "no"))


def test_checker_accepts_an_error_with_a_cause() -> None:
    after = replace(SIX_DAYS, today=on("01-13"))
    assert check_refusal(after, NoStudyDaysError()) == []
    assert check_refusal(replace(SIX_DAYS, blocks=block(12, 13)), NothingPlacedError()) == []


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.integers(1, 4), st.integers(0, 20), min_size=1),
    st.lists(st.integers(0, 12), min_size=1, max_size=4),
    st.data(),
)
def test_fits_agrees_with_the_maximum_flow(
    needs: dict[int, int], held: list[int], data: st.DataObject
) -> None:
    room = {on("01-06") + timedelta(days=i): minutes for i, minutes in enumerate(held)}
    some_days = st.lists(st.sampled_from(sorted(room)), unique=True)
    days = {content: data.draw(some_days) for content in needs}
    assert fits(needs, days, room) == (max_flow(needs, days, room) == sum(needs.values()))
