"""Editing a student's classes, and the exclusions that apply to all groups."""

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import AcademySchedule, Exclusion, InvalidInputError, StudentLock, UnitOfWork
from domain.errors import TimeEntryNotFoundError
from domain.scheduling.types import ExclusionType
from domain.services import StudentTimeService
from tests.factories import AcademyScheduleFactory
from tests.integration.editing import Factory, World, edit, everything, refused
from tests.integration.storing import columns, generate, store

SERVICE = StudentTimeService
CLASS: dict[str, Any] = {"weekday": 3, "start_minute": 18 * 60, "end_minute": 19 * 60}
"""A class on the day of the student's other class (14:00–17:00) that begins after it."""


def stored(factory: Factory, kind: type[Any], row_id: Any) -> dict[str, Any]:
    with factory() as session:
        return columns(session.scalars(sa.select(kind).where(kind.id == row_id)).one())


def test_class_is_added_changed_and_removed(session_factory: Factory, world: World) -> None:
    added = edit(session_factory, world, SERVICE.add_class, **CLASS, name="수학 학원")
    expected = {
        **CLASS,
        "id": added.id,
        "tenant_id": world.tenant_id,
        "student_id": world.group.student_id,
        "travel_minutes": 0,
        "name": "수학 학원",
        "subject": None,
        "version": 1,
    }
    assert stored(session_factory, AcademySchedule, added.id) == expected
    change: dict[str, Any] = {"travel_minutes": 30, "subject": "수학", "start_minute": 17 * 60}
    changed = edit(
        session_factory,
        world,
        SERVICE.change_class,
        class_id=added.id,
        expected_version=1,
        **change,
    )
    assert (changed.id, changed.version) == (added.id, 2)
    assert stored(session_factory, AcademySchedule, added.id) == (
        expected | change | {"version": 2}
    )
    edit(session_factory, world, SERVICE.remove_class, class_id=added.id, expected_version=2)
    assert len(everything(session_factory)["academy_schedules"]) >= 1
    with session_factory() as session:
        assert session.get(AcademySchedule, (world.tenant_id, added.id)) is None


def test_exclusion_is_added_changed_and_removed(session_factory: Factory, world: World) -> None:
    fields = {"date": date(2030, 1, 1), "type": ExclusionType.VACATION}
    added = edit(session_factory, world, SERVICE.add_exclusion, **fields)
    found = stored(session_factory, Exclusion, added.id)
    assert found == {
        **fields,
        "id": added.id,
        "tenant_id": world.tenant_id,
        "student_id": world.group.student_id,
        "group_id": None,
        "reason": None,
        "version": 1,
    }
    named = {"exclusion_id": added.id}
    edit(
        session_factory, world, SERVICE.change_exclusion, **named, expected_version=1, reason="여행"
    )
    assert stored(session_factory, Exclusion, added.id) == found | {"reason": "여행", "version": 2}
    edit(session_factory, world, SERVICE.remove_exclusion, **named, expected_version=2)
    with session_factory() as session:
        assert session.get(Exclusion, (world.tenant_id, added.id)) is None


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"weekday": 7}, "weekday"),
        ({"weekday": None}, "weekday"),
        ({"start_minute": 1140}, "start"),
        ({"end_minute": 1441}, "start"),
        ({"end_minute": "19:00"}, "end"),
        ({"travel_minutes": -1}, "travel_minutes"),
        ({"travel_minutes": 1441}, "travel_minutes"),
        ({"travel_minutes": None}, "travel_minutes"),
        ({"name": "\0"}, "name"),
        ({"start_minute": 16 * 60 + 59}, "start"),
        ({"start_minute": 13 * 60}, "start"),
        ({"start_minute": 15 * 60, "end_minute": 16 * 60}, "start"),
    ],
)
def test_class_that_breaks_a_rule_is_refused(
    *, session_factory: Factory, world: World, fields: dict[str, Any], name: str
) -> None:
    refused(
        session_factory,
        world,
        {f"academy_schedules[1].{name}"},
        SERVICE.add_class,
        **(CLASS | fields),
    )
    early = edit(
        session_factory, world, SERVICE.add_class, weekday=1, start_minute=600, end_minute=660
    )
    refused(
        session_factory,
        world,
        {f"academy_schedules[0].{name}"},
        SERVICE.change_class,
        class_id=early.id,
        expected_version=1,
        **(CLASS | fields),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"start_minute": 17 * 60},
        {"start_minute": 13 * 60, "end_minute": 14 * 60},
        {"weekday": 4, "start_minute": 14 * 60, "end_minute": 17 * 60},
        {"start_minute": 17 * 60, "travel_minutes": 120},
    ],
    ids=["touching after", "touching before", "another day", "travel"],
)
def test_class_that_only_touches_another_class_is_accepted(
    session_factory: Factory, world: World, fields: dict[str, Any]
) -> None:
    assert edit(session_factory, world, SERVICE.add_class, **(CLASS | fields)).version == 1


