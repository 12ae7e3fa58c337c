"""The checker reports broken rules of deadlines, special days, last resorts and unplaced units."""

from dataclasses import replace
from typing import Any

import pytest

from domain.scheduling.result import (
    Quality,
    Repair,
    RepairKind,
    Schedule,
    ScheduledPlan,
    Unplaced,
    warning,
)
from domain.scheduling.schedule import schedule
from domain.scheduling.types import PlanKind, Request, SpecialDay, UnplacedReason
from tests.unit.scheduling.build import DAILY, block, book, custom, make_request, on, reserve, row
from tests.unit.scheduling.checker import check
from tests.unit.scheduling.checking.case import Case
from tests.unit.scheduling.checking.unplaced import sure_room
from tests.unit.scheduling.test_checker import RANGES, SIX_DAYS, valid_schedule

WEEKDAYS = DAILY[1:]


def found(request: Request, result: Schedule) -> str:
    """Return the violations as one text."""
    return " | ".join(check(request, result))


def test_checker_reports_study_and_review_after_a_deadline() -> None:
    early = replace(SIX_DAYS, contents=(book(1, 100, deadline=on("01-11")),))
    text = found(early, valid_schedule())
    assert "study 1:84-100 on 2025-01-11 10:00-11:42 is on or after the deadline" in text
    assert "review 1:1-50 on 2025-01-12 10:00-12:00 is on or after the deadline" in text


def test_checker_reports_a_review_on_the_target_date_and_its_missing_report() -> None:
    exam = replace(SIX_DAYS, target_date=on("01-12"))
    text = found(exam, valid_schedule())
    assert "review 1:1-50 on 2025-01-12 10:00-12:00 is on or after the deadline" in text
    silent = replace(valid_schedule(), plans=valid_schedule().plans[:6])
    assert "have neither a review nor a warning" in found(exam, silent)


def test_checker_ignores_a_target_date_after_the_period() -> None:
    assert check(replace(SIX_DAYS, target_date=on("01-13")), valid_schedule()) == []


def test_checker_reports_a_row_outside_the_spans_of_a_special_day() -> None:
    special = SpecialDay(on("01-06"), study=((660, 800),), self_study=((600, 630),))
    other = replace(SIX_DAYS, special_days=(special,))
    assert "uses 60 min that are not free study time" in found(other, valid_schedule())
    same = replace(SIX_DAYS, special_days=(replace(special, study=((600, 1140),)),))
    assert check(same, valid_schedule()) == []


def test_checker_takes_self_study_for_study_time_where_there_are_no_study_blocks() -> None:
    only = replace(SIX_DAYS, blocks=reserve(10, 19))
    assert check(only, valid_schedule()) == []
    rows = tuple(replace(plan, reserve=True) for plan in valid_schedule().plans)
    assert "not free reserve" in found(only, replace(valid_schedule(), plans=rows))


SIX_COUNTED = make_request(
    book(1, 100), blocks=block(10, 19, WEEKDAYS) + reserve(10, 19, [0]), cycle=(6, 0)
)
QUALITY = Quality(
    peak=102,
    least_peak=84,
    spread=102,
    reserve=102,
    fullness=213,
    least_fullness=175,
    variation=0,
    short_rows=0,
    slack_days=0,
)
SUNDAY_ROW: dict[str, Any] = {"date": on("01-12"), "reserve": True, "cycle_day": None}


def on_sunday(**options: Any) -> Schedule:
    """Return a schedule whose last row is on a Sunday, which has a reserve and no study time."""
    rows = [row(i, 600, 600 + 6 * (b - a + 1), a, b) for i, (a, b) in enumerate(RANGES, 1)]
    rows[5] = replace(rows[5], **{**SUNDAY_ROW, **options})
    return Schedule(tuple(rows), (), (), QUALITY)


def test_checker_reports_a_spare_day_that_is_not_needed() -> None:
    text = found(SIX_COUNTED, on_sunday())
    assert "is on a day without study time, but the others hold everything" in text
    shorter = replace(SIX_COUNTED, blocks=block(10, "11:42", WEEKDAYS[:5]) + SIX_COUNTED.blocks[6:])
    assert "is on a day without study time" not in found(shorter, on_sunday())


def test_checker_reports_a_wrong_row_on_a_spare_day() -> None:
    assert "but not in its reserve" in found(SIX_COUNTED, on_sunday(reserve=False))
    assert "does not have the week, cycle" in found(SIX_COUNTED, on_sunday(cycle_day=7))
    assert "does not have the week, cycle" in found(SIX_COUNTED, on_sunday(cycle=2))


TWO_DAYS = make_request(
    custom(1, 3, 12), period="01-06..01-07", blocks=block(10, "10:18"), cycle=(6, 0)
)


def two_days(*rows: ScheduledPlan, unplaced: int = 0) -> Schedule:
    """Return rows of 12-minute units, and the last ``unplaced`` of three units as unplaced."""
    tail = (Unplaced(1, 4 - unplaced, 3, 12 * unplaced, UnplacedReason.NO_ROOM),)
    quality = replace(
        QUALITY, peak=12, least_peak=12, spread=0, reserve=0, fullness=667, variation=0
    )
    return Schedule(rows, tail if unplaced else (), (), quality)


