"""What holds for every method of every service that edits: locks, tenants, versions, commits."""

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
)
from tests.integration.editing import (
    CALLS,
    GROUP_CALLS,
    STUDENT_CALLS,
    WITHOUT_A_VERSION,
    Factory,
    World,
    each_call,
    everything,
    lock_of,
    stranger,
)

Refusal = TypeVar("Refusal", bound=Exception)
SERVICES: list[type[Any]] = [
    PlanGroupService,
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    PlanProgressService,
    StudentTimeService,
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
    """The error of a call under a lock; nothing is written, though the caller commits."""
    before = everything(factory)
    with UnitOfWork(factory, lock=lock) as uow:
        with pytest.raises(error) as refusal:
            CALLS[name](uow, world, seen)
        uow.commit()
    assert everything(factory) == before
    return refusal.value


def test_no_method_of_a_service_is_forgotten_here() -> None:
    methods = {
        f"{service.__name__}.{name}"
        for service in SERVICES
        for name, _ in inspect.getmembers(service, inspect.isfunction)
        if not name.startswith("_")
    }
    created_in_a_test_of_its_own = {"PlanGroupService.create"}
    assert {name.partition(" ")[0] for name in CALLS} == methods - created_in_a_test_of_its_own


@each_call
def test_it_writes_under_its_lock_and_the_caller_commits(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        CALLS[name](uow, world, 1)
        assert everything(session_factory) == before
        uow.commit()
    assert everything(session_factory) != before


@each_call
def test_what_is_not_committed_is_not_kept(
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
def test_lock_of_the_other_kind_does_not_do(
    session_factory: Factory, world: World, name: str
) -> None:
    if name in STUDENT_CALLS:
        refused(session_factory, world, world.lock, name, InvalidInputError)
    else:
        refused(session_factory, world, world.student_lock, name, LockNotHeldError)


@each_call_for_a_row
def test_under_the_lock_of_another_group_or_student_nothing_is_found(
    session_factory: Factory, world: World, name: str
) -> None:
    """The lock names what a call is about."""
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
def test_a_lock_that_was_lost_does_not_do(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        uow.session.rollback()
        with pytest.raises(LockNotHeldError):
            CALLS[name](uow, world, 1)
    assert everything(session_factory) == before


@each_call
def test_a_lock_that_is_lost_on_the_way_does_not_do(
    session_factory: Factory, world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction ends after the method has asked for its lock, and before it writes."""
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
def test_who_saw_another_version_edits_nothing(
    session_factory: Factory, world: World, name: str, seen: int
) -> None:
    refused(session_factory, world, lock_of(name, world), name, EditedMeanwhileError, seen)


@each_call_for_a_row
def test_another_tenants_rows_are_not_found(
    session_factory: Factory, world: World, name: str
) -> None:
    lock = replace(lock_of(name, world), tenant_id=stranger())
    assert refused(session_factory, world, lock, name, NotFoundError).http_status == 404


@pytest.mark.parametrize("name", GROUP_CALLS)
def test_shared_lock_is_for_marks_of_progress(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=replace(world.lock, shared=True)) as uow:
        if name.startswith("PlanProgressService"):
            CALLS[name](uow, world, 1)
            uow.rollback()
        else:
            with pytest.raises(LockNotHeldError, match="only shared"):
                CALLS[name](uow, world, 1)
            uow.commit()
    assert everything(session_factory) == before


@pytest.mark.parametrize("name", GROUP_CALLS)
def test_of_several_locked_groups_one_must_be_named(
    session_factory: Factory, world: World, name: str
) -> None:
    both = PlanGroupLock.of(world.tenant_id, [world.group.id, uuid4()])
    assert refused(session_factory, world, both, name, InvalidInputError).field == "group_id"


def test_named_group_among_several_is_edited(session_factory: Factory, world: World) -> None:
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
def test_service_is_made_for_a_unit_of_work_and_nothing_else(
    session_factory: Factory, world: World, service: type[Any]
) -> None:
    task = AsyncUnitOfWork(async_sessionmaker(), lock=world.lock)
    for wrong in (session_factory, session_factory(), None, task):
        with pytest.raises(UnitOfWorkStateError, match=r"uow\.run"):
            service(wrong)


@each_call_with_a_version
def test_the_second_of_two_who_saw_the_same_version_is_refused(
    session_factory: Factory, world: World, name: str
) -> None:
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        CALLS[name](uow, world, 1)
        uow.commit()
    before = everything(session_factory)
    with (
        pytest.raises((EditedMeanwhileError, NotFoundError)),
        UnitOfWork(session_factory, lock=lock_of(name, world)) as uow,
    ):
        CALLS[name](uow, world, 1)
    assert everything(session_factory) == before


@each_call_with_a_version
def test_a_row_that_somebody_without_the_lock_changed_is_not_overwritten(
    session_factory: Factory, world: World, name: str
) -> None:
    """Every version is raised between the method's look and its write, as after a failover."""
    after: list[dict[str, list[str]]] = []

    def raise_versions(*_: object) -> None:
        if not after:
            with session_factory.begin() as other:
                for table in Base.metadata.sorted_tables:
                    if "version" in table.columns:
                        other.execute(sa.update(table).values(version=table.c.version + 1))
            after.append(everything(session_factory))

    def before_execute(state: ORMExecuteState) -> None:
        if not state.is_select:
            raise_versions()

    guarded = sessionmaker(session_factory.kw["bind"])
    sa.event.listen(guarded, "before_flush", raise_versions)
    sa.event.listen(guarded, "do_orm_execute", before_execute)
    uow = UnitOfWork(guarded, lock=lock_of(name, world))
    with pytest.raises(EditedMeanwhileError), uow:
        CALLS[name](uow, world, 1)
    assert [everything(session_factory)] == after
