"""Special days and deadlines: what is stored, what is refused, and what a generation reads."""

from datetime import date, datetime
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import InvalidInputError, PlanGroup, PlanGroupLock, PlanGroupService, UnitOfWork
from domain.errors import TimeEntryNotFoundError
from domain.repositories import PlanGroupRepository
from domain.services import GroupEditService, GroupTimeService, preview_plans
from tests.factories import PlanGroupFactory, SpecialDayFactory
from tests.integration.editing import BOOK, World, content, edit, everything, new_world, refused
from tests.integration.storing import FIRST, book_group, generate, live
from tests.unit.documents import documents

Factory = sessionmaker[Session]
ADD, CHANGE = GroupTimeService.add_special_day, GroupTimeService.change_special_day
SETTINGS = GroupEditService.change_settings
MANY = [(minute, minute + 5) for minute in range(0, 250, 10)]
BEFORE = date(2025, 1, 5)

WRONG_SPANS: list[tuple[Any, str]] = [
    ([(600, 720), (720, 600)], "[1]"),
    ([(600, 600)], "[0]"),
    ([(600, 1441)], "[0]"),
    ([(-1, 600)], "[0]"),
    ([(2**31 - 1, 2**31 - 1)], "[0]"),
    (MANY, ""),
    ([(600, 720)] * 25, ""),
    (None, ""),
    ("10", ""),
    (600, ""),
    ([600, 720], ""),
    ([(600,)], ""),
    ([("600", "720")], ""),
    ([(True, 720)], ""),
    ([(600.0, 720)], ""),
    ([(0, 2**31)], ""),
]


@pytest.mark.parametrize("kind", ["study", "self_study"])
@pytest.mark.parametrize(("spans", "at"), WRONG_SPANS)
def test_spans_that_break_a_rule_are_refused_by_every_interface(
    *, session_factory: Factory, world: World, kind: str, spans: Any, at: str
) -> None:
    fields = {kind: spans}
    day = {"special_day_id": world.special_day.id, "expected_version": 1}
    added = {f"special_days[1].{kind}{at}"}
    refused(session_factory, world, added, ADD, date=date(2025, 1, 17), **fields)
    refused(session_factory, world, {f"special_days[0].{kind}{at}"}, CHANGE, **day, **fields)
    group = PlanGroupFactory.build(special_days=[SpecialDayFactory.build(**fields)])
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        with pytest.raises(InvalidInputError) as error:
            uow.groups.add(group)
        uow.commit()
    assert error.value.field == f"special_days[0].{kind}{at}"
    assert everything(session_factory) == before


def test_special_day_may_have_24_spans_of_each_kind(session_factory: Factory, world: World) -> None:
    spans = MANY[:24]
    added = edit(session_factory, world, ADD, date=date(2025, 1, 17), study=spans, self_study=spans)
    assert stored_days(session_factory, world.group)[date(2025, 1, 17)][0] == tuple(spans)
    assert added.version == 1


@pytest.mark.parametrize(
    "day",
    [BEFORE, date(2025, 1, 20), None, "2025-01-17", datetime(2025, 1, 17)],  # noqa: DTZ001 - the type is wrong
)
def test_date_that_is_not_in_the_period_or_not_a_date_is_refused(
    session_factory: Factory, world: World, day: Any
) -> None:
    refused(session_factory, world, {"special_days[1].date"}, ADD, date=day)
    refused(
        session_factory,
        world,
        {"special_days[0].date"},
        CHANGE,
        special_day_id=world.special_day.id,
        expected_version=1,
        date=day,
    )


def test_second_special_day_of_a_date_is_refused(session_factory: Factory, world: World) -> None:
    both = {"special_days[0].date", "special_days[1].date"}
    refused(session_factory, world, both, ADD, date=world.special_day.date)
    added = edit(session_factory, world, ADD, date=date(2025, 1, 17))
    refused(
        session_factory,
        world,
        both,
        CHANGE,
        special_day_id=added.id,
        expected_version=1,
        date=world.special_day.date,
    )


