"""Deleting a group deletes all its rows, and no others."""

import pytest
import sqlalchemy as sa

from domain import Base, GroupStatus, PlanState, UnitOfWork
from domain.errors import PlanGroupNotFoundError
from domain.services import PlanGroupService
from tests.integration.editing import Factory, World, everything
from tests.integration.storing import book_group, change, done_by, dump, generate, live, mark


def delete(factory: Factory, world: World) -> None:
    with UnitOfWork(factory, lock=world.lock) as uow:
        PlanGroupService(uow).delete(expected_version=1)
        uow.commit()


def test_deletion_removes_all_rows_of_the_group_and_no_others(
    session_factory: Factory, world: World
) -> None:
    mark(session_factory, world.plans[0], **done_by(PlanState.DONE))
    generate(session_factory, world.group)
    assert all(dump(session_factory, world.group.id).values()), "every table has a row of the group"
    neighbour = book_group(
        session_factory, tenant_id=world.tenant_id, student_id=world.group.student_id
    )
    generate(session_factory, neighbour)
    before = everything(session_factory)
    own = dump(session_factory, world.group.id)
    delete(session_factory, world)
    after = everything(session_factory)
    assert {name: sorted(set(rows) - set(own.get(name, []))) for name, rows in before.items()} == (
        after
    )
    assert not any(dump(session_factory, world.group.id).values())
    assert [len(after[name]) >= 1 for name in ("academy_schedules", "exclusions")] == [True, True]


@pytest.mark.parametrize("status", GroupStatus)
def test_plan_group_in_any_state_can_be_deleted(
    session_factory: Factory, world: World, status: GroupStatus
) -> None:
    change(session_factory, world.group, status=status)
    delete(session_factory, world)
    assert not any(dump(session_factory, world.group.id).values())


def test_deletion_frees_the_time_of_the_plans_for_the_students_other_groups(
    session_factory: Factory, world: World
) -> None:
    other = book_group(
        session_factory, tenant_id=world.tenant_id, student_id=world.group.student_id
    )
    first = generate(session_factory, other).plans
    delete(session_factory, world)
    assert generate(session_factory, other).plans[0].start_minute < first[0].start_minute


def test_plan_group_that_was_deleted_is_not_found(session_factory: Factory, world: World) -> None:
    delete(session_factory, world)
    with pytest.raises(PlanGroupNotFoundError):
        delete(session_factory, world)
    assert live(session_factory, world.group) == []


def test_tables_with_a_group_id_are_all_checked(session_factory: Factory, world: World) -> None:
    with_group = {t.name for t in Base.metadata.sorted_tables if "group_id" in t.columns}
    assert with_group | {"plan_groups"} == set(dump(session_factory, world.group.id))
    assert sa.inspect(session_factory.kw["bind"]).has_table("plan_groups", schema="studyplan")
