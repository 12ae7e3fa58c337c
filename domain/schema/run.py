"""The preconditions of a run of the revisions: a connection, a transaction, the migration lock.

``domain.schema`` and Alembic's ``env.py`` use this module. It does not depend on the revisions.
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
from domain.errors import (
    DatabaseReadOnlyError,
    InvalidInputError,
    MisuseError,
    WrongTransactionError,
)

MIGRATION_LOCK: Final = 7_310_868_735_423_512_941
"""The key of the advisory lock that a run holds until its transaction ends."""
DEFAULT_WAIT: Final = timedelta(minutes=5)
POLL: Final = timedelta(milliseconds=200)
LOG: Final = logging.getLogger("studyplan.schema")
_LOG_EVERY: Final = 10.0
_TRY: Final = sa.text(f"SELECT pg_catalog.pg_try_advisory_xact_lock({MIGRATION_LOCK})")
_FRESH: Final = sa.text("SELECT pg_catalog.pg_stat_clear_snapshot()")
# The time is converted to text because the driver cannot parse a timestamptz in every DateStyle.
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
    """Return ``given`` if it is a connection on which revisions can run. Execute nothing.

    Raises ``MisuseError``, which says what to pass instead, for anything else;
    ``WrongTransactionError`` in autocommit mode; ``SchemaError`` if the server is too old.
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
            "The connection is in autocommit mode, in which a run that fails would leave an "
            "incomplete schema. Use a connection without isolation_level='AUTOCOMMIT', outside of "
            "autocommit_block()."
        )
    require_supported_server(connection)
    return connection


@contextmanager
def one_run(connection: sa.Connection, wait: timedelta = DEFAULT_WAIT) -> Iterator[None]:
    """Run the block in a transaction that holds the migration lock.

    If the connection is in a transaction, the block is a savepoint of it, so that a failed run
    leaves no changes; the lock is held until that transaction ends. Otherwise the block is a
    separate transaction, which is committed, or rolled back if the block raises an exception.

    Raises ``TimeoutError``, with the holder of the lock, after ``wait``;
    ``WrongTransactionError`` if the transaction is not READ COMMITTED or is read-only;
    ``DatabaseReadOnlyError`` on a standby; ``SchemaError`` if a privilege or a needed object is
    missing, if an object of the same name exists, or if other objects depend on one to drop.
    """
    run = _in_outer_transaction if connection.in_transaction() else _in_new_transaction
    with (
        _never_prepared(connection),
        _without_cursors(connection),
        run(connection, _Deadline(wait)),
    ):
        yield


def pause(connection: sa.Connection, duration: timedelta) -> None:
    """Sleep; with an asynchronous driver other tasks can run in the meantime."""
    if connection.dialect.is_async:
        await_only(asyncio.sleep(duration.total_seconds()))
    else:
        time.sleep(duration.total_seconds())


@contextmanager
def _in_outer_transaction(connection: sa.Connection, deadline: "_Deadline") -> Iterator[None]:
    _require_transaction(connection)
    while not connection.scalar(_TRY):
        deadline.pause(connection)
    with translated(during=During.MIGRATION), connection.begin_nested():
        yield


@contextmanager
def _in_new_transaction(connection: sa.Connection, deadline: "_Deadline") -> Iterator[None]:
    # Each attempt to acquire the lock is the first statement of a new transaction. A session-level
    # lock does not work behind a transaction pooler. A blocking wait in the server, or an open
    # transaction between the attempts, would block CREATE INDEX CONCURRENTLY.
    try:
        while not connection.scalar(_TRY):
            deadline.pause(connection, rolls_back=True)
        _require_transaction(connection)
        with translated(during=During.MIGRATION):
            yield
            connection.commit()
    except BaseException:
        connection.rollback()
        raise


@contextmanager
def _never_prepared(connection: sa.Connection) -> Iterator[None]:
    """Prevent the driver from preparing statements that are executed repeatedly in the block.

    Behind a transaction pooler the next attempt may be on another backend, in which the prepared
    statement does not exist.
    """
    driver: Any = connection.connection.driver_connection
    threshold = driver.prepare_threshold
    driver.prepare_threshold = None
    try:
        yield
    finally:
        driver.prepare_threshold = threshold


@contextmanager
def _without_cursors(connection: sa.Connection) -> Iterator[None]:
    """Suspend options for large results, which would declare a cursor for each statement."""
    suspended = {"stream_results": False, "yield_per": None}
    options = connection.get_execution_options()
    before = {name: value for name, value in options.items() if name in suspended}
    if not before:
        yield
        return
    connection.execution_options(**suspended)
    try:
        yield
    finally:
        connection.execution_options(**{**suspended, **before})


class _Deadline:
    """The time limit of a wait for the migration lock; logs which process holds the lock."""

    def __init__(self, wait: timedelta) -> None:
        given: object = wait  # callers without a type checker pass a number of seconds
        if not isinstance(given, timedelta):
            raise InvalidInputError.of("wait", "must be a timedelta")
        self._wait = wait
        self._began = time.monotonic()
        self._logged = float("-inf")

    def pause(self, connection: sa.Connection, *, rolls_back: bool = False) -> None:
        """Sleep until the next attempt. Raise ``TimeoutError`` after the time limit."""
        now = time.monotonic()
        is_over = now - self._began >= self._wait.total_seconds()
        holder = ""
        if is_over or now - self._logged >= _LOG_EVERY:
            holder = _holder(connection)
        if rolls_back:
            connection.rollback()
        if is_over:
            raise TimeoutError(
                f"Waited {now - self._began:.0f} s for the migration lock, which {holder}. "
                "Nothing was changed. Try again after that transaction has ended."
            )
        if holder:
            self._logged = now
            fields = {"event": "migration_lock.busy"}
            message = "waiting for the migration lock, which %s"
            events.log(LOG, logging.WARNING, message, holder, fields=fields)
        pause(connection, POLL)


def _holder(connection: sa.Connection) -> str:
    connection.execute(_FRESH)
    row = connection.execute(_HOLDER).first()
    if row is None:
        return "has just been released"
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
            "migration lock, so it may not see the changes of the last run. Use READ COMMITTED, "
            "for example connection.execution_options(isolation_level='READ COMMITTED')."
        )
