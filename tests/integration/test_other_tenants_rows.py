"""Repositories, services and flushes write nothing of another tenant, and find no row of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain import DomainError, InvalidInputError, PlanGroup, PlanGroupLock, StudentLock, UnitOfWork
from domain.errors import LockNotHeldError, PlanGroupNotFoundError, StudentPlanNotFoundError
from domain.models.plan import RetiredAs
from domain.repositories import (
    HistoryRepository,
    PlanGroupRepository,
    StudentPlanRepository,
    StudentTimeRepository,
)
from domain.repositories.undo import UndoRecord, UndoRepository
from domain.services import PlanProgressService, StudentTimeService
from domain.services.removal import Removed, remove_history, remove_student, remove_tenant
from tests.factories import PlanGroupFactory
from tests.integration.editing import Factory, World, everything, unknown_tenant_id
from tests.integration.storing import FIRST, stored_group

NOW = datetime.now(UTC)


def test_repositories_find_no_rows_of_another_tenant(
    session_factory: Factory, world: World
) -> None:
    tenant_id, group_id = unknown_tenant_id(), world.group.id
    student_id = world.group.student_id
    with session_factory() as session:
        groups = PlanGroupRepository(session, tenant_id)
        plans = StudentPlanRepository(session, tenant_id)
        time = StudentTimeRepository(session, tenant_id)
        history, undo = HistoryRepository(session, tenant_id), UndoRepository(session, tenant_id)
        for find_run in (undo.last_run, undo.last_undo):
            with pytest.raises(PlanGroupNotFoundError):
                find_run(group_id)
        with pytest.raises(InvalidInputError, match="still stored"):
            history.as_of(group_id, 1)
        for find in (groups.get, groups.get_row, groups.find_other_active, groups.snapshot):
            with pytest.raises(PlanGroupNotFoundError):
                find(group_id)
        with pytest.raises(StudentPlanNotFoundError):
            plans.get(group_id, world.plans[0].id)
        with pytest.raises(StudentPlanNotFoundError):
            plans.get_all(group_id, [world.plans[0].id])
        content_history = plans.content_history(world.planned.id)
        assert (content_history.plans, content_history.first_kept) == (0, None)
        assert [
            *groups.of_student(student_id),
            *groups.generations(group_id),
            *plans.live(group_id),
            *plans.of_generation(group_id, 1),
            *plans.progress(group_id).contents,
            *plans.studied_units(group_id, [world.planned.id]),
            *history.runs(group_id),
            *plans.of_student(student_id, FIRST, FIRST + timedelta(days=30)),
            *time.exclusions(student_id),
            *time.exclusions_of_student(student_id),
            *time.exclusions_of_group(group_id),
            *time.academy_schedules(student_id),
        ] == []


@pytest.mark.parametrize(
    "kind",
    [
        HistoryRepository,
        PlanGroupRepository,
        StudentPlanRepository,
        StudentTimeRepository,
        UndoRepository,
    ],
)
@pytest.mark.parametrize("tenant_id", [None, "tenant", 1])
def test_repository_with_an_invalid_tenant_id_is_refused(
    session_factory: Factory, kind: Any, tenant_id: Any
) -> None:
    with session_factory() as session, pytest.raises(InvalidInputError) as refused:
        kind(session, tenant_id)
    assert refused.value.field == "tenant_id"


def test_repositories_of_another_tenant_write_nothing_in_a_unit_of_work(
    session_factory: Factory, world: World
) -> None:
    """Holding the lock of the same group ID for another tenant is not sufficient."""
    other = stored_group(session_factory, id=world.group.id)
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(other.tenant_id, other.id)) as uow:
        groups = PlanGroupRepository(uow.session, world.tenant_id)
        plans = StudentPlanRepository(uow.session, world.tenant_id)
        history = HistoryRepository(uow.session, world.tenant_id)
        writes: list[Callable[[], object]] = [
            lambda: groups.remove(world.group.id, 1),
            lambda: groups.move_contents(world.group.id, {}),
            lambda: plans.retire_as_cancelled(world.group.id),
            lambda: plans.retire(world.plans[0], RetiredAs.MISSED),
            lambda: history.close(world.group.id),
            lambda: history.remove_retired_plans(world.group.id, limit=1),
            lambda: history.remove_closed_runs(world.group.id),
            lambda: take_back(uow, world),
        ]
        for write in writes:
            with pytest.raises(LockNotHeldError, match="of tenant"):
                write()
        uow.rollback()
    assert everything(session_factory) == before


def take_back(uow: UnitOfWork, world: World) -> object:
    """Write an undo of the world's generation, as ``UndoService`` does."""
    undo = UndoRepository(uow.session, world.tenant_id)
    run = undo.last_run(world.group.id)
    assert run.record is not None
    plans = undo.undone_plans(run.fence, run.record)
    return undo.take_back(run, plans, UndoRecord(requested_by=None, waited_ms=0))


