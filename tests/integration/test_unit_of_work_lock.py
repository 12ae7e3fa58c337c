"""The lock of a unit of work is acquired on entry, held in its transaction, and released."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import LockTimeoutError, SchemaError, WrongTransactionError
from domain.locking import lock_status
from domain.unit_of_work.ending import Ending
from tests.integration.asking import acquire, backend_pid, check, locks_held

Factory = sessionmaker[Session]


@pytest.fixture
def lock(tenant_id: UUID, group_id: UUID) -> PlanGroupLock:
    return PlanGroupLock(tenant_id, group_id)


@pytest.fixture
def one_connection(database_url: sa.URL) -> Iterator[sa.Engine]:
    """Return an engine whose pool has one connection, which the next request uses again."""
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=5)
    yield engine
    engine.dispose()


def test_lock_is_held_from_entry_to_exit(
    session_factory: Factory, connection: sa.Connection, lock: PlanGroupLock
) -> None:
    assert not check(connection, lock.group_id).held
    with UnitOfWork(session_factory, lock=lock) as uow:
        found = check(connection, lock.group_id)
        assert (found.held, found.held_by_me) == (True, False)
        assert found.holder_pid == backend_pid(uow.session.connection())
        assert locks_held(uow.session.connection()) == 1
    assert not check(connection, lock.group_id).held


def test_lock_is_released_by_commit_and_rollback(
    session_factory: Factory, connection: sa.Connection, lock: PlanGroupLock
) -> None:
    for end in (UnitOfWork.commit, UnitOfWork.rollback):
        with UnitOfWork(session_factory, lock=lock) as uow:
            end(uow)
            assert not check(connection, lock.group_id).held


def test_lock_is_kept_by_flushes_savepoints_and_reads(
    session_factory: Factory, connection: sa.Connection, lock: PlanGroupLock
) -> None:
    with UnitOfWork(session_factory, lock=lock) as uow:
        uow.groups.get(lock.group_id).name = "new"
        uow.session.flush()
        uow.session.begin_nested().rollback()
        uow.session.expire_all()
        assert uow.session.get_one(PlanGroup, (lock.tenant_id, lock.group_id)).name == "new"
        assert check(connection, lock.group_id).held
        uow.commit()


def test_lock_is_acquired_in_the_round_trip_that_begins_the_transaction(
    one_connection: sa.Engine, lock: PlanGroupLock
) -> None:
    """libpq's trace contains every message that is sent."""
    with one_connection.connect() as warm:
        driver: Any = warm.connection.driver_connection
    with tempfile.TemporaryFile("w+", errors="replace") as trace:
        driver.pgconn.trace(trace.fileno())
        with UnitOfWork(sessionmaker(one_connection), lock=lock):
            driver.pgconn.untrace()
        trace.seek(0)
        sent = [line for line in trace if "\tF\t" in line]
    assert len(sent) == 1
    assert re.search(r"Query\s.*BEGIN; SELECT studyplan\.acquire_plan_locks_with_limits", sent[0])


def test_busy_lock_is_refused_immediately_with_its_holder(
    session_factory: Factory, connection: sa.Connection, lock: PlanGroupLock
) -> None:
    connection.exec_driver_sql("SET LOCAL application_name = 'first'")
    acquire(connection, lock.group_id)
    with pytest.raises(PlanGroupLockedError) as refused, UnitOfWork(session_factory, lock=lock):
        pass
    assert refused.value.group_id == lock.group_id
    assert refused.value.holder is not None
    assert refused.value.holder.pid == backend_pid(connection)
    assert refused.value.holder.application_name == "first"


def test_wait_ends_in_a_lock_timeout(
    session_factory: Factory, connection: sa.Connection, lock: PlanGroupLock
) -> None:
    acquire(connection, lock.group_id)
    patient = PlanGroupLock(lock.tenant_id, lock.group_id, wait=timedelta(milliseconds=30))
    with pytest.raises(LockTimeoutError) as timeout, UnitOfWork(session_factory, lock=patient):
        pass
    assert timeout.value.waited_ms is not None
    assert timeout.value.waited_ms >= 30
    assert timeout.value.holder is not None
    assert timeout.value.holder.pid == backend_pid(connection)
    assert lock_status(connection, lock.tenant_id, lock.group_id).held_by_me


