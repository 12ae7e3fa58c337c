"""Cycles, days of a subject, free time and minutes, tested with the plans of complete requests."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.scheduling.types import Difficulty, ExclusionType, Factors, PlanKind, Request
from tests.unit.scheduling.build import (
    MONDAY,
    block,
    book,
    checked_schedule,
    custom,
    dates,
    holiday,
    hours,
    kept,
    lecture,
    lesson,
    make_request,
    off,
    on,
    ranges,
    reserve,
    study,
)

NO_WEDNESDAYS = [day for day in range(7) if day != 3]


def cycle_days(request: Request) -> str:
    """Return what is planned on every date of the period.

    ``06s1/1`` is a study date, day 1 of cycle 1; ``12r7/1`` is a review date, and ``08e`` is empty.
    """
    kinds = {
        row.date: f"{'s' if row.kind is PlanKind.STUDY else 'r'}{row.cycle_day}/{row.cycle}"
        for row in checked_schedule(request).plans
    }
    count = (request.period_end - request.period_start).days + 1
    days = [request.period_start + timedelta(days=offset) for offset in range(count)]
    return " ".join(f"{day:%d}{kinds.get(day, 'e')}" for day in days)


@pytest.mark.parametrize(
    ("period", "options", "expected"),
    [
        (
            "01-06..01-20",
            {"exclusions": off("01-08")},
            (
                "06s1/1 07s2/1 08e 09s3/1 10s4/1 11s5/1 12s6/1 13r7/1 "
                "14s1/2 15s2/2 16s3/2 17s4/2 18s5/2 19s6/2 20r7/2"
            ),
        ),
        (
            "01-06..01-21",
            {"cycle": (5, 2), "blocks": block(10, 14)},
            (
                "06s1/1 07s2/1 08s3/1 09s4/1 10s5/1 11r6/1 12r7/1 "
                "13s1/2 14s2/2 15s3/2 16s4/2 17s5/2 18r6/2 19r7/2 20s1/3 21s2/3"
            ),
        ),
        (
            "01-06..01-15",
            {"cycle": (5, 1)},
            "06s1/1 07s2/1 08s3/1 09s4/1 10s5/1 11r6/1 12s1/2 13s2/2 14s3/2 15s4/2",
        ),
        (
            "01-06..01-15",
            {"cycle": (6, 0)},
            "06s1/1 07s2/1 08s3/1 09s4/1 10s5/1 11s6/1 12s1/2 13s2/2 14s3/2 15s4/2",
        ),
        (
            "01-06..01-14",
            {"exclusions": off("01-06", "01-07", "01-08")},
            "06e 07e 08e 09s1/1 10s2/1 11s3/1 12s4/1 13s5/1 14s6/1",
        ),
        (
            "01-06..01-20",
            {"exclusions": off("01-12")},
            (
                "06s1/1 07s2/1 08s3/1 09s4/1 10s5/1 11s6/1 12e 13r7/1 "
                "14s1/2 15s2/2 16s3/2 17s4/2 18s5/2 19s6/2 20r7/2"
            ),
        ),
        ("2024-02-27..2024-03-02", {}, "27s1/1 28s2/1 29s3/1 01s4/1 02s5/1"),
        (
            "01-06..01-10",
            {"exclusions": off("01-08", "01-08", "01-05", "01-20")},
            "06s1/1 07s2/1 08e 09s3/1 10s4/1",
        ),
        (
            "01-06..01-20",
            {"blocks": block(10, 19, NO_WEDNESDAYS)},
            (
                "06s1/1 07s2/1 08e 09s3/1 10s4/1 11s5/1 12s6/1 13r7/1 14s1/2 "
                "15e 16s2/2 17s3/2 18s4/2 19s5/2 20s6/2"
            ),
        ),
    ],
    ids=[f"C{number}" for number in range(1, 10)],
)
def test_cycle_counts_only_days_with_study_time(
    period: str, options: dict[str, Any], expected: str
) -> None:
    factors = Factors(weakness=Decimal("1.0"), review=Decimal("0.6"))
    request = make_request(book(1, 60, 20), period=period, factors=factors, **options)
    assert cycle_days(request) == expected


@pytest.mark.parametrize(
    ("period", "excluded", "weekly", "expected"),
    [
        ("01-06..01-19", (), 2, "07 10 14 17"),
        ("01-06..01-19", (), 3, "07 09 11 14 16 18"),
        ("01-06..01-19", (), 4, "06 08 09 11 13 15 16 18"),
        ("01-06..01-19", (), None, "06 07 08 09 10 11 13 14 15 16 17 18"),
        ("01-06..01-16", ("01-08",), 2, "07 11 14 16"),
        ("01-06..01-16", ("01-08",), 3, "07 10 12 14 15 16"),
        ("01-06..01-16", ("01-08",), 4, "06 09 10 12 14 15 16"),
        ("01-06..01-08", (), 2, "06 08"),
        ("01-06..01-08", (), 3, "06 07 08"),
    ],
    ids=["A1", "A2", "A3", "A4", "A6-2", "A6-3", "A6-4", "A7-2", "A7-3"],
)
def test_subject_days_depend_on_the_cycle(
    period: str, excluded: tuple[str, ...], weekly: int | None, expected: str
) -> None:
    request = make_request(book(1, 60, 2, weekly=weekly), period=period, exclusions=off(*excluded))
    assert dates(study(checked_schedule(request))) == [f"01-{day}" for day in expected.split()]


def test_subject_days_in_the_past_are_dropped_and_not_replaced() -> None:
    request = make_request(book(1, 60, 2, weekly=3), period="01-06..01-19", today="01-10")
    assert dates(study(checked_schedule(request))) == ["01-11", "01-14", "01-16", "01-18"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"academy_schedules": (lesson(MONDAY, 14, 16, 30),)}, "10-12 13-13:30 16:30-19"),
        ({"academy_schedules": (lesson(MONDAY, 14, 16),)}, "10-12 13-14 16-19"),
        ({"academy_schedules": (lesson(MONDAY, 19, 21, 60),)}, "10-12 13-18"),
        ({"academy_schedules": (lesson(MONDAY, 13.5, 15, 60),)}, "10-12 16-19"),
        ({"blocks": block(0, 6), "academy_schedules": (lesson(MONDAY, 0.5, 1, 60),)}, "02-06"),
        ({"blocks": block(14, 16) + block(9, 11)}, "09-11 14-16"),
        ({"blocks": block(9, 12) + block(11, 14), "non_study_blocks": ()}, "09-14"),
        ({"blocks": block(10, 12) + reserve(11, 14)}, "10-12 13-14"),
        ({"blocks": block(10, 11) + reserve(8, 9)}, "08-09 10-11"),
        ({"blocks": block(22, 24)}, "22-24"),
    ],
    ids=["K1", "K2", "K3", "K4", "K5", "K9a", "K9b", "both-kinds", "reserve-first", "midnight"],
)
def test_content_longer_than_a_day_fills_its_free_time(
    options: dict[str, Any], expected: str
) -> None:
    result = checked_schedule(make_request(custom(1, 999, 1), period="01-06..01-06", **options))
    times = [text.replace(":00", "") for text in hours(study(result))]
    assert " ".join(times) == expected


def test_block_on_mondays_leaves_the_other_days_empty() -> None:
    result = checked_schedule(
        make_request(custom(1, 20, 1), period="01-06..01-14", blocks=block(10, 19, [1]))
    )
    assert dates(study(result)) == ["01-06", "01-13"]


@pytest.mark.parametrize("kind", list(ExclusionType))
def test_exclusion_of_any_type_has_no_study_rows_by_default(kind: ExclusionType) -> None:
    excluded = off("01-07", type_=kind)
    result = checked_schedule(make_request(book(1, 9), period="01-06..01-08", exclusions=excluded))
    assert dates(study(result)) == ["01-06", "01-08"]


def test_open_holiday_gives_its_reserve_only_to_weakness_contents() -> None:
    request = make_request(
        custom(1, 200, 1, position=1),
        custom(1, 200, 1, position=2, weekly=2),
        period="01-06..01-08",
        blocks=block(10, 11) + reserve(13, 15),
        exclusions=holiday("01-07"),
        self_study_on_holidays=True,
    )
    result = checked_schedule(request)
    on_holiday = [row for row in result.plans if row.date == on("01-07")]
    assert {row.content for row in on_holiday} == {1}
    assert [(row.reserve, row.cycle, row.cycle_day) for row in on_holiday] == [(True, 1, None)]


def test_holiday_is_closed_by_another_exclusion() -> None:
    request = make_request(
        custom(1, 300, 1),
        period="01-06..01-08",
        blocks=block(10, 11) + reserve(13, 15),
        exclusions=holiday("01-07") + off("01-07"),
        self_study_on_holidays=True,
    )
    assert dates(study(checked_schedule(request))) == ["01-06", "01-08"]


@pytest.mark.parametrize(
    ("difficulty", "minutes"),
    [
        (Difficulty.FOUNDATION, 40),
        (Difficulty.STANDARD, 60),
        (Difficulty.ADVANCED, 80),
        (Difficulty.TOP, 100),
        (None, 60),
    ],
)
def test_book_minutes_depend_on_its_difficulty(difficulty: Difficulty | None, minutes: int) -> None:
    """Case M1 of the planning rules."""
    request = make_request(book(1, 10, None, difficulty=difficulty), period="01-06..01-06")
    assert [row.minutes for row in study(checked_schedule(request))] == [minutes]


def test_episode_of_unknown_length_takes_thirty_minutes_and_is_reported() -> None:
    """Case M5 of the planning rules."""
    result = checked_schedule(make_request(lecture(30, None, 35, 30), period="01-06..01-06"))
    assert sum(row.minutes for row in study(result)) == 125
    assert [w.data["first_unit"] for w in result.warnings if w.code == "assumed_minutes"] == [2]


@pytest.mark.parametrize(
    ("level", "weekly", "minutes"),
    [("0.85", 2, 51), ("0.85", None, 61), ("1.0", None, 72), ("1.2", None, 86)],
)
def test_minutes_are_multiplied_exactly_by_the_factors_of_level_and_subject(
    level: str, weekly: int | None, minutes: int
) -> None:
    """Case M6 of the planning rules."""
    factors = Factors(level=Decimal(level))
    request = make_request(book(1, 10, weekly=weekly), period="01-06..01-06", factors=factors)
    assert [row.minutes for row in study(checked_schedule(request))] == [minutes]


def test_study_rows_end_at_a_gap_in_the_range() -> None:
    done = kept(5, 6, "01-06", 8, 8.5)
    result = checked_schedule(
        make_request(book(1, 10), period="01-06..01-07", today="01-07", kept=(done,))
    )
    assert ranges(study(result)) == [(1, 4), (7, 10)]
