"""Using a unit of work in the wrong order, place or shape is a bug, and is told as one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import InvalidInputError, Limits, PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import UnitOfWorkStateError
from tests.integration.asking import check

Factory = sessionmaker[Session]
READING = sa.select(sa.func.count()).select_from(PlanGroup)


# --- the order of things --------------------------------------------------------------


def test_it_is_entered_once(uow: UnitOfWork) -> None:
    with uow:
        pass
    with pytest.raises(UnitOfWorkStateError, match="Create a new one"), uow:
        pass


def test_it_is_not_entered_inside_itself(uow: UnitOfWork) -> None:
    with uow:
        with pytest.raises(UnitOfWorkStateError, match="Create a new one"):
            uow.__enter__()
        assert uow.session.scalar(READING) is not None


@pytest.mark.parametrize("name", ["session", "groups", "plans", "student_time"])
def test_nothing_can_be_had_of_it_outside_the_open_block(uow: UnitOfWork, name: str) -> None:
    with pytest.raises(UnitOfWorkStateError, match="not entered yet"):
        getattr(uow, name)
    with uow:
        assert getattr(uow, name) is not None
        uow.commit()
        with pytest.raises(UnitOfWorkStateError, match="already committed or rolled back"):
            getattr(uow, name)
    with pytest.raises(UnitOfWorkStateError, match="already exited"):
        getattr(uow, name)


@pytest.mark.parametrize("end", [UnitOfWork.commit, UnitOfWork.rollback])
@pytest.mark.parametrize("again", [UnitOfWork.commit, UnitOfWork.rollback])
def test_the_end_is_final(
    uow: UnitOfWork, end: Callable[[UnitOfWork], None], again: Callable[[UnitOfWork], None]
) -> None:
    with pytest.raises(UnitOfWorkStateError):
        again(uow)
    with uow:
        end(uow)
        with pytest.raises(UnitOfWorkStateError):
            again(uow)
    with pytest.raises(UnitOfWorkStateError):
        again(uow)


# --- the lock's parameters ------------------------------------------------------------


@pytest.mark.parametrize("group_id", ["no uuid", None, 7, str(UUID(int=7))])
def test_a_lock_of_something_that_is_no_uuid_is_refused(tenant_id: UUID, group_id: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock(tenant_id, group_id)
    assert refused.value.field == "group_id"


@pytest.mark.parametrize(
    "wait", [timedelta(microseconds=-1), timedelta(minutes=11), timedelta.max, 3]
)
def test_a_wait_that_is_negative_or_absurd_is_refused(wait: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock(uuid4(), uuid4(), wait=wait)
    assert refused.value.field == "wait"


@pytest.mark.parametrize("lock", [None, uuid4(), "no lock"])
def test_a_lock_that_is_none_is_refused_before_anything_is_opened(
    session_factory: Factory, lock: Any
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        UnitOfWork(session_factory, lock=lock)
    assert refused.value.field == "lock"


@pytest.mark.parametrize("limit", [timedelta(0), timedelta(days=25), timedelta.max, 30, None])
def test_limits_that_are_none_or_absurd_are_refused(limit: Any) -> None:
    for name in ("idle", "transaction"):
        with pytest.raises(InvalidInputError) as refused:
            Limits(**{name: limit})
        assert refused.value.field == "limits"
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock(uuid4(), uuid4(), limits=limit)
    assert refused.value.field == "limits"


@pytest.mark.parametrize("wait", [timedelta(0), timedelta(microseconds=1), timedelta(minutes=10)])
def test_a_bounded_wait_is_accepted(
    engine: sa.Engine, session_factory: Factory, lock: PlanGroupLock, wait: timedelta
) -> None:
    with UnitOfWork(
        session_factory, lock=PlanGroupLock(lock.tenant_id, lock.group_id, wait=wait)
    ) as uow:
        assert uow.waited_ms == 0
        with engine.connect() as other:
            assert check(other, lock.group_id).held
