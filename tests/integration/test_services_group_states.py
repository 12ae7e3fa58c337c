"""The transitions between the states of a group, and their effect on the plans."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import GroupStatus, InvalidInputError, PlanGroup, PlanGroupLock, PlanState, UnitOfWork
from domain.errors import EditedMeanwhileError, LockNotHeldError, TransitionNotAllowedError
from domain.services import GroupStateService, activate
from domain.services.group_states import StateChange
from tests.integration.editing import everything
from tests.integration.storing import (
    FIRST,
    book_group,
    change,
    done_by,
    fresh_ids,
    generate,
    ids_of,
    live,
    mark,
    plans,
    status_of,
    stored_group,
)

Factory = sessionmaker[Session]

# The transitions of the specification.
ALLOWED = {
    ("draft", "saved"),
    ("draft", "cancelled"),
    ("saved", "active"),
    ("saved", "draft"),
    ("saved", "cancelled"),
    ("active", "paused"),
    ("active", "completed"),
    ("active", "cancelled"),
    ("paused", "active"),
    ("paused", "cancelled"),
    ("cancelled", "active"),
}
PAIRS = list(product(GroupStatus, repeat=2))


def change_state(factory: Factory, group: PlanGroup, to: Any, **options: Any) -> StateChange:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        changed = GroupStateService(uow).change(to=to, **options)
        uow.commit()
    return changed


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_transition_is_made_exactly_if_the_table_contains_it(
    session_factory: Factory, before: GroupStatus, after: GroupStatus
) -> None:
    group = stored_group(session_factory, status=before)
    rows = everything(session_factory)
    if (before, after) in ALLOWED:
        changed = change_state(session_factory, group, after)
        assert changed == StateChange(group.id, before, after, version=2)
        assert status_of(session_factory, group) is after
        return
    with pytest.raises(TransitionNotAllowedError) as refused:
        change_state(session_factory, group, after)
    assert (refused.value.group_id, refused.value.from_status, refused.value.to_status) == (
        group.id,
        before.value,
        after.value,
    )
    assert everything(session_factory) == rows


@pytest.mark.parametrize("before", GroupStatus)
def test_activation_in_one_call_follows_the_same_table(
    session_factory: Factory, before: GroupStatus
) -> None:
    group = stored_group(session_factory, status=before)
    rows = everything(session_factory)
    if (before, "active") in ALLOWED:
        assert activate(session_factory, **ids_of(group)).from_status is before
        assert status_of(session_factory, group) is GroupStatus.ACTIVE
        return
    with pytest.raises(TransitionNotAllowedError):
        activate(session_factory, **ids_of(group))
    assert everything(session_factory) == rows


def test_state_may_be_given_as_text(session_factory: Factory) -> None:
    ids = fresh_ids()
    active = stored_group(session_factory, status=GroupStatus.ACTIVE, **ids)
    group = stored_group(session_factory, **ids)
    with pytest.raises(LockNotHeldError):
        change_state(session_factory, group, "active")
    assert change_state(session_factory, active, "paused").status is GroupStatus.PAUSED
    assert change_state(session_factory, group, "active").status is GroupStatus.ACTIVE


def test_unknown_state_is_refused(session_factory: Factory) -> None:
    group = stored_group(session_factory)
    with pytest.raises(InvalidInputError) as refused:
        change_state(session_factory, group, "deleted")
    assert refused.value.field == "status"


@pytest.mark.parametrize("seen", [0, 2])
def test_transition_that_expects_another_version_is_refused(
    session_factory: Factory, seen: int
) -> None:
    group = stored_group(session_factory)
    rows = everything(session_factory)
    with pytest.raises(EditedMeanwhileError):
        change_state(session_factory, group, GroupStatus.DRAFT, expected_version=seen)
    with pytest.raises(EditedMeanwhileError):
        activate(session_factory, **ids_of(group), expected_version=seen)
    assert everything(session_factory) == rows


# --- effects on the plans ---------------------------------------------------------------


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A saved group with plans in every state, one of them pinned."""
    group = book_group(session_factory)
    generate(session_factory, group)
    planned = live(session_factory, group)
    mark(session_factory, planned[0], **done_by(PlanState.DONE))
    mark(session_factory, planned[1], **done_by(PlanState.PART_DONE, planned[1].first_unit))
    mark(session_factory, planned[2], **done_by(PlanState.STARTED))
    mark(session_factory, planned[3], pinned=True)
    return group


def test_cancellation_retires_all_live_plans_and_no_others(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group, FIRST + timedelta(days=1))
    replaced = {plan.id: plan for plan in plans(session_factory, group, live=False)}
    live_plans = {plan.id: plan for plan in live(session_factory, group)}
    assert replaced
    changed = change_state(session_factory, group, GroupStatus.CANCELLED)
    assert changed.cancelled_plans == len(live_plans) > 4
    for plan in plans(session_factory, group):
        old = replaced.get(plan.id) or live_plans[plan.id]
        expected = "replaced" if plan.id in replaced else "cancelled"
        assert (plan.live, plan.retired_as) == (False, expected)
        assert plan.version == old.version
        assert plan.retired_in == (2 if plan.id in replaced else None)
        assert plan.retired_at is not None
        assert (plan.state, plan.pinned, plan.done_through) == (
            old.state,
            old.pinned,
            old.done_through,
        )


def test_cancellation_frees_the_time_of_the_plans_for_the_students_other_groups(
    session_factory: Factory, group: PlanGroup
) -> None:
    other = book_group(session_factory, tenant_id=group.tenant_id, student_id=group.student_id)
    first = generate(session_factory, other).plans
    change_state(session_factory, group, GroupStatus.CANCELLED)
    assert generate(session_factory, other).plans[0].start_minute < first[0].start_minute


def test_cancelled_group_is_activated_without_live_plans_and_can_be_generated(
    session_factory: Factory, group: PlanGroup
) -> None:
    change_state(session_factory, group, GroupStatus.CANCELLED)
    changed = activate(session_factory, **ids_of(group))
    assert changed.cancelled_plans == 0
    assert not live(session_factory, group)
    result = generate(session_factory, group)
    assert result.generation == 2
    assert sum(p.last_unit - p.first_unit + 1 for p in result.plans if p.kind == "study") == 100


@pytest.mark.parametrize(
    ("before", "after"),
    [(b, a) for b, a in PAIRS if (b, a) in ALLOWED and a is not GroupStatus.CANCELLED],
)
def test_transitions_other_than_cancellation_leave_the_plans_unchanged(
    session_factory: Factory, group: PlanGroup, before: GroupStatus, after: GroupStatus
) -> None:
    change(session_factory, group, status=before)
    rows = everything(session_factory)["student_plans"]
    change_state(session_factory, group, after)
    assert everything(session_factory)["student_plans"] == rows