def test_checker_reports_a_short_unit_in_pieces() -> None:
    pieces = two_days(
        row(1, 600, 612, 1, 1),
        row(1, 612, 618, 2, 2, parts=2, sequence=2),
        row(2, 600, 606, 2, 2, part=2, parts=2, sequence=3),
        row(2, 606, 618, 3, 3, sequence=4),
    )
    assert "is a piece of a unit of only 12 min" in found(TWO_DAYS, pieces)


def test_checker_accepts_short_units_that_no_span_holds() -> None:
    whole = two_days(row(1, 600, 612, 1, 1), row(2, 600, 612, 2, 2), unplaced=1)
    shortage = warning(
        "shortage", week=1, weekday="월", weekday_en="Mon", date="2025-01-06", need=24, free=18
    )
    repairs = (Repair(RepairKind.UNITS, 1, 1),)
    quality = replace(whole.quality, least_fullness=667)
    reported = replace(whole, warnings=(shortage,), repairs=repairs, quality=quality)
    assert check(TWO_DAYS, reported) == []


def test_checker_reports_a_unit_that_a_free_span_holds() -> None:
    idle = two_days(row(1, 600, 612, 1, 1), unplaced=2)
    assert "unplaced, but 2025-01-07 10:00-10:18 is free" in found(TWO_DAYS, idle)
    evening = replace(TWO_DAYS, blocks=TWO_DAYS.blocks + reserve(20, 21))
    both = two_days(row(1, 600, 612, 1, 1), row(2, 600, 612, 2, 2), unplaced=1)
    assert "unplaced, but 2025-01-07 20:00-21:00 is free" in found(evening, both)


def test_checker_reports_a_long_unit_that_free_spans_hold_in_pieces() -> None:
    long = replace(TWO_DAYS, contents=(custom(1, 1, 30),))
    nothing = replace(two_days(), unplaced=(Unplaced(1, 1, 1, 30, UnplacedReason.DAY_TOO_SHORT),))
    assert "unit 1 of content 1 is unplaced, but 36 min are free for it" in found(long, nothing)


def test_checker_reports_more_unplaced_minutes_than_necessary() -> None:
    long = replace(TWO_DAYS, contents=(custom(1, 3, 24),), blocks=block(10, "10:48"))
    one = replace(
        two_days(row(1, 600, 624, 1, 1)), unplaced=(Unplaced(1, 2, 3, 48, UnplacedReason.NO_ROOM),)
    )
    text = found(long, one)
    assert "48 min are unplaced, but at most 0 + 23 min have to be" in text
    assert "all minutes fit, but 1 ranges are unplaced" in text
    assert "unit 2 of content 1 is unplaced, but would fit" in text


def test_sure_room_subtracts_a_minute_less_than_the_longest_short_unit_per_content() -> None:
    both = replace(TWO_DAYS, contents=(*TWO_DAYS.contents, custom(1, 2, 3, position=2)))
    assert list(sure_room(Case(both, two_days())).values()) == [18 - 11 - 2] * 2
    long = replace(TWO_DAYS, contents=(custom(1, 2, 20),))
    assert list(sure_room(Case(long, two_days())).values()) == [18, 18]


REVIEWED = make_request(
    book(1, 20, deadline=on("01-09"), position=1),
    book(1, 30, position=2),
    period="01-06..01-09",
    cycle=(2, 2),
    blocks=block(10, 14, [1, 2]) + block(10, "10:32", [3]) + block(10, 12, [4]),
)
"""Content 1 needs 48 minutes of the first review day, which has 32; content 2 needs 72."""


def test_checker_accepts_reviews_that_shrink_for_the_sake_of_a_deadline() -> None:
    result = schedule(REVIEWED)
    assert check(REVIEWED, result) == []
    given = [(r.date.day, r.content, r.minutes) for r in result.plans if r.kind is PlanKind.REVIEW]
    assert given == [(8, 1, 32), (9, 2, 48)]


@pytest.mark.parametrize(
    ("index", "options", "expected"),
    [
        (0, {"end_minute": 630}, "content 1 is reviewed 30 min; its share is 32.0"),
        (1, {"end_minute": 672}, "content 2 is reviewed 72 min; its share is 48.0"),
        (0, {"date": on("01-09"), "start_minute": 700, "end_minute": 732}, "after the deadline"),
    ],
)
def test_checker_reports_reviews_that_do_not_shrink_alike(
    index: int, options: dict[str, Any], expected: str
) -> None:
    result = schedule(REVIEWED)
    rows = [r for r in result.plans if r.kind is PlanKind.REVIEW]
    changed = replace(rows[index], **options)
    plans = tuple(changed if r is rows[index] else r for r in result.plans)
    assert expected in found(REVIEWED, replace(result, plans=plans))


def test_checker_reports_a_wrong_warning_of_shrunk_reviews() -> None:
    result = schedule(REVIEWED)
    silent = replace(result, warnings=())
    assert "the reviews of cycle 1 are shrunk without a warning" in found(REVIEWED, silent)
    (shrunk,) = result.warnings
    wrong = replace(result, warnings=(replace(shrunk, data={**shrunk.data, "free": 152}),))
    assert "reports shrunk reviews as" in found(REVIEWED, wrong)
    twice = replace(result, warnings=(shrunk, shrunk))
    assert "reports shrunk reviews 2 times" in found(REVIEWED, twice)
