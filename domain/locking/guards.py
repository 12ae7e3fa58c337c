"""What a Session refuses inside a unit of work: writes without the lock, commits and statements
past it, and calls from two threads at the same time.

The listeners are registered on the class ``Session``, once per process: to register them on
each Session costs more than the lock's round trip. Sessions without a unit of work are not
affected.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import isfunction
from typing import Any, Final, Protocol, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, SessionTransaction

from domain.errors import LockNotHeldError

T = TypeVar("T")
Turn: TypeAlias = AbstractContextManager[object]
_INFO_KEY: Final = "studyplan.unit_of_work"


class WriteGuard(Protocol):
    """The unit of work that a Session belongs to."""

    @property
    def identity(self) -> str:
        """The identity of the transaction that took the locks."""

    def turn(self) -> Turn:
        """A block for one thread at a time; raises if another one is in it."""

    def require_held(self) -> None:
        """Raise unless the lock is held."""

    def require_lock(self, group_id: UUID) -> None:
        """Raise unless the group's lock is held."""

    def refuse_flush_from_outside(self) -> None:
        """Raise if another thread is using the unit of work, or the lock is not held."""

    def refuse_commit_from_outside(self) -> None:
        """Raise unless ``commit()`` of the unit of work commits."""

    def refuse_second_connection(
        self, transaction: SessionTransaction, connection: Connection
    ) -> None:
        """Raise if ``connection`` is not the one whose transaction took the lock."""


def protect(session: Session, guard: WriteGuard) -> None:
    """Ask ``guard`` from now on."""
    session.info[_INFO_KEY] = guard


def release(session: Session) -> None:
    """Ask it no more."""
    session.info.pop(_INFO_KEY, None)


def require_lock(session: Session, group_id: UUID) -> WriteGuard:
    """The guard of a Session whose unit of work holds the group's lock.

    For what writes past the flush. Raises ``LockNotHeldError`` if there is none.
    """
    guard = _guard_of(session)
    if guard is None:
        raise LockNotHeldError(
            f"Group {group_id} can be written only inside a unit of work that holds its lock; "
            "this Session belongs to none. Reading needs no lock."
        )
    guard.require_lock(group_id)
    return guard


def one_call_at_a_time(cls: type[T]) -> type[T]:
    """Make a repository refuse calls while another thread uses its unit of work.

    Each public method raises ``UnitOfWorkStateError`` then. On a Session without a unit of
    work nothing changes.
    """
    return in_turns(cls, _turn_of_repository)


def in_turns(cls: type[T], turn_of: Callable[..., Turn]) -> type[T]:
    """Run each public method of the class in the turn that ``turn_of`` finds for its call."""
    for name, method in list(vars(cls).items()):
        if isfunction(method) and not name.startswith("_"):
            setattr(cls, name, _in_turn(method, turn_of))
    return cls


def _in_turn(method: Callable[..., Any], turn_of: Callable[..., Turn]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with turn_of(*args, **kwargs):
            return method(*args, **kwargs)

    return call


def _turn_of_repository(repository: Any, *_: Any, **__: Any) -> Turn:
    guard = _guard_of(repository._session)  # noqa: SLF001 - of the classes that this decorates
    return nullcontext() if guard is None else guard.turn()


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
        guard.refuse_flush_from_outside()


@event.listens_for(Session, "before_commit")
def _before_commit(session: Session) -> None:
    guard = _guard_of(session)
    if guard is not None and not session.in_nested_transaction():
        guard.refuse_commit_from_outside()
