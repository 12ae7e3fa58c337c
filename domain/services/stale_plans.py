"""The live plans that an edit has made stale, because they contradict the edited data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session

from domain.models.plan import UNDONE_STATES
from domain.repositories.plan_groups import PlanGroupRepository
from domain.repositories.plan_rows import PlanView
from domain.repositories.snapshot import PlanningSnapshot, SnapshotPlan
from domain.repositories.student_plans import StudentPlanRepository
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.rescheduling.contradictions import Contradiction, contradictions
from domain.services.writing import EditedRow, RowVersion

if TYPE_CHECKING:  # a shorter chain of imports
    from domain.unit_of_work.unit import UnitOfWork


@dataclass(frozen=True, slots=True)
class StalePlan:
    """A live plan that is not done, and why it contradicts the data of its group.

    A reschedule plans its units again, unless it is started or pinned.
    """

    plan: PlanView
    reason: Contradiction

    def to_dict(self) -> dict[str, Any]:
        """Return the plan and the reason with values that JSON supports."""
        return {**self.plan.to_dict(), "reason": self.reason.value}


def stale_plans(session: Session, *, tenant_id: UUID, group_id: UUID) -> tuple[StalePlan, ...]:
    """Return the live plans of a group that contradict its data, in order of time.

    Plans that are done or part done are facts and cannot be stale. Plans of past days are included;
    they are missed anyway. It takes at most two round trips on any Session, without a lock, and
    writes nothing; the caller ends the transaction. Raises ``PlanGroupNotFoundError``
    and ``InvalidInputError``.
    """
    snapshot = PlanGroupRepository(session, tenant_id).snapshot(group_id, with_baseline=True)
    undone = [live for live in snapshot.plans if live.state in UNDONE_STATES]
    if not undone:
        return ()
    reasons = _reasons(snapshot, undone)
    if not reasons:
        return ()
    dates = [live.stored.plan.date for live in undone if live.stored.id in reasons]
    plans = StudentPlanRepository(session, tenant_id)
    views = plans.views(min(dates), max(dates), group_id=group_id)
    return tuple(StalePlan(view, reasons[view.id]) for view in views if view.id in reasons)


def edited(uow: "UnitOfWork", written: RowVersion, group_id: UUID) -> EditedRow:
    """Return the result of an edit of a group."""
    stale = stale_plans(uow.session, tenant_id=uow.tenant_id, group_id=group_id)
    return EditedRow(written.id, written.version, stale)


def stale_plans_of_student(uow: "UnitOfWork", student_id: UUID) -> tuple[StalePlan, ...]:
    """Return the live plans of all groups of a student that contradict the data, in order of time.

    In addition to one round trip, each group with plans that are not done takes those of
    ``stale_plans``.
    """

    def found() -> Iterator[StalePlan]:
        for group_id in uow.plans.groups_with_undone_plans(student_id):
            yield from stale_plans(uow.session, tenant_id=uow.tenant_id, group_id=group_id)

    return tuple(sorted(found(), key=lambda stale: (stale.plan.date, stale.plan.start_minute)))


def _reasons(
    snapshot: PlanningSnapshot, undone: Sequence[SnapshotPlan]
) -> dict[UUID, Contradiction]:
    """Return the ids of the plans that contradict the data, with the reasons."""
    done = tuple(live.kept_plan for live in snapshot.plans if live.state not in UNDONE_STATES)
    request = replace(snapshot.settings, kept=done)
    planned = [live.stored.plan for live in undone]
    found = contradictions(request, planned, snapshot.baseline or Baseline.of(request, planned))
    ids = [live.stored.id for live in undone]
    return {id_: reason for id_, reason in zip(ids, found, strict=True) if reason}
