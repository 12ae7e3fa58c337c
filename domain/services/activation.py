"""Activating a group as a whole request: the student's other group is paused in the same commit."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy.orm import Session

from domain.errors import EditedMeanwhileError
from domain.locking import PlanGroupLock
from domain.models import GroupStatus
from domain.repositories import PlanGroupRepository
from domain.services.group_states import GroupStateService, StateChange
from domain.unit_of_work import AsyncUnitOfWork, UnitOfWork

if TYPE_CHECKING:  # it needs greenlet, which whoever uses threads alone may do without
    from sqlalchemy.ext.asyncio import AsyncSession

ATTEMPTS: Final = 3


def activate(
    session_factory: Callable[[], Session],
    *,
    tenant_id: UUID,
    group_id: UUID,
    wait: timedelta | None = None,
    expected_version: int | None = None,
) -> StateChange:
    """The whole request in one call: activate a group and pause the student's other one.

    Which group is active is read without a lock; then both groups' locks are taken in one
    statement, then the student's, and it is read again. If another group became active
    meanwhile, everything starts over, three times in all. One transaction makes both
    changes, so at every moment the student has at most one active group. ``wait`` bounds
    the waiting for locks of all attempts together; without it each waits as ``PlanGroupLock``
    does.

    Raises ``EditedMeanwhileError`` after the third attempt, and what ``UnitOfWork`` and
    ``GroupStateService.change`` raise.
    """
    activation = _Activation(tenant_id, group_id, wait, expected_version)
    for _ in range(ATTEMPTS):
        with session_factory() as session:
            other = activation.other(session)
        with UnitOfWork(session_factory, lock=activation.lock(other)) as uow:
            changed = activation.attempt(uow, other)
            if changed is not None:
                uow.commit()
                return changed
    raise EditedMeanwhileError(group_id=group_id)


async def activate_async(
    async_session_factory: "Callable[[], AsyncSession]",
    *,
    tenant_id: UUID,
    group_id: UUID,
    wait: timedelta | None = None,
    expected_version: int | None = None,
) -> StateChange:
    """``activate`` for tasks."""
    activation = _Activation(tenant_id, group_id, wait, expected_version)
    for _ in range(ATTEMPTS):
        async with async_session_factory() as session:
            other = await session.run_sync(activation.other)
        async with AsyncUnitOfWork(async_session_factory, lock=activation.lock(other)) as uow:
            changed = await uow.run(activation.attempt, other)
            if changed is not None:
                await uow.commit()
                return changed
    raise EditedMeanwhileError(group_id=group_id)


@dataclass
class _Activation:
    tenant_id: UUID
    group_id: UUID
    wait: timedelta | None
    expected_version: int | None
    deadline: float | None = None

    def other(self, session: Session) -> UUID | None:
        """The student's other active group."""
        return PlanGroupRepository(session, self.tenant_id).active_beside(self.group_id)

    def lock(self, other: UUID | None) -> PlanGroupLock:
        """Both groups' locks, with what is left of the wait."""
        ids = {self.group_id} if other is None else {self.group_id, other}
        left = self.wait
        if left is not None:
            if self.deadline is None:
                self.deadline = monotonic() + left.total_seconds()
            else:
                left = timedelta(seconds=max(0.0, self.deadline - monotonic()))
        return PlanGroupLock.of(self.tenant_id, ids, wait=left)

    def attempt(self, uow: UnitOfWork, other: UUID | None) -> StateChange | None:
        """The change, not committed; ``None`` if another group than ``other`` is active now."""
        uow.lock_student(self.group_id)
        if self.other(uow.session) not in {None, other}:
            return None
        return GroupStateService(uow).change(
            to=GroupStatus.ACTIVE,
            expected_version=self.expected_version,
            group_id=self.group_id,
        )
