"""The service that sets the progress of plans and pins them."""

from uuid import UUID

from domain import values
from domain.errors import InvalidInputError
from domain.models import PlanState, StudentPlan
from domain.services.service import Service
from domain.services.writing import RowVersion, require_version, save


class PlanProgressService(Service):
    """Marks and pins live plans, in a group of any state.

    All methods need the group's lock, so that no generation replaces the plan at the same time. A
    shared lock is sufficient, ``PlanGroupLock(…, shared=True)``, and allows simultaneous marks;
    ``expected_version`` detects simultaneous marks of the same plan. Later generations keep plans
    that are started, part done, done or pinned.

    All methods raise ``StudentPlanNotFoundError`` (also for a plan of another tenant or
    another group), ``EditedMeanwhileError`` if the plan does not have the
    ``expected_version``, ``InvalidInputError`` (field ``plan_id``) if the plan is no longer live,
    and ``LockNotHeldError``. Nothing is written after any of these errors.
    """

    def mark(
        self,
        *,
        plan_id: UUID,
        expected_version: int,
        state: PlanState,
        done_through: int | None = None,
        group_id: UUID | None = None,
    ) -> RowVersion:
        """Set the student's progress with a plan; any state may follow any other.

        ``done_through`` is the last completed unit. It is required with ``PART_DONE`` and is not
        allowed with any other state; it is at least the plan's first unit and less than its last.
        In addition to the errors of the class, this raises ``InvalidInputError`` for the fields
        ``state`` and ``done_through``.
        """
        plan = self._live_plan(group_id, plan_id, expected_version)
        state = values.validate("state", values.member(PlanState), state)
        _check_done_through(plan, state, done_through)
        plan.state = state
        plan.done_through = done_through
        return save(self._uow, plan, plan.group_id)

    def pin(
        self,
        *,
        plan_id: UUID,
        expected_version: int,
        pinned: bool = True,
        group_id: UUID | None = None,
    ) -> RowVersion:
        """Pin a plan, so that generations keep it; ``pinned=False`` removes the pin."""
        plan = self._live_plan(group_id, plan_id, expected_version)
        plan.pinned = values.validate("pinned", values.flag, pinned)
        return save(self._uow, plan, plan.group_id)

    def _live_plan(
        self, group_id: UUID | None, plan_id: UUID, expected_version: int
    ) -> StudentPlan:
        group_id = self._resolve_group(group_id)
        self._uow.require_lock(group_id, shared=True)
        plan = self._uow.plans.get(group_id, plan_id)
        require_version(plan, expected_version, group_id)
        if not plan.live:
            raise InvalidInputError.of("plan_id", "must be the id of a live plan")
        return plan


def _check_done_through(plan: StudentPlan, state: PlanState, done_through: int | None) -> None:
    if state is not PlanState.PART_DONE:
        if done_through is not None:
            raise InvalidInputError.of("done_through", "is allowed only with part_done")
        return
    first, last = plan.first_unit, plan.last_unit
    if type(done_through) is not int or not first <= done_through < last:
        message = f"must be from {first} to {last - 1}, less than the plan's last unit"
        if first == last:
            message = "is not possible: a plan of one unit cannot be part done"
        raise InvalidInputError.of("done_through", message)
