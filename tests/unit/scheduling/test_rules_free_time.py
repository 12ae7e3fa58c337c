"""Cases K1 to K10 of the planning rules: the time that remains of a day's blocks."""

from typing import Any

import pytest

from domain.scheduling.calendar import Day, DayKind, calendar
from domain.scheduling.spans import Span, front, merged, total, without
from domain.scheduling.types import MINUTES_PER_DAY, ExclusionType
from tests.unit.scheduling.build import (
    MONDAY,
    at,
    block,
    holiday,
    lesson,
    lunch,
    make_request,
    off,
    reserve,
)

NO_LUNCH: dict[str, Any] = {"non_study_blocks": ()}
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "K1": ({"academy_schedules": (lesson(MONDAY, 14, 16, 30),)}, "10-12 13-13:30 16:30-19"),
    "K2": ({"academy_schedules": (lesson(MONDAY, 14, 16, 0),)}, "10-12 13-14 16-19"),
    "K3": ({"academy_schedules": (lesson(MONDAY, 19, 21, 60),)}, "10-12 13-18"),
    "K4": ({"academy_schedules": (lesson(MONDAY, 13.5, 15, 60),)}, "10-12 16-19"),
    "K5": ({"blocks": block(0, 6), "academy_schedules": (lesson(MONDAY, 0.5, 1, 60),)}, "2-6"),
    "K9, separate": ({"blocks": block(14, 16) + block(9, 11), **NO_LUNCH}, "9-11 14-16"),
    "K9, overlapping": ({"blocks": block(9, 12) + block(11, 14), **NO_LUNCH}, "9-14"),
    "K10": ({"blocks": block(12, 13)}, ""),
    "touching": ({"blocks": block(9, 11) + block(11, 14), **NO_LUNCH}, "9-14"),
    "midnight": ({"blocks": block(22, 24)}, "22-24"),
    "travel beyond midnight": (
        {"blocks": block(20, 24), "academy_schedules": (lesson(MONDAY, 22, 23.5, 60),)},
        "20-21",
    ),
    "a long lunch": ({"non_study_blocks": lunch(9, 18)}, "18-19"),
    "a class on another day": ({"academy_schedules": (lesson(2, 14, 16, 30),)}, "10-12 13-19"),
}


def spans(text: str) -> tuple[Span, ...]:
    """Return the spans of text such as ``"10-12 13-13:30"``, in minutes of the day."""
    pairs = (span.split("-") for span in text.split())
    return tuple((minutes(start), minutes(end)) for start, end in pairs)


def minutes(clock: str) -> int:
    return at(clock if ":" in clock else f"{clock}:00")


def monday(**options: Any) -> Day:
    return calendar(make_request(period="01-06..01-06", **options))[0]


@pytest.mark.parametrize("case", CASES)
def test_study_time_is_the_blocks_without_meals_classes_and_travel(case: str) -> None:
    options, expected = CASES[case]
    assert monday(**options).study == spans(expected)


@pytest.mark.parametrize("kind", list(ExclusionType))
def test_exclusion_of_any_type_closes_the_date(kind: ExclusionType) -> None:
    """Case K6 of the planning rules."""
    days = calendar(make_request(period="01-06..01-08", exclusions=off("01-07", type_=kind)))
    assert days[1].kind is DayKind.EXCLUDED
    assert days[1].study == days[1].reserve == ()


def test_open_holiday_has_only_reserve() -> None:
    """Case K7 of the planning rules."""
    request: dict[str, Any] = {
        "period": "01-06..01-07",
        "blocks": block(10, 19) + reserve(13, 19),
        "exclusions": holiday("01-07"),
    }
    day = calendar(make_request(**request, self_study_on_holidays=True))[1]
    assert (day.kind, day.study, day.reserve) == (DayKind.HOLIDAY, (), spans("13-19"))
    assert calendar(make_request(**request))[1].kind is DayKind.EXCLUDED


def test_block_on_mondays_leaves_the_other_days_empty() -> None:
    """Case K8 of the planning rules."""
    days = calendar(make_request(period="01-06..01-13", blocks=block(10, 19, [MONDAY])))
    assert [bool(day.study) for day in days] == [True, *[False] * 6, True]


def test_block_within_lunch_leaves_a_day_without_time() -> None:
    """Case K10 of the planning rules."""
    assert monday(blocks=block(12, 13)).kind is DayKind.NO_TIME


def test_time_in_both_kinds_of_block_is_study_time() -> None:
    day = monday(blocks=block(10, 14) + reserve(9, 18))
    assert (day.study, day.reserve) == (spans("10-12 13-14"), spans("9-10 14-18"))


def test_reserve_excludes_meals_classes_and_travel() -> None:
    day = monday(
        blocks=block(8, 9) + reserve(9, 19), academy_schedules=(lesson(MONDAY, 15, 16, 30),)
    )
    assert (day.study, day.reserve) == (spans("8-9"), spans("9-12 13-14:30 16:30-19"))


def test_block_may_last_the_entire_day() -> None:
    assert merged([(0, MINUTES_PER_DAY)]) == [(0, 1440)]
    assert monday(blocks=block(0, 24), **NO_LUNCH).study == ((0, 1440),)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([(5, 5), (7, 6)], []),
        ([(3, 5), (1, 2)], [(1, 2), (3, 5)]),
        ([(1, 3), (3, 5)], [(1, 5)]),
        ([(1, 9), (2, 3)], [(1, 9)]),
    ],
)
def test_spans_are_sorted_and_merged(given: list[Span], expected: list[Span]) -> None:
    assert merged(given) == expected


@pytest.mark.parametrize(
    ("holes", "expected"),
    [
        ([], [(10, 20), (30, 40)]),
        ([(0, 50)], []),
        ([(10, 20)], [(30, 40)]),
        ([(12, 15)], [(10, 12), (15, 20), (30, 40)]),
        ([(15, 35)], [(10, 15), (35, 40)]),
        ([(20, 30)], [(10, 20), (30, 40)]),
        ([(35, 38), (11, 12)], [(10, 11), (12, 20), (30, 35), (38, 40)]),
        ([(15, 15)], [(10, 15), (15, 20), (30, 40)]),
    ],
)
def test_spans_lose_the_minutes_of_holes(holes: list[Span], expected: list[Span]) -> None:
    found = without([(10, 20), (30, 40)], holes)
    assert merged(found) == merged(expected)
    assert total(found) == total(expected)


@pytest.mark.parametrize(("count", "expected"), [(0, []), (4, [(1, 5)]), (6, [(1, 5), (7, 9)])])
def test_front_of_spans_is_their_first_minutes(count: int, expected: list[Span]) -> None:
    assert front([(1, 5), (7, 20)], count) == expected
    assert front([(1, 5)], 99) == [(1, 5)]
