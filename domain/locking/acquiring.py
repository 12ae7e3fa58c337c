"""Acquires the locks of plan groups and students, and reports the outcome."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Pool

from domain import errors, events
from domain.database_errors import translated
from domain.driver import is_autocommit, roll_back_after
from domain.events import LOCK_LOG
from domain.locking import statements
from domain.locking.policy import (
    MILLISECOND,
    SHARED_WAIT,
    WAIT_BEHIND_SHARED,
    Limits,
    PlanGroupLock,
    StudentLock,
    WaitingSlot,
    plan_group_lock_key,
    student_lock_key,
)
from domain.locking.statements import IMMEDIATE, IMMEDIATE_WITH_NODES, Answer

_NO_WAIT: Final = timedelta(0)
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))
_logged: "WeakKeyDictionary[Pool, set[str]]" = WeakKeyDictionary()
# The pools whose server has several nodes (Citus). Every answer reports whether it has, so a pool
# that reconnects to such a server is detected, and the lock is acquired again on the right node.
_with_nodes: "WeakSet[Pool]" = WeakSet()


@dataclass(frozen=True, slots=True)
class Acquired:
    """The result of acquiring a lock."""

    waited_ms: int = 0
    node: str = ""
    """On Citus, the FROM clause that routes later queries about the transaction to the node that
    has the lock; elsewhere empty."""


def acquire(
    connection: Connection,
    lock: PlanGroupLock | StudentLock,
    *,
    identity: str = "",
    rolls_back: bool = False,
) -> Acquired:
    """Acquire the lock in the connection's outermost transaction, before anything is read.

    Takes one round trip, which includes the limits, any wait, and BEGIN unless SQLAlchemy has to
    send it (see ``domain.driver``). If the lock has no explicit ``wait``, a second round trip is
    needed to wait for a shared lock, or for an exclusive one that has only shared holders. After a
    refusal one more query checks whether the tenant has the group, because only that tenant may
    learn about the lock. A refused request may still hold a shared lock, so the caller must end
    the transaction.

    The statement also sets the transaction's ``identity``. Both the lock and the identity end with
    the transaction, however it ends. The outcome is reported to ``domain.events``.

    Raises ``PlanGroupLockedError`` (no wait was requested, or no waiting slot was free),
    ``LockTimeoutError``, ``PlanGroupNotFoundError`` in place of either if the tenant has no such
    group, ``WrongTransactionError`` (autocommit, a savepoint, an isolation level above READ
    COMMITTED, a shared lock in the same transaction) and ``SchemaError`` (functions are missing
    or not granted).

    :param rolls_back: roll back after a refusal, in the round trip of its query.
    """
    try:
        _refuse_wrong_transaction(connection)
        answer = _request(connection, lock, identity)
        is_hidden = not answer.acquired and not _is_stored(
            connection, lock.tenant_id, _group_of(lock, answer.key), rolls_back=rolls_back
        )
    except Exception as error:
        events.emit(replace(_event_of(lock), outcome="error", error_type=events.error_type(error)))
        raise
    if not _is_immediate(answer) or events.is_enabled(LOCK_LOG, logging.DEBUG):
        busy_key = None if answer.acquired else answer.key
        _report(_event_of(lock, busy_key), answer, is_hidden=is_hidden)
    return Acquired(answer.waited_ms, statements.node_of(lock) if answer.has_nodes else "")


def acquire_students(
    connection: Connection,
    tenant_id: UUID,
    group_ids: Collection[UUID],
    wait: timedelta,
    *,
    asked_for: UUID,
    identity: str = "",
    renewed: str = "",
) -> dict[UUID, UUID]:
    """Acquire the locks of the students of groups whose locks are held; return the students.

    Two groups of one student must not plan the same hour. The students' locks are always acquired
    after the groups' locks, and all in one statement in key order, so that requests cannot
    deadlock. If they are acquired, the transaction's identity changes from ``identity`` to
    ``renewed``. Returns the student of each group that the tenant has. The outcome is reported to
    ``domain.events``.

    Raises ``PlanGroupNotFoundError`` if the tenant does not have ``asked_for``,
    ``PlanGroupLockedError``, ``LockTimeoutError`` and ``WrongTransactionError``.
    """
    event = events.LockEvent("acquired", "student", asked_for)
    try:
        _refuse_savepoint(connection)
        with WaitingSlot(connection.engine, wanted=bool(wait)) as slot:
            values = {
                "wait_ms": _wait_ms(wait, slot),
                "identity": identity,
                "renewed": renewed,
                "tenant_id": tenant_id,
                "group_ids": list(group_ids),
                "asked_for": asked_for,
            }
            row = statements.fetch_row(connection, statements.STUDENTS, values)
    except Exception as error:
        events.emit(replace(event, outcome="error", error_type=events.error_type(error)))
        raise
    if not row:
        raise errors.PlanGroupNotFoundError(group_id=asked_for)
    answer, students = Answer.of(row[0]), dict(zip(row[1], row[2], strict=True))
    keys = {student_lock_key(tenant_id, student): group for group, student in students.items()}
    group_id = asked_for if answer.acquired or answer.key is None else keys[answer.key]
    _report(replace(event, group_id=group_id, student_id=students[group_id]), answer)
    return students


def _refuse_wrong_transaction(connection: Connection) -> None:
    if is_autocommit(connection):
        raise errors.WrongTransactionError(
            "The connection is in autocommit mode: the lock would be released at the end of its "
            "statement. Use an engine with a transactional isolation level."
        )
    _refuse_savepoint(connection)


def _refuse_savepoint(connection: Connection) -> None:
    if connection.in_nested_transaction():
        raise errors.WrongTransactionError(
            "The connection is inside a savepoint: rolling it back would release the lock before "
            "the end of the block. Acquire the locks in the outermost transaction."
        )


def _request(connection: Connection, lock: PlanGroupLock | StudentLock, identity: str) -> Answer:
    """Execute the statement that requests the lock and sets the identity and the limits.

    Without an explicit ``wait`` the first statement does not wait, and only a second one that has
    to wait needs a waiting slot. An exclusive request for several groups is a single statement: a
    refusal releases all their locks, so a later request could be served before a second statement.
    """
    send = partial(_execute_request, connection, lock, identity)
    if lock.wait is not None:
        answer = send(wait=lock.wait)
    elif lock.shared:
        answer = send()
        if not answer.acquired:
            answer = send(wait=SHARED_WAIT)
    elif lock.others:
        answer = send(behind_shared=WAIT_BEHIND_SHARED)
    else:
        answer = send(behind_shared=_NO_WAIT)
        if answer.behind_shared:
            answer = send(behind_shared=WAIT_BEHIND_SHARED)
    if answer.kept:
        _log_kept(connection.engine.pool, lock.limits, answer.kept)
    return answer


def _execute_request(
    connection: Connection,
    lock: PlanGroupLock | StudentLock,
    identity: str,
    *,
    wait: timedelta = _NO_WAIT,
    behind_shared: timedelta | None = None,
) -> Answer:
    pool = connection.engine.pool
    with WaitingSlot(connection.engine, wanted=bool(wait or behind_shared)) as slot:
        statement = partial(
            statements.enter,
            lock,
            wait_ms=_wait_ms(wait, slot),
            behind_shared_ms=None if behind_shared is None else _wait_ms(behind_shared, slot),
            identity=identity,
            limits=lock.limits,
        )
        if pool not in _with_nodes:
            answer = statements.execute_entry(connection, statement(node=""))
            if not answer.has_nodes:
                return answer
            # That lock is on the node that the client is connected to: repeat it on the right one.
            _with_nodes.add(pool)
        return statements.execute_entry(connection, statement(node=statements.node_of(lock)))


def _is_stored(
    connection: Connection, tenant_id: UUID, group_id: UUID | None, *, rolls_back: bool
) -> bool:
    """Whether the tenant has the group whose lock was refused; always true for a student."""
    if group_id is None:
        return True
    query = statements.select_group_exists(tenant_id, group_id)
    if not rolls_back:
        return bool(statements.fetch_row(connection, query, ())[0])
    with translated(connection, group_id=group_id):
        return roll_back_after(connection, query) == ("t",)


def _wait_ms(wait: timedelta, slot: WaitingSlot) -> int:
    return -(-wait // MILLISECOND) if slot.taken else 0


def _is_immediate(answer: Answer) -> bool:
    """Whether the lock was free and there is nothing else to report."""
    return answer is IMMEDIATE or answer is IMMEDIATE_WITH_NODES


def _event_of(lock: PlanGroupLock | StudentLock, busy_key: int | None = None) -> events.LockEvent:
    """Return an event about the lock; it names the group with ``busy_key``, or the only group."""
    if isinstance(lock, StudentLock):
        return events.LockEvent("acquired", "student", student_id=lock.student_id)
    return events.LockEvent(
        "acquired", "group", _group_of(lock, busy_key), group_ids=lock.group_ids, shared=lock.shared
    )


def _group_of(lock: PlanGroupLock | StudentLock, busy_key: int | None) -> UUID | None:
    """Return the group with ``busy_key``, or the only group; ``None`` if it is not known."""
    if isinstance(lock, StudentLock):
        return None
    if not lock.others:
        return lock.group_id
    keys = {plan_group_lock_key(group_id): group_id for group_id in lock.group_ids}
    return None if busy_key is None else keys.get(busy_key, lock.group_id)


def _report(request: events.LockEvent, answer: Answer, *, is_hidden: bool = False) -> None:
    """Report the server's answer, and raise the error if it is a refusal."""
    event = replace(
        request, outcome=answer.outcome, waited_ms=answer.waited_ms, holder=answer.holder
    )
    if answer.acquired:
        events.emit(event)
        return
    if is_hidden:
        event = replace(event, holder=None)
    refusal = _refusal(event, is_hidden=is_hidden)
    events.emit(replace(event, error_type=refusal.code))
    raise refusal


