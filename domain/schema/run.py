"""What a run of the revisions needs: a connection, a transaction and the migration lock.

Alembic's environment and ``domain.schema`` use it; nothing here knows the revisions.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.util.concurrency import await_only

from domain import events
from domain.arguments import as_connection
from domain.database_errors import During, replace_pooled, require_supported_server, translated
from domain.driver import is_autocommit
from domain.errors import DatabaseReadOnlyError, MisuseError, WrongTransactionError

MIGRATION_LOCK: Final = 7_310_868_735_423_512_941
"""The key of the advisory lock that one run holds until its transaction ends."""
DEFAULT_WAIT: Final = timedelta(minutes=5)
POLL: Final = timedelta(milliseconds=200)
LOG: Final = logging.getLogger("studyplan.schema")
_REPORT_EVERY: Final = 10.0
_TRY: Final = sa.text(f"SELECT pg_catalog.pg_try_advisory_xact_lock({MIGRATION_LOCK})")
_FRESH: Final = sa.text("SELECT pg_catalog.pg_stat_clear_snapshot()")
# As text: the driver cannot read a timestamptz under every DateStyle.
_HOLDER: Final = sa.text(
    "SELECT l.pid, a.application_name, pg_catalog.to_char(pg_catalog.timezone("  # noqa: S608 - constants
    "'UTC', coalesce(a.xact_start, a.backend_start)), 'YYYY-MM-DD HH24\\:MI\\:SS') AS since "
    "FROM pg_catalog.pg_locks l LEFT JOIN LATERAL pg_catalog.pg_stat_get_activity(l.pid) a "
    "ON l.pid IS NOT NULL WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    f"AND l.classid = {MIGRATION_LOCK >> 32} AND l.objid = {MIGRATION_LOCK & 0xFFFFFFFF} "
    "AND l.database = (SELECT oid FROM pg_catalog.pg_database "
    "WHERE datname = pg_catalog.current_database())"
)
_TRANSACTION: Final = sa.text(
    "SELECT pg_catalog.current_setting('transaction_isolation') AS isolation, "
    "pg_catalog.current_setting('transaction_read_only')::boolean AS read_only, "
    "pg_catalog.pg_is_in_recovery() AS standby"
)


def require_connection(given: object, call: str = "schema.upgrade(connection)") -> sa.Connection:
    """The connection, if revisions can run on it; raises ``MisuseError`` saying what to pass.

    Raises ``WrongTransactionError`` in autocommit mode and ``SchemaError`` for a server that
    is too old. Executes nothing.
    """
    connection = as_connection(given, call)
    dialect = connection.dialect
    if (dialect.name, dialect.driver) not in {
        ("postgresql", "psycopg"),
        ("postgresql", "psycopg_async"),
    }:
        raise MisuseError(
            f"The connection uses {dialect.name}+{dialect.driver}; the package needs "
            "postgresql+psycopg (psycopg 3). `python -m domain upgrade --sql` prints the SQL."
        )
    if is_autocommit(connection):
        raise WrongTransactionError(
            "The connection is in autocommit mode: a run that fails would leave half a schema. "
            "Use a connection without isolation_level='AUTOCOMMIT', outside of "
            "autocommit_block()."
        )
    require_supported_server(connection)
    return connection


@contextmanager
def one_run(connection: sa.Connection, wait: timedelta = DEFAULT_WAIT) -> Iterator[None]:
    """A transaction that holds the migration lock: the caller's, or one that is committed here.

    In a transaction of the caller's the block is a savepoint, so that a failed run leaves
    nothing in it; the lock stays until that transaction ends. Otherwise each attempt to take
    the lock is the first statement of a transaction of its own: behind a transaction pooler
    a session has no lock, and a session that waits in the server, or in an open transaction, stands
    in the way of CREATE INDEX CONCURRENTLY.

    Raises ``TimeoutError``, which names the holder, after ``wait``;
    ``WrongTransactionError`` if the transaction is not READ COMMITTED or is read-only,
    ``DatabaseReadOnlyError`` on a standby, and ``SchemaError`` if the server refuses a
    privilege, has an object of the same name or none that is needed, or has other objects
    that depend on one to drop.
    """
    run = _part_of_a_transaction if connection.in_transaction() else _a_transaction
    with _never_prepared(connection), run(connection, _Patience(wait)):
        yield


def pause(connection: sa.Connection, duration: timedelta) -> None:
    """Sleep; on an asynchronous driver other tasks run meanwhile."""
    if connection.dialect.is_async:
        await_only(asyncio.sleep(duration.total_seconds()))
    else:
        time.sleep(duration.total_seconds())


@contextmanager
def _part_of_a_transaction(connection: sa.Connection, patience: "_Patience") -> Iterator[None]:
    _require_transaction(connection)
    while not connection.scalar(_TRY):
        patience.pause(connection)
    with translated(during=During.MIGRATION), connection.begin_nested():
        yield


@contextmanager
def _a_transaction(connection: sa.Connection, patience: "_Patience") -> Iterator[None]:
    try:
        while not connection.scalar(_TRY):
            patience.pause(connection, rolls_back=True)
        _require_transaction(connection)
        with translated(during=During.MIGRATION):
            yield
            connection.commit()
    except BaseException:
        connection.rollback()
        raise


@contextmanager
def _never_prepared(connection: sa.Connection) -> Iterator[None]:
    """No statement is prepared in the block, however often it is executed.

    Behind a transaction pooler the next attempt may have another backend, which would not
    know it.
    """
    driver: Any = connection.connection.driver_connection
    threshold = driver.prepare_threshold
    driver.prepare_threshold = None
    try:
        yield
    finally:
        driver.prepare_threshold = threshold


class _Patience:
    """A bounded wait for the migration lock that says for whom it waits."""

    def __init__(self, wait: timedelta) -> None:
        self._wait = wait
        self._began = time.monotonic()
        self._reported = float("-inf")

    def pause(self, connection: sa.Connection, *, rolls_back: bool = False) -> None:
        """Sleep until the next attempt; raises ``TimeoutError`` after the bound."""
        now = time.monotonic()
        is_over = now - self._began >= self._wait.total_seconds()
        holder = ""
        if is_over or now - self._reported >= _REPORT_EVERY:
            holder = _holder(connection)
        if rolls_back:
            connection.rollback()
        if is_over:
            raise TimeoutError(
                f"Waited {now - self._began:.0f} s for the migration lock, which {holder}. "
                "Nothing was changed. Try again when that has ended."
            )
        if holder:
            self._reported = now
            fields = {"event": "migration_lock.busy"}
            message = "waiting for the migration lock, which %s"
            events.log(LOG, logging.WARNING, message, holder, fields=fields)
        pause(connection, POLL)


def _holder(connection: sa.Connection) -> str:
    connection.execute(_FRESH)
    row = connection.execute(_HOLDER).first()
    if row is None:
        return "was released a moment ago"
    if row.pid is None:
        return "a prepared transaction holds"
    named = f" (application_name {row.application_name!r})" if row.application_name else ""
    since = f" since {row.since} UTC" if row.since else ""
    return f"process {row.pid}{named} holds{since}"


def _require_transaction(connection: sa.Connection) -> None:
    row = connection.execute(_TRANSACTION).one()
    if row.standby:
        replace_pooled(connection)
        raise DatabaseReadOnlyError
    if row.read_only:
        raise WrongTransactionError(
            "The transaction is read-only. See default_transaction_read_only and the engine's "
            "option postgresql_readonly."
        )
    if row.isolation not in {"read committed", "read uncommitted"}:
        raise WrongTransactionError(
            f"The transaction is {row.isolation.upper()}: its snapshot may be older than the "
            "migration lock, so that it would not see what the last run did. Use READ COMMITTED, "
            "for example connection.execution_options(isolation_level='READ COMMITTED')."
        )
