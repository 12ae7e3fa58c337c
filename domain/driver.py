"""What the driver knows of a connection and its transaction, and execution straight through it."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util.concurrency import await_only

from domain.errors import WrongTransactionError

_CANCEL_SECONDS: Final = 5.0


def transaction_status(connection: Connection) -> TransactionStatus:
    """What the driver knows of the server's transaction, without a round trip."""
    driver = connection.connection.driver_connection
    if driver is None or driver.closed:
        return TransactionStatus.UNKNOWN
    status: TransactionStatus = driver.info.transaction_status
    return status


def refuse_wrong_transaction(connection: Connection) -> None:
    """Raise unless the connection is about to begin its outermost, real transaction."""
    driver = connection.connection.driver_connection
    if driver is not None and driver.autocommit:
        raise WrongTransactionError(
            "The connection is in autocommit mode: the lock would end with its own statement "
            "and still answer yes. Use an engine with a transactional isolation level."
        )
    refuse_savepoint(connection)
    if transaction_status(connection) not in {TransactionStatus.IDLE, TransactionStatus.UNKNOWN}:
        raise WrongTransactionError(
            "The connection is inside a transaction already: rolling back a savepoint would "
            "free the lock early. Give the unit of work a session factory on an engine."
        )


def refuse_savepoint(connection: Connection) -> None:
    """Raise if the connection is inside a savepoint, as far as SQLAlchemy knows."""
    if connection.in_nested_transaction():
        raise WrongTransactionError(
            "The connection is inside a savepoint: rolling it back would free the lock early, "
            "while the block goes on. Take the locks in the outermost transaction."
        )


def server_version(connection: Connection) -> int:
    """The server's version as libpq numbers it, such as 180003; no round trip."""
    driver = connection.connection.driver_connection
    return 0 if driver is None else int(driver.info.server_version)


def rolled_back_work(connection: Connection) -> bool:
    """Roll the transaction back and tell whether it had written anything, in one round trip.

    A transaction has an id on the server from its first write on, whichever way that came.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL; ROLLBACK")
        (wrote,) = cursor.fetchone() or (False,)
        return bool(wrote)
    finally:
        cursor.close()


def cancel(connection: Connection) -> None:
    """End what the server is doing for the connection, whose client has stopped waiting.

    A backend that waits for a lock does not notice that its client is gone.
    """
    driver = connection.connection.driver_connection
    with suppress(psycopg.Error):
        if isinstance(driver, psycopg.AsyncConnection):
            await_only(driver.cancel_safe(timeout=_CANCEL_SECONDS))
        elif driver is not None:
            driver.cancel_safe(timeout=_CANCEL_SECONDS)


def first_row(connection: Connection, statement: str, values: tuple[Any, ...]) -> Sequence[Any]:
    """The first row of a statement, empty if there is none. Raises ``DBAPIError``.

    Compiling a statement and SQLAlchemy's events would cost as much again as a lock does.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, values)
        row: Sequence[Any] = cursor.fetchone() or ()
    except psycopg.Error as error:
        lost = transaction_status(connection) is TransactionStatus.UNKNOWN
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement, values, error, psycopg.Error, connection_invalidated=lost
        ) from error
    finally:
        cursor.close()
    return row
