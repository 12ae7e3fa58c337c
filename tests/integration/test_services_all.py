"""Rules for all methods of the services that edit: locks, tenants, versions, commits."""

import inspect
from dataclasses import replace
from typing import Any, TypeVar
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import ORMExecuteState, sessionmaker

from domain import AsyncUnitOfWork, Base, PlanGroupLock, StudentLock, UnitOfWork
from domain.errors import (
    EditedMeanwhileError,
    GeneratedMeanwhileError,
    InvalidInputError,
    LockNotHeldError,
    NotFoundError,
    UncommittedChangesError,
    UnitOfWorkStateError,
)
from domain.services import (
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    PlanGroupService,
    PlanProgressService,
    StudentTimeService,
    UndoService,
)
from tests.integration.editing import (
    CALLS,
    GROUP_CALLS,
    MARKS,
    STUDENT_CALLS,
    WITHOUT_A_VERSION,
    Factory,
    World,
    each_call,
    everything,
    lock_of,
    unknown_tenant_id,
)

Refusal = TypeVar("Refusal", bound=Exception)
SERVICES: list[type[Any]] = [
    PlanGroupService,
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    PlanProgressService,
    StudentTimeService,
    UndoService,
]
each_call_with_a_version = pytest.mark.parametrize(
    "name", [name for name in CALLS if name not in WITHOUT_A_VERSION]
)
each_call_for_a_row = pytest.mark.parametrize(
    "name", [*GROUP_CALLS, *(name for name in STUDENT_CALLS if name not in WITHOUT_A_VERSION)]
)
Lock = PlanGroupLock | StudentLock


def refused(  # noqa: PLR0917 - in the order of the request
    factory: Factory, world: World, lock: Lock, name: str, error: type[Refusal], seen: int = 1
) -> Refusal:
    """Return the error of a call under a lock; nothing is written although the caller commits."""
    before = everything(factory)
    with UnitOfWork(factory, lock=lock) as uow:
        with pytest.raises(error) as refusal:
            CALLS[name](uow, world, seen)
        uow.commit()
    assert everything(factory) == before
    return refusal.value


def test_service_methods_are_all_tested() -> None:
    methods = {
        f"{service.__name__}.{name}"
        for service in SERVICES
        for name, _ in inspect.getmembers(service, inspect.isfunction)
        if not name.startswith("_")
    }
    tested_separately = {"PlanGroupService.create"}
    assert {name.partition(" ")[0] for name in CALLS} == methods - tested_separately


