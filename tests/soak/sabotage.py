"""Defects that are put into the unit of work to prove that the checker detects them.

The database has safeguards behind the lock: the exclusion constraints, the unique sequence numbers
and lineages, and the fence. They turn most of the damage into refusals; the checker must detect a
failing lock nevertheless. Without the safeguards, the damage reaches the rows.
"""

from collections.abc import Callable, Collection
from datetime import timedelta
from enum import Enum
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from domain import PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.locking import StudentLock, acquiring
from domain.locking.acquiring import Acquired
from domain.locking.policy import student_lock_key
from domain.locking.statements import IDENTITY
from domain.repositories import plan_writing


class Sabotage(Enum):
    """A defect of the unit of work."""

    NOTHING = "nothing"
    LOCK_SKIPPED = "the lock is reported as acquired without being requested"
    SHARED_SKIPPED = "a shared lock is reported as acquired without being requested"
    RELEASED_EARLY = "the transaction that acquired the lock ends before the work begins"
    SESSION_LOCK = "a session-level lock is acquired in a transaction before that of the work"
    OLD_SNAPSHOT = "the lock is acquired at REPEATABLE READ"


_DROP: Final = "ALTER TABLE studyplan.student_plans DROP CONSTRAINT"
DROP_CONSTRAINTS: Final = (
    f"{_DROP} ex_student_plans_overlap",
    f"{_DROP} ex_student_plans_units",
    "DROP INDEX studyplan.uq_student_plans_lineage",
    f"{_DROP} uq_student_plans_tenant_id_group_id_generation_sequence",
)
FUNCTIONS: Final = """
SELECT pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'studyplan'::regnamespace AND proname IN
  ('acquire_plan_locks', 'acquire_plan_locks_with_limits')
"""
LEVEL: Final = "current_setting('transaction_isolation')"
STUDENTS: Final = "SELECT id, student_id FROM studyplan.plan_groups WHERE id = ANY(%s)"
TRY: Final = "SELECT bool_and(pg_try_advisory_lock(k)) FROM unnest(%s::bigint[]) k"
UNLOCK: Final = sa.text("SELECT pg_advisory_unlock(k) FROM unnest(CAST(:keys AS bigint[])) k")


def isolation_level(sabotage: Sabotage) -> str:
    """Return the isolation level of the workers' engines."""
    return "REPEATABLE READ" if sabotage is Sabotage.OLD_SNAPSHOT else "READ COMMITTED"


def sabotage_database(connection: sa.Connection, sabotage: Sabotage, *, safeguards: bool) -> None:
    """Drop the safeguards, and disable the check of the isolation level in the lock functions."""
    for statement in () if safeguards else DROP_CONSTRAINTS:
        connection.exec_driver_sql(statement)
    if sabotage is Sabotage.OLD_SNAPSHOT:
        definitions = connection.scalars(sa.text(FUNCTIONS)).all()
        assert [LEVEL in text for text in definitions] == [True, True], (
            "both functions check the isolation level"
        )
        for text in definitions:
            connection.connection.cursor().execute(text.replace(LEVEL, "'read committed'"))
    connection.commit()


def sabotage_process(sabotage: Sabotage, *, safeguards: bool) -> None:
    """Put the defect into the package of this process, which is used for nothing else."""
    if not safeguards:
        _replace(plan_writing, "_require_rowcount", lambda _: lambda *_, **__: None)
    match sabotage:
        case Sabotage.LOCK_SKIPPED:
            _replace(acquiring, "acquire", lambda _: _begin_only)
            _replace(acquiring, "acquire_students", lambda _: _students)
        case Sabotage.SHARED_SKIPPED:
            _replace(acquiring, "acquire", _unless_shared)
        case Sabotage.RELEASED_EARLY:
            _replace(acquiring, "acquire", _followed_by_a_new_transaction)
            _replace(acquiring, "acquire_students", _followed_by_a_new_transaction)
        case Sabotage.SESSION_LOCK:
            _replace(acquiring, "acquire", lambda _: _session_lock)
            _replace(acquiring, "acquire_students", lambda _: _session_locks_of_students)
            _replace(UnitOfWork, "__exit__", _followed_by_unlocking)


def _replace(owner: Any, name: str, wrapped: Callable[[Any], Any]) -> None:
    setattr(owner, name, wrapped(getattr(owner, name)))


def _begin_only(connection: sa.Connection, *_: object, identity: str, **__: object) -> Acquired:
    _identify(connection, identity)  # its first statement makes the driver begin a transaction
    return Acquired()


def _unless_shared(acquire: Callable[..., Any]) -> Callable[..., Any]:
    def acquire_exclusive(connection: sa.Connection, lock: PlanGroupLock, **named: Any) -> Any:
        function = _begin_only if lock.shared else acquire
        return function(connection, lock, **named)

    return acquire_exclusive


def _identify(connection: sa.Connection, identity: str) -> None:
    """Set the identity by which the server recognizes the transaction that acquired the lock."""
    connection.connection.cursor().execute(f"SET LOCAL {IDENTITY} = '{identity}'")


def _students(
    connection: sa.Connection,
    _: UUID,
    group_ids: Collection[UUID],
    *__: object,
    renewed: str,
    **___: object,
) -> dict[UUID, UUID]:
    _identify(connection, renewed)
    return {row[0]: row[1] for row in connection.exec_driver_sql(STUDENTS, (list(group_ids),))}


def _followed_by_a_new_transaction(acquire: Callable[..., Any]) -> Callable[..., Any]:
    def acquire_and_release(connection: sa.Connection, *arguments: Any, **named: Any) -> Any:
        answer = acquire(connection, *arguments, **named)
        _new_transaction(connection, named.get("renewed") or named["identity"])
        return answer

    return acquire_and_release


def _new_transaction(connection: sa.Connection, identity: str) -> None:
    connection.connection.cursor().execute("COMMIT")
    _identify(connection, identity)


def _session_lock(
    connection: sa.Connection, lock: PlanGroupLock | StudentLock, *, identity: str, **_: object
) -> Acquired:
    group_id = lock.group_id if isinstance(lock, PlanGroupLock) else None
    _try_session_locks(connection, lock.keys, group_id, identity)
    return Acquired()


def _session_locks_of_students(
    connection: sa.Connection,
    tenant_id: UUID,
    group_ids: Collection[UUID],
    _: timedelta,
    *,
    asked_for: UUID,
    renewed: str,
    **__: object,
) -> dict[UUID, UUID]:
    found = _students(connection, tenant_id, group_ids, renewed=renewed)
    keys = sorted(student_lock_key(tenant_id, student) for student in {*found.values()})
    _try_session_locks(connection, keys, asked_for, renewed)
    return found


def _try_session_locks(
    connection: sa.Connection, keys: list[int], group_id: UUID | None, identity: str
) -> None:
    cursor = connection.connection.cursor()
    cursor.execute(TRY, (keys,))
    (acquired,) = cursor.fetchone() or (False,)
    _new_transaction(connection, identity)
    if not acquired:
        raise PlanGroupLockedError(group_id=group_id)


def _followed_by_unlocking(exit_: Callable[..., None]) -> Callable[..., None]:
    """Unlock at the end, as users of session-level locks do, on whichever backend is assigned."""

    def exit_and_unlock(uow: UnitOfWork, *error: Any) -> None:
        students = (student_lock_key(uow.tenant_id, student) for student in uow._students.held)
        keys = [*uow.lock.keys, *students]
        try:
            exit_(uow, *error)
        finally:
            with uow._factory() as session:
                session.execute(UNLOCK, {"keys": keys})

    return exit_and_unlock
