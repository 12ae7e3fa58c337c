"""What goes past SQLAlchemy to psycopg, and the state of a connection as psycopg knows it.

This is the only module that executes on the driver, and only what pays for it:

* the statement that takes a lock, together with BEGIN: one round trip instead of two, and
  without SQLAlchemy's own cost of executing a statement, a tenth of a small transaction;
* COMMIT and ROLLBACK together with a question: one round trip instead of two;
* COPY, which SQLAlchemy does not have;
* the inserts of a new group in one pipeline, one round trip for all its tables.

SQLAlchemy's conventions hold here too. Errors are raised as ``DBAPIError``, ``handle_error``
listeners are called, and if the server is gone the whole pool is invalidated. Where anybody
listens to an engine or it echoes, or where its transactions begin in a way of their own, the
lock's statement is executed by SQLAlchemy. Nothing here is ever prepared.
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
# An engine's options for large results would make a server-side cursor of a lock's statement.
_PLAIN: Final = {"stream_results": False, "yield_per": None}


class CommitState(Enum):
    """How far a COMMIT has come, as the client knows."""

    NOT_SENT = auto()
    SENT = auto()
    """There is no answer: the server may carry it out or not."""
    REFUSED = auto()
    DONE = auto()


def transaction_status(connection: Connection) -> TransactionStatus:
    """The status of the server's transaction; costs no round trip.

    ``UNKNOWN`` if the connection is closed or broken.
    """
    driver = connection.connection.driver_connection
    if driver is None or driver.closed:
        return TransactionStatus.UNKNOWN
    status: TransactionStatus = driver.info.transaction_status
    return status


def is_autocommit(connection: Connection) -> bool:
    """Whether each statement is a transaction of its own."""
    driver = connection.connection.driver_connection
    return driver is not None and bool(driver.autocommit)


def fetch_first(connection: Connection, statement: str) -> Sequence[str | None]:
    """The row of a statement that is usually the first of its transaction; BEGIN included.

    Raises ``DBAPIError``.

    :param statement: without parameters, returning one row of text.
    """
    driver = _driver_of(connection)
    if _is_observed(connection) or not _begins_plainly(driver):
        result = connection.exec_driver_sql(statement, execution_options=_PLAIN)
        return result.one()
    begin = "BEGIN; " if driver.info.transaction_status is TransactionStatus.IDLE else ""
    with _driver_errors(connection, statement):
        return _execute(driver, f"{begin}{statement}")


@contextmanager
def commit_after(
    connection: Connection, check: str, note: Callable[[CommitState], None]
) -> Iterator[None]:
    """Inside the block, a COMMIT of the connection is sent as one call, ``check; COMMIT``.

    SQLAlchemy calls its own and other ``commit`` listeners before it, so nothing can be
    written between the check and the COMMIT. If ``check`` raises, nothing is committed and
    the transaction is rolled back.

    :param check: one statement without parameters.
    :param note: is called with each state that the COMMIT comes to.
    """
    proxied: Any = connection.connection
    driver = _driver_of(connection)

    def commit() -> None:
        note(CommitState.SENT)
        try:
            _execute(driver, f"{check}; COMMIT")
        except psycopg.Error:
            if not driver.closed:
                note(CommitState.REFUSED)
            # SQLAlchemy considers a transaction finished whose COMMIT failed.
            if driver.info.transaction_status is TransactionStatus.INERROR:
                proxied.rollback()
            raise
        note(CommitState.DONE)

    # Engine and Connection have no hook after their last listener. The pool's proxy does:
    # it is what the dialect calls ``commit()`` on, and it lives as long as this checkout.
    proxied.commit = commit
    try:
        yield
    finally:
        del proxied.commit


def roll_back_after(connection: Connection, question: str) -> Sequence[str | None]:
    """The row that ``question`` returns, and a ROLLBACK, in one round trip.

    Raises ``DBAPIError``.

    :param question: one SELECT without parameters, returning one row.
    """
    with _driver_errors(connection, question):
        return _execute(_driver_of(connection), f"{question}; ROLLBACK")


def copy_rows(
    connection: Connection, table: Table, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]
) -> None:
    """Copy rows into ``columns`` (name → type) of a table: two round trips for any number.

    Binary COPY in the connection's own transaction. A Session does not notice it: flush what
    is pending before, and consider the transaction failed after an error.
    Raises ``DBAPIError``.
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

    The rows travel as one array for each column, so the statement's text does not depend on
    their number, and nulls may be anywhere. Raises ``DBAPIError``.
    """
    arrays = [list(values) for values in zip(*rows, strict=True)]
    if not arrays:
        return
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(map(preparer.quote, columns))
    given = ", ".join(f"%s::pg_catalog.{kind}[]" for kind in columns.values())
    # Not pg_catalog.unnest: only the bare name takes several arrays, and the parser resolves it
    # itself, whatever the search path.
    into = f"INSERT INTO {preparer.format_table(table)} ({names})"
    statement = f"{into} SELECT * FROM unnest({given})"  # noqa: S608 - no values in it
    connection.exec_driver_sql(statement, tuple(arrays))


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Send the block's statements without waiting for the answer of each.

    For statements that return no rows and whose row counts do not matter. An error is raised by
    a later statement or at the end of the block, so it does not say which statement failed.
    Raises ``DBAPIError``. Without pipeline mode in libpq (before 14) nothing changes.
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
            if isinstance(error, DBAPIError):  # it may be an earlier statement's
                error.statement, error.params = _PIPELINE, None
            # The rest of the pipeline failed after this; psycopg would log that.
            with suppress(psycopg.Error):
                leave()
            raise
        leave()


def is_standby(connection: Connection) -> bool:
    """Whether the server only reads, or cannot be asked any more.

    The server is asked where the parameter says no: a pooler reports it as it was when the
    pooler connected. That ends the failed transaction, so the connection is invalidated.
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
    """Cancel what the server executes for a connection whose client no longer waits for it.

    A backend that waits for a lock does not notice that its client is gone.
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
    """Whether SQLAlchemy itself would call a listener or log; its own three conditions."""
    return bool(
        connection._has_events  # noqa: SLF001 - SQLAlchemy has no accessor
        or connection.engine._has_events  # noqa: SLF001 - likewise
        or connection._echo  # noqa: SLF001 - likewise
    )


def _begins_plainly(driver: Driver) -> bool:
    """Whether psycopg would send BEGIN without options, and wait for its answer."""
    return (
        driver.isolation_level is None
        and driver.read_only is None
        and driver.deferrable is None
        and driver.pgconn.pipeline_status == PipelineStatus.OFF
    )


@contextmanager
def _driver_errors(connection: Connection, statement: str) -> Iterator[None]:
    """Treat an error of the driver as SQLAlchemy does."""
    try:
        yield
    except psycopg.Error as error:
        # Private, but the only place that wraps the error, calls the listeners, invalidates
        # this connection and, if the server is gone, the pool.
        connection._handle_dbapi_exception(  # noqa: SLF001 - see above
            error, statement, (), None, None
        )


def _execute(driver: Driver, statements: str) -> Sequence[str | None]:
    """The row that one of several statements returns; one round trip by the simple protocol.

    A cursor would do the same for a fifth of a small transaction more.
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
    """What begins a pipeline, and what ends it."""
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
    """Raise psycopg's own error if the connection is lost, however that was reported.

    A pooler reports it twice, in the server's words and in its own. Psycopg expects one
    result at the end of a COPY and raises "too many values to unpack".
    """
    try:
        yield
    except ValueError as error:
        if not driver.closed:
            raise
        raise psycopg.OperationalError("the connection was lost in a COPY") from error
