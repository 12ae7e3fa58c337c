"""Simultaneous upgrades of an empty database all succeed."""

import logging
import multiprocessing
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from domain import schema
from domain.cli import database
from domain.schema import run
from domain.schema.run import MIGRATION_LOCK

RUNS = 3
# A waiting upgrade rolls back after each attempt, so ROLLBACK is its last statement.
WAITING = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waiting' "
    "AND query = 'ROLLBACK'"
)
# If the test fails, these timeouts end it; otherwise it could hang.
TIMEOUTS = "-c lock_timeout=20s -c idle_in_transaction_session_timeout=20s"


def upgrade(url: sa.URL, name: str = "upgrade") -> bool:
    options = {"options": TIMEOUTS, "application_name": name}
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=options)
    try:
        with engine.connect() as connection:
            schema.upgrade(connection)
            return schema.is_current(connection)
    finally:
        engine.dispose()


def processes() -> Executor:
    return ProcessPoolExecutor(RUNS, mp_context=multiprocessing.get_context("spawn"))


def threads() -> Executor:
    return ThreadPoolExecutor(RUNS)


def wait_until(
    connection: sa.Connection, statement: sa.Executable, accepted: Callable[[int], bool]
) -> None:
    """Execute the statement until its result is accepted; fail after 20 seconds."""
    deadline = time.monotonic() + 20
    while not accepted(connection.execute(statement).scalar_one()):
        assert time.monotonic() < deadline
        connection.rollback()
    connection.rollback()


# Upgrades in threads of a process run one after another, so only one of them waits for the lock.
@pytest.mark.parametrize(("workers", "connections"), [(processes, RUNS), (threads, 1)])
def test_upgrades_that_wait_for_the_same_run_succeed_one_after_another(
    empty_url: sa.URL, connection: sa.Connection, workers: Callable[[], Executor], connections: int
) -> None:
    """The test holds the lock until the upgrades have connected, so that they certainly overlap."""
    connected = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    connection.scalar(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
    connection.commit()
    with workers() as pool:
        try:
            futures = [pool.submit(upgrade, empty_url) for _ in range(RUNS)]
            wait_until(connection, connected, lambda found: found >= connections)
            assert schema.current_revision(connection) is None
            connection.rollback()
        finally:
            connection.scalar(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))
            connection.commit()
        assert [future.result(timeout=60) for future in futures] == [True] * RUNS


def test_upgrade_that_waits_does_not_block_create_index_concurrently(
    empty_url: sa.URL, connection: sa.Connection
) -> None:
    """CREATE INDEX CONCURRENTLY waits for older snapshots, and a waiting statement has one."""
    connection.exec_driver_sql("CREATE TABLE lessons (id integer)")
    connection.scalar(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
    connection.commit()
    with ThreadPoolExecutor(1) as pool:
        try:
            future = pool.submit(upgrade, empty_url, "waiting")
            wait_until(connection, WAITING, lambda found: found > 0)
            builder = sa.create_engine(
                empty_url,
                poolclass=sa.NullPool,
                isolation_level="AUTOCOMMIT",
                connect_args={"options": "-c lock_timeout=5s"},
            )
            with builder.connect() as other:
                other.exec_driver_sql("CREATE INDEX CONCURRENTLY ON lessons (id)")
            assert not future.done()
        finally:
            connection.scalar(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))
            connection.commit()
        assert future.result(timeout=60)


@contextmanager
def lock_held(url: sa.URL) -> Iterator[int]:
    """Hold the migration lock like another run, and yield the process ID of its backend."""
    name = {"application_name": "the other run"}
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=name)
    with engine.begin() as connection:
        connection.scalar(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        yield int(connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0)


@pytest.mark.parametrize("in_transaction", [False, True])
def test_upgrade_that_times_out_names_the_other_run(
    *, empty_url: sa.URL, connection: sa.Connection, in_transaction: bool
) -> None:
    if in_transaction:
        connection.begin()
    with lock_held(empty_url) as pid, pytest.raises(TimeoutError) as timed_out:
        schema.upgrade(connection, wait=timedelta(milliseconds=1))
    pattern = rf"process {pid} \(application_name 'the other run'\) holds since 20\d\d-.* UTC"
    assert re.search(pattern, str(timed_out.value))
    assert connection.in_transaction() is in_transaction
    schema.upgrade(connection)
    assert schema.is_current(connection)


@pytest.mark.parametrize("in_transaction", [False, True])
def test_upgrade_that_waits_logs_the_other_run_and_continues_after_it(
    *,
    empty_url: sa.URL,
    connection: sa.Connection,
    in_transaction: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other run ends when the first pause begins."""
    waits, ended = threading.Event(), threading.Event()

    def other() -> None:
        with lock_held(empty_url):
            held.set()
            assert waits.wait(20)
        ended.set()

    def pause(*_: object) -> None:
        waits.set()
        assert ended.wait(20)

    held = threading.Event()
    monkeypatch.setattr(run, "pause", pause)
    if in_transaction:
        connection.begin()
    with ThreadPoolExecutor(1) as pool, caplog.at_level(logging.WARNING, "studyplan.schema"):
        done = pool.submit(other)
        assert held.wait(20)
        schema.upgrade(connection)
        done.result()
    assert schema.is_current(connection)
    (record,) = caplog.records
    assert "application_name 'the other run'" in record.getMessage()
    assert vars(record)["event"] == "migration_lock.busy"


def test_command_that_waited_for_another_run_reports_that_the_schema_was_current(
    empty_url: sa.URL, connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, ended = threading.Event(), threading.Event()

    def pause(*_: object) -> None:
        waits.set()
        assert ended.wait(20)

    engine = sa.create_engine(empty_url, poolclass=sa.NullPool)
    connection.begin()
    assert schema.upgrade(connection) is None  # holds the migration lock until the commit
    monkeypatch.setattr(run, "pause", pause)
    with ThreadPoolExecutor(1) as pool:
        try:
            future = pool.submit(database.upgrade, engine)
            assert waits.wait(20)
            connection.commit()
        finally:
            ended.set()
        assert future.result(timeout=60) == (schema.head_revision(), schema.head_revision())
    assert schema.upgrade(connection) == schema.head_revision()
    assert schema.downgrade(connection) == schema.head_revision()


def test_upgrade_prepares_no_statement_and_restores_the_callers_threshold(
    empty_url: sa.URL,
) -> None:
    """A prepared statement stays in the backend, which a pooler can assign to another client."""
    prepare_immediately = {"prepare_threshold": 0}
    engine = sa.create_engine(empty_url, poolclass=sa.NullPool, connect_args=prepare_immediately)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        schema.upgrade(connection)
        prepared = driver.execute("SELECT name FROM pg_prepared_statements", prepare=False)
        assert prepared.fetchall() == []
        assert driver.prepare_threshold == 0
