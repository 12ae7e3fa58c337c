import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.documents import PlanGroupDocument, read_json
from domain.documents.rows import field_errors_of, to_request, to_rows
from domain.scheduling.schedule import schedule
from domain.scheduling.validation import LAST_DATE, MAX_DAYS
from tests.unit.documents.documents import BOOK, EXAMPLE, LECTURE, SMALL, small

CLASS = {"weekday": 3, "start": "14:00", "end": "17:00"}
STRATEGY = {**BOOK, "allocation": "strategy"}
SHIFTED = {**STRATEGY, "weekly_days": 3, "day_shift": 3}


def fields(document: PlanGroupDocument) -> list[str]:
    return [field_error.field for field_error in field_errors_of(document)]


def test_example_document_has_no_field_errors() -> None:
    assert field_errors_of(read_json(EXAMPLE)) == []


def test_draft_without_contents_and_blocks_has_no_field_errors() -> None:
    assert field_errors_of(small(contents=[], blocks=[])) == []


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"period": {"start": "2025-01-12", "end": "2025-01-06"}}, "period"),
        ({"period": {"start": "2025-01-01", "end": "2055-01-01"}}, "period"),
        ({"cycle": {"study_days": 0}}, "cycle.study_days"),
        ({"cycle": {"review_days": 8}}, "cycle.review_days"),
        ({"contents": [BOOK] * 10}, "contents"),
        ({"contents": [BOOK, {**BOOK, "range": [9, 1]}]}, "contents[1].range"),
        ({"contents": [{**BOOK, "range": [1, 100_001]}]}, "contents[0].range"),
        ({"contents": [STRATEGY]}, "contents[0].weekly_days"),
        ({"contents": [{**STRATEGY, "weekly_days": 5}]}, "contents[0].weekly_days"),
        ({"contents": [{**BOOK, "weekly_days": 2}]}, "contents[0].weekly_days"),
        ({"contents": [{**BOOK, "difficulty": "기본"}]}, "contents[0].difficulty"),
        ({"contents": [{**LECTURE, "difficulty": "기본"}]}, "contents[0].difficulty"),
        (
            {"contents": [{**BOOK, "type": "custom", "minutes_per_unit": None}]},
            "contents[0].minutes_per_unit",
        ),
        (
            {"contents": [{**BOOK, "minutes_per_unit": None, "episodes": [9] * 40}]},
            "contents[0].episodes",
        ),
        ({"contents": [{**LECTURE, "episodes": [30] * 3}]}, "contents[0].episodes"),
        ({"contents": [{**LECTURE, "episodes": [30] * 5}]}, "contents[0].episodes"),
        (
            {"contents": [{**LECTURE, "episodes": [9, 1, 9, 9]}], "factors": {"weakness": 0.5}},
            "contents[0].episodes",
        ),
        ({"academy_schedules": [CLASS, {**CLASS, "start": "16:59"}]}, "academy_schedules[1].start"),
        ({"exclusions": [{"date": "2025-01-13", "type": "기타"}]}, "exclusions[0].date"),
        (
            {"special_days": [{"date": "2025-01-12"}, {"date": "2025-01-13"}]},
            "special_days[1].date",
        ),
        ({"special_days": [{"date": "2025-01-05"}]}, "special_days[0].date"),
        (
            {"special_days": [{"date": "2025-01-07", "study": [["10:00", "12:00"]] * 25}]},
            "special_days[0].study",
        ),
        (
            {"special_days": [{"date": "2025-01-07", "self_study": [["10:00", "12:00"]] * 25}]},
            "special_days[0].self_study",
        ),
        ({"target_date": "2025-01-05"}, "target_date"),
        ({"contents": [BOOK, {**BOOK, "day_shift": 0}]}, "contents[1].day_shift"),
        ({"contents": [{**SHIFTED, "day_shift": 6}]}, "contents[0].day_shift"),
        ({"contents": [SHIFTED], "cycle": {"study_days": 3}}, "contents[0].day_shift"),
        ({"contents": [BOOK, {**BOOK, "deadline": "2025-01-05"}]}, "contents[1].deadline"),
    ],
)
def test_rule_violation_is_reported_under_its_document_field(
    keys: dict[str, Any], field: str
) -> None:
    assert fields(small(**keys)) == [field]


