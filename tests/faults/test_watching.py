"""The helpers that report locks and waiters, and the errors that they raise."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, UnitOfWork
from domain.testing import assert_lock_free, assert_lock_held
from domain.testing.contention import (
    TIMEOUT,
    cancel_backend,
    eventually,
    terminate_backend,
    wait_until_waiting,
)
from tests.concurrency.overlapping import in_another_thread
from tests.factories import PlanGroupFactory

MISSING_PID = 2**31 - 1


def test_held_lock_is_reported_as_held_and_not_as_free(
    engine: sa.Engine, session_factory: sessionmaker[Session], tenant_id: UUID
) -> None:
    group_id = uuid4()
    with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, group_id)):
        assert_lock_held(engine, group_id)
        with pytest.raises(AssertionError, match=f"holds the lock of group {group_id}"):
            assert_lock_free(engine, group_id)
    assert_lock_free(engine, group_id)


def test_free_lock_is_not_reported_as_held(engine: sa.Engine) -> None:
    group_id = uuid4()
    assert_lock_free(engine, group_id)
    with pytest.raises(AssertionError, match=f"no transaction holds the lock of group {group_id}"):
        assert_lock_held(engine, group_id)


def test_lock_is_reported_as_held_only_by_its_holder(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    mine, others = uuid4(), uuid4()

    def check_both_locks(backend: int) -> None:
        with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), mine)) as uow:
            assert_lock_held(engine, mine, by=uow)
            assert_lock_held(engine, others, by=backend)
            with pytest.raises(AssertionError, match=f"backend {backend} holds .*{others}, not"):
                assert_lock_held(engine, others, by=uow)

    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), others)) as uow:
        backend = uow.session.connection().connection.driver_connection
        assert backend is not None
        in_another_thread(lambda: check_both_locks(backend.info.backend_pid))


def test_assertions_accept_a_group_instead_of_its_id(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    group = PlanGroupFactory.build()
    assert_lock_free(engine, group)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)):
        assert_lock_held(engine, group)


def test_assertions_accept_a_connection_instead_of_an_engine(
    engine: sa.Engine, session_factory: sessionmaker[Session], tenant_id: UUID
) -> None:
    group_id = uuid4()
    with engine.connect() as connection:
        assert_lock_free(connection, group_id)
        with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, group_id)):
            assert_lock_held(connection, group_id)


def test_wait_until_waiting_counts_the_waiters(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    lock = PlanGroupLock(uuid4(), uuid4(), wait=timedelta(seconds=TIMEOUT))

    def wait_for_the_lock() -> None:
        with UnitOfWork(session_factory, lock=lock):
            pass

    with ThreadPoolExecutor(3) as pool:
        with UnitOfWork(session_factory, lock=lock):
            waiting = [pool.submit(wait_for_the_lock) for _ in range(3)]
            wait_until_waiting(engine, lock.group_id, waiters=3)
            with pytest.raises(AssertionError, match="4 requests wait for the lock"):
                wait_until_waiting(engine, lock.group_id, waiters=4, seconds=0)
        for request in waiting:
            request.result(TIMEOUT)


@pytest.mark.parametrize("end", [terminate_backend, cancel_backend])
def test_backend_that_does_not_exist_cannot_be_terminated_or_cancelled(
    engine: sa.Engine, end: object
) -> None:
    assert callable(end)
    with pytest.raises(AssertionError, match="backend"):
        end(engine, MISSING_PID)


def test_eventually_names_the_condition_that_was_not_met() -> None:
    with pytest.raises(AssertionError, match="waiting until pigs fly"):
        eventually(lambda: False, "pigs fly", seconds=0)
