"""Units of which some pieces are done: what is left of them, their order, and their reviews."""

from dataclasses import replace
from itertools import permutations

import pytest

from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.rescheduling.reschedule import reschedule
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.schedule import schedule
from domain.scheduling.types import PlanKind, Request, Strategy
from tests.unit.scheduling.build import (
    block,
    book,
    busy,
    checked_schedule,
    custom,
    kept,
    make_request,
    off,
    on,
    ranges,
    reviews,
    study,
)
from tests.unit.scheduling.lives import Life

STRATEGIES = pytest.mark.parametrize("strategy", list(Strategy))


def short_days(*, period: str = "01-06..01-12", today: str = "01-06") -> Request:
    """Return a group with a task of 100 minutes and a book, on days of 40 and of 20 minutes."""
    return make_request(
        custom(1, 1, 100, position=1),
        book(1, 4, 5, position=2),
        period=period,
        today=today,
        cycle=(2, 1),
        blocks=(*block(10, "10:40"), *block(18, "18:20")),
    )


@STRATEGIES
def test_unit_whose_rest_was_cut_again_is_planned_until_its_last_piece(strategy: Strategy) -> None:
    done = [
        kept(1, 1, "01-06", 10, 10 + 40 / 60, part=1, parts=2),
        kept(1, 1, "01-07", 10, 10 + 30 / 60, part=2, parts=3),
    ]
    request = replace(short_days(today="01-08"), strategy=strategy)
    results = [schedule(replace(request, kept=order)) for order in permutations(done)]
    assert results[0] == results[1]
    assert [(row.part, row.parts, row.minutes) for row in study(results[0])] == [(3, 3, 30)]


@STRATEGIES
def test_unit_whose_last_piece_finds_no_room_is_not_reviewed(strategy: Strategy) -> None:
    """The first piece is done, and the other study day holds only the book."""
    request = short_days(period="01-06..01-08", today="01-07")
    request = replace(request, strategy=strategy, kept=(kept(1, 1, "01-06", 10, 10.5, parts=2),))
    result = schedule(request)
    assert [(item.content, item.first_unit) for item in result.unplaced] == [(1, 1)]
    assert [row.content for row in result.plans] == [2, 2]
    assert [(row.content, row.first_unit) for row in reviews(result)] == [(2, 1)]


def lone_piece() -> tuple[Request, list[ScheduledPlan], Baseline]:
    """Return a group of which the second of two pieces is planned; the first was missed by hand."""
    request = make_request(
        custom(1, 1, 60, position=1),
        period="01-06..01-12",
        cycle=(5, 1),
        blocks=(*block(10, "10:40"), *block(18, "18:20")),
        non_study_blocks=(),
    )
    life = Life(request)
    pieces = [plan for plan in life.planned if plan.kind is PlanKind.STUDY]
    assert [(plan.part, plan.parts) for plan in pieces] == [(1, 2), (2, 2)]
    return request, [pieces[1]], life.baseline


def test_first_piece_is_caught_up_before_the_second() -> None:
    request, planned, baseline = lone_piece()
    found = reschedule(replace(request, exclusions=off("01-06")), planned, baseline)
    rows = study(found)
    assert [(row.part, row.parts) for row in rows] == [(1, 2), (2, 2)]
    assert ranges(rows) == [(1, 1), (1, 1)]


def test_review_of_units_that_were_missed_by_hand_follows_them() -> None:
    request = make_request(book(1, 12, 6), period="01-06..01-12", cycle=(2, 1))
    request = replace(request, blocks=block(10, 10.5), non_study_blocks=())
    life = Life(request)
    first, *others = life.planned
    assert (first.date, first.kind) == (on("01-06"), PlanKind.STUDY)
    stale = next(plan for plan in others if plan.kind is PlanKind.REVIEW)
    assert stale.first_unit == first.first_unit
    found = reschedule(request, others, life.baseline, frozen_until=stale.date)
    (review,) = [row for row in reviews(found) if row.date == stale.date]
    assert (review.first_unit, review.last_unit) == (first.last_unit + 1, stale.last_unit)
    assert study(found)[-1].last_unit == 12


def test_missed_review_is_not_offered_for_a_unit_of_which_a_piece_is_not_done() -> None:
    request = make_request(
        custom(1, 2, 60), period="01-06..01-14", cycle=(2, 1), blocks=block(10, "10:40")
    )
    life = Life(request)
    first, second, *others = life.planned
    assert [(row.part, row.parts, row.kind) for row in (first, second)] == [
        (1, 2, PlanKind.STUDY),
        (2, 2, PlanKind.STUDY),
    ]
    missed = next(row for row in others if row.kind is PlanKind.REVIEW)
    assert (missed.first_unit, missed.last_unit) == (1, 1)
    later = replace(second, date=on("01-12"), cycle=3)
    today = replace(request, today=on("01-09"), kept=(first.as_kept(),))
    found = reschedule(today, [later, *others], life.baseline)
    assert later.date in {row.date for row in study(found) if row.first_unit == 1}
    assert [row.date for row in reviews(found) if row.first_unit == 1] == []


@STRATEGIES
def test_unit_whose_last_piece_is_done_is_reviewed_with_the_rest(strategy: Strategy) -> None:
    """The last of three pieces is done; the rest is one piece, which makes two."""
    done = (kept(1, 1, "01-06", 10, 10 + 40 / 60, part=3, parts=3),)
    request = replace(short_days(today="01-07"), strategy=strategy, kept=done)
    request = replace(request, blocks=block(10, 12))
    result = schedule(request)
    assert [(row.part, row.parts, row.minutes) for row in study(result)] == [(1, 2, 60)]
    assert (1, 1) in [(row.content, row.first_unit) for row in reviews(result)]


@STRATEGIES
@pytest.mark.parametrize(("part", "other"), list(permutations([1, 2, 3], 2)))
def test_unit_of_which_a_piece_is_unplaced_is_not_reviewed(
    strategy: Strategy, part: int, other: int
) -> None:
    """Two pieces of 70 minutes in all are done; they were cut at different times."""
    request = make_request(
        custom(1, 1, 100, position=1),
        book(1, 4, 5, position=2),
        period="01-06..01-09",
        today="01-08",
        cycle=(3, 1),
        blocks=block(10, "10:40"),
        non_study_blocks=(),
        busy=(busy("01-08", 10, 10.25),),
        kept=(
            kept(1, 1, "01-06", 10, 10 + 40 / 60, part=part, parts=max(2, part)),
            kept(1, 1, "01-07", 10, 10.5, part=other, parts=3),
        ),
    )
    result = checked_schedule(replace(request, strategy=strategy))
    assert [item.content for item in result.unplaced if item.minutes == 30] == [1]
    assert (1, 1) not in [(row.content, row.first_unit) for row in reviews(result)]
