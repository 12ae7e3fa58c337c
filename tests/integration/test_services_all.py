"""What holds for every method of every service that edits: locks, tenants, versions, commits."""

import inspect
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import ORMExecuteState, sessionmaker

from domain import Base, EditedMeanwhileError, PlanGroupLock, StudentLock, UnitOfWork
from domain.errors import (
    InvalidInputError,
    LockNotHeldError,
    NotFoundError,
    UncommittedChangesError,
)
from domain.services import (
    GroupDeletionService,
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    PlanProgressService,
    StudentTimeService,
)
from tests.integration.editing import Factory, World, everything, stranger
from tests.integration.editing_calls import (
    CALLS,
    GROUP_CALLS,
    STUDENT_CALLS,
    WITHOUT_A_VERSION,
    lock_of,
)

SERVICES: list[type[Any]] = [
    GroupDeletionService,
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    PlanProgressService,
    StudentTimeService,
]
each_call = pytest.mark.parametrize("name", CALLS)


def test_no_method_of_a_service_is_forgotten_here() -> None:
    methods = {
        f"{service.__name__}.{name}"
        for service in SERVICES
        for name, _ in inspect.getmembers(service, inspect.isfunction)
        if not name.startswith("_")
    }
    assert {name.partition(" ")[0] for name in CALLS} == methods


@each_call
def test_it_writes_under_its_lock_and_the_caller_commits(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        CALLS[name](uow, world, world.tenant_id, 1)
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
        CALLS[name](uow, world, world.tenant_id, 1)
    assert everything(session_factory) == before


@each_call
@pytest.mark.parametrize("wrong", ["another group", "another student", "the other kind"])
def test_another_lock_does_not_do(
    session_factory: Factory, world: World, name: str, wrong: str
) -> None:
    group_lock = name in STUDENT_CALLS
    locks: dict[str, PlanGroupLock | StudentLock] = {
        "another group": PlanGroupLock(uuid4()),
        "another student": StudentLock(uuid4()),
        "the other kind": world.lock if group_lock else world.student_lock,
    }
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=locks[wrong]) as uow:
        with pytest.raises(LockNotHeldError):
            CALLS[name](uow, world, world.tenant_id, 1)
        uow.commit()
    assert everything(session_factory) == before


@each_call
@pytest.mark.parametrize("tenant_id", [None, "no uuid", 7])
def test_a_tenant_that_is_no_uuid_is_told_by_name(
    session_factory: Factory, world: World, name: str, tenant_id: Any
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        with pytest.raises(InvalidInputError) as refused:
            CALLS[name](uow, world, tenant_id, 1)
        assert refused.value.field == "tenant_id"
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
            CALLS[name](uow, world, world.tenant_id, 1)
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
        CALLS[name](uow, world, world.tenant_id, 1)
    assert lost
    assert everything(session_factory) == before


@pytest.mark.parametrize("name", [name for name in CALLS if name not in WITHOUT_A_VERSION])
@pytest.mark.parametrize("seen", [0, 2])
def test_who_saw_another_version_edits_nothing(
    session_factory: Factory, world: World, name: str, seen: int
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        with pytest.raises(EditedMeanwhileError):
            CALLS[name](uow, world, world.tenant_id, seen)
        uow.commit()
    assert everything(session_factory) == before


@pytest.mark.parametrize(
    "name", [*GROUP_CALLS, *(name for name in STUDENT_CALLS if name not in WITHOUT_A_VERSION)]
)
def test_another_tenants_rows_are_not_found(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        with pytest.raises(NotFoundError) as refused:
            CALLS[name](uow, world, stranger(), 1)
        uow.commit()
    assert refused.value.http_status == 404
    assert everything(session_factory) == before


@pytest.mark.parametrize("name", [name for name in CALLS if name not in WITHOUT_A_VERSION])
def test_the_second_of_two_who_saw_the_same_version_is_refused(
    session_factory: Factory, world: World, name: str
) -> None:
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        CALLS[name](uow, world, world.tenant_id, 1)
        uow.commit()
    before = everything(session_factory)
    with (
        pytest.raises((EditedMeanwhileError, NotFoundError)),
        UnitOfWork(session_factory, lock=lock_of(name, world)) as uow,
    ):
        CALLS[name](uow, world, world.tenant_id, 1)
    assert everything(session_factory) == before


@pytest.mark.parametrize("name", [name for name in CALLS if name not in WITHOUT_A_VERSION])
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
        CALLS[name](uow, world, world.tenant_id, 1)
    assert [everything(session_factory)] == after
