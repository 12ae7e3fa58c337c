"""The layout of reviews on days with many short spans: what it costs, and short pieces."""

from typing import Any

import pytest

from domain.scheduling.layout import review_units, reviews
from domain.scheduling.layout.review_units import Review, without_short_pieces
from domain.scheduling.rows import Row, new_row
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Busy, PlanKind, Request
from tests.unit.scheduling.build import block, custom, make_request, on
from tests.unit.scheduling.build import reviews as reviews_of
from tests.unit.scheduling.corpus import balanced

REVIEW_DAYS = ("01-08", "01-09")


def in_short_spans(spans: int) -> Request:
    """Return a group with two review days, each of which has so many spans of three minutes."""
    busy = tuple(
        Busy(on(day), minute, minute + 1)
        for day in REVIEW_DAYS
        for minute in range(0, 4 * spans, 4)
    )
    used = tuple(Busy(on(day), 4 * spans, 24 * 60) for day in REVIEW_DAYS)
    request = make_request(
        custom(1, 1200, 1),
        period="01-06..01-09",
        cycle=(2, 2),
        blocks=block(0, 24),
        non_study_blocks=(),
        busy=(*busy, *used),
    )
    return balanced(request)


def test_layout_of_reviews_computes_the_items_of_a_review_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0

    def counted(review: Review) -> Any:
        nonlocal calls
        calls += 1
        return review_units.items_of(review)

    monkeypatch.setattr(reviews, "items_of", counted)

    def calls_of(spans: int) -> int:
        nonlocal calls
        calls = 0
        assert len(reviews_of(schedule(in_short_spans(spans)))) >= spans
        return calls

    assert calls_of(100) == calls_of(50)


def piece(unit: int, start: int, stop: int, part: int) -> Row:
    return new_row(
        day=2, start=start, stop=stop, content=1, kind=PlanKind.REVIEW, first_unit=unit,
        last_unit=unit, part=part, parts=2, wrap_up=0, reserve=False,
    )  # fmt: skip


def in_spans_of_six(units: int) -> list[Row]:
    """Return units of six minutes: the second piece of each touches the first one of the next."""
    rows = []
    for unit in range(1, units + 1):
        first, second = 10 * unit, 10 * (unit + 1) - 4
        rows += [piece(unit, first, first + 2, 1), piece(unit, second, second + 4, 2)]
    return rows


def test_short_pieces_of_reviews_are_joined_in_one_pass() -> None:
    reads = 0

    class Counting(Row):
        def __getattribute__(self, name: str) -> Any:
            nonlocal reads
            reads += 1
            return super().__getattribute__(name)

    def reads_of(units: int) -> int:
        nonlocal reads
        rows = [Counting(*row) for row in in_spans_of_six(units)]
        reads = 0
        assert len(without_short_pieces(rows, 5)) < len(rows)
        return reads

    assert reads_of(400) <= 2.1 * reads_of(200)


def test_short_piece_joins_the_row_that_it_touches_and_its_unit_is_whole_then() -> None:
    found = without_short_pieces(in_spans_of_six(2), 5)
    assert [(row.start, row.stop, row.first_unit, row.part, row.parts) for row in found] == [
        (10, 12, 1, 1, 1),
        (16, 22, 2, 1, 2),
        (26, 30, 2, 2, 2),
    ]
