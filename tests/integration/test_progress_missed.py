"""Plans that are missed by hand: they are retired, and their units are planned again."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from domain import GroupStatus, PlanGroupLock, PlanState, StudentPlan, UnitOfWork
from domain.errors import (
    EditedMeanwhileError,
    NotFoundError,
    PlanGroupNotFoundError,
    StudentPlanNotFoundError,
)
from domain.models.plan import RetiredAs
from domain.services import GroupStateService, Mark, PlanProgressService, RowVersion
from tests.integration.editing import Factory, World, edit, everything, refused
from tests.integration.storing import FIRST, change, columns, generate, live, plans, units

SERVICE = PlanProgressService
PLANNED, STARTED, PART_DONE, DONE = PlanState
AT = datetime(2025, 1, 6, 23, 30, tzinfo=timezone(timedelta(hours=9)))


def mark(factory: Factory, world: World, plan: int = 0, **fields: Any) -> RowVersion:
    given = {"plan_id": world.plans[plan].id, "expected_version": 1, "state": DONE, **fields}
    written: RowVersion = edit(factory, world, SERVICE.mark, **given)
    return written


def current(factory: Factory, world: World, plan: int = 0) -> StudentPlan:
    (found,) = plans(factory, world.group, id=world.plans[plan].id)
    return found


def mark_of(world: World, plan: int, **fields: Any) -> Mark:
    given = {"plan_id": world.plans[plan].id, "expected_version": 1, "state": DONE}
    return Mark(**{**given, **fields})


@pytest.mark.parametrize("state", [PLANNED, STARTED])
@pytest.mark.parametrize("pinned", [False, True])
def test_plan_that_is_missed_by_hand_is_retired_in_its_version(
    session_factory: Factory, world: World, state: PlanState, pinned: bool
) -> None:
    plan_id = world.plans[3].id
    version = mark(session_factory, world, 3, state=state).version
    fields = {"plan_id": plan_id, "expected_version": version, "pinned": pinned}
    edit(session_factory, world, SERVICE.pin, **fields)
    before = columns(current(session_factory, world, 3))
    version = before["version"]
    edit(session_factory, world, SERVICE.mark_missed, plan_id=plan_id, expected_version=version)
    after = columns(current(session_factory, world, 3))
    assert after.pop("retired_at") is not None
    expected = {**before, "live": False, "retired_as": RetiredAs.MISSED}
    del expected["retired_at"]
    assert after == expected


def test_units_of_a_plan_that_is_missed_by_hand_are_planned_again(
    session_factory: Factory, world: World
) -> None:
    """Its day is not past, and its time is free for the plans of the same day."""
    missed = world.plans[0]
    edit(session_factory, world, SERVICE.mark_missed, plan_id=missed.id, expected_version=1)
    generate(session_factory, world.group)
    rows = [row for row in live(session_factory, world.group) if row.content_id == world.planned.id]
    assert units(rows) == set(range(1, 101))
    assert missed.id not in {row.id for row in rows}
    first = next(row for row in rows if row.date == missed.date)
    assert (first.first_unit, first.start_minute) == (missed.first_unit, missed.start_minute)


@pytest.mark.parametrize("state", [PART_DONE, DONE])
def test_plan_that_is_done_cannot_be_missed(
    session_factory: Factory, world: World, state: PlanState
) -> None:
    plan = world.plans[0]
    through = plan.first_unit if state is PART_DONE else None
    mark(session_factory, world, state=state, done_through=through)
    fields = {"plan_id": plan.id, "expected_version": 2}
    refused(session_factory, world, {"plan_id"}, SERVICE.mark_missed, **fields)


def later(factory: Factory, world: World) -> None:
    generate(factory, world.group, FIRST + timedelta(days=1))


def missed(factory: Factory, world: World) -> None:
    edit(factory, world, SERVICE.mark_missed, plan_id=world.plans[0].id, expected_version=1)


def moved(factory: Factory, world: World) -> None:
    edit(factory, world, SERVICE.move, **plan_of(world), **PLACE)


def cancelled(factory: Factory, world: World) -> None:
    edit(factory, world, GroupStateService.change, to=GroupStatus.CANCELLED)


def plan_of(world: World) -> dict[str, Any]:
    return {"plan_id": world.plans[0].id, "expected_version": 1}


PLACE: dict[str, Any] = {"date": date(2025, 1, 7), "start_minute": 1080, "today": FIRST}
REQUESTS: dict[str, tuple[Callable[..., Any], Callable[[World], dict[str, Any]]]] = {
    "mark": (SERVICE.mark, lambda world: {**plan_of(world), "state": DONE}),
    "mark_all": (SERVICE.mark_all, lambda world: {"marks": [mark_of(world, 0)]}),
    "pin": (SERVICE.pin, plan_of),
    "unpin": (SERVICE.pin, lambda world: {**plan_of(world), "pinned": False}),
    "mark_missed": (SERVICE.mark_missed, plan_of),
    "move": (SERVICE.move, lambda world: {**plan_of(world), **PLACE}),
}


@pytest.mark.parametrize("retire", [later, missed, moved, cancelled])
@pytest.mark.parametrize("request_", REQUESTS)
def test_request_for_a_plan_that_was_retired_meanwhile_is_refused_as_outdated(
    session_factory: Factory, world: World, retire: Callable[[Factory, World], None], request_: str
) -> None:
    retire(session_factory, world)
    before = everything(session_factory)
    method, fields = REQUESTS[request_]
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        with pytest.raises(EditedMeanwhileError) as outdated:
            method(SERVICE(uow), **fields(world))
        uow.commit()
    assert outdated.value.group_id == world.group.id
    assert everything(session_factory) == before


@pytest.mark.parametrize("status", [GroupStatus.PAUSED, GroupStatus.COMPLETED])
def test_plan_of_a_group_in_any_state_can_be_missed(
    session_factory: Factory, world: World, status: GroupStatus
) -> None:
    change(session_factory, world.group, status=status)
    fields = {"plan_id": world.plans[0].id, "expected_version": 1}
    edit(session_factory, world, SERVICE.mark_missed, **fields)
    assert not current(session_factory, world).live


def test_progress_in_an_unknown_group_names_the_group_if_its_student_has_to_be_locked(
    session_factory: Factory, lock: PlanGroupLock
) -> None:
    ids: dict[str, Any] = {"plan_id": uuid4(), "expected_version": 1}
    place: dict[str, Any] = {"date": FIRST, "start_minute": 600, "today": FIRST}
    calls: list[tuple[type[NotFoundError], Callable[[PlanProgressService], object]]] = [
        (StudentPlanNotFoundError, lambda service: service.mark(**ids, state=DONE)),
        (StudentPlanNotFoundError, lambda service: service.pin(**ids)),
        (PlanGroupNotFoundError, lambda service: service.mark_missed(**ids)),
        (PlanGroupNotFoundError, lambda service: service.move(**ids, **place)),
    ]
    for error, call in calls:
        with UnitOfWork(session_factory, lock=lock) as uow:
            with pytest.raises(error):
                call(PlanProgressService(uow))
            uow.rollback()
