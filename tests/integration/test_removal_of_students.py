"""Removal of all rows of a student or of a tenant; the rows of others are untouched."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import GroupStatus, InvalidInputError, PlanGroup
from domain.errors import EditedMeanwhileError, PlanGroupLockedError
from domain.locking.policy import StudentLock
from domain.services import removal
from domain.services.removal import Removed, remove_student, remove_tenant
from domain.unit_of_work import UnitOfWork
from tests.concurrency.overlapping import in_another_thread
from tests.factories import AcademyScheduleFactory, ExclusionFactory
from tests.integration.editing import World, everything, new_world
from tests.integration.storing import (
    FIRST,
    book_group,
    change,
    fresh_ids,
    generate,
    live,
    plans,
    store,
)

Factory = sessionmaker[Session]
SHORT = timedelta(milliseconds=20)


def rows_without(rows: dict[str, list[str]], id_: UUID) -> dict[str, list[str]]:
    """Return the rows in PostgreSQL's text format that do not have the id in any column."""
    return {name: [row for row in found if str(id_) not in row] for name, found in rows.items()}


def of_tenant(factory: Factory, tenant_id: UUID) -> dict[str, list[str]]:
    rows = everything(factory)
    return {name: [row for row in found if str(tenant_id) in row] for name, found in rows.items()}


def full_world(factory: Factory) -> tuple[World, list[PlanGroup]]:
    """Return a world whose student has one group per state, with history in all tables."""
    world = new_world(factory)
    ids = {"tenant_id": world.tenant_id, "student_id": world.group.student_id}
    generate(factory, world.group, FIRST + timedelta(1))
    others = []
    for status in GroupStatus:
        other = book_group(factory, 1, 5, **ids)
        generate(factory, other)
        change(factory, other, status=status)
        others.append(other)
    return world, [world.group, *others]


def test_removal_of_a_student_removes_all_rows_and_no_others(session_factory: Factory) -> None:
    world, groups = full_world(session_factory)
    neighbour = book_group(session_factory, tenant_id=world.tenant_id)
    generate(session_factory, neighbour)
    generate(session_factory, neighbour, FIRST + timedelta(1))
    ids = {"tenant_id": world.tenant_id, "student_id": neighbour.student_id}
    store(session_factory, AcademyScheduleFactory.build(**ids), ExclusionFactory.build(**ids))
    own = of_tenant(session_factory, world.tenant_id)
    assert all(own.values()), "the tenant has rows in every table"
    retired = sum(len(plans(session_factory, group, live=False)) for group in groups)
    before = everything(session_factory)
    removed = remove_student(
        session_factory, tenant_id=world.tenant_id, student_id=world.group.student_id
    )
    after = everything(session_factory)
    assert retired
    assert (removed.groups, removed.plans) == (len(groups), retired)
    assert [
        row
        for rows in after.values()
        for row in rows
        for id_ in (world.group.student_id, *(group.id for group in groups))
        if str(id_) in row
    ] == []
    expected = before
    for id_ in (world.group.student_id, *(group.id for group in groups)):
        expected = rows_without(expected, id_)
    assert after == expected
    assert live(session_factory, neighbour)


def test_student_without_rows_is_not_an_error(session_factory: Factory) -> None:
    before = everything(session_factory)
    for student_id in (uuid4(), uuid4()):
        removed = remove_student(session_factory, tenant_id=uuid4(), student_id=student_id)
        assert removed == Removed()
    assert everything(session_factory) == before


def test_student_with_time_but_without_groups_is_removed(session_factory: Factory) -> None:
    ids = fresh_ids()
    before = everything(session_factory)
    store(session_factory, AcademyScheduleFactory.build(**ids), ExclusionFactory.build(**ids))
    assert remove_student(session_factory, **ids) == Removed()
    assert everything(session_factory) == before


def test_student_whose_lock_is_held_is_not_removed(session_factory: Factory) -> None:
    world, _ = full_world(session_factory)
    before = everything(session_factory)
    holder = UnitOfWork(session_factory, lock=StudentLock(world.tenant_id, world.group.student_id))
    ids: dict[str, Any] = {"tenant_id": world.tenant_id, "student_id": world.group.student_id}
    in_another_thread(holder.__enter__)
    with pytest.raises(PlanGroupLockedError) as refused:
        remove_student(session_factory, **ids, wait=timedelta(0))
    in_another_thread(lambda: holder.__exit__(None, None, None))
    assert refused.value.scope == "student"
    assert everything(session_factory) == before


@pytest.mark.parametrize(("created", "succeeds"), [(1, True), (2, True), (3, False)])
def test_group_that_is_created_during_the_removal_is_removed_at_most_twice(
    session_factory: Factory, monkeypatch: pytest.MonkeyPatch, created: int, succeeds: bool
) -> None:
    ids = fresh_ids()
    book_group(session_factory, **ids)
    remove_time: Callable[..., bool] = removal._remove_student_time
    calls = list[None]()

    def remove_time_after_a_creation(*arguments: Any) -> bool:
        calls.append(None)
        if len(calls) <= created:
            book_group(session_factory, **ids)
        return remove_time(*arguments)

    monkeypatch.setattr(removal, "_remove_student_time", remove_time_after_a_creation)
    if succeeds:
        assert remove_student(session_factory, **ids).groups == 1 + created
        assert not any(of_tenant(session_factory, ids["tenant_id"]).values())
    else:
        with pytest.raises(EditedMeanwhileError):
            remove_student(session_factory, **ids)


def test_group_that_is_deleted_during_the_removal_is_skipped(
    session_factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fresh_ids()
    groups = [book_group(session_factory, **ids) for _ in range(2)]
    group_ids = removal._group_ids

    def with_a_deleted_group(*arguments: Any) -> list[UUID]:
        return [uuid4(), *group_ids(*arguments)]

    monkeypatch.setattr(removal, "_group_ids", with_a_deleted_group)
    assert remove_student(session_factory, **ids).groups == len(groups)
    assert not any(of_tenant(session_factory, ids["tenant_id"]).values())


def test_removal_of_a_tenant_removes_all_its_rows_and_no_others(session_factory: Factory) -> None:
    world, groups = full_world(session_factory)
    second = book_group(session_factory, tenant_id=world.tenant_id)
    generate(session_factory, second)
    only_time = {"tenant_id": world.tenant_id, "student_id": uuid4()}
    store(session_factory, ExclusionFactory.build(**only_time))
    # The other tenant has a student and a group with the same ids.
    foreign = book_group(session_factory, id=second.id, student_id=second.student_id)
    generate(session_factory, foreign)
    before = everything(session_factory)
    assert all(of_tenant(session_factory, world.tenant_id).values())
    removed = remove_tenant(session_factory, tenant_id=world.tenant_id)
    assert removed.groups == len(groups) + 1
    assert everything(session_factory) == rows_without(before, world.tenant_id)
    assert live(session_factory, foreign)
    assert remove_tenant(session_factory, tenant_id=world.tenant_id) == Removed()


@pytest.mark.parametrize("field", ["tenant_id", "student_id"])
@pytest.mark.parametrize("value", [None, "x", 7])
def test_removal_of_a_student_names_the_argument_that_is_invalid(
    session_factory: Factory, field: str, value: Any
) -> None:
    before = everything(session_factory)
    with pytest.raises(InvalidInputError) as refused:
        remove_student(
            session_factory, **{"tenant_id": uuid4(), "student_id": uuid4(), field: value}
        )
    assert refused.value.field == field
    assert everything(session_factory) == before
