"""Progress and pins of plans: which marks are accepted, and which are refused."""

from datetime import timedelta
from typing import Any

import pytest

from domain import (
    InvalidInputError,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentPlan,
    UnitOfWork,
)
from domain.errors import EditedMeanwhileError, StudentPlanNotFoundError
from domain.scheduling.types import ExclusionType
from domain.services import GroupTimeService, PlanProgressService, RowVersion
from tests.integration.editing import Factory, World, everything, new_world
from tests.integration.storing import FIRST, book_group, generate, live, plans


def mark(
    factory: Factory, world: World, state: Any, through: Any = None, *, seen: int = 1, plan: int = 0
) -> RowVersion:
    with UnitOfWork(factory, lock=world.lock) as uow:
        written = PlanProgressService(uow).mark(
            plan_id=world.plans[plan].id, expected_version=seen, state=state, done_through=through
        )
        uow.commit()
    return written


def current(factory: Factory, plan: StudentPlan, group: PlanGroup) -> StudentPlan:
    (found,) = plans(factory, group, id=plan.id)
    return found


STATES = [
    (PlanState.PLANNED, None),
    (PlanState.STARTED, None),
    (PlanState.PART_DONE, 0),
    (PlanState.PART_DONE, -2),
    (PlanState.DONE, None),
]


@pytest.mark.parametrize(("first", "offset"), STATES)
@pytest.mark.parametrize(("second", "other"), STATES)
def test_progress_may_change_from_every_state_to_every_state(
    *,
    session_factory: Factory,
    world: World,
    first: PlanState,
    offset: int | None,
    second: PlanState,
    other: int | None,
) -> None:
    plan = world.plans[0]
    units = range(plan.first_unit, plan.last_unit + 1)
    version = 1
    for state, at in ((first, offset), (second, other)):
        through = None if at is None else units[at]
        version = mark(session_factory, world, state, through, seen=version).version
        found = current(session_factory, plan, world.group)
        assert (found.state, found.done_through, found.version) == (state, through, version)
        assert found.live


def test_state_may_be_given_as_text(session_factory: Factory, world: World) -> None:
    mark(session_factory, world, "part_done", world.plans[0].first_unit)
    assert current(session_factory, world.plans[0], world.group).state is PlanState.PART_DONE


@pytest.mark.parametrize("offset", [-1, 0, 1, 1000])
def test_plan_is_part_done_only_within_its_range_and_below_its_last_unit(
    session_factory: Factory, world: World, offset: int
) -> None:
    plan = world.plans[1]
    through = plan.first_unit - 1 if offset < 0 else plan.last_unit + offset
    before = everything(session_factory)
    with pytest.raises(InvalidInputError) as refused:
        mark(session_factory, world, PlanState.PART_DONE, through, plan=1)
    assert refused.value.field == "done_through"
    assert str(plan.last_unit - 1) in str(refused.value)
    assert everything(session_factory) == before


@pytest.mark.parametrize(
    ("state", "through", "field"),
    [
        (PlanState.PART_DONE, None, "done_through"),
        (PlanState.PART_DONE, "3", "done_through"),
        (PlanState.PART_DONE, True, "done_through"),
        (PlanState.DONE, 3, "done_through"),
        (PlanState.PLANNED, 3, "done_through"),
        (PlanState.STARTED, 3, "done_through"),
        ("finished", None, "state"),
        (None, None, "state"),
    ],
)
def test_progress_with_invalid_values_is_refused(
    *, session_factory: Factory, world: World, state: Any, through: Any, field: str
) -> None:
    before = everything(session_factory)
    with pytest.raises(InvalidInputError) as refused:
        mark(session_factory, world, state, through)
    assert refused.value.field == field
    assert everything(session_factory) == before


def test_plan_of_one_unit_cannot_be_part_done(session_factory: Factory, world: World) -> None:
    small = book_group(session_factory, 1, 2)
    generate(session_factory, small)
    single = live(session_factory, small)[0]
    assert single.first_unit == single.last_unit
    with (
        pytest.raises(InvalidInputError, match="one unit"),
        UnitOfWork(session_factory, lock=PlanGroupLock(small.tenant_id, small.id)) as uow,
    ):
        PlanProgressService(uow).mark(
            plan_id=single.id,
            expected_version=1,
            state=PlanState.PART_DONE,
            done_through=single.first_unit,
        )


def test_plan_that_is_not_live_cannot_be_marked_or_pinned(
    session_factory: Factory, world: World
) -> None:
    generate(session_factory, world.group, FIRST + timedelta(days=1))
    before = everything(session_factory)
    with pytest.raises(EditedMeanwhileError) as refused:
        mark(session_factory, world, PlanState.DONE)
    assert refused.value.group_id == world.group.id
    with pytest.raises(EditedMeanwhileError), UnitOfWork(session_factory, lock=world.lock) as uow:
        pin(uow, world)
    assert everything(session_factory) == before


def test_plan_of_another_group_is_not_found(session_factory: Factory, world: World) -> None:
    other = new_world(session_factory)
    with (
        pytest.raises(StudentPlanNotFoundError) as refused,
        UnitOfWork(session_factory, lock=world.lock) as uow,
    ):
        PlanProgressService(uow).pin(plan_id=other.plans[0].id, expected_version=1)
    assert refused.value.plan_id == other.plans[0].id


def exclude(uow: UnitOfWork, plan: StudentPlan) -> None:
    """Exclude the plan's day, on which the next generation then plans nothing."""
    GroupTimeService(uow).add_exclusion(date=plan.date, type=ExclusionType.OTHER)


def test_pinned_plan_is_kept_by_a_generation_and_an_unpinned_plan_is_not(
    session_factory: Factory, world: World
) -> None:
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        assert pin(uow, world).version == 2
        exclude(uow, world.plans[0])
        uow.commit()
    generate(session_factory, world.group)
    assert current(session_factory, world.plans[0], world.group).live
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        pin(uow, world, seen=2, pinned=False)
        uow.commit()
    generate(session_factory, world.group)
    assert not current(session_factory, world.plans[0], world.group).live


def test_plan_that_a_generation_replaced_is_not_live_in_the_same_unit_of_work(
    session_factory: Factory, world: World
) -> None:
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        loaded = uow.plans.live(world.group.id)
        done = pin(uow, world)
        pin(uow, world, plan=1, pinned=False)
        exclude(uow, world.plans[1])
        PlanGenerationService(uow).generate(today=FIRST)
        assert pin(uow, world, seen=done.version, pinned=False).version == 3
        with pytest.raises(EditedMeanwhileError):
            pin(uow, world, plan=1)
        assert [plan.live for plan in loaded[:2]] == [True, False]
        uow.commit()


def pin(
    uow: UnitOfWork, world: World, *, seen: int = 1, plan: int = 0, pinned: bool = True
) -> RowVersion:
    return PlanProgressService(uow).pin(
        plan_id=world.plans[plan].id, expected_version=seen, pinned=pinned
    )
