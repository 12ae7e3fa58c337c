"""Units of work inside one another: whoever asks for a lock that he holds himself.

To the server they are two clients, so the inner one would be refused, or wait for a lock
that cannot come free before its wait is over. That is a bug of the caller and no 409.

What a task has open is kept in its context. Tasks inherit their creator's context and may
outlive the block, so whose a unit of work is, and whether it is open, is looked at each time.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from domain.errors import LockError, UnitOfWorkStateError
from domain.lock_policy import PlanGroupLock, StudentLock

T = TypeVar("T")
Owner: TypeAlias = "tuple[int, asyncio.Task[Any] | None]"

_HELP: Final = (
    "Pass the open unit of work on to whoever needs it, or leave its block first: the two are "
    "different transactions, and the inner one would wait for the outer one."
)


@dataclass(slots=True, eq=False)
class Claim:
    """What one unit of work has locked, and who entered it.

    Refers weakly to the Session: a unit of work that is dropped without being left must be
    free to go, for that is what ends its transaction.
    """

    owner: Owner
    session: ref[Session]
    group_ids: frozenset[UUID]
    student_ids: set[UUID]
    backend_pid: int | None = None
    open: bool = True

    def blocks(self, later: "Claim") -> bool:
        """Whether the later one of the same thread and task is opened while this is open."""
        return (
            self is not later
            and self.open
            and self.owner == later.owner
            and _same_database(self.session(), later.session())
        )


_claims: ContextVar[tuple[Claim, ...]] = ContextVar("studyplan_units_of_work", default=())
_on_behalf_of: "WeakKeyDictionary[asyncio.Task[Any], asyncio.Task[Any]]" = WeakKeyDictionary()


def claim(session: Session, lock: PlanGroupLock | StudentLock, students: set[UUID]) -> Claim:
    """Note what is about to be locked; ``students`` may grow.

    Raises ``UnitOfWorkStateError`` if this thread and task has some of it in another unit of
    work, before anything is asked of the server.
    """
    mine = Claim(current_owner(), ref(session), lock.group_ids, students)
    for other in _claims.get():
        shared = (other.group_ids & mine.group_ids) or (other.student_ids & students)
        if shared and other.blocks(mine):
            raise UnitOfWorkStateError(
                f"The lock of {next(iter(shared))} is held by another unit of work of this very "
                f"thread or task, which is still open. {_HELP}"
            )
    note(mine)
    return mine


def held(mine: Claim, connection: Connection) -> None:
    """The locks are taken, by the connection's backend."""
    driver = connection.connection.driver_connection
    mine.backend_pid = None if driver is None else driver.info.backend_pid


def note(mine: Claim) -> None:
    """Make a claim known in the current context, if it was made in a copy of it."""
    _claims.set((*_others(mine), mine))


def drop(mine: Claim | None) -> None:
    """The unit of work has ended, if it ever began."""
    if mine is not None:
        mine.open = False
        _claims.set(_others(mine))


def explain(refusal: LockError, mine: Claim | None) -> None:
    """Raise ``UnitOfWorkStateError`` if who holds the lock is this very thread or task."""
    pid = getattr(refusal.data["holder"], "pid", None)
    if pid is None or mine is None:
        return
    for other in _claims.get():
        if other.backend_pid == pid and other.blocks(mine):
            raise UnitOfWorkStateError(
                f"Another unit of work of this very thread or task holds the lock. {_HELP}"
            ) from refusal


def current_owner() -> Owner:
    """The thread and, in an event loop, the task for which this code runs."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # there is no event loop in this thread
        task = None
    return threading.get_ident(), _on_behalf_of.get(task, task) if task else None


async def acting_for(owner: Owner, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What ``work`` gives, in a task that counts as the owner's."""
    helper, (_, task) = asyncio.current_task(), owner
    if helper is not None and task is not None:
        _on_behalf_of[helper] = task
    return await work()


def _others(mine: Claim) -> tuple[Claim, ...]:
    return tuple(one for one in _claims.get() if one.open and one is not mine)


def _same_database(one: Session | None, other: Session | None) -> bool:
    if one is None or other is None:
        return False
    first, second = one.get_bind().engine, other.get_bind().engine
    ours, theirs = first.url, second.url
    return first is second or (
        ours.database is not None
        and (ours.host, ours.port, ours.database) == (theirs.host, theirs.port, theirs.database)
    )
