"""The checker accepts a schedule of ``balanced`` and reports each rule that it breaks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from domain.scheduling.result import Quality, Schedule, ScheduledPlan
from domain.scheduling.types import PlanKind, Request
from tests.unit.scheduling.build import at, block, book, make_request, reserve, row
from tests.unit.scheduling.checker import check
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.day_layout import first_fit
from tests.unit.scheduling.checking.sittings import atoms
from tests.unit.scheduling.corpus import balanced

WEEK = balanced(
    make_request(
        book(1, 60, 5), book(1, 60, 4, position=2), blocks=block(17, 22), non_study_blocks=()
    )
)
"""Six days with 50 + 40 minutes of two weaknesses, and reviews of 120 + 96 minutes."""
QUALITY = Quality(
    peak=90,
    least_peak=90,
    spread=0,
    reserve=0,
    fullness=300,
    least_fullness=300,
    variation=0,
    short_rows=0,
    slack_days=1,
)
Rows = list[ScheduledPlan]


def plan(day: int, clock: str, minutes: int, units: tuple[int, int], **options: Any) -> Any:
    """Return a row that begins at a time of day and has so many minutes."""
    return row(day, at(clock), at(clock) + minutes, *units, **options)


def rows_of_week() -> Rows:
    """Return correct rows for ``WEEK``, written by hand."""
    rows = []
    for day in range(1, 7):
        ten = (10 * day - 9, 10 * day)
        first, second = (1, 2) if day % 2 else (2, 1)
        minutes = {1: 50, 2: 40}
        start = "17:50" if first == 1 else "17:40"
        rows.append(plan(day, "17:00", minutes[first], ten, content=first))
        rows.append(plan(day, start, minutes[second], ten, content=second))
    reviews = [("17:00", 100, (1, 50), 1), ("18:50", 20, (51, 60), 1)]
    reviews += [("19:10", 80, (1, 50), 2), ("20:40", 16, (51, 60), 2)]
    for clock, length, units, content in reviews:
        rows.append(plan(7, clock, length, units, content=content, kind=PlanKind.REVIEW))
    return rows


def schedule_of(rows: Rows, **quality: int) -> Schedule:
    """Return a schedule of the rows, numbered by time."""
    ordered = sorted(rows, key=lambda one: (one.date, one.start_minute))
    numbered = tuple(replace(one, sequence=i) for i, one in enumerate(ordered, 1))
    return Schedule(numbered, (), (), replace(QUALITY, **quality))


def changed(index: int, **options: Any) -> Rows:
    """Return the rows of the week with another one at an index."""
    rows = rows_of_week()
    rows[index] = replace(rows[index], **options)
    return rows


def found(rows: Rows, request: Request = WEEK) -> str:
    """Return the violations of some rows as one text."""
    return "\n".join(check(request, schedule_of(rows)))


def test_checker_accepts_a_balanced_schedule() -> None:
    assert check(WEEK, schedule_of(rows_of_week())) == []


def _short_session() -> Rows:
    rows = rows_of_week()
    rows[0] = plan(1, "17:00", 10, (1, 2))
    rows[1] = plan(1, "17:10", 40, (1, 10), content=2)
    rows[3] = plan(2, "17:40", 90, (3, 20))
    return rows


def _same_opener() -> Rows:
    rows = rows_of_week()
    rows[2] = plan(2, "17:50", 40, (11, 20), content=2)
    rows[3] = plan(2, "17:00", 50, (11, 20), content=1)
    return rows


def _review_without_pause() -> Rows:
    rows = rows_of_week()
    reviews = [("17:00", 120, (1, 60), 1), ("19:00", 96, (1, 60), 2)]
    return rows[:12] + [
        plan(7, clock, length, units, content=content, kind=PlanKind.REVIEW)
        for clock, length, units, content in reviews
    ]


def _short_review() -> Rows:
    late = [("20:40", 13, (51, 58)), ("21:05", 3, (59, 60))]
    return rows_of_week()[:-1] + [
        plan(7, clock, length, units, content=2, kind=PlanKind.REVIEW)
        for clock, length, units in late
    ]


VIOLATIONS: dict[str, tuple[Callable[[], Rows], str]] = {
    "a session is too short": (_short_session, "01-06 has only 10 min, but can join"),
    "a weakness has too few units": (_short_session, "weakness 1 has 2 of 3 units"),
    "a day begins like the day before": (_same_opener, "begins with the same weakness"),
    "a pause is missing": (_review_without_pause, "216 min without a pause"),
    "a row is not on a mark": (
        lambda: changed(1, start_minute=at("17:52"), end_minute=at("18:32")),
        "not on a five-minute mark",
    ),
    "a row is later than a pause explains": (
        lambda: changed(1, start_minute=at("18:10"), end_minute=at("18:50")),
        "begins 20 min later than it could",
    ),
    "a review is under five minutes": (_short_review, "has 3 min, but can join review 2:51-58"),
    "a row is missing": (lambda: rows_of_week()[1:], "are missing"),
    "a row is doubled": (lambda: [*rows_of_week(), rows_of_week()[0]], "overlap"),
    "a row is on the next day": (
        lambda: changed(1, date=rows_of_week()[2].date),
        "does not have the week, cycle and cycle day",
    ),
    "a row overlaps another": (lambda: changed(1, start_minute=at("17:45")), "overlap"),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_checker_reports_a_broken_rule_of_balanced(violation: str) -> None:
    rows, message = VIOLATIONS[violation]
    assert message in found(rows())


# --- days of two spans ---------------------------------------------------------------

TWO_SPANS = balanced(
    make_request(
        book(1, 8, 5),
        book(1, 9, 5, position=2),
        period="01-06..01-06",
        blocks=block(17, "17:50") + block("18:20", "19:10"),
        non_study_blocks=(),
    )
)


def test_checker_reports_a_session_that_is_divided_needlessly() -> None:
    whole = [plan(1, "17:00", 40, (1, 8)), plan(1, "18:20", 45, (1, 9), content=2)]
    divided = [
        plan(1, "17:00", 40, (1, 8)),
        plan(1, "17:40", 10, (1, 2), content=2),
        plan(1, "18:20", 35, (3, 9), content=2),
    ]
    assert "is divided, but all fit whole" in found(divided, TWO_SPANS)
    assert "is divided" not in found(whole, TWO_SPANS)


def test_checker_reports_a_piece_of_under_ten_minutes() -> None:
    long = replace(TWO_SPANS, contents=(book(1, 11, 5),))
    short = [plan(1, "17:00", 50, (1, 10)), plan(1, "18:20", 5, (11, 11))]
    longer = [plan(1, "17:00", 45, (1, 9)), plan(1, "18:20", 10, (10, 11))]
    assert "has a piece of only 5 min" in found(short, long)
    assert "a piece of only" not in found(longer, long)


def test_checker_reports_pieces_of_a_unit_that_touch() -> None:
    long = replace(TWO_SPANS, contents=(book(1, 1, 80),))
    first = plan(1, "17:00", 20, (1, 1), part=1, parts=3)
    second = plan(1, "17:20", 30, (1, 1), part=2, parts=3)
    last = plan(1, "18:20", 30, (1, 1), part=3, parts=3)
    text = found([first, second, last], long)
    assert text.count("but they could be one") == 1
    assert "could be one" not in found([replace(first, end_minute=at("17:50")), last], long)


def test_checker_reports_a_reserve_that_is_used_for_the_layout() -> None:
    request = replace(TWO_SPANS, blocks=block(17, "18:30") + reserve(20, 21))
    rows = [plan(1, "17:00", 40, (1, 8)), plan(1, "20:00", 45, (1, 9), content=2, reserve=True)]
    assert "its study time holds all its sessions" in found(rows, request)


def test_checker_keeps_the_units_of_a_session_in_order() -> None:
    assert first_fit([[20, 30], [10]], [30, 30])
    assert not first_fit([[20, 30, 10]], [30, 30])


def test_checker_divides_a_review_by_the_shares_of_all_its_units() -> None:
    # 40 % of 7 × 3 minutes are 8: by cumulative proportion 1 1 1 2 1 1 1.
    request = replace(TWO_SPANS, contents=(book(1, 7, 3),))
    rows = [plan(1, "17:00", 4, (4, 6), kind=PlanKind.REVIEW),
            plan(1, "17:10", 1, (7, 7), kind=PlanKind.REVIEW),
            plan(1, "18:20", 3, (1, 3), kind=PlanKind.REVIEW)]  # fmt: skip
    case = Case(request, schedule_of(rows))
    assert [atoms(case, one) for one in rows] == [[2, 1, 1], [1], [1, 1, 1]]
    changed_minutes = replace(rows[0], end_minute=at("17:06"))
    assert atoms(case, changed_minutes) == [2, 2, 2]


def test_checker_demands_no_pause_of_a_day_without_room() -> None:
    full = replace(TWO_SPANS, contents=(book(1, 24, 5),), blocks=block(17, 19))
    text = found([plan(1, "17:00", 120, (1, 24))], full)
    assert "without a pause" not in text
    roomy = replace(full, blocks=block(17, "19:10"))
    assert "120 min without a pause" in found([plan(1, "17:00", 120, (1, 24))], roomy)


def test_checker_demands_no_pause_within_a_long_unit() -> None:
    request = replace(TWO_SPANS, contents=(book(1, 1, 110),), blocks=block(17, 20))
    assert "without a pause" not in found([plan(1, "17:00", 110, (1, 1))], request)


# --- shifts and buffer days ----------------------------------------------------------

STRATEGY = balanced(
    make_request(book(1, 30, 5, weekly=3), blocks=block(17, 20), non_study_blocks=())
)


def _strategy_schedule(days: tuple[int, ...], shifts: dict[int, int]) -> Schedule:
    rows = [plan(day, "17:00", 50, (10 * i + 1, 10 * i + 10)) for i, day in enumerate(days)]
    rows.append(plan(7, "17:00", 60, (1, 30), kind=PlanKind.REVIEW))
    return replace(schedule_of(rows, peak=50), day_shifts=shifts)


def test_checker_follows_the_shift_of_the_result() -> None:
    assert "day of its content" not in "\n".join(
        check(STRATEGY, _strategy_schedule((1, 3, 5), {1: 1}))
    )
    for days, shifts, message in (
        ((1, 3, 5), {1: 0}, "is not on a day of its content"),
        ((2, 4, 6), {1: 1}, "is not on a day of its content"),
        ((2, 4, 6), {}, "has no shift"),
        ((2, 4, 6), {1: 6}, "has the impossible shift 6"),
        ((2, 4, 6), {1: 0, 2: 0}, "content 2 has a shift"),
    ):
        assert message in "\n".join(check(STRATEGY, _strategy_schedule(days, shifts)))


def test_checker_reports_a_shift_other_than_the_given_one() -> None:
    given = replace(STRATEGY, contents=(replace(STRATEGY.contents[0], day_shift=1),))
    assert "has shift 0, but 1 was given" in "\n".join(
        check(given, _strategy_schedule((2, 4, 6), {1: 0}))
    )


def test_checker_reports_study_on_a_buffer_day_that_is_not_needed() -> None:
    buffered = replace(WEEK, buffer_days=1)
    assert "uses the buffer day 2025-01-11" in found(rows_of_week(), buffered)
    long = replace(buffered, blocks=block(17, "18:35"))
    assert "buffer day" not in found(rows_of_week(), long)
