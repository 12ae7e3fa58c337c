"""A plan that is moved by hand to a date that was opened since the last generation stands there."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork
from domain.scheduling.types import BlockKind, ExclusionType, PlanKind
from domain.services import (
    GroupEditService,
    GroupTimeService,
    PlanProgressService,
    reschedule_plans,
    stale_plans,
)
from tests.factories import EVERY_DAY, BlockFactory
from tests.integration.storing import FIRST, book_group, generate, live, unit_of_work

Factory = sessionmaker[Session]
LAST = FIRST + timedelta(13)
CLOSED = FIRST + timedelta(9)
"""A Friday without blocks and, in some groups, an excluded Thursday before it."""


def remove_exclusion(uow: UnitOfWork, group: PlanGroup) -> date:
    (found,) = uow.student_time.exclusions_of_group(group.id)
    GroupTimeService(uow).remove_exclusion(exclusion_id=found.id, expected_version=1)
    return found.date


def add_special_day(uow: UnitOfWork, _: PlanGroup) -> date:
    GroupTimeService(uow).add_special_day(date=CLOSED, study=[(600, 900)])
    return CLOSED


def add_block(uow: UnitOfWork, _: PlanGroup) -> date:
    GroupTimeService(uow).add_block(
        kind=BlockKind.STUDY, weekday=CLOSED.isoweekday() % 7, start_minute=600, end_minute=900
    )
    return CLOSED


def extend_period(uow: UnitOfWork, group: PlanGroup) -> date:
    GroupEditService(uow).change_settings(
        expected_version=uow.groups.get(group.id).version, period_end=LAST + timedelta(7)
    )
    return LAST + timedelta(5)


OPENINGS: dict[str, Callable[[UnitOfWork, PlanGroup], date]] = {
    "an exclusion is removed": remove_exclusion,
    "a special day is added": add_special_day,
    "a block is added": add_block,
    "the period is extended": extend_period,
}


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    closed = CLOSED.isoweekday() % 7
    group = book_group(
        session_factory,
        period_end=LAST,
        blocks=[BlockFactory.build(weekday=day) for day in EVERY_DAY if day != closed],
    )
    with unit_of_work(session_factory, group) as uow:
        GroupTimeService(uow).add_exclusion(date=CLOSED - timedelta(1), type=ExclusionType.VACATION)
        uow.commit()
    generate(session_factory, group)
    return group


@pytest.mark.parametrize("opening", OPENINGS)
def test_plan_that_was_moved_to_an_opened_date_stands_there(
    session_factory: Factory, group: PlanGroup, opening: str
) -> None:
    planned = live(session_factory, group)
    with unit_of_work(session_factory, group) as uow:
        day = OPENINGS[opening](uow, group)
        # The order of the units remains, so that nothing else moves the plan.
        before = [plan for plan in planned if plan.date < day and plan.kind is PlanKind.STUDY][-1]
        moved = PlanProgressService(uow).move(
            plan_id=before.id,
            expected_version=before.version,
            today=FIRST,
            date=day,
            start_minute=615,
        )
        # A plan that is pinned would be kept in any case.
        PlanProgressService(uow).pin(plan_id=moved.id, expected_version=moved.version, pinned=False)
        uow.commit()
    with session_factory() as session:
        assert stale_plans(session, tenant_id=group.tenant_id, group_id=group.id) == ()
    result = reschedule_plans(
        session_factory, PlanGroupLock(group.tenant_id, group.id), today=FIRST + timedelta(1)
    )
    assert result.changes.new + result.changes.moved > 0, "the first day was missed"
    assert moved.id in {plan.id for plan in live(session_factory, group)}
