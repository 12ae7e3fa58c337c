"""The statements that call the SQL lock functions, and a transaction's identity.

The Alembic revision ``alembic/versions/sp_0002_lock_functions.py`` creates the functions.
Their SQLSTATEs are translated in ``domain.database_errors``.

SQLAlchemy and psycopg know whether a transaction is open, but not which one: after a COMMIT in a
text statement, the next statement begins another transaction, without the lock. Therefore the
statement that acquires a lock also gives the transaction an identity, a transaction-local setting.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from domain.database_errors import TRANSACTION_ENDED, During, translated, translation
from domain.driver import CommitState, commit_after, fetch_first, roll_back_after
from domain.errors import LockHolder, LockNotHeldError
from domain.locking.policy import MILLISECOND, Limits, PlanGroupLock, StudentLock

ACQUIRING: Final = "studyplan.acquire_"
"""Occurs in every statement of the package that acquires a lock, and in no other statement."""

IDENTITY: Final = "studyplan.transaction"
"""The transaction-local setting that identifies the transaction which acquired the locks."""

STUDENTS: Final = (
    "SELECT studyplan.acquire_student_locks(p_keys => g.keys, p_wait_ms => %(wait_ms)s, "
    "p_identity => %(identity)s, p_renewed => %(renewed)s)::pg_catalog.text, g.ids, g.students "
    "FROM (SELECT pg_catalog.array_agg(id) AS ids, pg_catalog.array_agg(student_id) AS students, "
    "pg_catalog.array_agg(studyplan.student_lock_key(tenant_id, student_id)) AS keys "
    "FROM studyplan.plan_groups WHERE tenant_id = %(tenant_id)s AND id = ANY(%(group_ids)s) "
    "HAVING pg_catalog.bool_or(id = %(asked_for)s)) g"
)
"""Locks the students of groups. Returns a record as text, the groups' ids and the students' ids.
Changes the identity of the transaction that has the old one."""
# A record is returned as the text of a JSON object, because psycopg cannot load a timestamptz
# under every DateStyle.
CHECK: Final = (
    "SELECT pg_catalog.to_jsonb(studyplan.check_plan_group_lock(%s))::pg_catalog.text, found "
    "FROM (SELECT pg_catalog.count(*) AS found FROM studyplan.plan_groups "
    "WHERE tenant_id = %s AND id = %s) own"
)
VERSION: Final = "SELECT studyplan.plan_lock_version()"
KEYS: Final = "SELECT studyplan.plan_group_lock_key(%s), studyplan.student_lock_key(%s, %s)"
_ENTER_TYPES: Final = "bigint[], integer, boolean, integer, text, text, text, text"
FUNCTIONS: Final = (
    "studyplan.acquire_plan_locks(bigint[], integer, boolean, integer)",
    f"studyplan.acquire_plan_locks_with_limits({_ENTER_TYPES})",
    "studyplan.acquire_student_locks(bigint[], integer, text, text)",
    "studyplan.check_plan_group_lock(uuid)",
    "studyplan.is_plan_transaction(uuid, text)",
    "studyplan.plan_group_lock_key(uuid)",
    "studyplan.plan_lock_version()",
    "studyplan.plans_are_copyable()",
    "studyplan.require_plan_transaction(text)",
    "studyplan.student_lock_key(uuid, uuid)",
)
"""The functions that the package calls; the role needs EXECUTE on each."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's answer to a request for locks."""

    acquired: bool
    outcome: Any
    key: int | None
    waited_ms: int
    holder: LockHolder | None
    behind_shared: bool
    """Whether the lock has only shared holders, and this transaction is the next to acquire it."""
    has_nodes: bool
    """Whether the server may be one of several nodes (Citus)."""
    kept: Mapping[str, str]
    """The limits that the session already had, which are kept."""

    @classmethod
    def of(cls, text: str | bytes | None) -> "Answer":
        """Parse the first column of the answer's row; null means that the lock was free.

        Under the client encoding SQL_ASCII psycopg returns text as bytes.
        """
        if text is None:
            return IMMEDIATE
        if text == _IMMEDIATE_WITH_NODES_TEXT:
            return IMMEDIATE_WITH_NODES
        record = json.loads(text)
        return cls(
            acquired=record["acquired"],
            outcome=record["outcome"],
            key=record.get("lock_key"),
            waited_ms=record.get("waited_ms", 0),
            holder=holder_in(record),
            behind_shared=record.get("behind_shared", False),
            has_nodes=record.get("has_nodes", False),
            kept=record.get("kept", {}),
        )


IMMEDIATE: Final = Answer(
    acquired=True,
    outcome="acquired",
    key=None,
    waited_ms=0,
    holder=None,
    behind_shared=False,
    has_nodes=False,
    kept={},
)


_IMMEDIATE_WITH_NODES_TEXT: Final = '{"has_nodes": true}'
IMMEDIATE_WITH_NODES: Final = replace(IMMEDIATE, has_nodes=True)