def test_field_that_a_special_day_does_not_have_is_refused(
    session_factory: Factory, world: World
) -> None:
    fields: dict[str, Any] = {"date": date(2025, 1, 17), "kind": "study"}
    refused(session_factory, world, {"special_days[1].kind"}, ADD, **fields)


def test_special_day_of_another_group_is_not_found(session_factory: Factory, world: World) -> None:
    other = new_world(session_factory)
    for method in (CHANGE, GroupTimeService.remove_special_day):
        with pytest.raises(TimeEntryNotFoundError) as error:
            edit(
                session_factory,
                world,
                method,
                special_day_id=other.special_day.id,
                expected_version=1,
            )
        assert (error.value.entry_id, error.value.kind) == (other.special_day.id, "special_days")


def stored_days(factory: Factory, group: PlanGroup) -> dict[date, tuple[Any, Any]]:
    with factory() as session:
        days = PlanGroupRepository(session, group.tenant_id).get(group.id).special_days
        return {day.date: (day.study, day.self_study) for day in days}


def test_spans_are_stored_sorted_and_merged(session_factory: Factory, world: World) -> None:
    """The object has the same spans as the row, which is a multirange."""
    spans = [[780, 900], [600, 660], [660, 720], [630, 700]]
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        group = uow.groups.get(world.group.id)
        given: Any = {"study": spans, "self_study": ()}
        added = GroupTimeService(uow).add_special_day(date=date(2025, 1, 17), **given)
        assert group.special_days[1].study == ((600, 720), (780, 900))
        uow.commit()
    assert stored_days(session_factory, world.group)[date(2025, 1, 17)] == (
        ((600, 720), (780, 900)),
        (),
    )
    with session_factory() as session:
        text = "SELECT study::text FROM studyplan.special_days WHERE id = :id"
        assert session.scalar(sa.text(text), {"id": added.id}) == "{[600,720),[780,900)}"


def test_spans_that_are_equal_to_the_stored_ones_change_nothing(
    session_factory: Factory, world: World
) -> None:
    before = everything(session_factory)
    spans: Any = [[600, 660], [660, 720]]
    written = edit(
        session_factory,
        world,
        CHANGE,
        special_day_id=world.special_day.id,
        expected_version=1,
        study=spans,
    )
    assert written.version == 1
    assert everything(session_factory) == before


