"""Guards the Session of a unit of work.

Refuses writes without the lock, commits that bypass the unit of work, and simultaneous calls from
several threads.

The listeners are registered on the class ``Session``, once per process, because registering them
on each Session costs more than the lock's round trip. Sessions without a unit of work are not
affected.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import isfunction
from itertools import chain
from typing import Any, Final, Protocol, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import Connection, event, inspect
from sqlalchemy.orm import Session, SessionTransaction

from domain.database_errors import translated
from domain.errors import LockNotHeldError
from domain.locking.policy import PlanGroupLock, StudentLock
from domain.models.base import Base
from domain.models.fields import refuse_unstorable
from domain.models.plan import StudentPlan
from domain.models.plan_group import PlanGroup

T = TypeVar("T")
CallContext: TypeAlias = AbstractContextManager[object]
_INFO_KEY: Final = "studyplan.unit_of_work"


class WriteGuard(Protocol):
    """The unit of work that a Session belongs to."""

    @property
    def identity(self) -> str:
        """The identity of the transaction that acquired the locks."""

    @property
    def tenant_id(self) -> UUID:
        """The tenant whose rows are read and written."""

    def exclusive_call(self) -> CallContext:
        """Return a context for one thread at a time; raises if another thread is in it."""

    def require_held(self) -> None:
        """Raise unless the lock is held."""

    def require_lock(self, group_id: UUID) -> None:
        """Raise unless the group's exclusive lock is held."""

    def forget_students(self, *group_ids: UUID) -> None:
        """Read the students of these groups again before their locks are relied on."""

    def refuse_flush(self, session: Session) -> None:
        """Raise unless the lock is held and allows the flush, and no other thread is active."""

    def refuse_commit_from_outside(self) -> None:
        """Raise unless ``commit()`` of the unit of work is running."""

    def note_rollback(self, transaction: SessionTransaction) -> None:
        """Record that the Session has rolled back a transaction or a savepoint."""

    def refuse_second_connection(
        self, transaction: SessionTransaction, connection: Connection
    ) -> None:
        """Raise if ``connection`` is not the one whose transaction acquired the lock."""


def protect(session: Session, guard: WriteGuard) -> None:
    """Consult ``guard`` from now on."""
    session.info[_INFO_KEY] = guard


def release(session: Session) -> None:
    """Stop consulting the guard."""
    session.info.pop(_INFO_KEY, None)


def require_lock(session: Session, tenant_id: UUID, group_id: UUID) -> WriteGuard:
    """Return the guard of a Session whose unit of work holds the lock of the tenant's group.

    For code that writes without a flush. Raises ``LockNotHeldError`` if the Session has no such
    unit of work.
    """
    guard = _guard_of(session)
    if guard is None:
        raise LockNotHeldError(
            f"Group {group_id} can be written only inside a unit of work that holds its lock, and "
            "this Session does not belong to one. Reading needs no lock."
        )
    if guard.tenant_id != tenant_id:
        raise LockNotHeldError(
            f"The unit of work belongs to tenant {guard.tenant_id} and cannot write rows of tenant "
            f"{tenant_id}. Enter one for each tenant."
        )
    guard.require_lock(group_id)
    return guard


def refuse_rows(
    session: Session, lock: PlanGroupLock | StudentLock, student_ids: Collection[UUID]
) -> None:
    """Raise for rows that a flush must not write; rows of the application's tables are ignored.

    Raises ``LockNotHeldError`` for rows that the locks do not cover: those of another tenant or
    group, those of a student as a whole unless that student is locked, and under a shared lock
    everything except changed plans. Raises ``InvalidInputError`` for values that the columns cannot
    store.

    :param student_ids: the students whose locks are held.
    """
    changed = [row for row in session.dirty if session.is_modified(row)]
    written = [row for row in chain(session.new, changed) if isinstance(row, Base)]
    for row in (*written, *(row for row in session.deleted if isinstance(row, Base))):
        _refuse_other_tenant(row, lock.tenant_id)
        if lock.shared and not _is_mark(row, changed, lock):
            raise LockNotHeldError(
                f"{type(row).__name__} cannot be written under a shared lock, which allows only "
                "marks of progress in its groups. Enter a unit of work with an exclusive lock."
            )
        _refuse_unlocked(row, lock.group_ids, student_ids)
    refuse_unstorable(written)


def flush_groups(session: Session, connection: Connection, group_id: UUID) -> None:
    """Flush if a group is new, changed or deleted in the Session, for statements that bypass it.

    Without one nothing is flushed, because other rows may need the lock of a student first. Errors
    of the database are translated.
    """
    pending = chain(session.new, session.dirty, session.deleted)
    if any(isinstance(row, PlanGroup) for row in pending):
        flush(session, connection, group_id)


