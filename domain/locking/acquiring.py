"""Taking the locks of plan groups and students, and telling what came of it."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from domain import events
from domain.driver import is_autocommit
from domain.errors import (
    LockError,
    LockTimeoutError,
    PlanGroupLockedError,
    PlanGroupNotFoundError,
    WrongTransactionError,
)
from domain.locking import limits, statements
from domain.locking.policy import PlanGroupLock, StudentLock, plan_group_lock_key, student_lock_key
from domain.locking.statements import AT_ONCE, Answer
from domain.locking.waiters import WaitingSlot

_MILLISECOND: Final = timedelta(milliseconds=1)


def acquire(
    connection: Connection, lock: PlanGroupLock | StudentLock, *, identity: str = ""
) -> int:
    """Take the lock in the connection's outermost transaction, before anything is read.

    One round trip beyond the driver's BEGIN, limits included, waiting or not. The lock is
    released when the transaction ends, however it ends; so does ``identity``, which the
    statement gives to the transaction. Returns the milliseconds waited. Reports the outcome
    to ``domain.events``.

    Raises ``PlanGroupLockedError`` (no wait was requested, or no slot to wait in was free),
    ``LockTimeoutError``, ``WrongTransactionError`` (autocommit, a savepoint, an isolation
    level above READ COMMITTED) and ``SchemaError`` (functions missing or not granted).
    """
    try:
        _refuse_wrong_transaction(connection)
        answer = _taken(connection, lock, identity)
    except Exception as error:
        events.emit(replace(_asked(lock), outcome="error", error_type=events.error_type(error)))
        raise
    if answer is AT_ONCE and not events.heard(events.LOCK_LOG, logging.DEBUG):
        return 0
    return _answered(_asked(lock, None if answer.acquired else answer.key), answer)


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
    """Take the locks of the groups' students too; the groups' are held already.

    Always after the groups' locks, and all in one statement in the order of their keys:
    two groups of one student must not plan the same hour, and requests that keep this
    order cannot deadlock. If they are acquired, the transaction whose identity is
    ``identity`` has the identity ``renewed`` from then on. Returns the student of each group
    that the tenant has. Reports the outcome to ``domain.events``.

    Raises ``PlanGroupNotFoundError`` if ``asked_for`` is not among them,
    ``PlanGroupLockedError``, ``LockTimeoutError`` and ``WrongTransactionError``.
    """
    event = events.LockEvent("acquired", "student", asked_for)
    try:
        _refuse_savepoint(connection)
        with WaitingSlot(connection.engine, wanted=bool(wait)) as slot:
            values = (
                identity,
                renewed,
                tenant_id,
                list(group_ids),
                asked_for,
                _wait_ms(wait, slot),
            )
            row = statements.asked(connection, statements.STUDENTS, values)
    except Exception as error:
        events.emit(replace(event, outcome="error", error_type=events.error_type(error)))
        raise
    if not row:
        raise PlanGroupNotFoundError(group_id=asked_for)
    answer, students = Answer.of(row[0]), dict(zip(row[1], row[2], strict=True))
    group_id = (
        asked_for if answer.key is None or answer.acquired else _whose_student(answer.key, students)
    )
    _answered(replace(event, group_id=group_id, student_id=students[group_id]), answer)
    return students


def _refuse_wrong_transaction(connection: Connection) -> None:
    if is_autocommit(connection):
        raise WrongTransactionError(
            "The connection is in autocommit mode: the lock would end with its own statement "
            "and still answer yes. Use an engine with a transactional isolation level."
        )
    _refuse_savepoint(connection)


def _refuse_savepoint(connection: Connection) -> None:
    if connection.in_nested_transaction():
        raise WrongTransactionError(
            "The connection is inside a savepoint: rolling it back would free the lock early, "
            "while the block goes on. Take the locks in the outermost transaction."
        )


def _taken(connection: Connection, lock: PlanGroupLock | StudentLock, identity: str) -> Answer:
    """The answer to the statement that asks for the lock and sets identity and limits."""
    with WaitingSlot(connection.engine, wanted=bool(lock.wait)) as slot:
        wait_ms, own = _wait_ms(lock.wait, slot), limits.milliseconds(lock.limits)
        answer = statements.entered(connection, statements.enter(lock.keys, wait_ms, identity, own))
    if answer.kept:
        limits.tell_kept(connection.engine.pool, lock.limits, answer.kept)
    return answer


def _wait_ms(wait: timedelta, slot: WaitingSlot) -> int:
    return -(-wait // _MILLISECOND) if slot.taken else 0


def _whose_student(key: int | None, students: Mapping[UUID, UUID]) -> UUID:
    """A group whose student has the key."""
    return next(group for group, student in students.items() if student_lock_key(student) == key)


def _asked(lock: PlanGroupLock | StudentLock, busy_key: int | None = None) -> events.LockEvent:
    """An event about the lock; the group that has ``busy_key``, or the only one, is named."""
    if isinstance(lock, StudentLock):
        return events.LockEvent("acquired", "student", student_id=lock.student_id)
    named = None if lock.others else lock.group_id
    if busy_key is not None and lock.others:
        keys = ((plan_group_lock_key(group_id), group_id) for group_id in lock.group_ids)
        named = next((group_id for key, group_id in keys if key == busy_key), lock.group_id)
    return events.LockEvent("acquired", "group", named, group_ids=lock.group_ids)


def _answered(asked: events.LockEvent, answer: Answer) -> int:
    """Tell what the server answered: the milliseconds waited, or the refusal is raised."""
    event = replace(asked, outcome=answer.outcome, waited_ms=answer.waited_ms, holder=answer.holder)
    refusal = None if answer.acquired else _refusal(event)
    events.emit(event if refusal is None else replace(event, error_type=refusal.code))
    if refusal is not None:
        raise refusal
    return answer.waited_ms


def _refusal(event: events.LockEvent) -> LockError:
    about: dict[str, Any] = {"group_id": event.group_id, "scope": event.scope}
    if event.outcome == "busy":
        return PlanGroupLockedError(**about, holder=event.holder)
    return LockTimeoutError(**about, holder=event.holder, waited_ms=event.waited_ms)