def test_create_stores_the_special_days_and_deadlines_of_a_document(
    session_factory: Factory,
) -> None:
    fields = {
        **documents.SMALL,
        "target_date": "2025-01-11",
        "special_days": [
            {"date": "2025-01-12"},
            {"date": "2025-01-08", "study": [["13:00", "24:00"], ["10:00", "11:00"]]},
        ],
        "contents": [{**documents.BOOK, "deadline": "2025-01-10"}],
    }
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        group = PlanGroupService(uow).create(fields, student_id=uuid4())
        uow.commit()
    assert stored_days(session_factory, group) == {
        date(2025, 1, 8): (((600, 660), (780, 1440)), ()),
        date(2025, 1, 12): ((), ()),
    }
    assert group.special_days[1].study == ((600, 660), (780, 1440))
    with session_factory() as session:
        found = PlanGroupRepository(session, group.tenant_id).get(group.id)
        assert (found.target_date, found.contents[0].deadline) == (
            date(2025, 1, 11),
            date(2025, 1, 10),
        )


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"target_date": "2025-01-05"}, {"target_date"}),
        ({"contents": [{**documents.BOOK, "deadline": "2025-01-05"}]}, {"contents[0].deadline"}),
        (
            {
                "special_days": [
                    {"date": "2025-01-13"},
                    {"date": "2025-01-08", "study": [["1", ""]]},
                ]
            },
            {"special_days[1].study[0]"},
        ),
        ({"special_days": [{"date": "2025-01-13"}]}, {"special_days[0].date"}),
        (
            {"special_days": [{"date": "2025-01-08"}] * 2},
            {"special_days[0].date", "special_days[1].date"},
        ),
    ],
)
def test_create_refuses_invalid_special_days_and_deadlines_and_stores_nothing(
    session_factory: Factory, fields: dict[str, Any], names: set[str]
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        with pytest.raises(InvalidInputError) as error:
            PlanGroupService(uow).create({**documents.SMALL, **fields}, student_id=uuid4())
        uow.commit()
    assert {field_error.field for field_error in error.value.errors} == names
    assert everything(session_factory) == before


def test_deadline_before_the_period_is_refused(session_factory: Factory, world: World) -> None:
    fields: dict[str, Any] = {**BOOK, "deadline": BEFORE}
    refused(
        session_factory, world, {"contents[2].deadline"}, GroupEditService.add_content, **fields
    )
    refused(
        session_factory,
        world,
        {"contents[0].deadline"},
        GroupEditService.change_content,
        content_id=world.planned.id,
        expected_version=1,
        deadline=BEFORE,
    )
    content(session_factory, world, deadline=FIRST)
    content(session_factory, world, deadline=date(2026, 1, 1), expected_version=2)
    content(session_factory, world, deadline=None, expected_version=3)


def test_period_that_begins_after_a_deadline_or_a_special_day_is_refused(
    session_factory: Factory, world: World
) -> None:
    content(session_factory, world, deadline=date(2025, 1, 7))
    version = edit(session_factory, world, SETTINGS, expected_version=1, target_date=FIRST).version
    edit(session_factory, world, ADD, date=date(2025, 1, 7))
    named = {"contents[0].deadline", "target_date", "special_days[0].date"}
    start = date(2025, 1, 8)
    refused(session_factory, world, named, SETTINGS, expected_version=version, period_start=start)


def test_generated_plan_uses_the_hours_of_an_edited_special_day(session_factory: Factory) -> None:
    group = book_group(session_factory, last=400)
    monday, tuesday = FIRST, date(2025, 1, 7)
    generate(session_factory, group)
    assert {FIRST, tuesday} <= {plan.date for plan in live(session_factory, group)}
    lock = PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(session_factory, lock=lock) as uow:
        service = GroupTimeService(uow)
        edited = service.add_special_day(date=monday, study=[(600, 610)])
        service.change_special_day(
            special_day_id=edited.id, expected_version=1, study=[(1200, 1230), (1300, 1440)]
        )
        empty = service.add_special_day(date=tuesday)
        uow.commit()
    with session_factory() as session:
        shown = preview_plans(
            session, tenant_id=group.tenant_id, group_id=group.id, today=FIRST
        ).plans
    generate(session_factory, group)
    found = live(session_factory, group)
    assert [(p.date, p.start_minute, p.end_minute) for p in found] == [
        (p.date, p.start_minute, p.end_minute) for p in shown
    ]
    hours = [(p.start_minute, p.end_minute) for p in found if p.date == monday]
    assert hours
    assert all(1200 <= start < end <= 1230 or 1300 <= start < end <= 1440 for start, end in hours)
    assert tuesday not in {plan.date for plan in found}
    with UnitOfWork(session_factory, lock=lock) as uow:
        GroupTimeService(uow).remove_special_day(special_day_id=empty.id, expected_version=1)
        uow.commit()
    generate(session_factory, group)
    assert tuesday in {plan.date for plan in live(session_factory, group)}


def test_generated_plan_ends_before_an_edited_deadline(session_factory: Factory) -> None:
    group = book_group(session_factory)
    generate(session_factory, group)
    assert max(plan.date for plan in live(session_factory, group)) > date(2025, 1, 10)
    [book] = group.contents
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        GroupEditService(uow).change_content(
            content_id=book.id, expected_version=1, deadline=date(2025, 1, 10)
        )
        uow.commit()
    generate(session_factory, group)
    assert max(plan.date for plan in live(session_factory, group)) < date(2025, 1, 10)
