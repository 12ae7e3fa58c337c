from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.documents import read_json
from domain.documents.rows import to_request, to_rows
from domain.models import (
    AcademySchedule,
    Block,
    Content,
    Exclusion,
    GroupStatus,
    NonStudyBlock,
    PlanGroup,
    SpecialDay,
)
from domain.scheduling.calendar import calendar
from domain.scheduling.schedule import schedule
from domain.scheduling.types import BlockKind, ContentType, ExclusionType, Factors, Request
from tests.unit.documents.documents import BOOK, EXAMPLE, LECTURE, small

TENANT, STUDENT = UUID(int=1), UUID(int=2)
SPECIAL: dict[str, Any] = {
    "special_days": [
        {
            "date": "2025-01-08",
            "study": [["13:00", "15:00"], ["10:00", "12:00"]],
            "self_study": [["19:00", "24:00"]],
        },
        {"date": "2025-01-07"},
    ]
}


def group_of(**keys: Any) -> PlanGroup:
    return to_rows(small(**keys), TENANT, STUDENT).group


def span(row: Block | NonStudyBlock) -> tuple[int, int, int]:
    return row.weekday, row.start_minute, row.end_minute


def test_document_becomes_a_draft_with_its_settings() -> None:
    group = to_rows(read_json(EXAMPLE), TENANT, STUDENT).group
    assert (group.tenant_id, group.student_id) == (TENANT, STUDENT)
    assert group.status is GroupStatus.DRAFT
    assert (group.name, group.purpose) == ("1학기 중간고사 대비", "내신대비")
    assert (group.period_start, group.period_end) == (date(2025, 1, 1), date(2025, 1, 28))
    assert group.target_date == date(2025, 3, 15)
    assert (group.study_days, group.review_days) == (6, 1)


def test_rows_of_a_document_belong_to_the_group_and_its_tenant() -> None:
    group_id = uuid4()
    document = replace(read_json(EXAMPLE), special_days=small(**SPECIAL).special_days)
    rows = to_rows(document, TENANT, STUDENT, group_id=group_id)
    group = rows.group
    assert group.id == group_id
    parts: list[Content | Block | NonStudyBlock | SpecialDay | Exclusion] = [
        *group.contents,
        *group.blocks,
        *group.non_study_blocks,
        *group.special_days,
        *rows.exclusions,
    ]
    assert {(part.tenant_id, part.group_id) for part in parts} == {(TENANT, group_id)}
    of_student: list[AcademySchedule | Exclusion] = [*rows.academy_schedules, *rows.exclusions]
    assert {(row.tenant_id, row.student_id) for row in of_student} == {(TENANT, STUDENT)}


def test_exclusions_of_a_document_belong_to_the_group() -> None:
    rows = to_rows(read_json(EXAMPLE), TENANT, STUDENT)
    assert [
        (exclusion.group_id, exclusion.date, exclusion.type, exclusion.reason)
        for exclusion in rows.exclusions
    ] == [(rows.group.id, date(2025, 1, 15), ExclusionType.VACATION, "가족 여행")]


def test_classes_belong_to_the_student() -> None:
    [lesson] = to_rows(read_json(EXAMPLE), TENANT, STUDENT).academy_schedules
    assert (lesson.weekday, lesson.start_minute, lesson.end_minute) == (3, 840, 1020)
    assert (lesson.travel_minutes, lesson.name, lesson.subject) == (60, "수학 학원", "수학")


def test_content_position_is_its_index_in_the_document() -> None:
    group = to_rows(read_json(EXAMPLE), TENANT, STUDENT).group
    assert [(content.position, content.last_unit) for content in group.contents] == [
        (0, 200),
        (1, 150),
        (2, 30),
        (3, 180),
    ]


def test_block_becomes_a_row_per_weekday() -> None:
    block = {"kind": "self_study", "weekdays": [5, 1], "start": "19:00", "end": "24:00"}
    lunch = {"label": "점심", "weekdays": [0, 6], "start": "12:00", "end": "13:00"}
    group = group_of(blocks=[block], non_study_blocks=[lunch])
    assert [span(row) for row in group.blocks] == [(1, 1140, 1440), (5, 1140, 1440)]
    assert {row.kind for row in group.blocks} == {BlockKind.SELF_STUDY}
    assert [span(row) for row in group.non_study_blocks] == [(0, 720, 780), (6, 720, 780)]