def test_removal_for_another_tenant_removes_nothing(session_factory: Factory, world: World) -> None:
    before, tenant_id = everything(session_factory), unknown_tenant_id()
    student_id = world.group.student_id
    assert remove_history(session_factory, tenant_id=tenant_id, before=NOW) == Removed()
    assert remove_tenant(session_factory, tenant_id=tenant_id) == Removed()
    assert remove_student(session_factory, tenant_id=tenant_id, student_id=student_id) == Removed()
    assert everything(session_factory) == before


def change_name(uow: UnitOfWork, world: World) -> None:
    group = uow.session.get(PlanGroup, (world.tenant_id, world.group.id))
    assert group is not None
    group.name = "another name"


def change_tenant(uow: UnitOfWork, world: World) -> None:
    group = uow.session.get(PlanGroup, (world.tenant_id, world.group.id))
    assert group is not None
    group.tenant_id = uow.tenant_id


def add_row(uow: UnitOfWork, world: World) -> None:
    uow.session.add(PlanGroupFactory.build(tenant_id=world.tenant_id))


def delete_row(uow: UnitOfWork, world: World) -> None:
    group = uow.session.get(PlanGroup, (world.tenant_id, world.group.id))
    uow.session.delete(group)


@pytest.mark.parametrize("write", [change_name, change_tenant, add_row, delete_row])
def test_rows_of_another_tenant_are_not_flushed(
    session_factory: Factory, world: World, write: Callable[[UnitOfWork, World], None]
) -> None:
    own = stored_group(session_factory)
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(own.tenant_id, own.id)) as uow:
        with uow.session.no_autoflush:
            write(uow, world)
        with pytest.raises(LockNotHeldError, match="another tenant"):
            uow.commit()
    assert everything(session_factory) == before


def test_group_of_another_tenant_is_not_added(session_factory: Factory) -> None:
    group = PlanGroupFactory.build()
    with UnitOfWork(session_factory, lock=PlanGroupLock(unknown_tenant_id(), group.id)) as uow:
        with pytest.raises(InvalidInputError) as refused:
            uow.groups.add(group)
        uow.commit()
    assert refused.value.field == "tenant_id"
    with session_factory() as session:
        assert session.get(PlanGroup, (group.tenant_id, group.id)) is None


def test_student_of_another_tenant_is_not_edited(session_factory: Factory, world: World) -> None:
    before = everything(session_factory)
    with UnitOfWork(
        session_factory, lock=StudentLock(unknown_tenant_id(), world.group.student_id)
    ) as uow:
        with pytest.raises(DomainError):
            StudentTimeService(uow).remove_class(class_id=world.lesson.id, expected_version=1)
        uow.commit()
    assert everything(session_factory) == before


def test_plan_of_another_tenant_is_not_marked(session_factory: Factory, world: World) -> None:
    before = everything(session_factory)
    lock = PlanGroupLock(unknown_tenant_id(), world.group.id, shared=True)
    with UnitOfWork(session_factory, lock=lock) as uow:
        with pytest.raises(DomainError) as refused:
            PlanProgressService(uow).pin(plan_id=world.plans[0].id, expected_version=1)
        uow.commit()
    assert refused.value.http_status == 404
    assert everything(session_factory) == before
