"""Incorrect use of a unit of work raises a usage error."""

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
COUNT_GROUPS = sa.select(sa.func.count()).select_from(PlanGroup)


# --- the order of calls ---------------------------------------------------------------


def test_unit_of_work_is_entered_only_once(uow: UnitOfWork) -> None:
    with uow:
        pass
    with pytest.raises(UnitOfWorkStateError, match="Create a new one"), uow:
        pass


def test_unit_of_work_is_not_entered_inside_itself(uow: UnitOfWork) -> None:
    with uow:
        with pytest.raises(UnitOfWorkStateError, match="Create a new one"):
            uow.__enter__()
        assert uow.session.scalar(COUNT_GROUPS) is not None


@pytest.mark.parametrize("name", ["session", "groups", "plans", "student_time"])
def test_attributes_are_available_only_inside_the_open_block(uow: UnitOfWork, name: str) -> None:
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
def test_unit_of_work_is_ended_only_once_and_only_inside_its_block(
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


@pytest.mark.parametrize("group_id", ["not a UUID", None, 7, str(UUID(int=7))])
def test_lock_whose_group_id_is_not_a_uuid_is_refused(tenant_id: UUID, group_id: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock(tenant_id, group_id)
    assert refused.value.field == "group_id"


@pytest.mark.parametrize(
    "wait", [timedelta(microseconds=-1), timedelta(minutes=11), timedelta.max, 3]
)
def test_wait_that_is_negative_too_long_or_not_a_timedelta_is_refused(wait: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock(uuid4(), uuid4(), wait=wait)
    assert refused.value.field == "wait"


@pytest.mark.parametrize("lock", [None, uuid4(), "not a lock"])
def test_unit_of_work_refuses_an_object_that_is_not_a_lock_before_it_connects(
    session_factory: Factory, lock: Any
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        UnitOfWork(session_factory, lock=lock)
    assert refused.value.field == "lock"


@pytest.mark.parametrize("limit", [timedelta(0), timedelta(days=25), timedelta.max, 30, None])
def test_limits_that_are_out_of_range_or_of_a_wrong_type_are_refused(limit: Any) -> None:
    for name in ("idle", "transaction"):
        with pytest.raises(InvalidInputError) as refused:
            Limits(**{name: limit})
        assert refused.value.field == "limits"
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock(uuid4(), uuid4(), limits=limit)
    assert refused.value.field == "limits"


@pytest.mark.parametrize("wait", [timedelta(0), timedelta(microseconds=1), timedelta(minutes=10)])
def test_wait_within_the_allowed_range_is_accepted(
    engine: sa.Engine, session_factory: Factory, lock: PlanGroupLock, wait: timedelta
) -> None:
    with UnitOfWork(
        session_factory, lock=PlanGroupLock(lock.tenant_id, lock.group_id, wait=wait)
    ) as uow:
        assert uow.waited_ms == 0
        with engine.connect() as other:
            assert check(other, lock.group_id).held