def test_special_day_of_a_document_becomes_a_row_and_an_input_of_planning() -> None:
    group = group_of(**SPECIAL)
    assert [(day.date.day, day.study, day.self_study) for day in group.special_days] == [
        (8, ((780, 900), (600, 720)), ((1140, 1440),)),
        (7, (), ()),
    ]
    request = to_request(small(**SPECIAL))
    assert request.special_days == tuple(day.to_planning() for day in group.special_days)
    assert [(day.study, day.reserve) for day in calendar(request)[:3]] == [
        (((600, 720),), ()),
        ((), ()),
        (((600, 720), (780, 900)), ((1140, 1440),)),
    ]


def test_plan_group_check_sorts_and_merges_the_spans_of_a_special_day() -> None:
    group = group_of(**SPECIAL)
    overlapping: Any = [[780, 900], [600, 660], [660, 720], [630, 700]]
    group.special_days[1].study = overlapping
    group.check()
    assert [day.study for day in group.special_days] == [((600, 720), (780, 900))] * 2


def test_settings_of_a_document_that_are_missing_have_the_defaults_of_a_request() -> None:
    request = to_request(small())
    required = {"period_start", "period_end", "today", "contents", "blocks"}
    assert request == Request(**{name: getattr(request, name) for name in required})
    assert request.contents[0].day_shift is None


def test_settings_of_the_planning_strategy_become_inputs_of_planning() -> None:
    settings = {
        "strategy": "even",
        "balance": "minutes",
        "shortest_session": 20,
        "longest_sitting": 90,
        "pause_minutes": 15,
        "buffer_days": 2,
    }
    content = {**BOOK, "allocation": "strategy", "weekly_days": 3, "day_shift": 5}
    document = small(**settings, contents=[content])
    request, group = to_request(document), group_of(**settings, contents=[content])
    for found in (document, request, group):
        assert {name: getattr(found, name) for name in settings} == settings
    assert [found.contents[0].day_shift for found in (document, request, group)] == [5, 5, 5]


def test_factors_that_are_missing_have_the_defaults() -> None:
    assert group_of(level="low").factors == Factors(level=Decimal("1.2"))
    group = group_of(factors={"level": 2, "weakness": "0.5", "strategy": 0.25, "review": 1})
    assert group.factors == Factors(Decimal(2), Decimal("0.5"), Decimal("0.25"), Decimal(1))


@pytest.mark.parametrize(
    ("lengths", "minutes"),
    [
        ({"minutes_per_unit": 45}, [45, 45, 45, 45]),
        ({"episodes": [30, None, 45, 20]}, [30, None, 45, 20]),
        ({}, [None, None, None, None]),
    ],
)
def test_lecture_has_an_episode_per_unit(
    lengths: dict[str, Any], minutes: list[int | None]
) -> None:
    [content] = group_of(contents=[{**LECTURE, **lengths}]).contents
    assert content.type is ContentType.LECTURE
    assert content.minutes_per_unit is None
    assert [episode.unit for episode in content.episodes] == [3, 4, 5, 6]
    assert [episode.minutes for episode in content.episodes] == minutes
    assert {episode.content_id for episode in content.episodes} == {content.id}


@pytest.mark.parametrize("units", [[1, 2_000_000_000], [9, 1]])
def test_lecture_range_that_is_invalid_is_not_expanded(units: list[int]) -> None:
    lecture = {**LECTURE, "range": units, "minutes_per_unit": 30}
    assert group_of(contents=[lecture]).contents[0].episodes == []


def test_book_keeps_its_minutes_or_its_difficulty() -> None:
    hard = {**BOOK, "minutes_per_unit": None, "difficulty": "최상"}
    given, by_difficulty = group_of(contents=[BOOK, hard]).contents
    assert (given.minutes_per_unit, given.difficulty) == (5, None)
    assert (by_difficulty.minutes_per_unit, by_difficulty.difficulty) == (None, "top")


def test_request_includes_the_classes_and_exclusions() -> None:
    request = to_request(read_json(EXAMPLE))
    assert len(request.academy_schedules) == len(request.exclusions) == 1
    assert schedule(request).quality.peak == 271
