"""The locks of plan groups and students: statements that take them, and ask about them.

The only module that names the SQL lock functions and their SQLSTATEs. The functions belong
to Alembic; ``alembic/versions/sp_0002_lock_functions.py`` has their text.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain import events, lock_limits
from domain.driver import (
    first_row,
    refuse_savepoint,
    refuse_wrong_transaction,
    rolled_back_work,
    server_version,
    transaction_status,
)
from domain.errors import (
    LockError,
    LockHolder,
    LockTimeoutError,
    MisuseError,
    PlanGroupLockedError,
    PlanGroupNotFoundError,
    SchemaError,
    WrongTransactionError,
)
from domain.lock_policy import PlanGroupLock, StudentLock, plan_group_lock_key, student_lock_key
from domain.waiters import waiting_slot

__all__ = [
    "ACQUIRING",
    "FUNCTIONS_VERSION",
    "LockStatus",
    "acquire",
    "acquire_students",
    "check",
    "functions_version",
    "keys_in_sql",
    "lock_status",
    "refuse_wrong_transaction",
    "rolled_back_work",
    "server_version",
    "transaction_status",
]

FUNCTIONS_VERSION: Final = 1
ACQUIRING: Final = "public.acquire_plan_"
"""In the text of every statement that takes a lock, and of no other."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_SELECT: Final = (
    "SELECT acquired, outcome, lock_key, waited_ms, "
    "holder_pid, holder_since, holder_held_ms, holder_application"
)
_ONE: Final = " FROM public.acquire_plan_group_lock(%s, %s)"
_SEVERAL: Final = " FROM public.acquire_plan_locks(%s::bigint[], %s)"
_CHECK: Final = "SELECT * FROM public.check_plan_group_lock(%s)"
_STUDENTS: Final = (
    "SELECT l.*, g.ids, g.students FROM (SELECT array_agg(id) AS ids, array_agg(student_id) AS "
    "students, array_agg(public.student_lock_key(student_id)) AS keys FROM plan_groups "
    "WHERE tenant_id = %s AND id = ANY(%s) HAVING bool_or(id = %s)) g, "
    "LATERAL public.acquire_plan_locks(g.keys, %s) l"
)
_VERSION: Final = "SELECT public.plan_lock_version()"
_KEYS: Final = "SELECT public.plan_group_lock_key(%s), public.student_lock_key(%s)"


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
    Tells ``domain.events`` what came of it.

    Raises ``PlanGroupLockedError`` (no wait was asked for, or no slot to wait in was
    free), ``LockTimeoutError``, ``WrongTransactionError`` (autocommit, an open transaction,
    a savepoint, an isolation level above READ COMMITTED) and ``SchemaError`` (functions
    missing or not granted).
    """
    try:
        refuse_wrong_transaction(connection)
        row = _taken(connection, lock)
    except Exception as error:
        events.emit(replace(_asked(lock), outcome="error", error_type=events.error_type(error)))
        raise
    lock_limits.tell_kept(connection.engine.pool, lock.limits, row[8:])
    if row[0] and row[1] == "acquired" and not events.heard(events.LOCK_LOG, logging.DEBUG):
        return 0
    return _answered(_asked(lock, None if row[0] else row[2]), row)


def acquire_students(
    connection: Connection,
    tenant_id: UUID,
    group_ids: Collection[UUID],
    wait: timedelta,
    *,
    asked_for: UUID,
) -> dict[UUID, UUID]:
    """Take the locks of the groups' students too; the groups' are held already.

    Always after the groups' locks, and all in one statement in the order of their keys:
    two groups of one student must not plan the same hour, and requests that keep this
    order cannot deadlock. Returns the student of each group that the tenant has. Tells
    ``domain.events``.

    Raises ``PlanGroupNotFoundError`` if ``asked_for`` is not among them,
    ``PlanGroupLockedError``, ``LockTimeoutError`` and ``WrongTransactionError``.
    """
    event = events.LockEvent("acquired", "student", asked_for)
    try:
        refuse_savepoint(connection)
        with waiting_slot(connection.engine, wanted=bool(wait)) as may_wait:
            values = (tenant_id, list(group_ids), asked_for, _wait_ms(wait, may_wait))
            row = _first_row(connection, _STUDENTS, values)
    except Exception as error:
        events.emit(replace(event, outcome="error", error_type=events.error_type(error)))
        raise
    if not row:
        raise PlanGroupNotFoundError(group_id=asked_for)
    students = dict(zip(row[8], row[9], strict=True))
    if not row[0] or row[1] != "acquired" or events.heard(events.LOCK_LOG, logging.DEBUG):
        group_id = asked_for if row[0] else _whose_student(row[2], students)
        _answered(replace(event, group_id=group_id, student_id=students[group_id]), row)
    return students


def lock_status(asker: Session | Connection, group_id: UUID) -> LockStatus:
    """Who holds the group's lock, since when, and how many wait. Takes nothing.

    One statement in the asker's transaction, which the asker ends. Of a holder under
    another role the database tells the process alone unless the asking one may read
    ``pg_stat_activity`` (``pg_read_all_stats``). Raises ``SchemaError``.
    """
    connection = asker.connection() if isinstance(asker, Session) else asker
    found = _asked_of(connection, _CHECK, (group_id,))
    held, held_by_me, _key, *holder, waiting = found
    return LockStatus(held, held_by_me, _holder(*holder), waiting)


check = lock_status


def functions_version(connection: Connection) -> int:
    """The version of the database's lock functions; ``FUNCTIONS_VERSION`` is what fits.

    Raises ``SchemaError`` if there are none or the role may not execute them.
    """
    return int(_asked_of(connection, _VERSION, ())[0])


def keys_in_sql(connection: Connection, id_: UUID) -> tuple[int, int]:
    """The keys that the database derives from an id, as a group's and as a student's."""
    group, student = _asked_of(connection, _KEYS, (id_, id_))
    return group, student


def _taken(connection: Connection, lock: PlanGroupLock | StudentLock) -> Sequence[Any]:
    """The row of the statement that sets the limits and asks for the lock."""
    version = server_version(connection)
    one_group = isinstance(lock, PlanGroupLock) and not lock.others
    statement = _SELECT + lock_limits.columns(version) + (_ONE if one_group else _SEVERAL)
    key = lock.group_id if isinstance(lock, PlanGroupLock) and one_group else lock.keys
    limits = lock_limits.values(version, lock.limits)
    with waiting_slot(connection.engine, wanted=bool(lock.wait)) as may_wait:
        values = (*limits, key, _wait_ms(lock.wait, may_wait))
        return _first_row(connection, statement, values)


def _whose_student(key: int, students: Mapping[UUID, UUID]) -> UUID:
    """A group whose student has the key."""
    return next(group for group, student in students.items() if student_lock_key(student) == key)


def _wait_ms(wait: timedelta, may_wait: bool) -> int:  # noqa: FBT001 - what the slot said
    return -(-wait // _MILLISECOND) if may_wait else 0


def _asked(lock: PlanGroupLock | StudentLock, busy_key: int | None = None) -> events.LockEvent:
    """An event about the lock; the group that has ``busy_key``, or the only one, is named."""
    if isinstance(lock, StudentLock):
        return events.LockEvent("acquired", "student", student_id=lock.student_id)
    named = None if lock.others else lock.group_id
    if busy_key is not None and lock.others:
        keys = ((plan_group_lock_key(group_id), group_id) for group_id in lock.group_ids)
        named = next((group_id for key, group_id in keys if key == busy_key), lock.group_id)
    return events.LockEvent("acquired", "group", named, group_ids=lock.group_ids)


def _answered(asked: events.LockEvent, row: Sequence[Any]) -> int:
    """Tell what the server answered: the milliseconds waited, or the refusal is raised."""
    acquired, outcome, _key, waited_ms, *told = row[:8]
    event = replace(asked, outcome=outcome, waited_ms=waited_ms, holder=_holder(*told))
    refusal = None if acquired else _refusal(event)
    events.emit(event if refusal is None else replace(event, error_type=refusal.code))
    if refusal is not None:
        raise refusal
    return int(waited_ms)


def _refusal(event: events.LockEvent) -> LockError:
    about: dict[str, Any] = {"group_id": event.group_id, "scope": event.scope}
    if event.outcome == "busy":
        return PlanGroupLockedError(**about, holder=event.holder)
    return LockTimeoutError(**about, holder=event.holder, waited_ms=event.waited_ms)


def _first_row(connection: Connection, statement: str, values: tuple[Any, ...]) -> Sequence[Any]:
    try:
        return first_row(connection, statement, values)
    except DBAPIError as error:
        raise _meaning(error) from error.orig


def _asked_of(connection: Connection, statement: str, values: tuple[Any, ...]) -> Sequence[Any]:
    """The row of a statement that takes nothing, in the connection's transaction."""
    try:
        return connection.exec_driver_sql(statement, values).one()
    except DBAPIError as error:
        raise _meaning(error) from error.orig


def _meaning(error: DBAPIError) -> MisuseError | DBAPIError:
    """What a SQLSTATE means where a lock function was called; the error itself if nothing."""
    match getattr(error.orig, "sqlstate", None):
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
        case _:
            return error


def _holder(
    pid: int | None,
    since: datetime | None,
    held_ms: int | None,
    application_name: str | None,
) -> LockHolder | None:
    return None if pid is None else LockHolder(pid, since, held_ms, application_name)
