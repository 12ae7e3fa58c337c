"""The statements that call the SQL lock functions, and a transaction's identity.

The functions belong to Alembic; ``alembic/versions/sp_0002_lock_functions.py`` has their text.
What their SQLSTATEs mean is in ``domain.database_errors``.

SQLAlchemy and psycopg know that there is a transaction, not which one: after a COMMIT in a text
statement the next statement begins another, without the lock. So the statement that takes a lock
gives the transaction an identity, a local setting, that ends exactly with it.
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
"""In the text of every statement of the package that takes a lock, and of no other."""

IDENTITY: Final = "studyplan.transaction"
"""The transaction-local setting that identifies the transaction which took the locks."""

STUDENTS: Final = (
    "SELECT studyplan.acquire_student_locks(p_keys => g.keys, p_wait_ms => %(wait_ms)s, "
    "p_identity => %(identity)s, p_renewed => %(renewed)s)::pg_catalog.text, g.ids, g.students "
    "FROM (SELECT pg_catalog.array_agg(id) AS ids, pg_catalog.array_agg(student_id) AS students, "
    "pg_catalog.array_agg(studyplan.student_lock_key(tenant_id, student_id)) AS keys "
    "FROM studyplan.plan_groups WHERE tenant_id = %(tenant_id)s AND id = ANY(%(group_ids)s) "
    "HAVING pg_catalog.bool_or(id = %(asked_for)s)) g"
)
"""Locks the students of groups: a record as text, the groups' ids and their students' ids. It
renews the identity of the transaction that has the old one."""
# A record comes as the text of a JSON object, for which the driver needs no loader: it cannot read
# a timestamptz under every DateStyle.
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
"""What the package calls; the role needs EXECUTE on each."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to a request for locks."""

    acquired: bool
    outcome: Any
    key: int | None
    waited_ms: int
    holder: LockHolder | None
    behind_shared: bool
    """Whether only those who share the lock hold it, and this transaction is the next."""
    has_nodes: bool
    """Whether the server may be one of several nodes (Citus)."""
    kept: Mapping[str, str]
    """Limits of the session's own that stay in force."""

    @classmethod
    def of(cls, text: str | bytes | None) -> "Answer":
        """The answer in a row's first column; null means that the lock was free.

        Bytes are what psycopg makes of text under the client encoding SQL_ASCII.
        """
        if text is None:
            return AT_ONCE
        if text == _AT_ONCE_ON_A_NODE:
            return AT_ONCE_ON_A_NODE
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


AT_ONCE: Final = Answer(
    acquired=True,
    outcome="acquired",
    key=None,
    waited_ms=0,
    holder=None,
    behind_shared=False,
    has_nodes=False,
    kept={},
)


_AT_ONCE_ON_A_NODE: Final = '{"has_nodes": true}'
AT_ONCE_ON_A_NODE: Final = replace(AT_ONCE, has_nodes=True)


def enter(
    lock: PlanGroupLock | StudentLock,
    *,
    wait_ms: int,
    behind_shared_ms: int | None,
    identity: str,
    limits: Limits,
    node: str,
) -> str:
    """A statement that takes a lock, and sets the transaction's identity and limits (ms).

    It returns null, or a record as text. With literals, which are all our own, since it is sent
    together with BEGIN.

    :param wait_ms: how long to wait for the current holder of the lock.
    :param behind_shared_ms: without it, how long to wait for an exclusive lock behind shared
        ones; with 0 the transaction only becomes the next after them.
    :param node: what ``node_of`` gives, where there are several nodes.
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
    """A FROM clause of one row that takes a statement to the node which has the tenant's rows.

    On Citus a statement without a table runs on the node that the client is connected to, and
    two nodes would grant one lock twice. It need not find anything.
    """
    id_ = lock.student_id if isinstance(lock, StudentLock) else lock.group_id
    return (
        " FROM (SELECT pg_catalog.count(*) FROM studyplan.plan_groups "  # noqa: S608 - UUIDs
        f"WHERE tenant_id = '{lock.tenant_id}' AND id = '{id_}') node"
    )


def ask_if_stored(tenant_id: UUID, group_id: UUID) -> str:
    """A statement for one boolean: whether the tenant has the group."""
    return (
        "SELECT pg_catalog.count(*) > 0 FROM studyplan.plan_groups "  # noqa: S608 - UUIDs
        f"WHERE tenant_id = '{tenant_id}' AND id = '{group_id}'"
    )


def require_identity(identity: str, node: str = "") -> str:
    """A statement that raises SQLSTATE SP001 unless the transaction has the identity.

    With a literal, since a call of several statements takes no parameters.
    """
    return f"SELECT studyplan.require_plan_transaction('{identity}'){node}"


def ask_what_was_written(identity: str, node: str = "") -> str:
    """A statement for two booleans: whether the transaction is another one, and has written.

    A transaction has an id on the server from its first write on, however it was made. A
    setting that has ended reads as an empty string, or as null.
    """
    setting = f"pg_catalog.current_setting('{IDENTITY}', true)"
    wrote = "pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL"
    return f"SELECT {setting} IS DISTINCT FROM '{identity}', {wrote}{node}"  # noqa: S608 - our own


def entered(connection: Connection, statement: str) -> Answer:
    """The answer to a statement of ``enter``, with the BEGIN that it needs; one round trip."""
    try:
        (text,) = fetch_first(connection, statement)
    except DBAPIError as error:
        raise translation(error, During.LOCKING, connection) from error.orig
    return Answer.of(text)


def asked(
    connection: Connection, statement: str, values: tuple[Any, ...] | dict[str, Any]
) -> Sequence[Any]:
    """The row of a statement, executed by SQLAlchemy; empty if there is none."""
    try:
        return connection.exec_driver_sql(statement, values).one_or_none() or ()
    except DBAPIError as error:
        raise translation(error, During.LOCKING, connection) from error.orig


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


def new_identity() -> str:
    """An identity that no other transaction has; safe to write into a statement."""
    return uuid4().hex


@contextmanager
def committing_only(
    connection: Connection, identity: str, node: str, note: Callable[[CommitState], None]
) -> Iterator[None]:
    """Let COMMIT inside the block succeed only in the transaction with this identity.

    The server is asked in the same round trip, after which nothing more can be written.
    Raises ``LockNotHeldError`` in any other transaction, which is rolled back, and
    ``CommitOutcomeUnknownError`` if the connection is lost before the server's answer.

    :param node: what takes the question to where the lock is, see ``Acquired``.
    :param note: is called with each state that the COMMIT comes to.
    """
    with (
        translated(during=During.COMMIT),
        commit_after(connection, require_identity(identity, node), note),
    ):
        yield


def rolled_back_work(connection: Connection, identity: str | None, node: str) -> bool:
    """Roll back, and return whether the transaction had written anything; one round trip.

    Raises ``LockNotHeldError`` if it was not the transaction with this identity; with
    ``None`` any transaction is meant.
    """
    question = ask_what_was_written(identity or "", node)
    ended, wrote = roll_back_after(connection, question)
    if ended == "t" and identity is not None:
        raise LockNotHeldError(TRANSACTION_ENDED)
    return wrote == "t"
