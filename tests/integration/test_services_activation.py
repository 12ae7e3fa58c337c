"""Activating a group pauses the student's active group in the same transaction."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GroupStatus, PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import EditedMeanwhileError, LockNotHeldError, PlanGroupNotFoundError
from domain.services import GroupStateService, activate
from domain.services.group_states import StateChange
from tests.integration.editing import everything, unknown_tenant_id
from tests.integration.storing import ids_of, status_of, stored_group

Factory = sessionmaker[Session]


@pytest.fixture
def active(session_factory: Factory, group: PlanGroup) -> PlanGroup:
    """The student's other group, which is active."""
    return stored_group(
        session_factory,
        status=GroupStatus.ACTIVE,
        tenant_id=group.tenant_id,
        student_id=group.student_id,
    )


def test_activation_pauses_the_other_active_group(
    session_factory: Factory, group: PlanGroup, active: PlanGroup
) -> None:
    changed = activate(session_factory, **ids_of(group))
    assert changed == StateChange(
        group.id, GroupStatus.SAVED, GroupStatus.ACTIVE, 2, paused_group_id=active.id
    )
    assert status_of(session_factory, group) is GroupStatus.ACTIVE
    assert status_of(session_factory, active) is GroupStatus.PAUSED
    back = activate(session_factory, **ids_of(active))
    assert (back.from_status, back.version) == (GroupStatus.PAUSED, 3)
    assert status_of(session_factory, group) is GroupStatus.PAUSED


def test_activation_does_not_change_groups_of_other_students_and_tenants(
    session_factory: Factory, group: PlanGroup
) -> None:
    others = [
        stored_group(session_factory, status=GroupStatus.ACTIVE, tenant_id=group.tenant_id),
        stored_group(session_factory, status=GroupStatus.ACTIVE, student_id=group.student_id),
    ]
    assert activate(session_factory, **ids_of(group)).paused_group_id is None
    assert {status_of(session_factory, other) for other in others} == {GroupStatus.ACTIVE}


def test_activation_without_the_other_groups_lock_is_refused(
    session_factory: Factory, group: PlanGroup, active: PlanGroup
) -> None:
    rows = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        with pytest.raises(LockNotHeldError, match=str(active.id)):
            GroupStateService(uow).change(to=GroupStatus.ACTIVE, group_id=group.id)
        uow.commit()
    assert everything(session_factory) == rows


@pytest.mark.parametrize("end", [UnitOfWork.rollback, UnitOfWork.commit])
def test_activation_and_pause_are_one_transaction(
    *,
    session_factory: Factory,
    group: PlanGroup,
    active: PlanGroup,
    end: Callable[[UnitOfWork], None],
) -> None:
    rows = everything(session_factory)
    with UnitOfWork(
        session_factory, lock=PlanGroupLock.of(group.tenant_id, [group.id, active.id])
    ) as uow:
        GroupStateService(uow).change(to=GroupStatus.ACTIVE, group_id=group.id)
        assert everything(session_factory) == rows
        end(uow)
    assert (everything(session_factory) == rows) is (end is UnitOfWork.rollback)


def test_activation_of_a_group_of_another_tenant_raises_not_found(
    session_factory: Factory, group: PlanGroup
) -> None:
    rows = everything(session_factory)
    with pytest.raises(PlanGroupNotFoundError):
        activate(session_factory, tenant_id=unknown_tenant_id(), group_id=group.id)
    assert everything(session_factory) == rows


def test_unique_index_refuses_a_second_active_group_that_no_lock_prevented(
    session_factory: Factory, group: PlanGroup
) -> None:
    def activate_another(*_: object) -> None:
        stored_group(
            session_factory,
            status=GroupStatus.ACTIVE,
            tenant_id=group.tenant_id,
            student_id=group.student_id,
        )

    concurrent = sessionmaker(session_factory.kw["bind"])
    sa.event.listen(concurrent, "before_flush", activate_another, once=True)
    with pytest.raises(EditedMeanwhileError) as refused:
        activate(concurrent, **ids_of(group))
    assert refused.value.group_id == group.id
    assert isinstance(refused.value.__cause__, sa.exc.IntegrityError)
    assert status_of(session_factory, group) is GroupStatus.SAVED
