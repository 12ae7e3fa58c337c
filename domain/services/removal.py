"""Removes what is no longer needed, as complete requests: old history, a student, a tenant.

Each function works through the groups one by one, under the lock of the group and of its student,
in transactions that delete at most ``BATCH`` retired plans. A transaction that is interrupted, or
refused because a lock is held for longer than ``wait``, leaves no run that could be undone only in
part: repeat the call to remove the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain import values
from domain.database_errors import translated
from domain.errors import EditedMeanwhileError, InvalidInputError, PlanGroupNotFoundError
from domain.locking.policy import PlanGroupLock, StudentLock
from domain.models import AcademySchedule, Exclusion, PlanGroup
from domain.repositories.history import HistoryRepository
from domain.unit_of_work.reading import read
from domain.unit_of_work.unit import UnitOfWork

BATCH: Final = 1000
"""The maximum number of retired plans that one transaction deletes."""
DEFAULT_WAIT: Final = timedelta(seconds=10)
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Removed:
    """How many groups, retired plans and records of runs were removed.

    The live plans and the records of a removed group are not counted.
    """

    groups: int = 0
    plans: int = 0
    runs: int = 0

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(self.groups + other.groups, self.plans + other.plans, self.runs + other.runs)


def remove_history(
    session_factory: Callable[[], Session],
    *,
    tenant_id: UUID,
    before: datetime,
    group_id: UUID | None = None,
    wait: timedelta = DEFAULT_WAIT,
) -> Removed:
    """Remove the plans that were retired before an instant, and the records of runs before it.

    Works on one group, or on all groups of the tenant. Live plans stay, and so do the numbers of
    generations. Undo then reaches back to ``before``, and idempotency keys of earlier runs are
    forgotten. The record of an earlier run stays, without the name of the requester, if it made
    plans that are still stored or if a reschedule or an undo will read it: what these return is the
    same as without the removal.

    Raises ``InvalidInputError`` for an argument of a wrong type, for ``before`` without a time zone
    and for a ``wait`` that a lock does not allow, before anything is removed;
    ``PlanGroupNotFoundError`` for a ``group_id`` that the tenant does not have; and the errors of
    ``UnitOfWork``.
    """
    values.validate("before", values.instant, before)
    _check_arguments(wait, tenant_id=tenant_id)
    if group_id is not None:
        InvalidInputError.require_uuids(group_id=group_id)
        return _remove_history(session_factory, tenant_id, group_id, before, wait)
    removed = Removed()
    for id_ in _group_ids(session_factory, tenant_id):
        try:
            removed += _remove_history(session_factory, tenant_id, id_, before, wait)
        except PlanGroupNotFoundError:  # deleted in the meantime
            continue
    return removed


def remove_student(
    session_factory: Callable[[], Session],
    *,
    tenant_id: UUID,
    student_id: UUID,
    wait: timedelta = DEFAULT_WAIT,
) -> Removed:
    """Remove everything of a student: groups in any state with all their rows, classes, exclusions.

    The application must not create groups for the student any more; one that is created during
    the call is removed too, but after the third time ``EditedMeanwhileError`` is raised. Raises
    ``InvalidInputError`` before anything is removed, and the errors of ``UnitOfWork``. A student
    without rows is not an error.
    """
    _check_arguments(wait, tenant_id=tenant_id, student_id=student_id)
    removed = Removed()
    for _ in range(_ATTEMPTS):
        for group_id in _group_ids(session_factory, tenant_id, student_id):
            removed += _remove_group(session_factory, tenant_id, group_id, wait)
        if _remove_student_time(session_factory, tenant_id, student_id, wait):
            return removed
    raise EditedMeanwhileError


def remove_tenant(
    session_factory: Callable[[], Session], *, tenant_id: UUID, wait: timedelta = DEFAULT_WAIT
) -> Removed:
    """Remove everything of all students of a tenant, one student after the other.

    The application must not create rows for the tenant any more. Raises the errors of
    ``remove_student``.
    """
    _check_arguments(wait, tenant_id=tenant_id)
    removed = Removed()
    for student_id in _student_ids(session_factory, tenant_id):
        removed += remove_student(
            session_factory, tenant_id=tenant_id, student_id=student_id, wait=wait
        )
    return removed


def _check_arguments(wait: timedelta, *, tenant_id: UUID, **ids: UUID) -> None:
    """Raise ``InvalidInputError`` for an invalid argument, before anything is removed.

    A ``PlanGroupLock`` may have no wait, but a ``StudentLock``, which is acquired after groups were
    removed, must have one; the tenant's id stands in for that of a student.
    """
    InvalidInputError.require_uuids(tenant_id=tenant_id, **ids)
    StudentLock(tenant_id, ids.get("student_id", tenant_id), wait=wait)


def _remove_history(
    factory: Callable[[], Session],
    tenant_id: UUID,
    group_id: UUID,
    before: datetime | None,
    wait: timedelta,
) -> Removed:
    lock = PlanGroupLock(tenant_id, group_id, wait=wait)
    # The runs are closed first, so that none can be undone in part if this is interrupted.
    with UnitOfWork(factory, lock=lock) as uow:
        uow.lock_student(group_id)
        _history(uow).close(group_id, before)
        uow.commit()
    plans = 0
    while True:
        with UnitOfWork(factory, lock=lock) as uow:
            uow.lock_student(group_id)
            found = _history(uow).remove_retired_plans(group_id, before, limit=BATCH)
            is_last = found < BATCH
            runs = _history(uow).remove_closed_runs(group_id, before) if is_last else 0
            uow.commit()
        plans += found
        if is_last:
            return Removed(plans=plans, runs=runs)


def _remove_group(
    factory: Callable[[], Session], tenant_id: UUID, group_id: UUID, wait: timedelta
) -> Removed:
    try:
        removed = _remove_history(factory, tenant_id, group_id, None, wait)
        with UnitOfWork(factory, lock=PlanGroupLock(tenant_id, group_id, wait=wait)) as uow:
            uow.lock_student(group_id)
            version = uow.groups.get_row(group_id).version
            uow.groups.remove(group_id, version)
            uow.commit()
    except PlanGroupNotFoundError:  # deleted in the meantime
        return Removed()
    return removed + Removed(groups=1)


def _remove_student_time(
    factory: Callable[[], Session], tenant_id: UUID, student_id: UUID, wait: timedelta
) -> bool:
    """Delete the student's classes and exclusions; return ``False`` if there is a group again."""
    with UnitOfWork(factory, lock=StudentLock(tenant_id, student_id, wait=wait)) as uow:
        with translated(uow.connection):
            for kind in (AcademySchedule, Exclusion):
                uow.session.execute(
                    sa.delete(kind)
                    .where(kind.tenant_id == tenant_id, kind.student_id == student_id)
                    .execution_options(synchronize_session=False)
                )
        is_last = not uow.groups.of_student(student_id)
        uow.commit()
    return is_last


def _history(uow: UnitOfWork) -> HistoryRepository:
    return HistoryRepository(uow.session, uow.tenant_id)


def _group_ids(
    factory: Callable[[], Session], tenant_id: UUID, student_id: UUID | None = None
) -> list[UUID]:
    query = sa.select(PlanGroup.id).where(PlanGroup.tenant_id == tenant_id)
    if student_id is not None:
        query = query.where(PlanGroup.student_id == student_id)
    return _read(factory, query.order_by(PlanGroup.id))


def _student_ids(factory: Callable[[], Session], tenant_id: UUID) -> list[UUID]:
    selects = (
        sa.select(kind.student_id).where(kind.tenant_id == tenant_id)
        for kind in (PlanGroup, AcademySchedule, Exclusion)
    )
    return sorted(_read(factory, sa.union(*selects)))


def _read(factory: Callable[[], Session], query: sa.Executable) -> list[UUID]:
    def ids(session: Session) -> list[UUID]:
        # A union has no mapper, by which a Session with only ``binds`` finds the engine.
        return list(session.scalars(query, bind_arguments={"mapper": PlanGroup}))

    with translated():
        return read(factory, ids)
