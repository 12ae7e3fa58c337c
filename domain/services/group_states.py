"""The life of a group: every change of its state, and what follows from it for its plans."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain import values
from domain.errors import TransitionNotAllowedError
from domain.models import GroupStatus, PlanGroup
from domain.services.row_versions import flush, require_version
from domain.services.service import Service
from domain.unit_of_work import UnitOfWork

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
    """What a transition came to."""

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
        self,
        *,
        to: GroupStatus,
        expected_version: int | None = None,
        group_id: UUID | None = None,
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
        to, uow, group_id = _word(to), self._uow, self._the_group(group_id)
        if to in _UNDER_THE_STUDENTS_LOCK:
            uow.lock_student(group_id)
        uow.require_lock(group_id)
        group = uow.groups.alone(group_id)
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


def _word(to: GroupStatus) -> GroupStatus:
    # Callers without a type checker pass the word as it comes from a form.
    return values.checked("status", values.word(GroupStatus), to)


def _require_transition(group: PlanGroup, to: GroupStatus) -> None:
    if to not in TRANSITIONS[group.status]:
        raise TransitionNotAllowedError(
            group_id=group.id, from_status=group.status.value, to_status=to.value
        )


def _pause_active(uow: UnitOfWork, group: PlanGroup) -> UUID | None:
    """Pause the student's other active group, before this one: the index allows one active."""
    active = uow.groups.active_beside(group.id)
    if active is None:
        return None
    uow.require_lock(active)
    other = uow.groups.alone(active)
    other.status = GroupStatus.PAUSED
    flush(uow, other.id)
    return other.id
