"""Documents, editing services and ``groups.add()`` accept and refuse the same values."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    Block,
    Content,
    Exclusion,
    InvalidInputError,
    LectureEpisode,
    NonStudyBlock,
    PlanGroup,
    PlanGroupLock,
    PlanGroupService,
    StudentPlan,
    UnitOfWork,
)
from domain.models import SpecialDay
from domain.models.fields import row_errors
from domain.repositories import PlanGroupRepository
from domain.scheduling.types import Allocation, BlockKind, ContentType, Difficulty
from domain.services import GroupEditService
from tests.integration.editing import World, everything
from tests.integration.storing import stored_group
from tests.unit.documents.documents import BOOK, SMALL

Factory = sessionmaker[Session]
Interface = Callable[[Factory, str, Any], "set[str]"]
LONG = "가" * 201
NOT_WHOLE = (None, 2**40, True, 1.5, "5")
NOT_INSTANTS = (
    datetime(2025, 1, 6, 9),  # noqa: DTZ001 - the case
    date(2025, 1, 6),
    "x",
    "\ud800",
    True,
    5,
    datetime.min.replace(tzinfo=timezone(timedelta(hours=9))),
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=9))),
)
CONTENT_FIELDS = {*BOOK, "day_shift"}


def rows(**columns: Any) -> PlanGroup:
    """Return a group as an application creates it, with text for enums and no optional fields."""
    defaults: dict[str, Any] = {
        "tenant_id": uuid4(),
        "student_id": uuid4(),
        "name": "봄",
        "period_start": date(2025, 1, 6),
        "period_end": date(2025, 1, 12),
        "contents": [book()],
        "blocks": [Block(kind=BlockKind.STUDY, weekday=1, start_minute=600, end_minute=720)],
    }
    return PlanGroup(**{**defaults, **columns})


def book(**columns: Any) -> Content:
    defaults: dict[str, Any] = {
        "type": "book",
        "title": "수학",
        "allocation": "weakness",
        "first_unit": 1,
        "last_unit": 40,
    }
    return Content(**{**defaults, **columns})


def block(**columns: Any) -> Block:
    return Block(**columns)


def lecture(*units: Any, **columns: Any) -> Content:
    episodes = [LectureEpisode(unit=unit, minutes=30) for unit in units]
    return book(**{"type": "lecture", "last_unit": 3, "episodes": episodes, **columns})


def add(factory: Factory, group: PlanGroup) -> PlanGroup:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.groups.add(group)
        uow.commit()
    return group


def errors_of_adding(factory: Factory, group: PlanGroup) -> set[str]:
    """Return the fields that adding refuses; nothing is stored although the caller commits."""
    before = everything(factory)
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        with pytest.raises(InvalidInputError) as error:
            uow.groups.add(group)
        uow.commit()
    assert everything(factory) == before
    return {field_error.field for field_error in error.value.errors}


def by_add(factory: Factory, name: str, value: Any) -> set[str]:
    group = (
        rows(contents=[book(**{name: value})]) if name in CONTENT_FIELDS else rows(**{name: value})
    )
    return errors_of_adding(factory, group)


def by_document(factory: Factory, name: str, value: Any) -> set[str]:
    fields = (
        {**SMALL, "contents": [{**BOOK, name: value}]}
        if name in CONTENT_FIELDS
        else {**SMALL, name: value}
    )
    with UnitOfWork(factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        with pytest.raises(InvalidInputError) as error:
            PlanGroupService(uow).create(fields, student_id=uuid4())
        uow.commit()
    return {field_error.field for field_error in error.value.errors}


def by_edit(factory: Factory, name: str, value: Any) -> set[str]:
    group = stored_group(factory)
    [content] = group.contents
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        service: Any = GroupEditService(uow)
        edit = service.change_settings
        if name in CONTENT_FIELDS:
            edit = partial(service.change_content, content_id=content.id)
        with pytest.raises(InvalidInputError) as error:
            edit(expected_version=1, **{name: value})
        uow.commit()
    return {field_error.field for field_error in error.value.errors}


@pytest.mark.parametrize("interface", [by_add, by_document, by_edit])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("name", value) for value in (None, "", "  ", 5, b"a", "a\0b", "\ud800", LONG)),
        *(("purpose", value) for value in (5, "a\0b", "\udfff", LONG)),
        *(("time_zone", value) for value in (None, "", "Mars/Phobos", "../etc/passwd", 9, "a\0b")),
        *(("level", value) for value in (None, "", "genius", 1)),
        *(("target_date", value) for value in ("soon", 20250101, True)),
        *(("self_study_on_holidays", value) for value in (None, 0, "yes")),
        *(("strategy", value) for value in (None, "", "weighted", "EVEN", 1)),
        *(("balance", value) for value in (None, "", "pages", True)),
        *(("shortest_session", value) for value in (-1, 241, *NOT_WHOLE)),
        *(("longest_sitting", value) for value in (0, 1441, *NOT_WHOLE)),
        *(("pause_minutes", value) for value in (-1, 121, *NOT_WHOLE)),
        *(("buffer_days", value) for value in (-1, 731, *NOT_WHOLE)),
        *(("day_shift", value) for value in (0, -1, 30, 2**40, True, 1.5, "5")),
        *(("title", value) for value in (None, "", " ", 5, "a\0b", "\ud800", LONG)),
        *(("type", value) for value in (None, "film", 1)),
        *(("allocation", value) for value in (None, "often")),
        *(("minutes_per_unit", value) for value in (0, -1, 1441, 2**40, True, 1.5, "5")),
    ],
)
def test_value_is_refused_by_every_interface_under_the_same_name(
    session_factory: Factory, interface: Interface, name: str, value: Any
) -> None:
    assert interface(session_factory, name, value) == {
        f"contents[0].{name}" if name in CONTENT_FIELDS else name
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("difficulty", "심화", Difficulty.ADVANCED), ("difficulty", "top", Difficulty.TOP)],
)
def test_difficulty_is_accepted_by_every_interface_in_korean_and_english(
    session_factory: Factory, name: str, value: str, expected: Difficulty
) -> None:
    added = add(session_factory, rows(contents=[book(**{name: value})]))
    fields = {**SMALL, "contents": [{**BOOK, "minutes_per_unit": None, name: value}]}
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        created = PlanGroupService(uow).create(fields, student_id=uuid4())
        uow.commit()
    lock, [content] = PlanGroupLock(added.tenant_id, added.id), added.contents
    changes: dict[str, Any] = {"difficulty": value, "title": "다른 책"}
    with UnitOfWork(session_factory, lock=lock) as uow:
        GroupEditService(uow).change_content(
            content_id=content.id, expected_version=content.version, **changes
        )
        edited = uow.groups.get(added.id)
        uow.commit()
    assert [group.contents[0].difficulty for group in (added, created, edited)] == [expected] * 3


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"period_start": "2025-01-06"}, {"period.start"}),
        ({"period_end": None}, {"period.end"}),
        ({"period_end": date(2025, 1, 5)}, {"period"}),
        ({"student_id": None}, {"student_id"}),
        ({"student_id": "kim"}, {"student_id"}),
        ({"study_days": 1.5, "review_days": 2**40}, {"cycle.study_days", "cycle.review_days"}),
        ({"review_factor": 0.4}, {"factors.review"}),
        ({"review_factor": Decimal("0.1234567")}, {"factors.review"}),
        ({"status": "open"}, {"status"}),
        *(({"created_at": wrong}, {"created_at"}) for wrong in NOT_INSTANTS),
        *(({"generation": wrong}, {"generation"}) for wrong in (-1, 7, *NOT_WHOLE[1:])),
        *(({"version": wrong}, {"version"}) for wrong in (-1, *NOT_WHOLE[1:])),
        ({"contents": [Content()]},
         {f"contents[0].{name}" for name in ("type", "title", "allocation", "range")}),
        ({"contents": [book(), book(first_unit="1")]}, {"contents[1].range"}),
        ({"contents": [book(position=0), book(position=0)]},
         {"contents[0].position", "contents[1].position"}),
        ({"contents": [book(position=40_000)]}, {"contents[0].position"}),
        ({"contents": [None]}, {"contents[0]"}),
        ({"contents": [book(), Block()]}, {"contents[1]"}),
        ({"contents": [lecture(1, 2, 3), book(episodes=[None])]}, {"contents[1].episodes[0]"}),
        ({"blocks": [None, block(), NonStudyBlock()]}, {"blocks[0]", "blocks[2]"}),
        ({"non_study_blocks": [None]}, {"non_study_blocks[0]"}),
        ({"special_days": [Exclusion()]}, {"special_days[0]"}),
        ({"contents": [lecture()]}, {"contents[0].episodes"}),
        ({"contents": [lecture(1, 2)]}, {"contents[0].episodes"}),
        ({"contents": [lecture(2, 3, 4)]}, {"contents[0].episodes"}),
        ({"contents": [lecture(1, 2, 2)]}, {"contents[0].episodes"}),
        ({"contents": [lecture(1, 2, 3, minutes_per_unit=5)]}, {"contents[0].minutes_per_unit"}),
        ({"contents": [lecture(1, "2", 3)]}, {"contents[0].episodes[1].unit"}),
        ({"contents": [book(episodes=[LectureEpisode(unit=1)])]}, {"contents[0].episodes"}),
        ({"blocks": [block(kind="play", weekday=7.0)]},
         {"blocks[0].kind", "blocks[0].weekday", "blocks[0].start", "blocks[0].end"}),
        ({"blocks": [block(kind="study", weekday=7, start_minute=1, end_minute=2)]},
         {"blocks[0].weekday"}),
    ],
)  # fmt: skip
def test_groups_add_refuses_values_that_rows_cannot_store(
    session_factory: Factory, columns: dict[str, Any], names: set[str]
) -> None:
    assert errors_of_adding(session_factory, rows(**columns)) == names


def test_column_of_every_timestamp_is_checked_when_a_row_is_flushed() -> None:
    plan = StudentPlan(done_at=NOT_INSTANTS[0], retired_at="x")
    fields = {field_error.field for field_error in row_errors(plan)}
    assert {"done_at", "retired_at"} <= fields


@pytest.mark.parametrize("year", [1, 9999])
def test_first_and_last_instants_that_python_can_read_are_stored(
    session_factory: Factory, year: int
) -> None:
    instant = datetime(year, 6, 1, tzinfo=UTC)
    group = add(session_factory, rows(created_at=instant))
    with session_factory() as session:
        found = PlanGroupRepository(session, group.tenant_id).get_row(group.id)
        assert found.created_at == instant


def test_groups_add_fills_in_positions_units_and_enums(session_factory: Factory) -> None:
    contents = [book(), book(position=7), lecture(None, None, None), book(weekly_days=None)]
    contents[2].first_unit, contents[2].last_unit = 5, 7
    day = SpecialDay(date=date(2025, 1, 7), study=[(600, 720)])
    group = add(
        session_factory, rows(contents=contents, special_days=[day], status="saved", level="high")
    )
    with session_factory() as session:
        found = PlanGroupRepository(session, group.tenant_id).get(group.id)
        assert [content.position for content in found.contents] == [0, 7, 8, 9]
        assert [episode.unit for episode in found.contents[2].episodes] == [5, 6, 7]
        assert [(day.study, day.self_study) for day in found.special_days] == [(((600, 720),), ())]
        assert [c.type for c in found.contents] == [c.type for c in group.contents]
    assert group.contents[0].type is ContentType.BOOK
    assert group.contents[0].allocation is Allocation.WEAKNESS


def test_groups_add_accepts_a_lecture_whose_episodes_are_unknown(session_factory: Factory) -> None:
    unknown = book(type="lecture", first_unit=5, last_unit=7)
    unknown.fit_episodes()
    group = add(session_factory, rows(contents=[unknown]))
    with session_factory() as session:
        episodes = PlanGroupRepository(session, group.tenant_id).get(group.id).contents[0].episodes
    assert [(e.unit, e.minutes) for e in episodes] == [(5, None), (6, None), (7, None)]


@pytest.mark.parametrize("method", ["add", "insert"])
def test_rows_stay_readable_after_the_commit(session_factory: Factory, method: str) -> None:
    group = rows(contents=[book(), lecture(1, 2, 3)])
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        getattr(uow.groups, method)(group)
        uow.commit()
    assert (group.version, group.purpose, group.non_study_blocks) == (1, None, [])
    assert group.created_at.tzinfo is not None
    assert [(content.subject, len(content.episodes)) for content in group.contents] == [
        (None, 0),
        (None, 3),
    ]


def test_flush_refuses_values_that_a_column_cannot_store(
    session_factory: Factory, world: World
) -> None:
    before = everything(session_factory)
    wrong: dict[str, Any] = {"date": "2025-01-08", "type": "feast", "reason": "a\0b"}
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        uow.lock_student(world.group.id)
        uow.session.add(
            Exclusion(tenant_id=world.tenant_id, student_id=world.group.student_id, **wrong)
        )
        with pytest.raises(InvalidInputError) as added:
            uow.session.flush()
        uow.session.expunge_all()
        uow.groups.get(world.group.id).name = LONG
        with pytest.raises(InvalidInputError) as changed:
            uow.commit()
    assert {field_error.field for field_error in added.value.errors} == {
        "exclusions.date",
        "exclusions.type",
        "exclusions.reason",
    }
    assert changed.value.field == "plan_groups.name"
    assert everything(session_factory) == before