def flush(session: Session, connection: Connection, group_id: UUID) -> None:
    """Flush, also if the Session does not autoflush, and translate errors of the database.

    For statements that read and write plans. What is pending does not exist for them: a plan that
    the application has marked as done would be planned again.
    """
    with translated(connection, group_id=group_id):
        session.flush()


def groups_of_another_student(session: Session) -> set[UUID]:
    """Return the groups that a flush stores, deletes or gives to another student."""
    moved = (row for row in session.dirty if isinstance(row, PlanGroup) and _is_moved(row))
    return {
        row.id for row in chain(session.new, session.deleted, moved) if isinstance(row, PlanGroup)
    }


def _is_moved(group: PlanGroup) -> bool:
    state: Any = inspect(group)
    return bool(state.attrs.student_id.history.has_changes())


def _refuse_other_tenant(row: Base, tenant_id: UUID) -> None:
    state: Any = inspect(row)
    # Both the tenant that the row was read with and its current one must match. A new part of a
    # group has no tenant yet: the flush sets its group's.
    tenants = {state.attrs.tenant_id.value, state.identity[0] if state.identity else None}
    if not tenants <= {None, tenant_id}:
        raise LockNotHeldError(
            f"{type(row).__name__} of another tenant cannot be written in a unit of work of "
            f"tenant {tenant_id}. Enter one for each tenant."
        )


def _refuse_unlocked(row: Base, group_ids: Collection[UUID], student_ids: Collection[UUID]) -> None:
    """Raise for a row of a group or student whose lock is not held, before or after the change.

    A new part of a group may have no group yet: the group itself counts as changed then.
    """
    groups = _values(row, "id" if isinstance(row, PlanGroup) else "group_id")
    if not groups <= {None, *group_ids}:
        raise LockNotHeldError(
            f"{type(row).__name__} of group {next(iter(groups - {None, *group_ids}))} cannot be "
            "written: the unit of work does not hold the lock of this group. Enter one for every "
            "group that is written."
        )
    # The lock of a group alone protects its rows. A row that has no group, or had none, is one of
    # all groups of its student.
    if (not groups or None in groups) and not _values(row, "student_id") <= {None, *student_ids}:
        raise LockNotHeldError(
            f"{type(row).__name__} of a student cannot be written: the unit of work does not hold "
            "the lock of this student. Enter one with a StudentLock, or call lock_student()."
        )


def _values(row: Base, name: str) -> set[Any]:
    """Return the value of a column and, if it has been changed, the one before.

    The one before is known even if it was not loaded, because the columns are ``OwnerId``.
    """
    attributes: Any = inspect(row).attrs
    if name not in attributes:
        return set()
    return {attributes[name].value, *(attributes[name].history.deleted or ())}


def _is_mark(row: Base, changed: Sequence[Any], lock: PlanGroupLock | StudentLock) -> bool:
    """Whether the row is a changed plan of a locked group."""
    return isinstance(row, StudentPlan) and row in changed and row.group_id in lock.group_ids


def serialize_calls(cls: type[T]) -> type[T]:
    """Decorate a repository class to refuse calls while another thread uses its unit of work.

    Each public method then raises ``UnitOfWorkStateError``. Calls on a Session without a unit of
    work are not affected.
    """
    return run_methods_inside(cls, _exclusive_call_of_repository)


def run_methods_inside(cls: type[T], context_of: Callable[..., CallContext]) -> type[T]:
    """Run each public method of the class inside the context that ``context_of`` returns."""
    for name, method in list(vars(cls).items()):
        if isfunction(method) and not name.startswith("_"):
            setattr(cls, name, _run_inside(method, context_of))
    return cls


def _run_inside(
    method: Callable[..., Any], context_of: Callable[..., CallContext]
) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with context_of(*args, **kwargs):
            return method(*args, **kwargs)

    return call


def _exclusive_call_of_repository(repository: Any, *_: Any, **__: Any) -> CallContext:
    guard = _guard_of(repository._session)  # noqa: SLF001 - of a decorated class
    return nullcontext() if guard is None else guard.exclusive_call()


def _guard_of(session: Session) -> WriteGuard | None:
    guard: WriteGuard | None = session.info.get(_INFO_KEY)
    return guard


@event.listens_for(Session, "after_begin")
def _after_begin(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if (guard := _guard_of(session)) is not None:
        guard.refuse_second_connection(transaction, connection)


@event.listens_for(Session, "before_flush")
def _before_flush(session: Session, *_: Any) -> None:
    if (guard := _guard_of(session)) is not None:
        guard.refuse_flush(session)


@event.listens_for(Session, "before_commit")
def _before_commit(session: Session) -> None:
    guard = _guard_of(session)
    if guard is not None and not session.in_nested_transaction():
        guard.refuse_commit_from_outside()


@event.listens_for(Session, "after_soft_rollback")
def _after_soft_rollback(session: Session, transaction: SessionTransaction) -> None:
    if (guard := _guard_of(session)) is not None:
        guard.note_rollback(transaction)
