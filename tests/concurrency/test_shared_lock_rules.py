"""A shared lock only allows marks of progress and cannot be made exclusive."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import InvalidInputError, PlanGroup, PlanState, UnitOfWork, generate_plans
from domain.errors import LockNotHeldError, UnitOfWorkStateError, WrongTransactionError
from domain.locking import acquiring
from domain.testing import assert_lock_free, assert_lock_held
from domain.testing.contention import TIMEOUT
from tests.concurrency.overlapping import exclusive, generated_group, shared
from tests.factories import PlanGroupFactory
from tests.integration.storing import FIRST, generate, stored_group, traces

Factory = sessionmaker[Session]
LONG = timedelta(seconds=TIMEOUT)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return generated_group(session_factory)


def test_shared_lock_only_allows_marks(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup
) -> None:
    before = traces(engine, group.id)
    with UnitOfWork(session_factory, lock=shared(group)) as uow:
        stored = uow.groups.get(group.id)
        for call in (
            lambda: uow.lock_student(group.id),
            lambda: uow.groups.remove(group.id, 1),
            lambda: uow.plans.retire_as_cancelled(group.id),
            lambda: uow.groups.add(PlanGroupFactory.build(id=group.id, tenant_id=group.tenant_id)),
        ):
            with pytest.raises(LockNotHeldError, match="holds a shared lock"):
                call()
        stored.name = "changed without a service"
        with pytest.raises(LockNotHeldError, match="marks of progress"):
            uow.commit()
    assert traces(engine, group.id) == before


def marks_another_group(uow: UnitOfWork, other: PlanGroup) -> None:
    uow.plans.live(other.id)[0].state = PlanState.DONE


def deletes_a_plan(uow: UnitOfWork, _: PlanGroup) -> None:
    uow.session.delete(uow.plans.live(next(iter(uow.lock.group_ids)))[0])


def adds_a_group(uow: UnitOfWork, _: PlanGroup) -> None:
    uow.session.add(PlanGroupFactory.build(tenant_id=uow.tenant_id))


@pytest.mark.parametrize("write", [marks_another_group, deletes_a_plan, adds_a_group])
def test_shared_lock_only_allows_marks_in_its_groups(
    session_factory: Factory,
    engine: sa.Engine,
    group: PlanGroup,
    write: Callable[[UnitOfWork, PlanGroup], None],
) -> None:
    other = stored_group(session_factory, tenant_id=group.tenant_id)
    generate(session_factory, other)
    before = traces(engine, group.id), traces(engine, other.id)
    with UnitOfWork(session_factory, lock=shared(group)) as uow:
        write(uow, other)
        with pytest.raises(LockNotHeldError, match="marks of progress in its groups"):
            uow.commit()
    assert (traces(engine, group.id), traces(engine, other.id)) == before


def test_shared_lock_cannot_become_exclusive_in_its_transaction(
    session_factory: Factory, group: PlanGroup
) -> None:
    other = stored_group(session_factory, tenant_id=group.tenant_id)
    for lock in (exclusive(group), exclusive(other, LONG)):
        with UnitOfWork(session_factory, lock=shared(group)) as uow:
            with pytest.raises(WrongTransactionError, match="two such transactions"):
                acquiring.acquire(uow.connection, lock)
            uow.rollback()


@pytest.mark.parametrize("wait_ms", [0, 1000])
def test_shared_lock_cannot_become_exclusive_through_sql(
    session_factory: Factory, group: PlanGroup, wait_ms: int
) -> None:
    statement = "SELECT public.acquire_plan_group_lock(%s, %s)"
    with UnitOfWork(session_factory, lock=shared(group)) as uow:
        with pytest.raises(sa.exc.DBAPIError, match="the transaction holds a shared lock"):
            uow.connection.exec_driver_sql(statement, (uuid4(), wait_ms))
        uow.rollback()


def test_nested_units_of_work_with_a_shared_and_an_exclusive_lock_are_refused(
    session_factory: Factory, group: PlanGroup
) -> None:
    with (
        UnitOfWork(session_factory, lock=shared(group)),
        pytest.raises(UnitOfWorkStateError, match="the same request"),
        UnitOfWork(session_factory, lock=exclusive(group)),
    ):
        pass


def test_shared_lock_is_acquired_in_a_transaction_that_holds_the_exclusive_one(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=exclusive(group)) as uow:
        assert acquiring.acquire(uow.connection, shared(group)).waited_ms == 0
        assert_lock_held(engine, group, by=uow)
        uow.rollback()
    assert_lock_free(engine, group)


def test_generate_plans_refuses_a_shared_lock(session_factory: Factory, group: PlanGroup) -> None:
    with pytest.raises(InvalidInputError) as refused:
        generate_plans(session_factory, shared(group), today=FIRST)
    assert refused.value.field == "lock"
