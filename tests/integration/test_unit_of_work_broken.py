"""Exit of a unit of work whose connection is broken: nothing is left open, no error is hidden."""

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
    """Return an engine whose pool keeps one connection, which the next request uses again.

    The pool may open a second connection, because at most half of a pool's connections may wait.
    """
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=1, pool_timeout=5)
    yield engine
    engine.dispose()


def terminate(engine: sa.Engine, uow: UnitOfWork) -> None:
    """Terminate the backend of a unit of work; the client notices only when it sends something."""
    driver = uow.session.connection().connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with engine.connect() as other:
        statement = sa.text("SELECT pg_terminate_backend(:pid, 10000)")
        assert other.scalar(statement, {"pid": driver.info.backend_pid})


def checked_out(engine: sa.Engine) -> int:
    pool = engine.pool
    assert isinstance(pool, sa.QueuePool)
    return pool.checkedout()


def test_exit_after_the_backend_was_terminated_returns_the_connection_to_the_pool(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    uow = UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4()))
    with pytest.raises(sa.exc.OperationalError), uow:
        terminate(engine, uow)
    assert checked_out(engine) == 0


def test_broken_connection_does_not_replace_the_exception_of_the_caller(
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


def test_exit_after_the_connection_was_invalidated_raises_nothing(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        uow.session.connection().invalidate()
    assert checked_out(engine) == 0


def test_commit_that_a_listener_stops_does_not_return_an_open_transaction_to_the_pool(
    one_connection: sa.Engine,
) -> None:
    """SQLAlchemy considers the transaction ended, but it is still open on the server."""
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
    """Raised by the handler of the signal."""


@pytest.fixture
def interrupt_main_thread() -> Iterator[Callable[[], None]]:
    """Return a function that sends the main thread a signal whose handler raises an error."""

    def handler(*_: object) -> None:
        raise SignalledError

    before = signal.signal(signal.SIGUSR1, handler)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_signal_during_the_wait_ends_the_wait_on_the_server_too(
    engine: sa.Engine,
    one_connection: sa.Engine,
    interrupt_main_thread: Callable[[], None],
    tenant_id: UUID,
) -> None:
    group_id = uuid4()
    patient = PlanGroupLock(tenant_id, group_id, wait=timedelta(seconds=TIMEOUT))

    def interrupt() -> None:
        wait_until_waiting(engine, group_id)
        interrupt_main_thread()

    with engine.connect() as holder, ThreadPoolExecutor(1) as pool:
        acquire(holder, group_id)
        interruption = pool.submit(interrupt)
        with pytest.raises(SignalledError):
            UnitOfWork(sessionmaker(one_connection), lock=patient).__enter__()
        interruption.result(TIMEOUT)
        eventually(lambda: not advisory_locks(engine, granted=False), "no backend waits for a lock")
    assert checked_out(one_connection) == 0
    with UnitOfWork(sessionmaker(one_connection), lock=patient) as uow:
        uow.commit()


def test_signal_during_a_statement_makes_the_lock_state_unknown_and_releases_the_lock(
    engine: sa.Engine, one_connection: sa.Engine, interrupt_main_thread: Callable[[], None]
) -> None:
    lock = PlanGroupLock(uuid4(), uuid4())

    def interrupt() -> None:
        sleeping = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        with engine.connect() as other:
            eventually(lambda: bool(other.scalar(sa.text(sleeping))), "the statement runs")
        interrupt_main_thread()

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
