"""Two upgrades of one empty database at once both end well."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from domain import schema

MIGRATION_LOCK = 7_310_868_735_423_512_941
RUNS = 3
# A failure must end the test, not hang it.
ASKED = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'waiting' "
    "AND query = 'ROLLBACK'"
)
IMPATIENT = "-c lock_timeout=20s -c idle_in_transaction_session_timeout=20s"


def upgrade(url: sa.URL, name: str = "upgrade") -> bool:
    options = {"options": IMPATIENT, "application_name": name}
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


def polled(
    connection: sa.Connection, statement: sa.Executable, wanted: Callable[[int], bool]
) -> None:
    """Ask until the answer is the wanted one; at most 20 seconds."""
    deadline = time.monotonic() + 20
    while not wanted(connection.execute(statement).scalar_one()):
        assert time.monotonic() < deadline
        connection.rollback()
    connection.rollback()


@pytest.mark.parametrize(("workers", "at_once"), [(processes, RUNS), (threads, 1)])
def test_upgrades_that_all_wait_for_the_same_run_end_well_one_after_the_other(
    empty_url: sa.URL, connection: sa.Connection, workers: Callable[[], Executor], at_once: int
) -> None:
    """The lock is held until all have connected, so that they overlap for certain."""
    connected = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    connection.scalar(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
    connection.commit()
    with workers() as pool:
        try:
            futures = [pool.submit(upgrade, empty_url) for _ in range(RUNS)]
            polled(connection, connected, lambda found: found >= at_once)
            assert schema.current_revision(connection) is None
            connection.rollback()
        finally:
            connection.scalar(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))
            connection.commit()
        assert [future.result(timeout=60) for future in futures] == [True] * RUNS


def test_an_upgrade_that_waits_stands_in_no_index_builders_way(
    empty_url: sa.URL, connection: sa.Connection
) -> None:
    """CREATE INDEX CONCURRENTLY waits for every snapshot; one that waits in a statement has one."""
    connection.exec_driver_sql("CREATE TABLE theirs (id integer)")
    connection.scalar(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
    connection.commit()
    with ThreadPoolExecutor(1) as pool:
        try:
            future = pool.submit(upgrade, empty_url, "waiting")
            polled(connection, ASKED, lambda found: found > 0)
            builder = sa.create_engine(
                empty_url,
                poolclass=sa.NullPool,
                isolation_level="AUTOCOMMIT",
                connect_args={"options": "-c lock_timeout=5s"},
            )
            with builder.connect() as other:
                other.exec_driver_sql("CREATE INDEX CONCURRENTLY ON theirs (id)")
            assert not future.done()
        finally:
            connection.scalar(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))
            connection.commit()
        assert future.result(timeout=60)
