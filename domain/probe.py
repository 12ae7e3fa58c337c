"""A proof, at start-up, that the locks are real on this server."""

from typing import Final
from uuid import uuid4

from sqlalchemy import Connection, Engine

from domain import locking
from domain.errors import MisuseError, PlanGroupLockedError, SchemaError
from domain.locking import (
    PlanGroupLock,
    StudentLock,
    plan_group_lock_key,
    student_lock_key,
)
from domain.locking.waiters import most_waiters

_RUN: Final = "Run `alembic upgrade head` (README, 'Schema') with this version of the package."


def probe(engine: Engine) -> None:
    """Prove with two connections that what one holds the other is refused, until the commit.

    Every lock function is called the way the package calls it, on ids made for it: one
    group, several, a student. Writes no row and leaves nothing behind; its requests are
    told to ``domain.events`` like any others. Whether the tables are current is
    ``domain.schema.require_current``'s to say.

    Raises ``SchemaError`` if the functions are missing, not granted, of another version, or
    do not lock; ``WrongTransactionError`` if the engine's transactions cannot hold a lock
    (autocommit, isolation); ``MisuseError`` if its pool opens one connection alone.
    """
    if most_waiters(engine.pool) == 0:
        raise MisuseError(
            "The probe needs two connections at once and the pool opens only one. "
            "Give it an engine with a pool of two or more."
        )
    with engine.connect() as holder, engine.connect() as rival:
        try:
            _require_functions(holder)
            _require_exclusion(holder, rival)
        except SchemaError:
            # A function that is not ours may have left a lock with the session.
            holder.invalidate()
            rival.invalidate()
            raise


def _require_functions(connection: Connection) -> None:
    id_ = uuid4()
    with connection.begin():
        found, needed = locking.functions_version(connection), locking.FUNCTIONS_VERSION
        if found != needed:
            raise SchemaError(
                f"The lock functions have version {found}, this package needs {needed}. {_RUN}"
            )
        if locking.keys_in_sql(connection, id_) != (
            plan_group_lock_key(id_),
            student_lock_key(id_),
        ):
            raise SchemaError(
                "The database derives other keys than this package: the two would not exclude "
                f"each other. {_RUN}"
            )


def _require_exclusion(holder: Connection, rival: Connection) -> None:
    one, several, student = (
        PlanGroupLock(uuid4()),
        PlanGroupLock.of([uuid4(), uuid4()]),
        StudentLock(uuid4()),
    )
    for lock in (one, several, student):
        with holder.begin():
            locking.acquire(holder, lock)
            if not _refused(rival, lock):
                raise SchemaError(
                    "Two connections were given one lock: the lock functions of this database "
                    f"do not lock. {_RUN}"
                )
            _require_seen(rival, lock)
        if _refused(rival, lock):
            raise SchemaError(
                "A lock was still held after its transaction: the lock functions of this "
                f"database are not the package's. {_RUN}"
            )


def _require_seen(rival: Connection, lock: PlanGroupLock | StudentLock) -> None:
    for group_id in lock.group_ids:
        with rival.begin():
            if not locking.lock_status(rival, group_id).held:
                raise SchemaError(f"The lock that is held is not shown. {_RUN}")


def _refused(connection: Connection, lock: PlanGroupLock | StudentLock) -> bool:
    with connection.begin():
        try:
            locking.acquire(connection, lock)
        except PlanGroupLockedError:
            return True
        return False