def test_class_may_be_moved_to_a_time_that_overlaps_its_old_time(
    session_factory: Factory, world: World
) -> None:
    moved = edit(
        session_factory,
        world,
        SERVICE.change_class,
        class_id=world.lesson.id,
        expected_version=1,
        start_minute=15 * 60,
        end_minute=18 * 60,
    )
    assert moved.version == 2


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, {"exclusions[1].date", "exclusions[1].type"}),
        ({"date": "2025-01-06", "type": "other"}, {"exclusions[1].date"}),
        ({"date": date(2025, 1, 6), "type": "party"}, {"exclusions[1].type"}),
    ],
)
def test_exclusion_that_breaks_a_rule_is_refused(
    session_factory: Factory, world: World, fields: dict[str, Any], named: set[str]
) -> None:
    refused(session_factory, world, named, SERVICE.add_exclusion, **fields)


def test_exclusions_of_a_group_are_not_found_as_the_students(
    session_factory: Factory, world: World
) -> None:
    before = everything(session_factory)
    for method in (SERVICE.change_exclusion, SERVICE.remove_exclusion):
        with pytest.raises(TimeEntryNotFoundError) as error:
            edit(
                session_factory,
                world,
                method,
                exclusion_id=world.own_exclusion.id,
                expected_version=1,
            )
        assert (error.value.entry_id, error.value.kind) == (world.own_exclusion.id, "exclusions")
    assert everything(session_factory) == before


@pytest.mark.parametrize("method", [SERVICE.change_class, SERVICE.remove_class])
def test_class_of_another_student_is_not_found(
    session_factory: Factory, world: World, method: Callable[..., Any]
) -> None:
    other = AcademyScheduleFactory.build(tenant_id=world.tenant_id, student_id=uuid4())
    store(session_factory, other)
    with pytest.raises(TimeEntryNotFoundError) as error:
        edit(session_factory, world, method, class_id=other.id, expected_version=1)
    assert error.value.kind == "academy_schedules"


def test_classes_of_one_student_at_two_tenants_may_overlap(
    session_factory: Factory, world: World
) -> None:
    lock = StudentLock(uuid4(), world.group.student_id)
    with UnitOfWork(session_factory, lock=lock) as uow:
        SERVICE(uow).add_class(weekday=3, start_minute=14 * 60, end_minute=17 * 60)
        uow.commit()


def test_class_is_added_under_the_locks_of_a_group_and_its_student(
    session_factory: Factory, world: World
) -> None:
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        uow.lock_student(world.group.id)
        SERVICE(uow).add_class(student_id=world.group.student_id, **CLASS)
        uow.commit()


def test_generation_leaves_the_time_of_new_classes_free(
    session_factory: Factory, world: World
) -> None:
    morning = {"start_minute": 600, "end_minute": 720}
    for weekday in (0, 1, 2, 4, 5, 6):
        edit(session_factory, world, SERVICE.add_class, weekday=weekday, **morning)
    result = generate(session_factory, world.group)
    assert {plan.start_minute >= 720 for plan in result.plans if plan.date.isoweekday() != 3} == {
        True
    }


def test_database_refuses_overlapping_classes_that_no_lock_prevented(
    session_factory: Factory, world: World
) -> None:
    def add_overlapping_class(*_: object) -> None:
        lesson = AcademyScheduleFactory.build(
            tenant_id=world.tenant_id, student_id=world.group.student_id, **CLASS
        )
        store(session_factory, lesson)

    concurrent = sessionmaker(session_factory.kw["bind"])
    sa.event.listen(concurrent, "before_flush", add_overlapping_class, once=True)
    with pytest.raises(InvalidInputError) as refusal:
        edit(concurrent, world, SERVICE.add_class, **CLASS)
    assert refusal.value.field == "academy_schedules"
    assert isinstance(refusal.value.__cause__, sa.exc.IntegrityError)
