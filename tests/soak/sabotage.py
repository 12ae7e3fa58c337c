"""Ways to spoil the unit of work, for the proof that the checker would notice.

The database has walls of its own behind the lock: the exclusion constraint, the unique
sequence, the fence. They would refuse the damage and so hide that the lock failed; in a
sabotaged load all of them are down, and the control is a load with the walls down and the
lock intact.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from domain import UnitOfWork, locks
from domain.lock_policy import student_lock_key
from domain.repositories import student_plans


class Sabotage(Enum):
    """What is spoilt."""

    NOTHING = "nothing"
    WALLS = "the walls behind the lock are down"
    LOCK_SKIPPED = "and the lock is said to be held, and is not"
    RELEASED_EARLY = "and the transaction that took the lock ends before the work begins"
    SESSION_LOCK = "and the lock is the session's, taken in a transaction before the work's"
    OLD_SNAPSHOT = "and at REPEATABLE READ the lock is given as well"


WALLS = (
    "ALTER TABLE student_plans DROP CONSTRAINT ex_student_plans_overlap",
    "ALTER TABLE student_plans DROP CONSTRAINT uq_student_plans_group_id_generation_sequence",
)

REPLACED = {
    Sabotage.LOCK_SKIPPED: {
        "pg_try_advisory_xact_lock(lock_key)": "(lock_key IS NOT NULL)",
    },
    Sabotage.SESSION_LOCK: {
        "pg_try_advisory_xact_lock(": "pg_try_advisory_lock(",
        "PERFORM pg_advisory_xact_lock(": "PERFORM pg_advisory_lock(",
    },
    Sabotage.OLD_SNAPSHOT: {
        "current_setting('transaction_isolation')": "'read committed'",
    },
}

FUNCTIONS = """
SELECT pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'acquire_plan%'
"""


def isolation_level(sabotage: Sabotage) -> str:
    """The level of the workers' engines."""
    return "REPEATABLE READ" if sabotage is Sabotage.OLD_SNAPSHOT else "READ COMMITTED"


def spoil_database(connection: sa.Connection, sabotage: Sabotage) -> None:
    """Take the walls down, and replace the lock functions where that is the sabotage."""
    if sabotage is Sabotage.NOTHING:
        return
    for wall in WALLS:
        connection.exec_driver_sql(wall)
    for old, new in REPLACED.get(sabotage, {}).items():
        definitions = connection.scalars(sa.text(FUNCTIONS)).all()
        spoilt = [text.replace(old, new) for text in definitions if old in text]
        assert spoilt, f"no lock function says {old}"
        for text in spoilt:
            connection.connection.cursor().execute(text)
    connection.commit()


def spoil_process(sabotage: Sabotage) -> None:
    """Spoil the package in this process, which is never used for anything else."""
    if sabotage is Sabotage.NOTHING:
        return
    _replace(student_plans, "_require", lambda _: lambda *_, **__: None)
    if sabotage in {Sabotage.RELEASED_EARLY, Sabotage.SESSION_LOCK}:
        _replace(locks, "acquire", _followed_by_a_new_transaction)
        _replace(locks, "acquire_student", _followed_by_a_new_transaction)
    if sabotage is Sabotage.SESSION_LOCK:
        _replace(UnitOfWork, "__exit__", _followed_by_unlocking)


def _replace(where: Any, name: str, wrapped: Callable[[Any], Any]) -> None:
    setattr(where, name, wrapped(getattr(where, name)))


def _followed_by_a_new_transaction(acquire: Callable[..., Any]) -> Callable[..., Any]:
    def acquire_and_let_go(connection: sa.Connection, *arguments: Any) -> Any:
        answer = acquire(connection, *arguments)
        cursor = connection.connection.cursor()
        cursor.execute("COMMIT")
        cursor.execute("SELECT 1")  # the driver begins a transaction before it
        return answer

    return acquire_and_let_go


def _followed_by_unlocking(leave: Callable[..., None]) -> Callable[..., None]:
    """As those who use session locks do it: unlock in the end, on whatever backend that is."""

    def leave_and_unlock(uow: UnitOfWork, *error: Any) -> None:
        students: set[UUID] = getattr(uow, "_students", set())
        keys = [*uow.lock.keys, *map(student_lock_key, students)]
        factory: Any = getattr(uow, "_factory", None)
        try:
            leave(uow, *error)
        finally:
            with factory() as session:
                session.execute(
                    sa.text("SELECT pg_advisory_unlock(k) FROM unnest(CAST(:k AS bigint[])) k"),
                    {"k": keys},
                )

    return leave_and_unlock
