"""What a student or a tutor does to single plans: progress, and pins."""

from uuid import UUID

from domain import values
from domain.errors import InvalidInputError
from domain.models import PlanState, StudentPlan
from domain.services.service import RowVersion, Service, require_version, written


class PlanProgressService(Service):
    """Marks and pins live plans, in a group of any state.

    Needs the group's lock, so that no generation replaces what is being marked; a shared one
    is enough, ``PlanGroupLock(…, shared=True)``, and lets other marks pass at the same time.
    Between marks of one plan ``expected_version`` decides. What is started, part done, done
    or pinned is kept by later generations.

    Errors of every method: ``StudentPlanNotFoundError`` (also for another tenant's or
    another group's plan), ``EditedMeanwhileError`` if the plan is not in
    ``expected_version``, ``InvalidInputError`` (field ``plan_id``) if it is not live any
    more, and ``LockNotHeldError``. After any of them nothing is written.
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
        """Set how far the student is with a plan; any state may follow any other.

        ``done_through``, the last unit that is done, is for ``PART_DONE`` alone: at least
        the plan's first unit and below its last. Raises besides the class's errors
        ``InvalidInputError`` for the fields ``state`` and ``done_through``.
        """
        plan = self._live_plan(group_id, plan_id, expected_version)
        state = values.checked("state", values.member(PlanState), state)
        _check_done_through(plan, state, done_through)
        plan.state = state
        plan.done_through = done_through
        return written(self._uow, plan, plan.group_id)

    def pin(
        self,
        *,
        plan_id: UUID,
        expected_version: int,
        pinned: bool = True,
        group_id: UUID | None = None,
    ) -> RowVersion:
        """Keep a plan where it is, or with ``pinned=False`` let generations move it again."""
        plan = self._live_plan(group_id, plan_id, expected_version)
        plan.pinned = values.checked("pinned", values.flag, pinned)
        return written(self._uow, plan, plan.group_id)

    def _live_plan(
        self, group_id: UUID | None, plan_id: UUID, expected_version: int
    ) -> StudentPlan:
        group_id = self._the_group(group_id)
        self._uow.require_lock(group_id, shared=True)
        plan = self._uow.plans.get(group_id, plan_id)
        require_version(plan, expected_version, group_id)
        if not plan.live:
            raise InvalidInputError.of("plan_id", "the plan is not live any more")
        return plan


def _check_done_through(plan: StudentPlan, state: PlanState, done_through: int | None) -> None:
    if state is not PlanState.PART_DONE:
        if done_through is not None:
            raise InvalidInputError.of("done_through", "is for a part-done plan alone")
        return
    first, last = plan.first_unit, plan.last_unit
    if type(done_through) is not int or not first <= done_through < last:
        sentence = f"must be {first} to {last - 1}, below the plan's last unit"
        if first == last:
            sentence = "a plan of one unit cannot be part done"
        raise InvalidInputError.of("done_through", sentence)