def test_classes_that_are_adjacent_or_on_other_weekdays_do_not_overlap() -> None:
    others = [{**CLASS, "start": "17:00", "end": "18:00"}, {**CLASS, "weekday": 4}]
    assert fields(small(academy_schedules=[CLASS, *others])) == []


def test_classes_that_overlap_others_are_each_reported_once() -> None:
    assert fields(small(academy_schedules=[CLASS] * 24)) == [
        f"academy_schedules[{index}].start" for index in range(1, 24)
    ]


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({"contents": [{**BOOK, "range": [1, 20_000]}]}, []),
        ({"contents": [{**BOOK, "range": [1, 20_001]}]}, ["contents[0].range"]),
        ({"contents": [{**BOOK, "range": [1, 10_000]}] * 2}, []),
        (
            {"contents": [{**BOOK, "range": [1, 10_000]}, {**BOOK, "range": [1, 10_001]}]},
            ["contents"],
        ),
        ({"period": {"start": "2024-01-01", "end": "2025-12-31"}}, []),
        ({"period": {"start": "2024-01-01", "end": "2026-01-01"}}, ["period"]),
    ],
)
def test_size_of_a_group_is_limited(keys: dict[str, Any], found: list[str]) -> None:
    assert fields(small(**keys)) == found


@pytest.mark.parametrize("field", ["blocks", "non_study_blocks", "academy_schedules"])
def test_spans_of_one_kind_are_limited_per_weekday(field: str) -> None:
    spans = [
        {"start": f"{hour:02}:{minute:02}", "end": f"{hour:02}:{minute + 20:02}"}
        for hour in range(24)
        for minute in (0, 30)
    ]
    weekdays = {"weekday": 3} if field == "academy_schedules" else {"weekdays": [3]}
    kind = {"kind": "study"} if field == "blocks" else {}
    entries = [{**span, **weekdays, **kind} for span in spans]
    assert fields(small(**{field: entries[:24]})) == []
    assert fields(small(**{field: entries[:25]})) == [field]


def test_blocks_of_different_kinds_and_weekdays_are_counted_separately() -> None:
    entry = {"start": "10:00", "end": "11:00"}
    entries = [
        {**entry, "kind": kind, "weekdays": [day]}
        for kind in ("study", "self_study")
        for day in range(7)
        for _ in range(24)
    ]
    assert fields(small(blocks=entries)) == []


def test_contents_beyond_the_limit_are_one_error_and_are_not_checked() -> None:
    wrong = {**BOOK, "range": [9, 1]}
    found = fields(small(contents=[*[BOOK] * 8, wrong, wrong, wrong]))
    assert found == ["contents", "contents[8].range", "contents[9].range"]


def test_lecture_error_names_minutes_per_unit_rather_than_the_episodes() -> None:
    lecture = {**LECTURE, "minutes_per_unit": 1}
    document = small(contents=[BOOK, lecture], factors={"weakness": "0.5"})
    assert fields(document) == ["contents[1].minutes_per_unit"]


@pytest.mark.parametrize("lengths", [{"minutes_per_unit": 30}, {"episodes": [30]}, {}])
@pytest.mark.parametrize("units", [[9, 1], [1, 2_000_000_000]])
def test_episodes_are_not_checked_if_the_range_is_invalid(
    lengths: dict[str, Any], units: list[int]
) -> None:
    assert fields(small(contents=[{**LECTURE, **lengths, "range": units}])) == ["contents[0].range"]


def test_special_days_of_one_date_are_each_reported() -> None:
    days = [{"date": f"2025-01-{day}"} for day in ("07", "08", "07", "13", "13")]
    assert fields(small(special_days=days)) == [
        f"special_days[{index}].date" for index in (0, 2, 3, 4)
    ]


def test_special_day_may_have_24_spans_of_each_kind() -> None:
    spans = [[f"{hour:02}:00", f"{hour:02}:30"] for hour in range(24)]
    day = {"date": "2025-01-07", "study": spans, "self_study": spans}
    assert fields(small(special_days=[day])) == []


