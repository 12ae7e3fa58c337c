"""Units of work inside each other: refused if both need one lock.

To the server they are two clients, so the inner one would be refused, or wait for a lock
that cannot come free before its wait is over. That is an error of the caller and no 409.

Open units of work are tracked by context, not by thread: a block may move between threads.
A context that was copied for another thread (``asyncio.to_thread``, a framework's thread
pool) still belongs to the same request. A task has a copy of its creator's context too, but
is a client of its own, and may outlive the block.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from weakref import ref

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from domain.errors import UnitOfWorkStateError


@dataclass(slots=True, eq=False)
class Claim:
    """What one unit of work has locked, and the task that entered it, if one did.

    Refers weakly to the Session: a unit of work that is dropped without being left must be
    collected, for that is what ends its transaction.
    """

    task: asyncio.Task[Any] | None
    session: ref[Session]
    engine: Engine
    tenant_id: UUID
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
        """The ids that both lock, as groups or as students, in one database and request."""
        if self.engine is not earlier.engine or self.task not in {None, earlier.task}:
            return set()
        groups = self.group_ids & earlier.group_ids
        if groups or self.tenant_id != earlier.tenant_id:
            return set(groups)
        return self.student_ids & earlier.student_ids


_claims: ContextVar[tuple[Claim, ...]] = ContextVar("studyplan_claims", default=())


def claim(
    session: Session,
    engine: Engine,
    tenant_id: UUID,
    group_ids: frozenset[UUID],
    student_ids: set[UUID],
) -> Claim:
    """Record what is about to be locked; ``student_ids`` may grow.

    Raises ``UnitOfWorkStateError`` if this context holds some of it in another unit of work
    on the same engine, before anything is asked of the server.
    """
    mine = Claim(_current_task(), ref(session), engine, tenant_id, group_ids, student_ids)
    others = tuple(one for one in _claims.get() if one.is_open())
    for other in others:
        if shared := mine.shares_with(other):
            raise UnitOfWorkStateError(
                f"The lock of {next(iter(shared))} is held by another unit of work of this very "
                "request. Pass the open unit of work on to what needs it, or leave its block "
                "first: the inner one would wait for the outer one."
            )
    _claims.set((*others, mine))
    return mine


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # there is no event loop in this thread
        return None
