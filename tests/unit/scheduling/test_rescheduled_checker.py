"""The checker accepts a correct reschedule and reports what is wrong with an incorrect one."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from domain.scheduling.rescheduling.reschedule import reschedule
from domain.scheduling.result import ScheduledPlan, warning
from domain.scheduling.schedule import schedule
from domain.scheduling.types import PlanKind
from tests.unit.scheduling.build import block, book, make_request, on, reserve
from tests.unit.scheduling.checking.reschedule import Decided, Rescheduled
from tests.unit.scheduling.checking.rescheduled import check_rescheduled

Rows = list[ScheduledPlan]


def correct() -> Rescheduled:
    """Return a reschedule of a group whose first plan was missed, and the others before it done.

    The missed pages are caught up in the next cycle, so that the reviews of both cycles change.
    """
    request = make_request(
        book(1, 60, 6, wrap_up_minutes=5),
        period="01-06..01-14",
        cycle=(3, 1),
        blocks=block(10, 12) + reserve(19, 20),
    )
    first = schedule(request)
    decided = Decided.of(request, first.plans, first.day_shifts)
    missed, *others = first.plans
    kept = tuple(plan.as_kept() for plan in others if plan.date < on("01-09"))
    before = [missed, *(plan for plan in others if plan.date >= on("01-09"))]
    now = replace(request, today=on("01-09"), kept=kept)
    return Rescheduled(
        now, before, reschedule(now, before, decided.baseline), decided.calendar, frozen_until=None
    )


def with_rows(rows: Iterable[ScheduledPlan]) -> Rescheduled:
    """Return the reschedule with other rows, numbered by time."""
    case = correct()
    ordered = sorted(rows, key=lambda row: (row.date, row.start_minute))
    numbered = tuple(replace(row, sequence=i) for i, row in enumerate(ordered, 1))
    return replace(case, result=replace(case.result, plans=numbered))


def changed(change: Callable[[ScheduledPlan], dict[str, Any]]) -> Rescheduled:
    """Return the reschedule with the first of its new rows that has a wrap-up changed."""
    case = correct()
    first = next(row for row in case.made if row.wrap_up_minutes)
    rows = [row for row in case.result.plans if row != first]
    return with_rows([*rows, replace(first, **change(first))])


def without_reviews() -> Rescheduled:
    return with_rows(row for row in correct().result.plans if row.kind is PlanKind.STUDY)


def short_reviews() -> Rescheduled:
    return with_rows(
        replace(row, end_minute=row.start_minute + 1) if row.kind is PlanKind.REVIEW else row
        for row in correct().result.plans
    )


def all_of_number_one() -> Rescheduled:
    case = correct()
    plans = tuple(replace(row, sequence=1) for row in case.result.plans)
    return replace(case, result=replace(case.result, plans=plans))


def test_checker_accepts_a_correct_reschedule() -> None:
    case = correct()
    assert {row.kind for row in case.made} == set(PlanKind)
    assert list(check_rescheduled(case)) == []


VIOLATIONS: dict[str, tuple[Callable[[], Rescheduled], str]] = {
    "a row is too short for its units": (
        lambda: changed(lambda row: {"end_minute": row.start_minute + 1, "wrap_up_minutes": 0}),
        "takes 1 min, but its units cost",
    ),
    "a row in study time is marked as reserve": (
        lambda: changed(lambda row: {"reserve": not row.reserve}),
        "does not lie in free reserve",
    ),
    "a wrap-up is longer than that of its content": (
        lambda: changed(lambda row: {"end_minute": row.end_minute + 25, "wrap_up_minutes": 30}),
        "30 min of wrap-up, not 5",
    ),
    "a wrap-up is shortened without a warning": (
        lambda: changed(lambda row: {"end_minute": row.end_minute - 2, "wrap_up_minutes": 3}),
        "3 min of wrap-up, not 5",
    ),
    "all reviews are missing": (without_reviews, "neither a review nor a warning in cycle 2"),
    "reviews are too short": (short_reviews, "is reviewed 2 min in cycle 2"),
    "all rows have the same number": (all_of_number_one, "do not count the rows from 1"),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_checker_reports(violation: str) -> None:
    build, expected = VIOLATIONS[violation]
    assert expected in " | ".join(check_rescheduled(build()))


def test_checker_accepts_a_wrap_up_that_is_reported_as_shortened() -> None:
    case = changed(lambda row: {"end_minute": row.end_minute - 2, "wrap_up_minutes": 3})
    row = next(row for row in case.made if row.wrap_up_minutes == 3)
    shrunk = warning(
        "wrap_up_shrunk", date=row.date.isoformat(), content=row.content, need=5, given=3
    )
    reported = replace(case, result=replace(case.result, warnings=(shrunk,)))
    assert list(check_rescheduled(reported)) == []


def test_checker_reports_a_missed_review_that_is_lost() -> None:
    case = without_reviews()
    review = next(row for row in case.before if row.kind is PlanKind.REVIEW)
    missed = replace(review, date=on("01-08"), first_unit=15, last_unit=20)
    found = " | ".join(check_rescheduled(replace(case, before=[*case.before, missed])))
    assert "units 15-17 of content 1 have lost their review" in found
    # What is done on its day or later has the review of that day's cycle.
    early = replace(missed, date=min(row.date for row in case.request.kept))
    found = " | ".join(check_rescheduled(replace(case, before=[*case.before, early])))
    assert "have lost their review" not in found