def test_deadlines_may_be_on_the_first_day_of_the_period_or_after_its_end() -> None:
    for day in ("2025-01-06", "2026-01-01"):
        document = small(target_date=day, contents=[{**BOOK, "deadline": day}])
        assert fields(document) == []


def test_day_shift_may_be_any_number_below_that_of_the_study_days() -> None:
    for study_days, shift in ((6, 0), (6, 5), (1, 0), (30, 29)):
        contents = [{**SHIFTED, "day_shift": shift}, {**BOOK, "day_shift": None}]
        assert fields(small(contents=contents, cycle={"study_days": study_days})) == []


def test_special_days_are_not_checked_if_the_period_is_invalid() -> None:
    document = small(
        period={"start": "2025-01-12", "end": "2025-01-06"}, special_days=[{"date": "2025-01-08"}]
    )
    assert fields(document) == ["period"]


def test_exclusions_are_not_checked_if_the_period_is_invalid() -> None:
    document = small(
        period={"start": "2025-01-12", "end": "2025-01-06"},
        exclusions=[{"date": "2025-01-08", "type": "휴가"}],
    )
    assert fields(document) == ["period"]


def test_period_includes_its_first_and_last_day() -> None:
    days = [{"date": day, "type": "기타"} for day in ("2025-01-06", "2025-01-12")]
    assert fields(small(exclusions=days)) == []


minutes = st.none() | st.integers(1, 1440)
contents = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["book", "lecture", "custom"]),
        "title": st.just("a"),
        "allocation": st.sampled_from(["weakness", "strategy"]),
        "range": st.tuples(st.integers(1, 30), st.integers(1, 30)).map(list),
    },
    optional={
        "weekly_days": st.integers(0, 7),
        "minutes_per_unit": minutes,
        "difficulty": st.sampled_from(["기초", "top"]),
        "wrap_up_minutes": st.integers(0, 1440),
    },
)
weekdays = st.lists(st.integers(0, 6), min_size=1, unique=True)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(contents, max_size=10),
    weekdays,
    st.fixed_dictionaries({}, optional={"level": st.integers(1, 10), "review": st.just(0.1)}),
)
def test_document_that_is_well_formed_is_valid_or_has_errors_in_its_contents(
    entries: list[dict[str, Any]], days: list[int], factors: dict[str, Any]
) -> None:
    block = {"kind": "study", "weekdays": days, "start": "10:00", "end": "12:00"}
    text = json.dumps({**SMALL, "blocks": [block], "contents": entries, "factors": factors})
    document = read_json(text.encode())
    found = field_errors_of(document)
    assert all(field_error.field.startswith("contents") for field_error in found)
    if not found:
        to_rows(document, UUID(int=1), UUID(int=2)).group.check()


@pytest.mark.parametrize("strategy", ["even", "balanced"])
def test_period_may_be_anywhere_except_at_the_end_of_the_calendar(strategy: str) -> None:
    """A longer period is tried as a repair of what is unplaced, so that later dates are needed."""
    starts = [date.min, LAST_DATE - timedelta(9), LAST_DATE - timedelta(MAX_DAYS - 1)]
    for start in starts:
        end = min(start + timedelta(MAX_DAYS - 1), LAST_DATE)
        period = {"start": start.isoformat(), "end": end.isoformat()}
        contents = [{**BOOK, "range": [1, 20_000]}]
        document = small(strategy=strategy, period=period, contents=contents)
        assert field_errors_of(document) == []
        request = replace(to_request(document), today=end - timedelta(3))
        assert schedule(request).unplaced


@pytest.mark.parametrize("end", [LAST_DATE + timedelta(1), date.max])
def test_period_that_ends_after_the_last_date_is_an_error_of_its_end(end: date) -> None:
    period = {"start": (end - timedelta(2)).isoformat(), "end": end.isoformat()}
    errors = field_errors_of(small(period=period))
    assert [(error.field, error.message) for error in errors] == [
        ("period.end", "must not be after 9997-12-30")
    ]
