"""Cases C1 to C9 of the planning rules: the dates that count, and their cycle and cycle day."""

from itertools import pairwise
from typing import Any

import pytest

from domain.scheduling.calendar import Day, DayKind, calendar
from domain.scheduling.types import ExclusionType
from tests.unit.scheduling.build import MONDAY, block, holiday, make_request, off, on, reserve

LETTERS = {
    DayKind.STUDY: "s",
    DayKind.REVIEW: "r",
    DayKind.EXCLUDED: "e",
    DayKind.NO_TIME: "-",
    DayKind.HOLIDAY: "h",
}
NO_WEDNESDAYS = [0, 1, 2, 4, 5, 6]
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "C1": (
        "01-06..01-20",
        {"exclusions": off("01-08")},
        (
            "06s1/1 07s2/1 08e 09s3/1 10s4/1 11s5/1 12s6/1 13r7/1 "
            "14s1/2 15s2/2 16s3/2 17s4/2 18s5/2 19s6/2 20r7/2"
        ),
    ),
    "C2": (
        "01-06..01-21",
        {"cycle": (5, 2)},
        (
            "06s1/1 07s2/1 08s3/1 09s4/1 10s5/1 11r6/1 12r7/1 "
            "13s1/2 14s2/2 15s3/2 16s4/2 17s5/2 18r6/2 19r7/2 20s1/3 21s2/3"
        ),
    ),
    "C3": (
        "01-06..01-15",
        {"cycle": (5, 1)},
        "06s1/1 07s2/1 08s3/1 09s4/1 10s5/1 11r6/1 12s1/2 13s2/2 14s3/2 15s4/2",
    ),
    "C4": (
        "01-06..01-15",
        {"cycle": (6, 0)},
        "06s1/1 07s2/1 08s3/1 09s4/1 10s5/1 11s6/1 12s1/2 13s2/2 14s3/2 15s4/2",
    ),
    "C5": (
        "01-06..01-14",
        {"exclusions": off("01-06", "01-07", "01-08")},
        "06e 07e 08e 09s1/1 10s2/1 11s3/1 12s4/1 13s5/1 14s6/1",
    ),
    "C6": (
        "01-06..01-20",
        {"exclusions": off("01-12")},
        (
            "06s1/1 07s2/1 08s3/1 09s4/1 10s5/1 11s6/1 12e 13r7/1 "
            "14s1/2 15s2/2 16s3/2 17s4/2 18s5/2 19s6/2 20r7/2"
        ),
    ),
    "C7": ("2024-02-27..2024-03-02", {}, "27s1/1 28s2/1 29s3/1 01s4/1 02s5/1"),
    "C8": (
        "01-06..01-10",
        {"exclusions": off("01-08", "01-08", "01-05", "01-11")},
        "06s1/1 07s2/1 08e 09s3/1 10s4/1",
    ),
    "C9": (
        "01-06..01-20",
        {"blocks": block(10, 19, NO_WEDNESDAYS)},
        (
            "06s1/1 07s2/1 08- 09s3/1 10s4/1 11s5/1 12s6/1 13r7/1 "
            "14s1/2 15- 16s2/2 17s3/2 18s4/2 19s5/2 20s6/2"
        ),
    ),
}


def as_text(day: Day) -> str:
    """Return a day as text: ``06s1/1`` is the 6th, a study day, cycle day 1 of cycle 1."""
    position = f"{day.cycle_day}/{day.cycle}" if day.cycle_day else ""
    return f"{day.date:%d}{LETTERS[day.kind]}{position}"


def days(period: str, **options: Any) -> list[Day]:
    return calendar(make_request(period=period, **options))


@pytest.mark.parametrize("case", CASES)
def test_cycle_counts_only_dates_with_study_time(case: str) -> None:
    period, options, expected = CASES[case]
    assert " ".join(as_text(day) for day in days(period, **options)) == expected


@pytest.mark.parametrize("period", ["01-06..02-28", "2024-02-27..2024-03-02", "01-01..01-28"])
def test_week_is_counted_from_the_start_of_the_period(period: str) -> None:
    found = days(period, exclusions=off("01-15"))
    first = found[0].date
    assert [day.week for day in found] == [(day.date - first).days // 7 + 1 for day in found]


def test_week_and_cycle_never_decrease() -> None:
    found = days("01-06..03-31", exclusions=off("01-06", "01-20", "02-03", "02-04"))
    for before, after in pairwise(found):
        assert before.week <= after.week
        assert before.cycle <= after.cycle


def test_cycle_that_is_incomplete_has_no_review_day() -> None:
    assert [day.kind for day in days("01-06..01-14")][7:] == [DayKind.STUDY] * 2


def test_date_with_a_single_minute_of_study_time_counts() -> None:
    assert as_text(days("01-06..01-06", blocks=block("10:00", "10:01"))[0]) == "06s1/1"


def test_date_with_only_reserve_does_not_count() -> None:
    found = days("01-06..01-08", blocks=block(10, 12, [MONDAY]) + reserve(13, 19))
    assert [as_text(day) for day in found] == ["06s1/1", "07-", "08-"]


def test_self_study_is_the_study_time_of_a_group_without_study_blocks() -> None:
    found = days(
        "01-06..01-07",
        blocks=reserve(10, 19),
        exclusions=holiday("01-07"),
        self_study_on_holidays=True,
    )
    assert [as_text(day) for day in found] == ["06s1/1", "07h"]
    assert (found[0].study, found[0].reserve) == (((600, 720), (780, 1140)), ())
    assert found[1].reserve == ()


def test_open_holiday_has_the_cycle_of_the_last_counted_day() -> None:
    found = days(
        "01-06..01-15",
        cycle=(2, 1),
        blocks=block(10, 12) + reserve(13, 19),
        exclusions=holiday("01-06", "01-09", "01-11"),
        self_study_on_holidays=True,
    )
    assert " ".join(as_text(day) for day in found) == (
        "06h 07s1/1 08s2/1 09h 10r3/1 11h 12s1/2 13s2/2 14r3/2 15s1/3"
    )
    assert [day.cycle for day in found] == [1, 1, 1, 1, 1, 1, 2, 2, 2, 3]
    assert [day.cycle_day for day in found if day.kind is DayKind.HOLIDAY] == [None] * 3


@pytest.mark.parametrize("other", [ExclusionType.VACATION, ExclusionType.PERSONAL])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_designated_holiday_is_closed_by_an_exclusion_of_another_type(
    other: ExclusionType, *, is_reversed: bool
) -> None:
    both = holiday("01-07") + off("01-07", type_=other)
    found = days(
        "01-06..01-07",
        blocks=block(10, 12) + reserve(13, 19),
        exclusions=both[::-1] if is_reversed else both,
        self_study_on_holidays=True,
    )
    assert (found[1].date, found[1].kind) == (on("01-07"), DayKind.EXCLUDED)
    assert (found[1].study, found[1].reserve) == ((), ())
