"""The statements that call the SQL lock functions, and what their errors mean.

The only module that names the functions and their SQLSTATEs. They belong to Alembic;
``alembic/versions/sp_0002_lock_functions.py`` has their text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from domain.database_errors import meaning_of, sqlstate
from domain.driver import first_row
from domain.errors import LockHolder, WrongTransactionError

ACQUIRING: Final = "public.acquire_plan_"
"""In the text of every statement that takes a lock, and of no other."""

# These two give null, or the record of acquire_plan_locks, first; as text, for which the
# driver needs no loader.
ENTER: Final = "SELECT public.acquire_plan_locks_within(%s, %s, %s, %s)::text"
STUDENTS: Final = (
    "SELECT pg_catalog.to_jsonb(l)::text, g.ids, g.students FROM (SELECT array_agg(id) AS ids, "
    "array_agg(student_id) AS students, array_agg(public.student_lock_key(student_id)) AS keys "
    "FROM plan_groups WHERE tenant_id = %s AND id = ANY(%s) HAVING bool_or(id = %s)) g, "
    "LATERAL public.acquire_plan_locks(g.keys, %s) l"
)
CHECK: Final = "SELECT * FROM public.check_plan_group_lock(%s)"
VERSION: Final = "SELECT public.plan_lock_version()"
KEYS: Final = "SELECT public.plan_group_lock_key(%s), public.student_lock_key(%s)"
FUNCTIONS: Final = (
    "public.acquire_plan_locks(bigint[], integer)",
    "public.acquire_plan_locks_within(bigint[], integer, text, text)",
    "public.check_plan_group_lock(uuid)",
    "public.plan_group_lock_key(uuid)",
    "public.plan_lock_version()",
    "public.student_lock_key(uuid)",
)
"""What these statements call; the role needs EXECUTE on each."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to a request for locks."""

    acquired: bool
    outcome: Any
    key: int | None
    waited_ms: int
    holder: LockHolder | None
    kept: Mapping[str, str]
    """Limits of the session's own that stay in force."""

    @classmethod
    def of(cls, told: str | None) -> "Answer":
        """The answer in a row's first column; null means that the lock was free."""
        if told is None:
            return AT_ONCE
        record = json.loads(told)
        return cls(
            acquired=record["acquired"],
            outcome=record["outcome"],
            key=record.get("lock_key"),
            waited_ms=record.get("waited_ms", 0),
            holder=_holder(record),
            kept=record.get("kept", {}),
        )


AT_ONCE: Final = Answer(True, "acquired", None, 0, None, {})  # noqa: FBT003 - by position, once


def key_array(keys: Iterable[int]) -> str:
    """Keys as PostgreSQL writes an array; the driver would look for a type that holds them."""
    return f"{{{','.join(map(str, keys))}}}"


def asked(connection: Connection, statement: str, values: tuple[Any, ...]) -> Sequence[Any]:
    """The row of a statement through the driver, empty if there is none; errors have names."""
    try:
        return first_row(connection, statement, values)
    except DBAPIError as error:
        raise _meaning(connection, error) from error.orig


def asked_in_transaction(
    connection: Connection, statement: str, values: tuple[Any, ...]
) -> Sequence[Any]:
    """The row of a statement that takes nothing, seen by SQLAlchemy's events."""
    try:
        return connection.exec_driver_sql(statement, values).one()
    except DBAPIError as error:
        raise _meaning(connection, error) from error.orig


def _holder(record: Mapping[str, Any]) -> LockHolder | None:
    if record.get("holder_pid") is None:
        return None
    since = record["holder_since"]
    return LockHolder(
        record["holder_pid"],
        since and datetime.fromisoformat(since),
        record["holder_held_ms"],
        record["holder_application"],
    )


def _meaning(connection: Connection, error: DBAPIError) -> Exception:
    """What a SQLSTATE means where a lock function was called; the error itself if nothing."""
    if sqlstate(error) == "25001":
        return WrongTransactionError(
            "The lock needs READ COMMITTED: a snapshot older than the lock does not see "
            "what its last holder wrote."
        )
    return meaning_of(error, connection) or error
