"""Leaving a unit of work whose connection broke: nothing stays behind, nothing is hidden."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, UnitOfWork
from domain.errors import LockNotHeldError
from domain.testing import assert_lock_free
from domain.testing.contention import TIMEOUT, advisory_locks, eventually, wait_until_waiting
from domain.unit_of_work.ending import LockState
from tests.integration.asking import acquire


@pytest.fixture
def one_connection(database_url: sa.URL) -> Iterator[sa.Engine]:
    """A pool that keeps one: what is given back dirty is what the next one gets.

    It may open a second, for of one alone none may wait.
    """
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=1, pool_timeout=5)
    yield engine
    engine.dispose()


def terminated(engine: sa.Engine, uow: UnitOfWork) -> None:
    """End the server's side of a unit of work; the client does not know yet."""
    pid = uow.session.connection().connection.driver_connection
    assert isinstance(pid, psycopg.Connection)
    with engine.connect() as other:
        ended = sa.text("SELECT pg_terminate_backend(:pid, 10000)")
        assert other.scalar(ended, {"pid": pid.info.backend_pid})


def checked_out(engine: sa.Engine) -> int:
    pool = engine.pool
    assert isinstance(pool, sa.QueuePool)
    return pool.checkedout()


def test_leaving_cleanly_after_the_backend_was_killed_gives_the_connection_back(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    uow = UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4()))
    with pytest.raises(sa.exc.OperationalError), uow:
        terminated(engine, uow)
    assert checked_out(engine) == 0


def test_a_broken_connection_does_not_replace_the_callers_own_exception(
    engine: sa.Engine, session_factory: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Session) -> None:
        raise sa.exc.OperationalError("ROLLBACK", None, psycopg.OperationalError("lost"))

    def fail_on_a_broken_connection() -> None:
        with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
            monkeypatch.setattr(type(uow.session), "close", broken)
            raise KeyError

    with pytest.raises(KeyError):
        fail_on_a_broken_connection()
    assert checked_out(engine) == 0


def test_leaving_after_the_connection_was_invalidated_is_no_misuse(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        uow.session.connection().invalidate()
    assert checked_out(engine) == 0


def test_a_commit_that_a_listener_stops_keeps_its_connection_out_of_the_pool(
    one_connection: sa.Engine,
) -> None:
    """SQLAlchemy takes the transaction for ended; the server does not."""
    lock = PlanGroupLock(uuid4(), uuid4())
    factory = sessionmaker(one_connection)

    def refuse(_: sa.Connection) -> None:
        raise KeyError

    def commit() -> None:
        with UnitOfWork(factory, lock=lock) as uow:
            sa.event.listen(one_connection, "commit", refuse)
            uow.commit()

    with pytest.raises(KeyError):
        commit()
    sa.event.remove(one_connection, "commit", refuse)
    with UnitOfWork(factory, lock=lock) as uow:
        uow.commit()


class SignalledError(Exception):
    """What a signal's handler raises."""


@pytest.fixture
def interrupting() -> Iterator[Callable[[], None]]:
    """Interrupts the main thread by a signal whose handler raises."""

    def handler(*_: object) -> None:
        raise SignalledError

    before = signal.signal(signal.SIGUSR1, handler)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_in_the_middle_of_the_wait_ends_the_wait_in_the_server_too(
    engine: sa.Engine, one_connection: sa.Engine, interrupting: Callable[[], None], tenant_id: UUID
) -> None:
    group_id = uuid4()
    patient = PlanGroupLock(tenant_id, group_id, wait=timedelta(seconds=TIMEOUT))

    def interrupt() -> None:
        wait_until_waiting(engine, group_id)
        interrupting()

    with engine.connect() as holder, ThreadPoolExecutor(1) as pool:
        acquire(holder, group_id)
        interruption = pool.submit(interrupt)
        with pytest.raises(SignalledError):
            UnitOfWork(sessionmaker(one_connection), lock=patient).__enter__()
        interruption.result(TIMEOUT)
        eventually(lambda: not advisory_locks(engine, granted=False), "nobody waits any more")
    assert checked_out(one_connection) == 0
    with UnitOfWork(sessionmaker(one_connection), lock=patient) as uow:
        uow.commit()


def test_a_signal_in_the_middle_of_a_statement_leaves_the_lock_unknown_and_then_free(
    engine: sa.Engine, one_connection: sa.Engine, interrupting: Callable[[], None]
) -> None:
    lock = PlanGroupLock(uuid4(), uuid4())

    def interrupt() -> None:
        sleeping = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        with engine.connect() as other:
            eventually(lambda: bool(other.scalar(sa.text(sleeping))), "the statement runs")
        interrupting()

    with ThreadPoolExecutor(1) as pool:
        with UnitOfWork(sessionmaker(one_connection), lock=lock) as uow:
            interruption = pool.submit(interrupt)
            with pytest.raises(SignalledError):
                uow.session.scalar(sa.text("SELECT pg_sleep(60)"))
            assert uow.lock_state() is not LockState.HELD
            with pytest.raises(LockNotHeldError):
                uow.commit()
        interruption.result(TIMEOUT)
    assert_lock_free(engine, lock.group_id, seconds=TIMEOUT)
    with UnitOfWork(sessionmaker(one_connection), lock=lock) as uow:
        uow.commit()