@each_call
def test_service_method_writes_under_its_lock_and_leaves_the_commit_to_the_caller(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        CALLS[name](uow, world, 1)
        assert everything(session_factory) == before
        uow.commit()
    assert everything(session_factory) != before


@each_call
def test_service_method_changes_nothing_without_a_commit(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with (
        pytest.raises(UncommittedChangesError),
        UnitOfWork(session_factory, lock=lock_of(name, world)) as uow,
    ):
        CALLS[name](uow, world, 1)
    assert everything(session_factory) == before


@each_call
def test_lock_of_the_other_kind_is_refused(
    session_factory: Factory, world: World, name: str
) -> None:
    if name in STUDENT_CALLS:
        refused(session_factory, world, world.lock, name, InvalidInputError)
    else:
        refused(session_factory, world, world.student_lock, name, LockNotHeldError)


@each_call_for_a_row
def test_lock_of_another_group_or_student_finds_no_rows(
    session_factory: Factory, world: World, name: str
) -> None:
    """A call edits the group or the student of its lock."""
    kind = StudentLock if name in STUDENT_CALLS else PlanGroupLock
    refused(session_factory, world, kind(world.tenant_id, uuid4()), name, NotFoundError)


def test_group_or_student_that_is_named_but_not_locked_is_refused(
    session_factory: Factory, world: World
) -> None:
    before = everything(session_factory)
    other = PlanGroupLock(world.tenant_id, uuid4())
    with UnitOfWork(session_factory, lock=other) as uow:
        with pytest.raises(LockNotHeldError, match=str(world.group.id)):
            PlanGroupService(uow).delete(expected_version=1, group_id=world.group.id)
        with pytest.raises(LockNotHeldError, match=str(world.group.student_id)):
            StudentTimeService(uow).remove_class(
                class_id=world.lesson.id, expected_version=1, student_id=world.group.student_id
            )
        uow.commit()
    assert everything(session_factory) == before


@each_call
def test_service_method_is_refused_after_the_lock_was_lost(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        uow.session.rollback()
        with pytest.raises(LockNotHeldError):
            CALLS[name](uow, world, 1)
    assert everything(session_factory) == before


@each_call
def test_service_method_is_refused_if_the_lock_is_lost_during_the_call(
    session_factory: Factory, world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction ends after the method has checked its lock, and before it writes."""
    uow = UnitOfWork(session_factory, lock=lock_of(name, world))
    require, lost = uow.require_held, list[None]()

    def require_and_lose() -> None:
        require()
        if not lost:
            lost.append(None)
            uow.session.rollback()

    monkeypatch.setattr(uow, "require_held", require_and_lose)
    before = everything(session_factory)
    with pytest.raises(LockNotHeldError), uow:
        CALLS[name](uow, world, 1)
    assert lost
    assert everything(session_factory) == before


@each_call_with_a_version
@pytest.mark.parametrize("seen", [0, 2])
def test_edit_that_expects_another_version_is_refused(
    session_factory: Factory, world: World, name: str, seen: int
) -> None:
    refused(session_factory, world, lock_of(name, world), name, EditedMeanwhileError, seen)


@each_call_for_a_row
def test_rows_of_another_tenant_are_not_found(
    session_factory: Factory, world: World, name: str
) -> None:
    lock = replace(lock_of(name, world), tenant_id=unknown_tenant_id())
    assert refused(session_factory, world, lock, name, NotFoundError).http_status == 404


@pytest.mark.parametrize("name", GROUP_CALLS)
def test_shared_lock_allows_only_marks_of_progress(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=replace(world.lock, shared=True)) as uow:
        if name in MARKS:
            CALLS[name](uow, world, 1)
            uow.rollback()
        else:
            with pytest.raises(LockNotHeldError, match="holds a shared lock of group"):
                CALLS[name](uow, world, 1)
            uow.commit()
    assert everything(session_factory) == before


@pytest.mark.parametrize("name", GROUP_CALLS)
def test_group_must_be_named_if_several_are_locked(
    session_factory: Factory, world: World, name: str
) -> None:
    both = PlanGroupLock.of(world.tenant_id, [world.group.id, uuid4()])
    assert refused(session_factory, world, both, name, InvalidInputError).field == "group_id"


def test_group_that_is_named_among_several_is_edited(
    session_factory: Factory, world: World
) -> None:
    both = PlanGroupLock.of(world.tenant_id, [world.group.id, uuid4()])
    with UnitOfWork(session_factory, lock=both) as uow:
        GroupEditService(uow).change_settings(
            expected_version=1, name="이름", group_id=world.group.id
        )
        with pytest.raises(LockNotHeldError):
            PlanGroupService(uow).delete(expected_version=2, group_id=uuid4())
        no_id: Any = "no id"
        with pytest.raises(InvalidInputError) as error:
            PlanGroupService(uow).delete(expected_version=2, group_id=no_id)
        uow.commit()
    assert error.value.field == "group_id"


@pytest.mark.parametrize("name", STUDENT_CALLS)
def test_student_must_be_named_under_a_groups_lock(
    session_factory: Factory, world: World, name: str
) -> None:
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        uow.lock_student(world.group.id)
        with pytest.raises(InvalidInputError) as error:
            CALLS[name](uow, world, 1)
        uow.commit()
    assert error.value.field == "student_id"


@pytest.mark.parametrize("service", SERVICES, ids=lambda kind: kind.__name__)
def test_service_accepts_only_a_unit_of_work(
    session_factory: Factory, world: World, service: type[Any]
) -> None:
    async_uow = AsyncUnitOfWork(async_sessionmaker(), lock=world.lock)
    for wrong in (session_factory, session_factory(), None, async_uow):
        with pytest.raises(UnitOfWorkStateError, match=r"uow\.run"):
            service(wrong)


@each_call_with_a_version
def test_second_edit_that_expects_the_same_version_is_refused(
    session_factory: Factory, world: World, name: str
) -> None:
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        CALLS[name](uow, world, 1)
        uow.commit()
    before = everything(session_factory)
    with (
        pytest.raises((EditedMeanwhileError, NotFoundError, InvalidInputError)) as refusal,
        UnitOfWork(session_factory, lock=lock_of(name, world)) as uow,
    ):
        CALLS[name](uow, world, 1)
    if isinstance(refusal.value, InvalidInputError):  # a plan that is retired keeps its version
        assert name in {"PlanProgressService.mark_missed", "PlanProgressService.move"}
        assert refusal.value.field == "plan_id"
    assert everything(session_factory) == before


@each_call_with_a_version
def test_row_that_was_changed_without_the_lock_is_not_overwritten(
    session_factory: Factory, world: World, name: str
) -> None:
    """All versions are incremented between the method's read and its write, as after a failover."""
    after: list[dict[str, list[str]]] = []

    def increment_versions(*_: object) -> None:
        if not after:
            with session_factory.begin() as other:
                for table in Base.metadata.sorted_tables:
                    if "version" in table.columns:
                        other.execute(sa.update(table).values(version=table.c.version + 1))
            after.append(everything(session_factory))

    def before_execute(state: ORMExecuteState) -> None:
        if not state.is_select:
            increment_versions()

    concurrent = sessionmaker(session_factory.kw["bind"])
    sa.event.listen(concurrent, "before_flush", increment_versions)
    sa.event.listen(concurrent, "do_orm_execute", before_execute)
    uow = UnitOfWork(concurrent, lock=lock_of(name, world))
    with pytest.raises((EditedMeanwhileError, GeneratedMeanwhileError)), uow:
        CALLS[name](uow, world, 1)
    assert [everything(session_factory)] == after
