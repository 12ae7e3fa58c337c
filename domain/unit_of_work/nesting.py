"""Units of work inside one another: whoever asks for a lock that he holds himself.

To the server they are two clients, so the inner one would be refused, or wait for a lock
that cannot come free before its wait is over. That is a bug of the caller and no 409.

What is open is kept in the context. Tasks inherit their creator's context and may outlive
the block, so whose a claim is, and whether it is open, is looked at each time.
"""

import asyncio
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID
from weakref import ref

from sqlalchemy.orm import Session

from domain.errors import UnitOfWorkStateError

Owner: TypeAlias = "tuple[int, asyncio.Task[Any] | None]"


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
    open: bool = True

    def is_open(self) -> bool:
        """Whether the unit of work has not ended yet."""
        return self.open and self.session() is not None

    def end(self) -> None:
        """The unit of work has ended."""
        self.open = False

    def shares_with(self, earlier: "Claim") -> set[UUID]:
        """What both of them lock, in one database and for one thread and task."""
        mine, theirs = self.session(), earlier.session()
        if self.owner != earlier.owner or mine is None or theirs is None:
            return set()
        shared = {*self.group_ids, *self.student_ids} & {*earlier.group_ids, *earlier.student_ids}
        return shared if shared and mine.get_bind().engine is theirs.get_bind().engine else set()


_claims: ContextVar[tuple[Claim, ...]] = ContextVar("studyplan_claims", default=())


def claim(session: Session, group_ids: frozenset[UUID], student_ids: set[UUID]) -> Claim:
    """Note what is about to be locked; ``student_ids`` may grow.

    Raises ``UnitOfWorkStateError`` if this thread and task holds some of it in another unit
    of work on the same engine, before anything is asked of the server.
    """
    mine = Claim(_owner(), ref(session), group_ids, student_ids)
    others = tuple(one for one in _claims.get() if one.is_open())
    for other in others:
        if shared := mine.shares_with(other):
            raise UnitOfWorkStateError(
                f"The lock of {next(iter(shared))} is held by another unit of work of this very "
                "thread or task. Pass the open unit of work on to whoever needs it, or leave "
                "its block first: the inner one would wait for the outer one."
            )
    _claims.set((*others, mine))
    return mine


def _owner() -> Owner:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # there is no event loop in this thread
        task = None
    return threading.get_ident(), task
