"""The states of a group and their transitions, and activation as a complete request."""

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
from domain.services.service import Service
from domain.services.writing import flush, require_version, version
from domain.unit_of_work.asynchronous import AsyncUnitOfWork
from domain.unit_of_work.reading import read, read_async
from domain.unit_of_work.unit import UnitOfWork

if TYPE_CHECKING:  # needs greenlet, which only asyncio applications have to install
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
"""The allowed next states of each state. A state is never its own next state."""
ATTEMPTS: Final = 3
_NEEDS_STUDENT_LOCK: Final = frozenset({GroupStatus.ACTIVE, GroupStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class StateChange:
    """The outcome of a transition."""

    group_id: UUID
    from_status: GroupStatus
    status: GroupStatus
    version: int
    paused_group_id: UUID | None = None
    """The id of the student's other group that the activation has paused."""
    cancelled_plans: int = 0
    """The number of live plans that the cancellation has retired."""


class GroupStateService(Service):
    """Changes a group's state as ``TRANSITIONS`` allows; no other service changes it."""

    def change(
        self,
        *,
        to: GroupStatus | str,
        expected_version: int | None = None,
        group_id: UUID | None = None,
    ) -> StateChange:
        """Execute a transition. Needs the group's lock; the caller commits.

        A cancellation also acquires the student's lock and retires all live plans of the group,
        including done and pinned ones, so that their time becomes free. A cancelled group
        that is activated again has no live plans until it is generated again. All other
        transitions leave the plans unchanged.

        An activation also acquires the student's lock and pauses the student's other active group,
        whose lock the unit of work must hold too; ``activate`` finds that group, acquires both
        locks and commits. Pass ``expected_version`` if the request depends on what the caller has
        read.

        Raises ``TransitionNotAllowedError``, ``EditedMeanwhileError``, ``PlanGroupNotFoundError``,
        ``InvalidInputError`` (fields ``status`` and ``expected_version``), ``LockNotHeldError``
        and the errors of ``UnitOfWork.lock_student``; nothing is written then.
        """
        status = values.validate("status", values.member(GroupStatus), to)
        uow, group_id = self._uow, self._resolve_group(group_id)
        if status in _NEEDS_STUDENT_LOCK:
            uow.lock_student(group_id)
        uow.require_lock(group_id)
        group = uow.groups.get_row(group_id)
        if expected_version is not None:
            require_version(group, expected_version, group_id)
        before = group.status
        _require_transition(group, status)
        paused = _pause_active(uow, group) if status is GroupStatus.ACTIVE else None
        cancelled = 0
        if status is GroupStatus.CANCELLED:
            cancelled = uow.plans.retire_as_cancelled(group_id)
        group.status = status
        flush(uow, group_id)
        return StateChange(group_id, before, status, group.version, paused, cancelled)


def activate(
    session_factory: Callable[[], Session],
    *,
    tenant_id: UUID,
    group_id: UUID,
    wait: timedelta | None = None,
    expected_version: int | None = None,
) -> StateChange:
    """Activate a group and pause the student's other active group, as a complete request.

    The id of the other active group is read without a lock. Then the locks of both groups are
    acquired in one statement, then the student's lock, and the id is read again. If another group
    became active in the meantime, all this is repeated, with at most three attempts. Both
    groups are changed in one transaction, so the student never has more than one active group.
    ``wait`` limits the total wait for locks in all attempts; by default each attempt waits as
    ``PlanGroupLock`` does.

    Raises ``EditedMeanwhileError`` after the third attempt, ``InvalidInputError`` for arguments of
    a wrong type, and the errors of ``UnitOfWork`` and ``GroupStateService.change``.
    """
    activation = _Activation(tenant_id, group_id, wait, expected_version)
    for _ in range(ATTEMPTS):
        other = read(session_factory, activation.other)
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
    """Activate a group like ``activate``, with asyncio."""
    activation = _Activation(tenant_id, group_id, wait, expected_version)
    for _ in range(ATTEMPTS):
        other = await read_async(async_session_factory, activation.other)
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
    """Pause the student's other active group, and return its id; ``None`` if there is none.

    It is paused and flushed before the group becomes active, because a unique index allows only one
    active group per student.
    """
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

    def __post_init__(self) -> None:
        PlanGroupLock(self.tenant_id, self.group_id, wait=self.wait)  # validates the arguments
        if self.expected_version is not None:
            version(self.expected_version)

    def other(self, session: Session) -> UUID | None:
        """Return the id of the student's other active group."""
        return PlanGroupRepository(session, self.tenant_id).find_other_active(self.group_id)

    def lock(self, other: UUID | None) -> PlanGroupLock:
        """Return the lock of both groups, with the time that remains until the deadline."""
        ids = {self.group_id} if other is None else {self.group_id, other}
        remaining = self.wait
        if remaining is not None:
            if self.deadline is None:
                self.deadline = monotonic() + remaining.total_seconds()
            else:
                remaining = timedelta(seconds=max(0.0, self.deadline - monotonic()))
        return PlanGroupLock.of(self.tenant_id, ids, wait=remaining)

    def attempt(self, uow: UnitOfWork, other: UUID | None) -> StateChange | None:
        """Activate the group without a commit; return ``None`` if ``other`` is outdated.

        It is outdated if a group other than ``other`` is active now, whose lock is not held.
        """
        uow.lock_student(self.group_id)
        if self.other(uow.session) not in {None, other}:
            return None
        return GroupStateService(uow).change(
            to=GroupStatus.ACTIVE, expected_version=self.expected_version, group_id=self.group_id
        )
