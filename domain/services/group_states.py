"""The states of a group, what follows from a change for its plans, and activating as one call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy.orm import Session

from domain import values
from domain.errors import EditedMeanwhileError, TransitionNotAllowedError
from domain.locking.policy import PlanGroupLock
from domain.models import GroupStatus, PlanGroup
from domain.repositories.plan_groups import PlanGroupRepository
from domain.services.service import Service, flush, require_version
from domain.unit_of_work.asynchronous import AsyncUnitOfWork
from domain.unit_of_work.unit import UnitOfWork

if TYPE_CHECKING:  # it needs greenlet, which applications without asyncio may do without
    from sqlalchemy.ext.asyncio import AsyncSession

TRANSITIONS: Final[Mapping[GroupStatus, frozenset[GroupStatus]]] = {
    GroupStatus.DRAFT: frozenset({GroupStatus.SAVED, GroupStatus.CANCELLED}),
    GroupStatus.SAVED: frozenset({GroupStatus.ACTIVE, GroupStatus.DRAFT, GroupStatus.CANCELLED}),
    GroupStatus.ACTIVE: frozenset(
        {GroupStatus.PAUSED, GroupStatus.COMPLETED, GroupStatus.CANCELLED}
    ),
    GroupStatus.PAUSED: frozenset({GroupStatus.ACTIVE, GroupStatus.CANCELLED}),
    GroupStatus.CANCELLED: frozenset({GroupStatus.ACTIVE}),
    GroupStatus.COMPLETED: frozenset(),
}
"""What each state may become. The same state again is no transition."""
ATTEMPTS: Final = 3
_UNDER_THE_STUDENTS_LOCK: Final = frozenset({GroupStatus.ACTIVE, GroupStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class StateChange:
    """The outcome of a transition."""

    group_id: UUID
    from_status: GroupStatus
    status: GroupStatus
    version: int
    paused_group_id: UUID | None = None
    """The student's other group, which this activation paused."""
    cancelled_plans: int = 0
    """How many live plans this cancellation retired."""


class GroupStateService(Service):
    """Changes a group's state by the table ``TRANSITIONS``, and nothing else does."""

    def change(
        self, *, to: GroupStatus, expected_version: int | None = None, group_id: UUID | None = None
    ) -> StateChange:
        """Make one transition. Needs the group's lock; the caller commits.

        Cancelling takes the student's lock too and retires all live plans of the group,
        done and pinned ones as well: their time is free from then on. A cancelled group
        that comes back has no live plans until it is generated again. Every other
        transition leaves the plans as they are.

        Activating takes the student's lock too and pauses the student's other active
        group, whose lock the unit of work must hold as well; ``activate`` finds it, takes
        both and commits. ``expected_version`` is for those who decided by what they saw.

        Raises ``TransitionNotAllowedError``, ``EditedMeanwhileError``,
        ``PlanGroupNotFoundError``, ``LockNotHeldError`` and, for the student's lock,
        ``PlanGroupLockedError`` and ``LockTimeoutError``; nothing is written then.
        """
        # Callers without a type checker pass the word as it comes from a form.
        to = values.checked("status", values.member(GroupStatus), to)
        uow, group_id = self._uow, self._the_group(group_id)
        if to in _UNDER_THE_STUDENTS_LOCK:
            uow.lock_student(group_id)
        uow.require_lock(group_id)
        group = uow.groups.get_row(group_id)
        if expected_version is not None:
            require_version(group, expected_version, group_id)
        before = group.status
        _require_transition(group, to)
        paused = _pause_active(uow, group) if to is GroupStatus.ACTIVE else None
        cancelled = 0
        if to is GroupStatus.CANCELLED:
            cancelled = uow.plans.retire_as_cancelled(group_id)
        group.status = to
        flush(uow, group_id)
        return StateChange(group_id, before, to, group.version, paused, cancelled)


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
    """``activate`` for asyncio."""
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


def _require_transition(group: PlanGroup, to: GroupStatus) -> None:
    if to not in TRANSITIONS[group.status]:
        raise TransitionNotAllowedError(
            group_id=group.id, from_status=group.status.value, to_status=to.value
        )


def _pause_active(uow: UnitOfWork, group: PlanGroup) -> UUID | None:
    """Pause the student's other active group, before this one: the index allows one active."""
    active = uow.groups.find_other_active(group.id)
    if active is None:
        return None
    uow.require_lock(active)
    other = uow.groups.get_row(active)
    other.status = GroupStatus.PAUSED
    flush(uow, other.id)
    return other.id


@dataclass
class _Activation:
    tenant_id: UUID
    group_id: UUID
    wait: timedelta | None
    expected_version: int | None
    deadline: float | None = None

    def other(self, session: Session) -> UUID | None:
        """The student's other active group."""
        return PlanGroupRepository(session, self.tenant_id).find_other_active(self.group_id)

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
            to=GroupStatus.ACTIVE, expected_version=self.expected_version, group_id=self.group_id
        )
