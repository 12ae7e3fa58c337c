"""Re-entrant lock requests raise a usage error, and are not refused as busy."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, PlanGroupLockedError, StudentLock, UnitOfWork
from domain.errors import LockNotHeldError, UnitOfWorkStateError, WrongTransactionError
from domain.testing import assert_lock_free
from domain.testing.contention import TIMEOUT, advisory_locks
from tests.integration.storing import enter, stored_group

Factory = sessionmaker[Session]
LONG_WAIT = timedelta(seconds=TIMEOUT)


@pytest.fixture
def lock(tenant_id: UUID, group_id: UUID) -> PlanGroupLock:
    return PlanGroupLock(tenant_id, group_id)


def test_nested_request_for_the_same_group_raises_a_usage_error(
    engine: sa.Engine, session_factory: Factory, lock: PlanGroupLock
) -> None:
    with UnitOfWork(session_factory, lock=lock):
        for wait in (timedelta(0), LONG_WAIT):
            with pytest.raises(UnitOfWorkStateError, match="the same request"):
                enter(session_factory, PlanGroupLock(lock.tenant_id, lock.group_id, wait=wait))
        assert advisory_locks(engine) == 1, "the outer unit of work still holds its lock"
    assert_lock_free(engine, lock.group_id)


def test_nested_request_for_one_common_group_raises_a_usage_error(
    session_factory: Factory, tenant_id: UUID
) -> None:
    shared = uuid4()
    with (
        UnitOfWork(session_factory, lock=PlanGroupLock.of(tenant_id, [uuid4(), shared])),
        pytest.raises(UnitOfWorkStateError, match=str(shared)),
    ):
        enter(session_factory, PlanGroupLock.of(tenant_id, [shared, uuid4()]))


def test_nested_request_for_a_student_locked_inside_raises_a_usage_error(
    session_factory: Factory,
) -> None:
    group = stored_group(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        enter(session_factory, StudentLock(group.tenant_id, group.student_id))
        uow.lock_student(group.id)
        with pytest.raises(UnitOfWorkStateError, match=str(group.student_id)):
            enter(session_factory, StudentLock(group.tenant_id, group.student_id))


def test_nested_request_for_another_group_is_allowed(
    session_factory: Factory, lock: PlanGroupLock
) -> None:
    with UnitOfWork(session_factory, lock=lock) as outer:
        with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as inner:
            inner.commit()
        outer.commit()


@pytest.mark.parametrize("end", [UnitOfWork.commit, UnitOfWork.rollback])
def test_lock_may_be_requested_again_after_the_unit_of_work_has_ended(
    session_factory: Factory, lock: PlanGroupLock, end: object
) -> None:
    assert callable(end)
    with UnitOfWork(session_factory, lock=lock) as outer:
        end(outer)
        enter(session_factory, lock)
    enter(session_factory, lock)


def test_lock_may_be_requested_again_after_an_entry_was_refused(
    engine: sa.Engine, session_factory: Factory, lock: PlanGroupLock
) -> None:
    with ThreadPoolExecutor(1) as pool, UnitOfWork(session_factory, lock=lock) as outer:
        with pytest.raises(PlanGroupLockedError):
            pool.submit(enter, session_factory, lock).result(TIMEOUT)
        outer.rollback()
        pool.submit(enter, session_factory, lock).result(TIMEOUT)


def test_lock_may_be_requested_again_after_the_unit_of_work_was_garbage_collected(
    session_factory: Factory, lock: PlanGroupLock
) -> None:
    abandoned = UnitOfWork(session_factory, lock=lock)
    abandoned.__enter__()
    del abandoned
    gc.collect()
    enter(session_factory, lock)


def test_request_from_another_thread_is_refused_as_busy(
    session_factory: Factory, lock: PlanGroupLock
) -> None:
    with ThreadPoolExecutor(1) as pool, UnitOfWork(session_factory, lock=lock):
        other = pool.submit(enter, session_factory, lock)
        with pytest.raises(PlanGroupLockedError):
            other.result(TIMEOUT)


def test_nested_request_on_another_engine_is_sent_to_the_server(
    session_factory: Factory, second: sa.Engine, lock: PlanGroupLock
) -> None:
    # The engine may be connected to another database, so only the server can decide.
    with UnitOfWork(session_factory, lock=lock), pytest.raises(PlanGroupLockedError):
        enter(sessionmaker(second), lock)


# --- the student's lock inside a unit of work -----------------------------------------


def test_students_lock_is_not_acquired_in_a_savepoint_that_could_release_it(
    session_factory: Factory,
) -> None:
    group = stored_group(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        with pytest.raises(WrongTransactionError, match="savepoint"), uow.session.begin_nested():
            uow.lock_student(group.id)
        with pytest.raises(LockNotHeldError):
            uow.require_student_lock(group.student_id)
        assert uow.lock_student(group.id) == group.student_id
        with uow.session.begin_nested():
            uow.lock_student(group.id)


def test_lock_student_locks_the_students_of_all_groups_in_its_first_call(
    engine: sa.Engine, session_factory: Factory
) -> None:
    tenant_id = uuid4()
    groups = [stored_group(session_factory, tenant_id=tenant_id) for _ in range(3)]
    lock = PlanGroupLock.of(tenant_id, [group.id for group in groups])
    with UnitOfWork(session_factory, lock=lock) as uow:
        uow.lock_student(groups[0].id)
        assert advisory_locks(engine) == 6
        for group in groups:
            uow.require_student_lock(group.student_id)


def test_refusal_names_the_group_whose_student_is_busy(session_factory: Factory) -> None:
    tenant_id = uuid4()
    one, other = (stored_group(session_factory, tenant_id=tenant_id) for _ in range(2))
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with UnitOfWork(session_factory, lock=StudentLock(other.tenant_id, other.student_id)):
            entered.set()
            leave.wait(TIMEOUT)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert entered.wait(TIMEOUT)
        uow = UnitOfWork(session_factory, lock=PlanGroupLock.of(tenant_id, [one.id, other.id]))
        with pytest.raises(PlanGroupLockedError) as refused, uow:
            uow.lock_student(one.id)
        leave.set()
        held.result(TIMEOUT)
    assert (refused.value.group_id, refused.value.scope) == (other.id, "student")
