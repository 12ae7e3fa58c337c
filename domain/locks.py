"""The locks of plan groups and students: keys, policy, and the statements that take them.

The only module that names the SQL lock functions and their SQLSTATEs. The functions belong
to Alembic; ``alembic/versions/sp_0002_lock_functions.py`` has their text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from domain.errors import (
    LockError,
    LockHolder,
    LockTimeoutError,
    PlanGroupLockedError,
    PlanGroupNotFoundError,
    SchemaError,
    WrongTransactionError,
)
from domain.lock_policy import PlanGroupLock, StudentLock, plan_group_lock_key
from domain.waiters import waiting_slot

FUNCTIONS_VERSION: Final = 1

_MILLISECOND: Final = timedelta(milliseconds=1)
_TRANSACTION_TIMEOUT_SINCE: Final = 170000
_SELECT: Final = (
    "SELECT acquired, outcome, lock_key, waited_ms, "
    "holder_pid, holder_since, holder_held_ms, holder_application"
)
# A limit that the session has of its own stays: whoever set it knows the server. It could
# not be lowered in a running transaction anyhow. Before PostgreSQL 17 there is only the first.
_LIMIT: Final = (
    ", set_config('{0}', CASE current_setting('{0}') WHEN '0' THEN %s "
    "ELSE current_setting('{0}') END, true)"
)
_LIMITS_15: Final = _LIMIT.format("idle_in_transaction_session_timeout")
_LIMITS_17: Final = _LIMITS_15 + _LIMIT.format("transaction_timeout")
_ONE: Final = " FROM public.acquire_plan_group_lock(%s, %s)"
_SEVERAL: Final = " FROM public.acquire_plan_locks(%s::bigint[], %s)"
_CHECK: Final = "SELECT * FROM public.check_plan_group_lock(%s)"
_STUDENT: Final = (
    "SELECT g.student_id, l.* FROM plan_groups g, LATERAL "
    "public.acquire_plan_locks(ARRAY[public.student_lock_key(g.student_id)], %s) l "
    "WHERE g.tenant_id = %s AND g.id = %s"
)


@dataclass(frozen=True, slots=True)
class LockStatus:
    """What the database tells of a group's lock; for people and messages, never as a gate."""

    held: bool
    held_by_me: bool
    holder: LockHolder | None
    waiting: int


def acquire(connection: Connection, lock: PlanGroupLock | StudentLock) -> int:
    """Take the lock as the first statement of the connection's outermost transaction.

    One round trip beyond the driver's BEGIN, limits included, waiting or not. The lock is
    released when the transaction ends, however it ends. Returns the milliseconds waited.

    Raises ``PlanGroupLockedError`` (no wait was asked for, or no slot to wait in was
    free), ``LockTimeoutError``, ``WrongTransactionError`` (autocommit, an open transaction,
    a savepoint, an isolation level above READ COMMITTED) and ``SchemaError`` (functions
    missing or not granted).
    """
    refuse_wrong_transaction(connection)
    limits = [str(lock.limits.idle // _MILLISECOND), str(lock.limits.transaction // _MILLISECOND)]
    chosen = _LIMITS_17
    if server_version(connection) < _TRANSACTION_TIMEOUT_SINCE:
        limits, chosen = limits[:1], _LIMITS_15
    one_group = isinstance(lock, PlanGroupLock) and not lock.others
    statement = _SELECT + chosen + (_ONE if one_group else _SEVERAL)
    key = lock.group_id if isinstance(lock, PlanGroupLock) and one_group else lock.keys
    with waiting_slot(connection.engine, wanted=bool(lock.wait)) as may_wait:
        wait_ms = -(-lock.wait // _MILLISECOND) if may_wait else 0
        row = _first_row(connection, statement, (*limits, key, wait_ms))
    if row[0]:
        return int(row[3])
    if isinstance(lock, StudentLock):
        raise _refusal(None, "student", row)
    raise _refusal(_group_of(row[2], lock), "group", row)


def acquire_student(
    connection: Connection, tenant_id: UUID, group_id: UUID, wait: timedelta
) -> UUID:
    """Take the lock of the group's student too; the group's is held already. The student's id.

    Always after the group's lock: two groups of one student must not plan the same hour,
    and requests that take both in this order cannot deadlock.

    Raises ``PlanGroupNotFoundError``, ``PlanGroupLockedError`` and ``LockTimeoutError``.
    """
    with waiting_slot(connection.engine, wanted=bool(wait)) as may_wait:
        wait_ms = -(-wait // _MILLISECOND) if may_wait else 0
        row = _first_row(connection, _STUDENT, (wait_ms, tenant_id, group_id))
    if not row:
        raise PlanGroupNotFoundError(group_id=group_id)
    student_id: UUID = row[0]
    if not row[1]:
        raise _refusal(group_id, "student", row[1:])
    return student_id


def check(connection: Connection, group_id: UUID) -> LockStatus:
    """Who holds the group's lock, since when, and how many wait. Takes nothing."""
    row = _first_row(connection, _CHECK, (group_id,))
    held, held_by_me, _key, pid, since, held_ms, application, waiting = row
    return LockStatus(held, held_by_me, _holder(pid, since, held_ms, application), waiting)


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
                "The lock functions are missing or of another version. Run `alembic upgrade "
                "head` (README, 'Schema') on this database."
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


def _refusal(
    group_id: UUID | None, scope: Literal["group", "student"], row: Sequence[Any]
) -> LockError:
    _acquired, outcome, _key, waited_ms, *told = row[:8]
    holder = _holder(*told)
    if outcome == "busy":
        return PlanGroupLockedError(group_id=group_id, scope=scope, holder=holder)
    return LockTimeoutError(group_id=group_id, scope=scope, waited_ms=waited_ms, holder=holder)


def _group_of(key: int, lock: PlanGroupLock) -> UUID:
    """Which of the lock's groups has the key that was busy."""
    return next((g for g in lock.group_ids if plan_group_lock_key(g) == key), lock.group_id)


def _holder(
    pid: int | None,
    since: datetime | None,
    held_ms: int | None,
    application_name: str | None,
) -> LockHolder | None:
    return None if pid is None else LockHolder(pid, since, held_ms, application_name)
