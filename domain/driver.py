"""Operations that bypass SQLAlchemy and use psycopg, and the state of a connection in psycopg.

This is the only module that executes statements through the driver, where it saves time:

* the statement that acquires a lock, together with BEGIN: one round trip in place of two, and
  without SQLAlchemy's overhead per statement, which is a tenth of a small transaction;
* COMMIT and ROLLBACK together with a query: one round trip in place of two;
* COPY, which SQLAlchemy does not support;
* the inserts of a new group in one pipeline: one round trip for all its tables.

SQLAlchemy's conventions are kept: errors are raised as ``DBAPIError``, ``handle_error`` listeners
are called, and if the server is lost the whole pool is invalidated. If an engine has event
listeners or echoes statements, or begins transactions with options, SQLAlchemy executes the
statement that acquires the lock. Statements in this module are never prepared.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util.concurrency import await_only

Driver: TypeAlias = "psycopg.Connection[Any] | psycopg.AsyncConnection[Any]"
_PIPELINE: Final = "one of the statements of a pipeline"
_CANCEL_SECONDS: Final = 5.0
# An engine's options for large results would declare a server-side cursor for the statement.
_CLIENT_SIDE_CURSOR: Final = {"stream_results": False, "yield_per": None}


class CommitState(Enum):
    """The progress of a COMMIT, as far as the client knows."""

    NOT_SENT = auto()
    SENT = auto()
    """There is no answer yet; the server may or may not execute it."""
    REFUSED = auto()
    DONE = auto()


def transaction_status(connection: Connection) -> TransactionStatus:
    """Return the status of the server's transaction, without a round trip.

    ``UNKNOWN`` if the connection is closed or broken.
    """
    driver = connection.connection.driver_connection
    if driver is None or driver.closed:
        return TransactionStatus.UNKNOWN
    status: TransactionStatus = driver.info.transaction_status
    return status


def is_autocommit(connection: Connection) -> bool:
    """Whether the connection is in autocommit mode."""
    driver = connection.connection.driver_connection
    return driver is not None and bool(driver.autocommit)


def fetch_first(connection: Connection, statement: str) -> Sequence[str | None]:
    """Execute a statement that is usually the first of its transaction, with BEGIN; return its row.

    Raises ``DBAPIError``.

    :param statement: without parameters, returning one row of text.
    """
    driver = _driver_of(connection)
    if _is_observed(connection) or not _begins_without_options(driver):
        result = connection.exec_driver_sql(statement, execution_options=_CLIENT_SIDE_CURSOR)
        return result.one()
    begin = "BEGIN; " if driver.info.transaction_status is TransactionStatus.IDLE else ""
    with _driver_errors(connection, statement):
        return _execute(driver, f"{begin}{statement}")


@contextmanager
def commit_after(
    connection: Connection, check: str, note: Callable[[CommitState], None]
) -> Iterator[None]:
    """Inside the block, send a COMMIT of the connection as one call, ``check; COMMIT``.

    SQLAlchemy calls all ``commit`` listeners before that, so nothing can be written between the
    check and the COMMIT. If ``check`` raises, the transaction is rolled back.

    :param check: one statement without parameters.
    :param note: is called with each state that the COMMIT reaches.
    """
    proxied: Any = connection.connection
    driver = _driver_of(connection)

    def commit() -> None:
        # Once: a pool with reset_on_return="commit" commits again as the connection returns to it.
        del proxied.commit
        note(CommitState.SENT)
        try:
            _execute(driver, f"{check}; COMMIT")
        except psycopg.Error:
            if not driver.closed:
                note(CommitState.REFUSED)
            # SQLAlchemy regards a transaction as finished when its COMMIT has failed.
            if driver.info.transaction_status is TransactionStatus.INERROR:
                proxied.rollback()
            raise
        note(CommitState.DONE)

    # Engine and Connection have no hook after their last listener, but the dialect calls
    # ``commit()`` on the pool's proxy, which exists as long as this checkout.
    proxied.commit = commit
    try:
        yield
    finally:
        vars(proxied).pop("commit", None)


def roll_back_after(connection: Connection, query: str) -> Sequence[str | None]:
    """Execute ``query`` and ROLLBACK in one round trip; return the row of ``query``.

    Raises ``DBAPIError``.

    :param query: one SELECT without parameters, returning one row.
    """
    with _driver_errors(connection, query):
        return _execute(_driver_of(connection), f"{query}; ROLLBACK")


def copy_rows(
    connection: Connection, table: Table, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]
) -> None:
    """Copy rows into ``columns`` (name → type) of a table: two round trips for any number.

    Uses binary COPY in the connection's transaction. The Session does not know about it: flush
    pending rows first, and treat the transaction as failed after an error. Raises ``DBAPIError``.
    """
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(map(preparer.quote, columns))
    statement = f"COPY {preparer.format_table(table)} ({names}) FROM STDIN (FORMAT BINARY)"
    types = list(columns.values())
    driver = _driver_of(connection)
    with _driver_errors(connection, statement), _loss_in_copy(driver):
        if isinstance(driver, psycopg.AsyncConnection):
            await_only(_copy_async(driver, statement, types, rows))
            return
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)


def insert_rows(
    connection: Connection, table: Table, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert rows into ``columns`` (name → type) of a table: one round trip for any number.

    The rows are sent as one array per column, so the statement's text does not depend on their
    number, and any value may be null. Raises ``DBAPIError``.
    """
    arrays = [list(values) for values in zip(*rows, strict=True)]
    if not arrays:
        return
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(map(preparer.quote, columns))
    given = ", ".join(f"%s::pg_catalog.{kind}[]" for kind in columns.values())
    # Not pg_catalog.unnest: only the unqualified name accepts several arrays, and the parser
    # resolves it independently of the search path.
    into = f"INSERT INTO {preparer.format_table(table)} ({names})"
    statement = f"{into} SELECT * FROM unnest({given})"  # noqa: S608 - no values in it
    connection.exec_driver_sql(statement, tuple(arrays))


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Send the block's statements without waiting for the answer of each.

    For statements that return no rows and whose row counts are not needed. An error is raised by
    a later statement or at the end of the block, so it does not identify the statement. Raises
    ``DBAPIError``. If libpq has no pipeline mode (before 14), statements are sent one by one.
    """
    if not psycopg.Pipeline.is_supported():
        yield
        return
    enter, leave = _pipeline_of(_driver_of(connection))
    with _driver_errors(connection, _PIPELINE):
        enter()
        try:
            yield
        except BaseException as error:
            if isinstance(error, DBAPIError):  # possibly of an earlier statement
                error.statement, error.params = _PIPELINE, None
            # The rest of the pipeline fails as a consequence. psycopg raises that here, because
            # it is not passed the error; otherwise it would log a warning.
            with suppress(psycopg.Error):
                leave()
            raise
        leave()


def is_standby(connection: Connection) -> bool:
    """Whether the server is a standby or no longer answers.

    If the reported parameter is off, the server is queried, because a pooler reports the
    parameter as it was when the pooler connected. The query ends the failed transaction, so the
    connection is invalidated.
    """
    if connection.closed or connection.invalidated:
        return True
    driver = _driver_of(connection)
    if driver.info.parameter_status("in_hot_standby") == "on":
        return True
    try:
        return _execute(driver, "ROLLBACK; SELECT pg_catalog.pg_is_in_recovery()") == ("t",)
    except psycopg.Error:
        return True
    finally:
        connection.invalidate()


def cancel(connection: Connection) -> None:
    """Cancel the statement of a connection whose client no longer waits for it.

    A backend that waits for a lock does not detect that its client has disconnected.
    """
    driver = connection.connection.driver_connection
    with suppress(psycopg.Error):
        if isinstance(driver, psycopg.AsyncConnection):
            await_only(driver.cancel_safe(timeout=_CANCEL_SECONDS))
        elif driver is not None:
            driver.cancel_safe(timeout=_CANCEL_SECONDS)


def _driver_of(connection: Connection) -> Driver:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection | psycopg.AsyncConnection)  # noqa: S101 - narrows
    return driver


def _is_observed(connection: Connection) -> bool:
    """Whether SQLAlchemy would call a listener or log a statement: the conditions it checks."""
    return bool(
        connection._has_events  # noqa: SLF001 - SQLAlchemy has no accessor
        or connection.engine._has_events  # noqa: SLF001 - likewise
        or connection.dialect._has_events  # noqa: SLF001 - likewise
        or connection._echo  # noqa: SLF001 - likewise
    )


def _begins_without_options(driver: Driver) -> bool:
    """Whether psycopg would send BEGIN without options and not in a pipeline."""
    return (
        driver.isolation_level is None
        and driver.read_only is None
        and driver.deferrable is None
        and driver.pgconn.pipeline_status == PipelineStatus.OFF
    )


@contextmanager
def _driver_errors(connection: Connection, statement: str) -> Iterator[None]:
    """Handle an error of the driver as SQLAlchemy does."""
    try:
        yield
    except psycopg.Error as error:
        # Private, but the only function that wraps the error, calls the listeners, and invalidates
        # this connection and, if the server is lost, the pool.
        connection._handle_dbapi_exception(  # noqa: SLF001 - see above
            error, statement, (), None, None
        )


def _execute(driver: Driver, statements: str) -> Sequence[str | None]:
    """Execute statements in one round trip of the simple protocol; return the row of one of them.

    A cursor would do the same but make a small transaction a fifth slower.
    """
    if isinstance(driver, psycopg.AsyncConnection):
        return await_only(_execute_async(driver, statements))
    with driver.lock:
        return driver.wait(_row(driver.pgconn, statements))


async def _execute_async(
    driver: psycopg.AsyncConnection[Any], statements: str
) -> Sequence[str | None]:
    async with driver.lock:
        return await driver.wait(_row(driver.pgconn, statements))


def _row(pgconn: PGconn, statements: str) -> PQGen[Sequence[str | None]]:
    pgconn.send_query(statements.encode())
    row: Sequence[str | None] = ()
    for result in (yield from generators.execute(pgconn)):
        if result.status == ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
        if result.status == ExecStatus.TUPLES_OK:
            values = (result.get_value(0, column) for column in range(result.nfields))
            row = tuple(None if value is None else value.decode() for value in values)
    return row


async def _copy_async(
    driver: psycopg.AsyncConnection[Any],
    statement: str,
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    async with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            await copy.write_row(row)


def _pipeline_of(driver: Driver) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the functions that begin and end a pipeline."""
    if isinstance(driver, psycopg.AsyncConnection):
        entered = driver.pipeline()
        return (
            lambda: await_only(entered.__aenter__()),
            lambda: await_only(entered.__aexit__(None, None, None)),
        )
    pipeline = driver.pipeline()
    return pipeline.__enter__, lambda: pipeline.__exit__(None, None, None)


@contextmanager
def _loss_in_copy(driver: Driver) -> Iterator[None]:
    """Raise ``psycopg.OperationalError`` if the connection is lost in a COPY.

    A pooler reports the loss twice, with the server's message and its own. Psycopg expects one
    result at the end of a COPY and raises ``ValueError`` ("too many values to unpack").
    """
    try:
        yield
    except ValueError as error:
        if not driver.closed:
            raise
        raise psycopg.OperationalError("the connection was lost in a COPY") from error
