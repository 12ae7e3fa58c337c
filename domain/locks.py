"""The lock of a plan group: its key, and the one statement that takes it.

The only module that names the SQL lock functions and their SQLSTATEs. The functions belong
to Alembic; ``alembic/versions/sp_0002_lock_functions.py`` has their text.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from domain.errors import (
    InvalidInputError,
    LockHolder,
    LockTimeoutError,
    PlanGroupLockedError,
    SchemaError,
    WrongTransactionError,
)

LONGEST_WAIT: Final = timedelta(minutes=10)

_ACQUIRE: Final = "SELECT * FROM public.acquire_plan_group_lock(%s, %s)"
_CHECK: Final = "SELECT * FROM public.check_plan_group_lock(%s)"


@dataclass(frozen=True, slots=True)
class PlanGroupLock:
    """The lock of one group and how long to wait for it; by default not at all.

    Raises ``InvalidInputError`` for an id that is no UUID and for a wait that is negative
    or longer than ``LONGEST_WAIT``.
    """

    group_id: UUID
    wait: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        # Callers without a type checker pass ids from a URL and numbers for durations.
        if not isinstance(self.group_id, UUID):
            raise InvalidInputError.of("group_id", "must be a UUID")
        if not timedelta(0) <= self.wait <= LONGEST_WAIT:
            raise InvalidInputError.of("wait", f"must be 0 to {LONGEST_WAIT}")


@dataclass(frozen=True, slots=True)
class LockStatus:
    """What the database tells of a group's lock; for people and messages, never as a gate."""

    held: bool
    held_by_me: bool
    holder: LockHolder | None
    waiting: int


def plan_group_lock_key(group_id: UUID) -> int:
    """The signed 64-bit key of a group, the same as the SQL function's.

    The first 8 bytes, big-endian, of sha256 over a namespace and the id's 16 bytes. At
    100,000 groups two share a key with a probability of 3e-10.
    """
    digest = hashlib.sha256(b"studyplan.plan_group:" + group_id.bytes).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def acquire(connection: Connection, lock: PlanGroupLock) -> int:
    """Take the lock as the first statement of the connection's outermost transaction.

    One round trip beyond the driver's BEGIN; the lock is released when the transaction
    ends, however it ends. Returns the milliseconds waited.

    Raises ``PlanGroupLockedError`` (no wait was asked for), ``LockTimeoutError``,
    ``WrongTransactionError`` (autocommit, an open transaction, a savepoint, an isolation
    level above READ COMMITTED) and ``SchemaError`` (functions missing or not granted).
    """
    refuse_wrong_transaction(connection)
    wait_ms = -(-lock.wait // timedelta(milliseconds=1))
    row = _first_row(connection, _ACQUIRE, (lock.group_id, wait_ms))
    acquired, outcome, _key, waited_ms, pid, since, application = row
    if acquired:
        return int(waited_ms)
    holder = _holder(pid, since, application)
    if outcome == "busy":
        raise PlanGroupLockedError(group_id=lock.group_id, holder=holder)
    raise LockTimeoutError(group_id=lock.group_id, waited_ms=waited_ms, holder=holder)


def check(connection: Connection, group_id: UUID) -> LockStatus:
    """Who holds the group's lock, since when, and how many wait. Takes nothing."""
    row = _first_row(connection, _CHECK, (group_id,))
    held, held_by_me, _key, pid, since, application, waiting = row
    return LockStatus(held, held_by_me, _holder(pid, since, application), waiting)


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
    if connection.in_nested_transaction() or transaction_status(connection) not in {
        TransactionStatus.IDLE,
        TransactionStatus.UNKNOWN,
    }:
        raise WrongTransactionError(
            "The connection is inside a transaction already: rolling back a savepoint would "
            "free the lock early. Give the unit of work a session factory on an engine."
        )


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


def _first_row(connection: Connection, statement: str, values: tuple[Any, ...]) -> Sequence[Any]:
    # The driver's own execution: the lock is on the path of every request, and compiling
    # and event dispatch would cost as much again as the statement.
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, values)
        row: Sequence[Any] = cursor.fetchone() or ()
    except psycopg.Error as error:
        raise _translated(connection, statement, values, error) from error
    finally:
        cursor.close()
    return row


def _translated(
    connection: Connection, statement: str, values: tuple[Any, ...], error: psycopg.Error
) -> Exception:
    match error.sqlstate:
        case "42883" | "3F000":
            return SchemaError(
                "The lock functions are missing. Run `alembic upgrade head` (README, "
                "'Schema') on this database."
            )
        case "42501":
            return SchemaError(
                "The role may not execute the lock functions. Run the migrations with "
                "`-x grant_to=ROLE`, or grant EXECUTE on them."
            )
        case "25001":
            return WrongTransactionError(
                "The lock needs READ COMMITTED: a snapshot older than the lock does not see "
                "what its last holder wrote."
            )
    lost = transaction_status(connection) is TransactionStatus.UNKNOWN
    if lost:
        connection.invalidate(error)
    return DBAPIError.instance(statement, values, error, psycopg.Error, connection_invalidated=lost)


def _holder(
    pid: int | None, since: datetime | None, application_name: str | None
) -> LockHolder | None:
    return None if pid is None else LockHolder(pid, since, application_name)