def _refusal(
    event: events.LockEvent, *, is_hidden: bool
) -> errors.LockError | errors.PlanGroupNotFoundError:
    if is_hidden and event.group_id is not None:
        # Probably another tenant's group: this tenant must not learn that its lock is held.
        return errors.PlanGroupNotFoundError(group_id=event.group_id)
    details: dict[str, Any] = {"group_id": event.group_id, "scope": event.scope}
    if event.outcome == "busy":
        return errors.PlanGroupLockedError(**details, holder=event.holder)
    return errors.LockTimeoutError(**details, holder=event.holder, waited_ms=event.waited_ms)


def _log_kept(pool: Pool, limits: Limits, kept: Mapping[str, str]) -> None:
    """Log, once per pool and setting, that a limit which the session already has is kept.

    It was set on purpose, and PostgreSQL ignores a lower one in a running transaction.
    """
    requested = {
        "idle_in_transaction_session_timeout": _format_limit(limits.idle),
        "transaction_timeout": _format_limit(limits.transaction),
        "lock_timeout": _format_limit(limits.row_lock),
    }
    logged = _logged.setdefault(pool, set())
    for name, in_force in kept.items():
        is_new = in_force != requested[name] and name not in logged
        if not is_new or not events.is_logged(LOCK_LOG, logging.INFO):
            continue
        logged.add(name)
        extra = {"event": "plan_group_lock.limit_kept", "setting": name, "kept": in_force}
        fields = {**extra, "asked": requested[name]}
        events.log(LOCK_LOG, logging.INFO, "%s stays at %s", name, in_force, fields=fields)


def _format_limit(limit: timedelta) -> str:
    """Format a limit as PostgreSQL does: in the largest unit that divides it."""
    ms = limit // MILLISECOND
    return next((f"{ms // size}{unit}" for unit, size in _UNITS if ms % size == 0), f"{ms}ms")
