"""The checker accepts correct pieces and shrunk wrap-ups, and reports incorrect ones."""

from dataclasses import replace
from typing import Any

import pytest

from domain.scheduling.result import Quality, Schedule, warning
from tests.unit.scheduling.build import block, lecture, make_request, row
from tests.unit.scheduling.checker import check

CUT_IN_TWO = make_request(
    lecture(90, 30, wrap_up_minutes=10), period="01-06..01-07", blocks=block(10, 11)
)


QUALITY = Quality(
    peak=60,
    least_peak=60,
    spread=0,
    reserve=0,
    fullness=1000,
    least_fullness=1000,
    variation=0,
    short_rows=0,
    slack_days=0,
)


def cut_in_two(**options: Any) -> Schedule:
    """Return a schedule with an episode in two pieces, and no wrap-ups, as neither day has room."""
    rows = [
        row(1, 600, 660, 1, 1, parts=2),
        row(2, 600, 630, 1, 1, part=2, parts=2),
        row(2, 630, 660, 2, 2, sequence=3),
    ]
    rows[1] = replace(rows[1], **options)
    shrunk = [
        warning("wrap_up_shrunk", date=day, content=1, need=10, given=0)
        for day in ("2025-01-06", "2025-01-07")
    ]
    unreviewed = warning("unreviewed", cycle=1, content=1, first_unit=1, last_unit=2)
    return Schedule(tuple(rows), (), (*shrunk, unreviewed), QUALITY)


def test_checker_accepts_a_unit_in_pieces_if_no_day_holds_it() -> None:
    assert check(CUT_IN_TWO, cut_in_two()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"part": 1}, "pieces of unit 1"),
        ({"parts": 3}, "pieces of unit 1"),
        ({"end_minute": 629}, "take 89 min, but it costs 90"),
        ({"last_unit": 2}, "more than one unit"),
        ({"wrap_up_minutes": 5}, "wrap-up before its last row"),
    ],
)
def test_checker_reports_a_wrong_piece(options: dict[str, object], expected: str) -> None:
    assert expected in " | ".join(check(CUT_IN_TWO, cut_in_two(**options)))


def test_checker_reports_a_shortage_where_everything_is_in_study_time() -> None:
    shortage = warning(
        "shortage", week=1, weekday="월", weekday_en="Mon", date="2025-01-06", need=90, free=60
    )
    short = replace(cut_in_two(), warnings=(shortage, *cut_in_two().warnings))
    assert "all study is in study time" in " | ".join(check(CUT_IN_TWO, short))


def test_checker_reports_a_shrunk_wrap_up_without_a_warning() -> None:
    silent = replace(cut_in_two(), warnings=cut_in_two().warnings[:1])
    assert "without a warning" in " | ".join(check(CUT_IN_TWO, silent))


def test_checker_reports_a_wrap_up_that_is_shrunk_next_to_free_time() -> None:
    longer = replace(CUT_IN_TWO, blocks=block(10, 11, [1]) + block(10, 12, [2]))
    assert "although free time follows" in " | ".join(check(longer, cut_in_two()))
