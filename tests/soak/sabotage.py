"""Ways to spoil the unit of work, for the proof that the checker would notice.

The database has walls of its own behind the lock: the exclusion constraint, the unique
sequence, the fence. They turn most of the damage into refusals, and the checker must notice
a failing lock all the same; with the walls down, what it lets through reaches the rows.
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
from domain.repositories import student_plans


class Sabotage(Enum):
    """What is spoilt."""

    NOTHING = "nothing"
    LOCK_SKIPPED = "the lock is said to be held, and is not asked for"
    SHARED_SKIPPED = "a shared lock is said to be held, and is not asked for"
    RELEASED_EARLY = "the transaction that took the lock ends before the work begins"
    SESSION_LOCK = "the lock is the session's, taken in a transaction before the work's"
    OLD_SNAPSHOT = "at REPEATABLE READ the lock is given as well"


_DROP: Final = "ALTER TABLE studyplan.student_plans DROP CONSTRAINT"
WALLS: Final = (
    f"{_DROP} ex_student_plans_overlap",
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
    """The level of the workers' engines."""
    return "REPEATABLE READ" if sabotage is Sabotage.OLD_SNAPSHOT else "READ COMMITTED"


def spoil_database(connection: sa.Connection, sabotage: Sabotage, *, walls: bool) -> None:
    """Take the walls down, and silence the server's own refusal of other levels."""
    for wall in () if walls else WALLS:
        connection.exec_driver_sql(wall)
    if sabotage is Sabotage.OLD_SNAPSHOT:
        texts = connection.scalars(sa.text(FUNCTIONS)).all()
        assert [LEVEL in text for text in texts] == [True, True], "both refuse"
        for text in texts:
            connection.connection.cursor().execute(text.replace(LEVEL, "'read committed'"))
    connection.commit()


def spoil_process(sabotage: Sabotage, *, walls: bool) -> None:
    """Spoil the package in this process, which is never used for anything else."""
    if not walls:
        _replace(student_plans, "_require", lambda _: lambda *_, **__: None)
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


def _replace(where: Any, name: str, wrapped: Callable[[Any], Any]) -> None:
    setattr(where, name, wrapped(getattr(where, name)))


def _begin_only(connection: sa.Connection, *_: object, identity: str, **__: object) -> Acquired:
    _identify(connection, identity)  # the driver begins a transaction
    return Acquired()


def _unless_shared(acquire: Callable[..., Any]) -> Callable[..., Any]:
    def acquire_exclusive(connection: sa.Connection, lock: PlanGroupLock, **named: Any) -> Any:
        how = _begin_only if lock.shared else acquire
        return how(connection, lock, **named)

    return acquire_exclusive


def _identify(connection: sa.Connection, identity: str) -> None:
    """Let the server believe that this is the transaction which took the lock."""
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
    def acquire_and_let_go(connection: sa.Connection, *rest: Any, **named: Any) -> Any:
        answer = acquire(connection, *rest, **named)
        _new_transaction(connection, named.get("renewed") or named["identity"])
        return answer

    return acquire_and_let_go


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
    (taken,) = cursor.fetchone() or (False,)
    _new_transaction(connection, identity)
    if not taken:
        raise PlanGroupLockedError(group_id=group_id)


def _followed_by_unlocking(leave: Callable[..., None]) -> Callable[..., None]:
    """As those who use session locks do it: unlock in the end, on whatever backend that is."""

    def leave_and_unlock(uow: UnitOfWork, *error: Any) -> None:
        students = (student_lock_key(uow.tenant_id, student) for student in uow._students)
        keys = [*uow.lock.keys, *students]
        try:
            leave(uow, *error)
        finally:
            with uow._factory() as session:
                session.execute(UNLOCK, {"keys": keys})

    return leave_and_unlock
