"""Repositories refresh what was loaded before, and never discard changes that are pending."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    AcademySchedule,
    GroupStatus,
    PlanGenerationService,
    PlanGroupLock,
    PlanState,
    StudentPlan,
    UnitOfWork,
)
from domain.documents import read_json
from domain.repositories import HistoryRepository, StudentTimeRepository
from domain.services import GroupStateService, PlanGroupService, PlanProgressService
from tests.factories import PlanGroupFactory
from tests.integration.editing import Factory, World
from tests.integration.storing import FIRST, mark
from tests.unit.documents.documents import EXAMPLE

Read = Callable[[UnitOfWork, World], Sequence[Any]]
GROUP_READS: dict[str, Read] = {
    "get": lambda uow, world: [uow.groups.get(world.group.id)],
    "get_row": lambda uow, world: [uow.groups.get_row(world.group.id)],
    "of_student": lambda uow, world: uow.groups.of_student(world.group.student_id),
    "page": lambda uow, _: uow.groups.page().groups,
}
PLAN_READS: dict[str, Read] = {
    "get": lambda uow, world: [uow.plans.get(world.group.id, world.plans[0].id)],
    "get_all": lambda uow, world: uow.plans.get_all(world.group.id, [world.plans[0].id]),
    "live": lambda uow, world: uow.plans.live(world.group.id),
    "of_generation": lambda uow, world: uow.plans.of_generation(world.group.id, 1),
    "of_student": lambda uow, world: uow.plans.of_student(
        world.group.student_id, FIRST, FIRST + timedelta(30)
    ),
    "as_of": lambda uow, world: HistoryRepository(uow.session, uow.tenant_id).as_of(
        world.group.id, 1
    ),
}
each_way_of_flushing = pytest.mark.parametrize("way", ["autoflush", "no autoflush", "suspended"])


def unit_of_work(factory: Factory, world: World, way: str) -> UnitOfWork:
    made = sessionmaker(factory.kw["bind"], autoflush=way != "no autoflush")
    return UnitOfWork(made, lock=world.lock)


def suspended(uow: UnitOfWork, way: str) -> Any:
    return uow.session.no_autoflush if way == "suspended" else nullcontext()


@each_way_of_flushing
@pytest.mark.parametrize("read", PLAN_READS)
def test_pending_change_of_a_plan_is_not_discarded(
    session_factory: Factory, world: World, read: str, way: str
) -> None:
    with unit_of_work(session_factory, world, way) as uow:
        plan = uow.plans.get(world.group.id, world.plans[0].id)
        plan.pinned = True
        with suspended(uow, way):
            assert plan in PLAN_READS[read](uow, world)
        assert plan.pinned
        uow.commit()
    with session_factory() as session:
        assert session.get_one(StudentPlan, (world.tenant_id, plan.id)).pinned


@each_way_of_flushing
@pytest.mark.parametrize("read", GROUP_READS)
def test_pending_change_of_a_group_is_not_discarded(
    session_factory: Factory, world: World, read: str, way: str
) -> None:
    """Neither one of its own row nor of its parts."""
    with unit_of_work(session_factory, world, way) as uow:
        group = uow.groups.get(world.group.id)
        group.name, group.contents[0].title = "새 이름", "새 제목"
        del group.blocks[0]
        blocks = len(group.blocks)
        with suspended(uow, way):
            assert group in GROUP_READS[read](uow, world)
        uow.commit()
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        stored = uow.groups.get(world.group.id)
        assert (stored.name, stored.contents[0].title) == ("새 이름", "새 제목")
        assert len(stored.blocks) == blocks


@pytest.mark.parametrize("read", PLAN_READS)
def test_change_of_another_request_is_read(
    session_factory: Factory, world: World, read: str
) -> None:
    """A request with a shared lock marks a plan that was loaded before."""
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        before = PLAN_READS[read](uow, world)
        assert {plan.state for plan in before} == {PlanState.PLANNED}
        mark(session_factory, world.plans[0], state=PlanState.STARTED)
        assert PlanState.STARTED in {plan.state for plan in PLAN_READS[read](uow, world)}


def test_classes_are_read_again_under_the_lock_of_the_student(
    session_factory: Factory, world: World
) -> None:
    """They may have changed after they were read without it."""
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        time = StudentTimeRepository(uow.session, uow.tenant_id)
        (lesson,) = time.academy_schedules(world.group.student_id)
        with session_factory.begin() as session:
            session.execute(
                sa.update(AcademySchedule)
                .where(AcademySchedule.id == lesson.id)
                .values(travel_minutes=55)
            )
        uow.lock_student(world.group.id)
        time.academy_schedules(world.group.student_id)
        assert lesson.travel_minutes == 55


@pytest.mark.parametrize("read", [name for name in GROUP_READS if name != "get"])
def test_parts_that_are_loaded_stay_loaded_by_a_read_without_them(
    session_factory: Factory, world: World, read: str
) -> None:
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        group = uow.groups.get(world.group.id)
        PlanGenerationService(uow).generate(today=FIRST)
        GROUP_READS[read](uow, world)
        uow.commit()
    assert group.generation == 2
    assert [len(content.episodes) for content in group.contents] == [0, 3]
    assert group.blocks
    assert group.non_study_blocks
    assert group.special_days


def test_cancelled_plans_have_the_time_of_their_cancellation(
    session_factory: Factory, world: World
) -> None:
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        plans = uow.plans.live(world.group.id)
        GroupStateService(uow).change(to=GroupStatus.CANCELLED)
        uow.commit()
    with session_factory() as session:
        for plan in plans:
            stored = session.get_one(StudentPlan, (plan.tenant_id, plan.id))
            assert (plan.live, plan.retired_as, plan.retired_at) == (
                False,
                stored.retired_as,
                stored.retired_at,
            )


@pytest.mark.parametrize("autoflush", [True, False])
def test_plan_that_is_retired_by_hand_has_what_was_stored(
    engine: sa.Engine, world: World, *, autoflush: bool
) -> None:
    """Also a change of the plan that was pending."""
    factory = sessionmaker(engine, autoflush=autoflush)
    with UnitOfWork(factory, lock=world.lock) as uow:
        plan = uow.plans.get(world.group.id, world.plans[0].id)
        plan.pinned = True
        PlanProgressService(uow).mark_missed(plan_id=plan.id, expected_version=2)
        uow.commit()
    with Session(engine) as session:
        stored = session.get_one(StudentPlan, (world.tenant_id, plan.id))
        assert plan.retired_at == stored.retired_at is not None
        assert (plan.live, plan.pinned, plan.version) == (False, True, stored.version)


def test_group_is_readable_after_it_was_created_or_added(
    session_factory: Factory, tenant_id: UUID
) -> None:
    added = PlanGroupFactory.build(tenant_id=tenant_id)
    with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, added.id)) as uow:
        uow.groups.add(added)
        uow.commit()
    with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, uuid4())) as uow:
        created = PlanGroupService(uow).create(read_json(EXAMPLE), student_id=uuid4())
        uow.commit()
    for group in (added, created):
        for row in group.all_rows():
            for attribute in sa.inspect(type(row)).attrs:
                getattr(row, attribute.key)