def test_refused_unit_of_work_returns_a_clean_connection_to_the_pool(
    one_connection: sa.Engine, connection: sa.Connection, lock: PlanGroupLock
) -> None:
    acquire(connection, lock.group_id)
    for wait in (timedelta(0), timedelta(milliseconds=20)):
        refused = UnitOfWork(
            sessionmaker(one_connection),
            lock=PlanGroupLock(lock.tenant_id, lock.group_id, wait=wait),
        )
        with pytest.raises((PlanGroupLockedError, LockTimeoutError)), refused:
            pass
    connection.rollback()
    with UnitOfWork(sessionmaker(one_connection), lock=lock) as uow:
        assert uow.waited_ms == 0


def fail(_: UnitOfWork) -> None:
    raise KeyError


@pytest.mark.parametrize("end", [UnitOfWork.commit, UnitOfWork.rollback, fail, repr])
def test_connection_is_returned_to_the_pool_clean(
    one_connection: sa.Engine, lock: PlanGroupLock, end: Callable[[UnitOfWork], object]
) -> None:
    with suppress(KeyError), UnitOfWork(sessionmaker(one_connection), lock=lock) as uow:
        uow.session.scalar(sa.select(sa.func.now()))
        end(uow)
    with one_connection.connect() as reused:
        driver = reused.connection.driver_connection
        assert driver is not None
        assert driver.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert locks_held(reused) == 0
        for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
            assert reused.scalar(sa.text(f"SHOW {name}")) == "0"


def test_pool_that_commits_on_return_keeps_the_connection(
    database_url: sa.URL, lock: PlanGroupLock
) -> None:
    """The pool's own commit is not that of the unit of work, which checks the transaction."""
    engine = sa.create_engine(database_url, pool_size=1, pool_reset_on_return="commit")
    pids, endings = set(), list[Ending]()
    for _ in range(2):
        with UnitOfWork(sessionmaker(engine), lock=lock) as uow:
            uow.call_at_end(endings.append)
            pids.add(backend_pid(uow.connection))
            uow.commit()
    engine.dispose()
    assert len(pids) == 1
    assert endings == [Ending("committed")] * 2


def test_commit_that_a_pool_repeats_is_reported_as_committed_if_a_listener_fails_afterwards(
    database_url: sa.URL, lock: PlanGroupLock
) -> None:
    engine = sa.create_engine(database_url, pool_size=1, pool_reset_on_return="commit")
    factory, endings = sessionmaker(engine), list[Ending]()

    @sa.event.listens_for(factory, "after_transaction_end")
    def fail_once(*_: object) -> None:
        sa.event.remove(factory, "after_transaction_end", fail_once)
        raise KeyError

    with suppress(KeyError), UnitOfWork(factory, lock=lock) as uow:
        uow.call_at_end(endings.append)
        uow.commit()
    engine.dispose()
    assert [ending.outcome for ending in endings] == ["committed"]


# --- transactions that the lock cannot protect ----------------------------------------


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"])
def test_engine_with_another_isolation_level_is_refused(
    engine: sa.Engine, connection: sa.Connection, lock: PlanGroupLock, level: str
) -> None:
    other = sessionmaker(engine.execution_options(isolation_level=level))
    with pytest.raises(WrongTransactionError), UnitOfWork(other, lock=lock):
        pass
    assert not check(connection, lock.group_id).held


@pytest.mark.parametrize("mode", ["conditional_savepoint", "create_savepoint", "rollback_only",
                                  "control_fully"])  # fmt: skip
def test_connection_that_is_in_a_transaction_is_refused(
    connection: sa.Connection, lock: PlanGroupLock, mode: str
) -> None:
    connection.begin()
    connection.exec_driver_sql("SELECT 1")
    factory = sessionmaker(connection, join_transaction_mode=mode)
    with pytest.raises(WrongTransactionError, match=r"already in a transaction|inside a savepoint"):
        UnitOfWork(factory, lock=lock).__enter__()
    assert locks_held(connection) == 0


def test_connection_in_a_transaction_that_has_sent_nothing_yet_is_refused(
    connection: sa.Connection, lock: PlanGroupLock
) -> None:
    """BEGIN is not sent yet, but the unit of work would still be inside a savepoint."""
    connection.begin()
    factory = sessionmaker(connection, join_transaction_mode="create_savepoint")
    with pytest.raises(WrongTransactionError, match=r"already in a transaction|inside a savepoint"):
        UnitOfWork(factory, lock=lock).__enter__()
    assert locks_held(connection) == 0


def test_missing_functions_are_reported_with_the_command_to_run(
    empty_engine: sa.Engine, lock: PlanGroupLock
) -> None:
    with pytest.raises(SchemaError, match="`python -m domain upgrade`, or the application's own"):
        UnitOfWork(sessionmaker(empty_engine), lock=lock).__enter__()
