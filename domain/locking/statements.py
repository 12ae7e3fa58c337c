"""The statements that call the SQL lock functions, and what their errors mean.

The only module that names the functions and their SQLSTATEs. They belong to Alembic;
``alembic/versions/sp_0002_lock_functions.py`` has their text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from domain.database_errors import meaning_of, sqlstate
from domain.driver import fetch_first
from domain.errors import LockHolder, WrongTransactionError

ACQUIRING: Final = "public.acquire_plan_"
"""In the text of every statement that takes a lock, and of no other."""

IDENTITY: Final = "studyplan.transaction"
"""The transaction-local setting that identifies the transaction which took the locks."""
TRANSACTION_ENDED: Final = "SP001"
"""The SQLSTATE of ``REQUIRE`` in any other transaction."""

STUDENTS: Final = (
    "SELECT pg_catalog.to_jsonb(l)::text, g.ids, g.students, CASE WHEN l.acquired AND "
    "pg_catalog.current_setting('studyplan.transaction', true) = %s THEN "
    "pg_catalog.set_config('studyplan.transaction', %s, true) END "
    "FROM (SELECT array_agg(id) AS ids, "
    "array_agg(student_id) AS students, array_agg(public.student_lock_key(student_id)) AS keys "
    "FROM plan_groups WHERE tenant_id = %s AND id = ANY(%s) HAVING bool_or(id = %s)) g, "
    "LATERAL public.acquire_plan_locks(g.keys, %s) l"
)
"""Locks the students of groups: the record of acquire_plan_locks as text, the groups' ids and
their students' ids. It renews the identity of the transaction that has the old one: if a
savepoint that only the server knows is rolled back, these locks are released, and the identity
is the old one again."""
# A record comes as the text of a JSON object, for which the driver needs no loader: it cannot read
# a timestamptz under every DateStyle.
CHECK: Final = "SELECT pg_catalog.to_jsonb(c)::text FROM public.check_plan_group_lock(%s) c"
VERSION: Final = "SELECT public.plan_lock_version()"
KEYS: Final = "SELECT public.plan_group_lock_key(%s), public.student_lock_key(%s)"
FUNCTIONS: Final = (
    "public.acquire_plan_locks(bigint[], integer)",
    "public.acquire_plan_locks_with_limits(bigint[], integer, text, text, text, text)",
    "public.check_plan_group_lock(uuid)",
    "public.plan_group_lock_key(uuid)",
    "public.plan_lock_version()",
    "public.require_plan_transaction(text)",
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
    def of(cls, told: str | bytes | None) -> "Answer":
        """The answer in a row's first column; null means that the lock was free.

        Bytes are what psycopg makes of text under the client encoding SQL_ASCII.
        """
        if told is None:
            return AT_ONCE
        record = json.loads(told)
        return cls(
            acquired=record["acquired"],
            outcome=record["outcome"],
            key=record.get("lock_key"),
            waited_ms=record.get("waited_ms", 0),
            holder=holder_in(record),
            kept=record.get("kept", {}),
        )


AT_ONCE: Final = Answer(True, "acquired", None, 0, None, {})  # noqa: FBT003 - by position, once


def enter(keys: Iterable[int], wait_ms: int, identity: str, limits: Iterable[int]) -> str:
    """A statement that takes locks, and sets the transaction's identity and limits (ms).

    It returns null, or the record of acquire_plan_locks as text. With literals, which are all
    our own, since it is sent together with BEGIN.
    """
    values = (f"'{{{','.join(map(str, keys))}}}'", str(wait_ms), f"'{identity}'")
    quoted = (f"'{limit}'" for limit in limits)
    return f"SELECT public.acquire_plan_locks_with_limits({', '.join((*values, *quoted))})::text"


def require_identity(identity: str) -> str:
    """A statement that raises ``TRANSACTION_ENDED`` unless the transaction has the identity.

    With a literal, since a call of several statements takes no parameters.
    """
    return f"SELECT public.require_plan_transaction('{identity}')"


def ask_what_was_written(identity: str) -> str:
    """A statement for two booleans: whether the transaction is another one, and has written.

    A transaction has an id on the server from its first write on, however it was made. A
    setting that has ended reads as an empty string, or as null.
    """
    setting = f"pg_catalog.current_setting('{IDENTITY}', true)"
    wrote = "pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL"
    return f"SELECT {setting} IS DISTINCT FROM '{identity}', {wrote}"  # noqa: S608 - our own hex


def entered(connection: Connection, statement: str) -> Answer:
    """The answer to a statement of ``enter``, with the BEGIN that it needs; one round trip."""
    try:
        (told,) = fetch_first(connection, statement)
    except DBAPIError as error:
        raise _meaning(connection, error) from error.orig
    return Answer.of(told)


def asked(connection: Connection, statement: str, values: tuple[Any, ...]) -> Sequence[Any]:
    """The row of a statement, executed by SQLAlchemy; empty if there is none."""
    try:
        return connection.exec_driver_sql(statement, values).one_or_none() or ()
    except DBAPIError as error:
        raise _meaning(connection, error) from error.orig


def holder_in(record: Mapping[str, Any]) -> LockHolder | None:
    """Who holds the lock according to a function's record; ``None`` if it names nobody."""
    pid, gid = record.get("holder_pid"), record.get("holder_gid")
    if pid is None and gid is None:
        return None
    since = record["holder_since"]
    return LockHolder(
        pid=pid,
        since=since and datetime.fromisoformat(since).astimezone(UTC),
        held_ms=record["holder_held_ms"],
        application_name=record["holder_application"],
        gid=gid,
    )


def _meaning(connection: Connection, error: DBAPIError) -> Exception:
    """What a SQLSTATE means where a lock function was called; the error itself if nothing."""
    if sqlstate(error) == "25001":
        return WrongTransactionError(
            "The lock needs READ COMMITTED: a snapshot older than the lock does not see "
            "what its last holder wrote."
        )
    return meaning_of(error, connection) or error
