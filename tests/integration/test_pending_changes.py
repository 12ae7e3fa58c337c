"""Services see changes that are not flushed, also if the Session never autoflushes."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGenerationService, PlanState, StudentPlan, UnitOfWork
from domain.errors import InvalidInputError, UndoNotPossibleError
from domain.repositories import PlanGroupRepository
from domain.scheduling.types import BlockKind
from domain.services import (
    GroupEditService,
    GroupTimeService,
    ReschedulingService,
    UndoService,
    stale_plans,
)
from tests.integration.editing import Factory, World
from tests.integration.storing import FIRST

EARLIER = 600, 720
ELSEWHERE = 420, 540
"""A time in which no stored plan is."""


@pytest.fixture(params=[True, False], ids=["autoflush", "no autoflush"])
def factory(request: pytest.FixtureRequest, engine: sa.Engine) -> Factory:
    return sessionmaker(engine, autoflush=request.param)


def move_blocks(uow: UnitOfWork, world: World, to: tuple[int, int]) -> None:
    """Move all blocks, without a flush."""
    for block in uow.groups.get(world.group.id).blocks:
        block.start_minute, block.end_minute = to


def run(uow: UnitOfWork, name: str) -> Any:
    if name == "generate":
        return PlanGenerationService(uow).generate(today=FIRST)
    return ReschedulingService(uow).reschedule(today=FIRST)


@pytest.mark.parametrize("name", ["generate", "reschedule"])
def test_run_plans_in_the_time_of_blocks_that_were_not_flushed(
    factory: Factory, world: World, name: str
) -> None:
    with UnitOfWork(factory, lock=world.lock) as uow:
        move_blocks(uow, world, EARLIER)
        result = run(uow, name)
        uow.commit()
    assert {plan.end_minute <= EARLIER[1] for plan in result.plans} == {True}
    with factory() as session:
        assert not stale_plans(session, tenant_id=world.tenant_id, group_id=world.group.id)


@pytest.mark.parametrize("name", ["generate", "reschedule"])
def test_run_keeps_a_plan_whose_mark_was_not_flushed(
    factory: Factory, world: World, name: str
) -> None:
    with UnitOfWork(factory, lock=world.lock) as uow:
        move_blocks(uow, world, ELSEWHERE)
        uow.session.flush()  # so that all plans that are not kept are replaced
        plan = uow.plans.get(world.group.id, world.plans[-1].id)
        plan.state, plan.done_at = PlanState.DONE, datetime(2025, 1, 6, tzinfo=UTC)
        run(uow, name)
        uow.commit()
    with factory() as session:
        stored = session.get_one(StudentPlan, (world.tenant_id, plan.id))
        assert (stored.state, stored.live) == (PlanState.DONE, True)


def test_undo_refuses_to_retire_a_plan_whose_pin_was_not_flushed(
    factory: Factory, world: World
) -> None:
    with UnitOfWork(factory, lock=world.lock) as uow:
        uow.plans.get(world.group.id, world.plans[0].id).pinned = True
        with pytest.raises(UndoNotPossibleError) as refused:
            UndoService(uow).undo()
        uow.rollback()
    assert [plan.plan_id for plan in refused.value.plans] == [world.plans[0].id]


REFUSED: dict[str, Callable[[UnitOfWork], object]] = {
    "settings": lambda uow: GroupEditService(uow).change_settings(
        expected_version=2, period_end=date.min
    ),
    "block": lambda uow: GroupTimeService(uow).add_block(
        weekday=1, start_minute=2, end_minute=1, kind=BlockKind.STUDY
    ),
}


@pytest.mark.parametrize("edit", REFUSED.values(), ids=REFUSED)
def test_refused_edit_discards_no_change_of_the_application(
    factory: Factory, world: World, edit: Callable[[UnitOfWork], object]
) -> None:
    with UnitOfWork(factory, lock=world.lock) as uow:
        group = uow.groups.get(world.group.id)
        group.name = group.contents[0].title = "새 이름"
        with pytest.raises(InvalidInputError):
            edit(uow)
        uow.commit()
    with factory() as session:
        stored = PlanGroupRepository(session, world.tenant_id).get(world.group.id)
        assert (stored.name, stored.contents[0].title) == ("새 이름", "새 이름")
