"""Units in pieces whose minutes were edited after some of the pieces were missed by hand."""

from collections.abc import Set as AbstractSet
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import Strategy
from tests.unit.scheduling.build import block, custom, make_request, study
from tests.unit.scheduling.lives import Life, places

STRATEGIES = pytest.mark.parametrize("strategy", list(Strategy))
PIECES = (1, 2, 3)
SOME = st.sets(st.sampled_from(PIECES), max_size=2)


def in_three_pieces(strategy: Strategy) -> Life:
    """Return a unit of an hour in three pieces, on the first three of five days."""
    request = make_request(
        custom(1, 1, 60),
        period="01-06..01-10",
        cycle=(5, 0),
        blocks=block(10, "10:20"),
        non_study_blocks=(),
    )
    life = Life(replace(request, strategy=strategy))
    assert [(row.part, row.parts, row.minutes) for row in life.planned] == [
        (part, 3, 20) for part in PIECES
    ]
    return life


LIVES = {strategy: in_three_pieces(strategy) for strategy in Strategy}


def times(rows: list[ScheduledPlan]) -> list[tuple[object, int, int]]:
    return [(row.date, row.start_minute, row.end_minute) for row in rows]


@STRATEGIES
@given(minutes=st.integers(1, 100), missed=SOME, done=SOME)
def test_pieces_of_an_edited_unit_stand_and_are_counted(
    strategy: Strategy, minutes: int, missed: AbstractSet[int], done: AbstractSet[int]
) -> None:
    life = LIVES[strategy].copy()
    first = life.request.today
    for row in LIVES[strategy].planned:
        if row.part in missed:
            life.planned.remove(row)
        elif row.part in done:
            life.mark(row)
    standing, kept = list(life.planned), 20 * len(life.done)
    (content,) = life.request.contents
    edited = replace(content, minutes_per_unit=minutes)
    found = life.reschedule(first, request=replace(life.request, contents=(edited,)))
    rows, held = study(found), 20 * len(standing)
    if kept >= minutes and life.done:
        assert rows == []
    elif kept + held >= minutes or not missed:
        assert times(rows) == times(standing)
        taken = {row.part for row in life.done}
        count = len(life.done) + len(rows) if missed else 3
        free = [part for part in range(1, count + 1) if part not in taken]
        assert [(row.part, row.parts) for row in rows] == [
            (part, count) for part, _ in zip(free, rows, strict=False)
        ]
    elif not found.unplaced:
        assert kept + sum(row.minutes for row in rows) == minutes
    again = life.reschedule(first)
    assert places(again.plans) == places(found.plans)
    assert again.unplaced == found.unplaced


@STRATEGIES
@pytest.mark.parametrize("days", [2, 3, 4])
@pytest.mark.parametrize("is_retired", [False, True])
def test_pieces_whose_mark_is_taken_back_are_not_planned_beside_an_unplaced_rest(
    strategy: Strategy, days: int, *, is_retired: bool
) -> None:
    """The period has no day on which the other pieces can be caught up.

    The piece that was done is planned again, or has been missed by hand.
    """
    request = make_request(
        custom(1, 1, 50 * days),
        period=f"01-06..01-{5 + days:02}",
        cycle=(6, 0),
        blocks=block(10, "10:50"),
        non_study_blocks=(),
    )
    generated = Life(replace(request, strategy=strategy))
    today = request.period_end
    for piece in generated.planned:
        life, last = generated.copy(), replace(piece, date=today)
        life.done, life.planned = [last.as_kept()], []
        reported = life.reschedule(today)
        assert [one.minutes for one in reported.unplaced] == [50 * (days - 1)]
        life.done, life.planned = [], [] if is_retired else [last]
        found = life.reschedule(today)
        assert found.plans == ()
        assert [one.minutes for one in found.unplaced] == [50 * days]
        again = life.reschedule(today)
        assert (again.plans, again.unplaced) == (found.plans, found.unplaced)