def enter(
    lock: PlanGroupLock | StudentLock,
    *,
    wait_ms: int,
    behind_shared_ms: int | None,
    identity: str,
    limits: Limits,
    node: str,
) -> str:
    """Return the statement that acquires a lock and sets the transaction's identity and limits.

    The statement returns null, or a record as text. It contains literals, all made by this
    package, because it is sent together with BEGIN, and such a call has no parameters.

    :param wait_ms: how long to wait for the current holder of the lock.
    :param behind_shared_ms: if ``wait_ms`` is 0, how long to wait for an exclusive lock that has
        only shared holders; with 0 the transaction only becomes the next to acquire it.
    :param node: the result of ``node_of``, where there are several nodes.
    """
    keys = f"'{{{','.join(map(str, lock.keys))}}}'"
    arguments = {
        "p_keys": keys,
        "p_wait_ms": wait_ms,
        "p_shared": lock.shared,
        "p_behind_shared_ms": "NULL" if behind_shared_ms is None else behind_shared_ms,
        "p_identity": f"'{identity}'",
        "p_idle_timeout": f"'{limits.idle // MILLISECOND}'",
        "p_transaction_timeout": f"'{limits.transaction // MILLISECOND}'",
        "p_lock_timeout": f"'{limits.row_lock // MILLISECOND}'",
    }
    named = ", ".join(f"{name} => {value}" for name, value in arguments.items())
    call = f"studyplan.acquire_plan_locks_with_limits({named})"
    return f"SELECT {call}::pg_catalog.text{node}"


def node_of(lock: PlanGroupLock | StudentLock) -> str:
    """Return a FROM clause of one row that routes a statement to the node with the tenant's rows.

    On Citus a statement without a table runs on the node that the client is connected to, so two
    nodes would grant the same lock. The rows that the clause counts need not exist.
    """
    id_ = lock.student_id if isinstance(lock, StudentLock) else lock.group_id
    return (
        " FROM (SELECT pg_catalog.count(*) FROM studyplan.plan_groups "  # noqa: S608 - UUIDs
        f"WHERE tenant_id = '{lock.tenant_id}' AND id = '{id_}') node"
    )


def select_group_exists(tenant_id: UUID, group_id: UUID) -> str:
    """Return a statement with one boolean: whether the tenant has the group."""
    return (
        "SELECT pg_catalog.count(*) > 0 FROM studyplan.plan_groups "  # noqa: S608 - UUIDs
        f"WHERE tenant_id = '{tenant_id}' AND id = '{group_id}'"
    )


def require_identity(identity: str, node: str = "") -> str:
    """Return a statement that raises SQLSTATE SP001 unless the transaction has the identity.

    It contains a literal, because a call with several statements has no parameters.
    """
    return f"SELECT studyplan.require_plan_transaction('{identity}'){node}"


def select_transaction_state(identity: str, node: str = "") -> str:
    """Return a statement with two booleans about the current transaction.

    The first is whether its identity differs from ``identity``: after the end of a transaction its
    setting reads as an empty string or null. The second is whether it has written: PostgreSQL
    assigns a transaction id at the first write of any kind.
    """
    setting = f"pg_catalog.current_setting('{IDENTITY}', true)"
    wrote = "pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL"
    return f"SELECT {setting} IS DISTINCT FROM '{identity}', {wrote}{node}"  # noqa: S608 - constants


def execute_entry(connection: Connection, statement: str) -> Answer:
    """Execute a statement of ``enter``, together with BEGIN, in one round trip."""
    try:
        (text,) = fetch_first(connection, statement)
    except DBAPIError as error:
        raise translation(error, During.LOCKING, connection) from error.orig
    return Answer.of(text)


def fetch_row(
    connection: Connection, statement: str, values: tuple[Any, ...] | dict[str, Any]
) -> Sequence[Any]:
    """Execute a statement through SQLAlchemy; return its row, or an empty tuple without one."""
    try:
        return connection.exec_driver_sql(statement, values).one_or_none() or ()
    except DBAPIError as error:
        raise translation(error, During.LOCKING, connection) from error.orig


def holder_in(record: Mapping[str, Any]) -> LockHolder | None:
    """Return the holder of the lock from a function's record, ``None`` if it names none."""
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


def new_identity() -> str:
    """Return an identity that no other transaction has; it is safe in an SQL literal."""
    return uuid4().hex


@contextmanager
def checked_commit(
    connection: Connection, identity: str, node: str, note: Callable[[CommitState], None]
) -> Iterator[None]:
    """Let COMMIT inside the block succeed only in the transaction with this identity.

    The check is part of the COMMIT's round trip, so nothing can be written after it. Raises
    ``LockNotHeldError`` in any other transaction, which is rolled back, and
    ``CommitOutcomeUnknownError`` if the connection is lost before the server's answer.

    :param node: routes the check to the node that has the lock, see ``Acquired``.
    :param note: is called with each state that the COMMIT reaches.
    """
    with (
        translated(during=During.COMMIT),
        commit_after(connection, require_identity(identity, node), note),
    ):
        yield


def roll_back_reporting_writes(connection: Connection, identity: str | None, node: str) -> bool:
    """Roll back, and return whether the transaction had written anything, in one round trip.

    Raises ``LockNotHeldError`` if the transaction has another identity, unless ``identity`` is
    ``None``.
    """
    query = select_transaction_state(identity or "", node)
    is_other, wrote = roll_back_after(connection, query)
    if is_other == "t" and identity is not None:
        raise LockNotHeldError(TRANSACTION_ENDED)
    return wrote == "t"
