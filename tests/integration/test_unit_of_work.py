"""A unit of work has one lock, one transaction and one commit; incorrect use raises an error."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import LockNotHeldError, UncommittedChangesError, UnitOfWorkStateError
from tests.factories import BlockFactory, PlanGroupFactory

Factory = sessionmaker[Session]

Write = Callable[[UnitOfWork, UUID], None]
End = Callable[[Session], None]

COUNT_GROUPS = sa.select(sa.func.count()).select_from(PlanGroup)


def orm_add(uow: UnitOfWork, group_id: UUID) -> None:
    uow.groups.add(PlanGroupFactory.build(id=group_id, tenant_id=uow.tenant_id))


def orm_flush(uow: UnitOfWork, group_id: UUID) -> None:
    uow.groups.add(PlanGroupFactory.build(id=group_id, tenant_id=uow.tenant_id))
    uow.session.flush()


def values(uow: UnitOfWork, group_id: UUID) -> dict[str, Any]:
    group = PlanGroupFactory.build(id=group_id, tenant_id=uow.tenant_id)
    names = ["id", "tenant_id", "student_id", "name", "period_start", "period_end"]
    return {name: getattr(group, name) for name in names}


def core_insert(uow: UnitOfWork, group_id: UUID) -> None:
    table = PlanGroup.metadata.tables["studyplan.plan_groups"]
    uow.session.execute(sa.insert(table).values(values(uow, group_id)))


def text_insert(uow: UnitOfWork, group_id: UUID) -> None:
    uow.session.connection().execute(
        sa.text(
            "INSERT INTO studyplan.plan_groups "
            "(id, tenant_id, student_id, name, period_start, period_end)"
            " VALUES (:id, :tenant_id, :student_id, :name, :period_start, :period_end)"
        ),
        values(uow, group_id),
    )


def driver_insert(uow: UnitOfWork, group_id: UUID) -> None:
    row = values(uow, group_id)
    uow.session.connection().exec_driver_sql(
        "INSERT INTO studyplan.plan_groups "
        "(id, tenant_id, student_id, name, period_start, period_end)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        tuple(row.values()),
    )


def fail(write: Write, uow: UnitOfWork, group_id: UUID, error: Exception) -> None:
    write(uow, group_id)
    raise error


def lose_lock_and_write(write: Write, uow: UnitOfWork, group_id: UUID) -> None:
    uow.session.rollback()
    write(uow, group_id)


def write_and_end(write: Write, uow: UnitOfWork, group_id: UUID, end: End) -> None:
    write(uow, group_id)
    uow.session.flush()
    end(uow.session)


def lose_lock_write_and_commit(write: Write, uow: UnitOfWork, group_id: UUID) -> None:
    lose_lock_and_write(write, uow, group_id)
    uow.commit()


WRITES = [orm_add, orm_flush, core_insert, text_insert, driver_insert]


def exists(factory: Factory, group_id: UUID) -> bool:
    with factory() as session:
        found = session.scalar(sa.select(sa.func.count()).where(PlanGroup.id == group_id))
        return bool(found)


# --- commit and rollback --------------------------------------------------------------


@pytest.mark.parametrize("write", WRITES)
def test_commit_stores_the_changes(
    session_factory: Factory, uow: UnitOfWork, lock: PlanGroupLock, write: Write
) -> None:
    with uow:
        write(uow, lock.group_id)
        uow.commit()
    assert exists(session_factory, lock.group_id)


@pytest.mark.parametrize("write", WRITES)
def test_exit_with_uncommitted_changes_raises_and_stores_nothing(
    session_factory: Factory, uow: UnitOfWork, lock: PlanGroupLock, write: Write
) -> None:
    with pytest.raises(UncommittedChangesError, match="with uncommitted changes"), uow:
        write(uow, lock.group_id)
    assert not exists(session_factory, lock.group_id)


@pytest.mark.parametrize("write", WRITES)
def test_exception_rolls_back_and_is_raised_unchanged(
    session_factory: Factory, uow: UnitOfWork, lock: PlanGroupLock, write: Write
) -> None:
    error = KeyError("the caller's own")
    with pytest.raises(KeyError) as caught, uow:
        fail(write, uow, lock.group_id, error)
    assert caught.value is error
    assert error.__cause__ is error.__context__ is None
    assert not exists(session_factory, lock.group_id)


@pytest.mark.parametrize("write", WRITES)
def test_rollback_discards_the_changes_without_an_error(
    session_factory: Factory, uow: UnitOfWork, lock: PlanGroupLock, write: Write
) -> None:
    with uow:
        write(uow, lock.group_id)
        uow.rollback()
    assert not exists(session_factory, lock.group_id)


def test_exit_after_only_reading_raises_nothing(uow: UnitOfWork) -> None:
    with uow:
        uow.session.scalar(COUNT_GROUPS)


def test_changed_object_that_was_not_flushed_is_an_uncommitted_change(
    session_factory: Factory, lock: PlanGroupLock
) -> None:
    with session_factory.begin() as session:
        group = PlanGroupFactory.build(tenant_id=lock.tenant_id, id=lock.group_id, name="old")
        session.add(group)
    uow = UnitOfWork(session_factory, lock=lock)
    with pytest.raises(UncommittedChangesError), uow:
        uow.session.get_one(PlanGroup, (lock.tenant_id, lock.group_id)).name = "new"
    with session_factory() as session:
        assert session.get_one(PlanGroup, (lock.tenant_id, lock.group_id)).name == "old"


def test_equal_value_that_is_assigned_is_no_change(
    session_factory: Factory, lock: PlanGroupLock
) -> None:
    with session_factory.begin() as session:
        group = PlanGroupFactory.build(tenant_id=lock.tenant_id, id=lock.group_id, name="same")
        session.add(group)
    with UnitOfWork(session_factory, lock=lock) as uow:
        uow.session.get_one(PlanGroup, (lock.tenant_id, lock.group_id)).name = "same"


# --- direct use of the Session --------------------------------------------------------


@pytest.mark.parametrize("end", [Session.close, Session.reset, Session.invalidate])
@pytest.mark.parametrize("write", WRITES)
def test_exit_raises_if_the_session_was_closed(
    session_factory: Factory, uow: UnitOfWork, lock: PlanGroupLock, write: Write, end: End
) -> None:
    with pytest.raises(LockNotHeldError, match="was ended inside the block"), uow:
        write_and_end(write, uow, lock.group_id, end)
    assert not exists(session_factory, lock.group_id)


@pytest.mark.parametrize("end", [Session.close, Session.reset, Session.invalidate])
def test_exit_raises_if_a_closed_session_is_used_again(uow: UnitOfWork, end: End) -> None:
    uow.__enter__()
    end(uow.session)
    uow.session.scalar(COUNT_GROUPS)
    with pytest.raises(LockNotHeldError, match="was ended inside the block"):
        uow.__exit__(None, None, None)


def test_rollback_of_the_session_discards_the_changes_without_an_error(
    session_factory: Factory, uow: UnitOfWork, lock: PlanGroupLock
) -> None:
    with uow:
        orm_flush(uow, lock.group_id)
        uow.session.rollback()
        uow.session.close()
    assert not exists(session_factory, lock.group_id)


def test_exit_raises_if_a_session_is_closed_after_a_savepoint_was_rolled_back(
    uow: UnitOfWork, lock: PlanGroupLock
) -> None:
    def roll_back_savepoint_and_close(session: Session) -> None:
        session.begin_nested().rollback()
        session.close()

    with pytest.raises(LockNotHeldError, match="was ended inside the block"), uow:
        write_and_end(orm_flush, uow, lock.group_id, roll_back_savepoint_and_close)


def test_session_cannot_commit_directly(
    session_factory: Factory, uow: UnitOfWork, lock: PlanGroupLock
) -> None:
    with uow:
        orm_flush(uow, lock.group_id)
        with pytest.raises(UnitOfWorkStateError, match=r"Use commit\(\) of the unit of work"):
            uow.session.commit()
        uow.rollback()
    assert not exists(session_factory, lock.group_id)


def test_savepoint_may_be_committed_and_rolled_back(
    session_factory: Factory, uow: UnitOfWork, lock: PlanGroupLock
) -> None:
    with uow:
        with uow.session.begin_nested():
            orm_add(uow, lock.group_id)
        savepoint = uow.session.begin_nested()
        group = uow.session.get_one(PlanGroup, (uow.tenant_id, lock.group_id))
        group.blocks.append(BlockFactory.build(weekday=6, start_minute=60, end_minute=120))
        uow.session.flush()
        savepoint.rollback()
        uow.commit()
    with session_factory() as session:
        stored = session.get_one(PlanGroup, (lock.tenant_id, lock.group_id))
        assert [block.start_minute for block in stored.blocks] == [600] * 7


@pytest.mark.parametrize("write", WRITES)
def test_commit_is_refused_after_the_session_was_rolled_back(
    session_factory: Factory, uow: UnitOfWork, lock: PlanGroupLock, write: Write
) -> None:
    with pytest.raises(LockNotHeldError, match="The lock is lost"), uow:
        lose_lock_write_and_commit(write, uow, lock.group_id)
    assert not exists(session_factory, lock.group_id)


@pytest.mark.parametrize("write", WRITES)
def test_exit_raises_if_changes_follow_a_rollback_of_the_session(
    uow: UnitOfWork, lock: PlanGroupLock, write: Write
) -> None:
    with pytest.raises((LockNotHeldError, UncommittedChangesError)), uow:
        lose_lock_and_write(write, uow, lock.group_id)


def test_require_lock_refuses_another_group(uow: UnitOfWork, lock: PlanGroupLock) -> None:
    with uow:
        uow.require_lock(lock.group_id)
        with pytest.raises(LockNotHeldError, match="Enter one for"):
            uow.require_lock(uuid4())
