"""An edit returns the live plans that it makes stale, and a reschedule heals exactly those."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanState, StudentLock, UnitOfWork
from domain.errors import PlanGroupNotFoundError
from domain.scheduling.types import ExclusionType, PlanKind
from domain.services import (
    EditedRow,
    GroupEditService,
    GroupTimeService,
    PlanProgressService,
    StalePlan,
    StudentTimeService,
    reschedule_plans,
    stale_plans,
)
from tests.integration.editing import BOOK
from tests.integration.stale_edits import EDITS, Edit
from tests.integration.storing import (
    FIRST,
    book_group,
    columns,
    done_by,
    generate,
    live,
    mark,
    plans,
    unit_of_work,
)

Factory = sessionmaker[Session]


def edit(factory: Factory, group: PlanGroup, call: Edit) -> tuple[StalePlan, ...]:
    """Edit under the locks of the group and of its student, and return the stale plans."""
    with unit_of_work(factory, group) as uow:
        uow.lock_student(group.id)
        result = call(uow, group)
        uow.commit()
    return result.stale_plans if isinstance(result, EditedRow) else result


def now_stale(factory: Factory, group: PlanGroup) -> tuple[StalePlan, ...]:
    with factory() as session:
        return stale_plans(session, tenant_id=group.tenant_id, group_id=group.id)


def ids(stale: tuple[StalePlan, ...]) -> list[object]:
    return [item.plan.id for item in stale]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    group = book_group(session_factory)
    generate(session_factory, group)
    return group


@pytest.mark.parametrize("name", EDITS)
def test_edit_returns_the_plans_that_it_contradicts(
    name: str, session_factory: Factory, group: PlanGroup
) -> None:
    call, is_stale, reason = EDITS[name]
    expected = [plan.id for plan in live(session_factory, group) if is_stale(plan)]
    found = edit(session_factory, group, call)
    assert ids(found) == expected
    assert {item.reason for item in found} <= {reason}
    assert now_stale(session_factory, group) == found


@pytest.mark.parametrize("name", EDITS)
def test_reschedule_heals_exactly_the_stale_plans(
    name: str, session_factory: Factory, group: PlanGroup
) -> None:
    found = edit(session_factory, group, EDITS[name][0])
    before = {row.id for row in live(session_factory, group)}
    result = reschedule_plans(
        session_factory, PlanGroupLock(group.tenant_id, group.id), today=FIRST
    )
    assert now_stale(session_factory, group) == ()
    assert set(ids(found)) <= before - {row.id for row in live(session_factory, group)}
    if not found and name != "a longer range":
        assert result.changes.kept == len(before)


def test_stale_plans_have_what_a_screen_shows(session_factory: Factory, group: PlanGroup) -> None:
    plan = live(session_factory, group)[2]
    found = edit(session_factory, group, lambda uow, _: GroupTimeService(uow).add_exclusion(
        date=plan.date, type=ExclusionType.OTHER))  # fmt: skip
    (shown,) = [item.to_dict() for item in found if item.plan.id == plan.id]
    assert shown["id"] == str(plan.id)
    assert shown["title"] == group.contents[0].title
    assert shown["date"] == plan.date.isoformat()
    assert shown["reason"] == "time"


@pytest.mark.parametrize("state", [PlanState.DONE, PlanState.PART_DONE])
def test_done_plans_are_facts_and_cannot_be_stale(
    state: PlanState, session_factory: Factory, group: PlanGroup
) -> None:
    plan = live(session_factory, group)[0]
    through = plan.first_unit if state is PlanState.PART_DONE else None
    mark(session_factory, plan, **done_by(state, through))
    exclude = EDITS["a group's exclusion"][0]
    with unit_of_work(session_factory, group) as uow:
        found = (
            GroupTimeService(uow)
            .add_exclusion(date=plan.date, type=ExclusionType.OTHER)
            .stale_plans
        )
        uow.commit()
    assert plan.id not in ids(found)
    assert edit(session_factory, group, exclude)


def test_started_and_pinned_plans_are_reported_but_not_rescheduled(
    session_factory: Factory, group: PlanGroup
) -> None:
    started, pinned, *_ = live(session_factory, group)
    mark(session_factory, started, state=PlanState.STARTED)
    mark(session_factory, pinned, pinned=True)
    for plan in (started, pinned):
        with unit_of_work(session_factory, group) as uow:
            GroupTimeService(uow).add_exclusion(date=plan.date, type=ExclusionType.OTHER)
            uow.commit()
    found = {item.plan.id: item.plan for item in now_stale(session_factory, group)}
    assert found[started.id].state is PlanState.STARTED
    assert found[pinned.id].pinned
    reschedule_plans(session_factory, PlanGroupLock(group.tenant_id, group.id), today=FIRST)
    assert {started.id, pinned.id} <= {row.id for row in live(session_factory, group)}
    assert set(ids(now_stale(session_factory, group))) == {started.id, pinned.id}


def test_stale_plans_of_earlier_edits_are_reported_until_they_are_rescheduled(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = edit(session_factory, group, EDITS["a group's exclusion"][0])
    both = edit(session_factory, group, EDITS["a special day without time"][0])
    assert set(ids(first)) < set(ids(both))
    reschedule_plans(session_factory, PlanGroupLock(group.tenant_id, group.id), today=FIRST)
    assert edit(session_factory, group, EDITS["another name"][0]) == ()


def test_content_is_added_with_the_stale_plans_of_earlier_edits(
    session_factory: Factory, group: PlanGroup
) -> None:
    def add(uow: UnitOfWork, _: PlanGroup) -> EditedRow:
        return GroupEditService(uow).add_content(**BOOK)

    assert edit(session_factory, group, add) == ()
    earlier = edit(session_factory, group, EDITS["a group's exclusion"][0])
    assert earlier
    assert edit(session_factory, group, add) == earlier


def test_class_makes_plans_of_all_groups_of_the_student_stale(session_factory: Factory) -> None:
    one = book_group(session_factory)
    same: dict[str, Any] = {"tenant_id": one.tenant_id, "student_id": one.student_id}
    other = book_group(session_factory, **same)
    stranger = book_group(session_factory)
    for group in (one, other, stranger):
        generate(session_factory, group)
    friday = [
        plan
        for group in (one, other)
        for plan in live(session_factory, group)
        if plan.date.isoweekday() == 5
    ]
    with UnitOfWork(session_factory, lock=StudentLock(one.tenant_id, one.student_id)) as uow:
        row = StudentTimeService(uow).add_class(
            weekday=5, start_minute=600, end_minute=1140, travel_minutes=0
        )
        uow.commit()
    assert set(ids(row.stale_plans)) == {plan.id for plan in friday}
    assert {item.plan.group_id for item in row.stale_plans} == {one.id, other.id}
    times = [(item.plan.date, item.plan.start_minute) for item in row.stale_plans]
    assert times == sorted(times)
    with UnitOfWork(session_factory, lock=StudentLock(one.tenant_id, one.student_id)) as uow:
        left = StudentTimeService(uow).remove_class(class_id=row.id, expected_version=row.version)
        uow.commit()
    assert left == ()


def test_group_without_plans_has_no_stale_ones(session_factory: Factory) -> None:
    group = book_group(session_factory)
    assert edit(session_factory, group, EDITS["a group's exclusion"][0]) == ()
    assert now_stale(session_factory, group) == ()


def test_plan_that_was_moved_by_hand_is_not_stale(
    session_factory: Factory, group: PlanGroup
) -> None:
    plan = next(row for row in live(session_factory, group) if row.kind is PlanKind.STUDY)
    with unit_of_work(session_factory, group) as uow:
        PlanProgressService(uow).move(
            plan_id=plan.id,
            expected_version=plan.version,
            today=FIRST,
            date=plan.date + timedelta(1),
            start_minute=1000,
        )
        uow.commit()
    assert now_stale(session_factory, group) == ()


def test_stale_plans_write_nothing_and_need_no_lock(
    session_factory: Factory, group: PlanGroup
) -> None:
    edit(session_factory, group, EDITS["a group's exclusion"][0])
    before = [columns(row) for row in plans(session_factory, group)]
    with unit_of_work(session_factory, group):
        assert now_stale(session_factory, group)
    assert [columns(row) for row in plans(session_factory, group)] == before


def test_stale_plans_of_another_tenant_are_not_found(
    session_factory: Factory, group: PlanGroup
) -> None:
    with session_factory() as session, pytest.raises(PlanGroupNotFoundError):
        stale_plans(session, tenant_id=uuid4(), group_id=group.id)
