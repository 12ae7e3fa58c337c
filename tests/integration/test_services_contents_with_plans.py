"""Changing contents that plans refer to, and removing and reordering contents."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from domain import PlanState, UnitOfWork
from domain.errors import ContentNotFoundError, EditedMeanwhileError
from domain.scheduling.types import ContentType
from domain.services import RowVersion
from tests.integration.editing import (
    BOOK,
    SERVICE,
    Factory,
    World,
    content,
    edit,
    everything,
    new_world,
    refused,
    stored,
)
from tests.integration.storing import done_by, generate, mark, stored_group, unit_of_work


def test_range_must_contain_the_units_that_are_done_started_or_pinned(
    session_factory: Factory, world: World
) -> None:
    done, _, pinned = world.plans[1:4]
    mark(session_factory, done, **done_by(PlanState.DONE))
    mark(session_factory, pinned, pinned=True)
    for fields in ({"first_unit": done.first_unit + 1}, {"last_unit": pinned.last_unit - 1}):
        refused(
            session_factory,
            world,
            {"contents[0].range"},
            SERVICE.change_content,
            content_id=world.planned.id,
            expected_version=1,
            **fields,
        )
    content(session_factory, world, first_unit=done.first_unit, last_unit=pinned.last_unit)
    result = generate(session_factory, world.group)
    new = {plan.first_unit for plan in result.plans if plan.content == world.planned.position}
    assert min(new) >= done.first_unit


def test_type_of_a_content_with_plans_cannot_change(session_factory: Factory, world: World) -> None:
    refused(
        session_factory,
        world,
        {"contents[0].type"},
        SERVICE.change_content,
        content_id=world.planned.id,
        expected_version=1,
        type=ContentType.CUSTOM,
    )
    content(session_factory, world, "unplanned", type="custom", minutes_per_unit=20, episodes=[])
    assert stored(session_factory, world).contents[1].episodes == []


@pytest.mark.parametrize("live", [True, False])
def test_content_that_plans_refer_to_is_not_removed(
    session_factory: Factory, world: World, *, live: bool
) -> None:
    if not live:
        for plan in world.plans:
            mark(session_factory, plan, live=False, retired_as="cancelled")
    error = refused(
        session_factory,
        world,
        {"contents[0]"},
        SERVICE.remove_content,
        content_id=world.planned.id,
        expected_version=1,
    )
    assert "because it has plans" in str(error)


def test_removal_of_a_content_deletes_its_episodes(session_factory: Factory, world: World) -> None:
    edit(
        session_factory,
        world,
        SERVICE.remove_content,
        content_id=world.unplanned.id,
        expected_version=1,
    )
    rows = everything(session_factory)
    assert not [row for row in rows["lecture_episodes"] if str(world.unplanned.id) in row]
    assert [found.id for found in stored(session_factory, world).contents] == [world.planned.id]


@pytest.mark.parametrize("method", [SERVICE.change_content, SERVICE.remove_content])
def test_content_of_another_group_is_not_found(
    session_factory: Factory, world: World, method: Callable[..., Any]
) -> None:
    other = new_world(session_factory)
    before = everything(session_factory)
    with pytest.raises(ContentNotFoundError) as error:
        edit(session_factory, world, method, content_id=other.planned.id, expected_version=1)
    assert error.value.content_id == other.planned.id
    assert everything(session_factory) == before


def test_contents_are_reordered(session_factory: Factory, world: World) -> None:
    third = edit(session_factory, world, SERVICE.add_content, **BOOK)
    ids = [third.id, world.planned.id, world.unplanned.id]
    written = edit(
        session_factory, world, SERVICE.reorder_contents, order=[RowVersion(i, 1) for i in ids]
    )
    assert written == [RowVersion(i, 2) for i in ids]
    found = stored(session_factory, world).contents
    assert [(row.id, row.position, row.version) for row in found] == [
        (row_id, position, 2) for position, row_id in enumerate(ids)
    ]
    generate(session_factory, world.group)


def test_contents_of_a_group_without_contents_are_reordered(session_factory: Factory) -> None:
    group = stored_group(session_factory, contents=[])
    with unit_of_work(session_factory, group) as uow:
        assert SERVICE(uow).reorder_contents(order=[]) == []
        uow.commit()


@pytest.mark.parametrize("case", ["one is missing", "one is added", "one is unknown"])
def test_order_that_does_not_list_exactly_the_contents_is_refused(
    session_factory: Factory, world: World, case: str
) -> None:
    two = [RowVersion(world.planned.id, 1), RowVersion(world.unplanned.id, 1)]
    order = {
        "one is missing": two[:1],
        "one is added": [*two, RowVersion(uuid4(), 1)],
        "one is unknown": [two[0], RowVersion(uuid4(), 1)],
    }[case]
    before = everything(session_factory)
    with pytest.raises(EditedMeanwhileError):
        edit(session_factory, world, SERVICE.reorder_contents, order=order)
    assert everything(session_factory) == before


def test_order_that_names_a_content_twice_is_refused(
    session_factory: Factory, world: World
) -> None:
    order = [RowVersion(world.planned.id, 1)] * 2
    refused(session_factory, world, {"contents"}, SERVICE.reorder_contents, order=order)


def test_edits_in_one_unit_of_work_see_each_other(session_factory: Factory, world: World) -> None:
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        service, group = SERVICE(uow), uow.groups.get(world.group.id)
        added = service.add_content(**BOOK)
        order = [added, RowVersion(world.planned.id, 1), RowVersion(world.unplanned.id, 1)]
        moved = service.reorder_contents(order=order)
        changed = service.change_content(
            content_id=added.id, expected_version=moved[0].version, title="국어"
        )
        service.remove_content(content_id=added.id, expected_version=changed.version)
        service.add_content(**BOOK)
        assert [row.position for row in group.contents] == [1, 2, 3]
        uow.commit()
    assert [row.position for row in stored(session_factory, world).contents] == [1, 2, 3]
