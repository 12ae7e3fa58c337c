"""At most half of a pool's connections wait for locks; the others serve other requests."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import LockTimeoutError
from domain.locking import acquiring
from domain.locking.policy import max_waiters, student_lock_key
from domain.testing.contention import TIMEOUT, backends_at_key, eventually, wait_until_waiting
from tests.integration.storing import generate, stored_group

Factory = sessionmaker[Session]
LONG = timedelta(seconds=TIMEOUT)
POOL = 5
MAX_WAITERS = POOL // 2


@pytest.fixture
def small(new_engine: Callable[..., sa.Engine]) -> Factory:
    """Sessions on a pool of five connections; the holder and the checks use other engines."""
    engine = new_engine(pool_size=POOL - 2, max_overflow=2, pool_timeout=2)
    assert max_waiters(engine.pool) == MAX_WAITERS
    return sessionmaker(engine)


@pytest.fixture
def holder(engine: sa.Engine, tenant_id: UUID, group_id: UUID) -> Iterator[sa.Connection]:
    with engine.connect() as connection, connection.begin():
        acquiring.acquire(connection, PlanGroupLock(tenant_id, group_id))
        yield connection


def enter(factory: Factory, tenant_id: UUID, group_id: UUID) -> None:
    with UnitOfWork(factory, lock=PlanGroupLock(tenant_id, group_id, wait=LONG)):
        pass


def fill_queue(
    threads: ThreadPoolExecutor,
    engine: sa.Engine,
    factory: Factory,
    tenant_id: UUID,
    group_id: UUID,
) -> list[Future[Any]]:
    waiting = [threads.submit(enter, factory, tenant_id, group_id) for _ in range(MAX_WAITERS)]
    wait_until_waiting(engine, group_id, waiters=MAX_WAITERS)
    return waiting


def test_request_is_refused_immediately_while_half_the_pool_waits(
    engine: sa.Engine, small: Factory, holder: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    with ThreadPoolExecutor(MAX_WAITERS) as threads:
        waiting = fill_queue(threads, engine, small, tenant_id, group_id)
        for _ in range(POOL):
            with pytest.raises(PlanGroupLockedError) as refused:
                enter(small, tenant_id, group_id)
            assert refused.value.holder is not None
        assert not any(waiter.done() for waiter in waiting), "the other requests still wait"
        holder.rollback()
        for waiter in waiting:
            waiter.result(TIMEOUT)


def test_simultaneous_requests_never_make_more_than_half_the_pool_wait(
    engine: sa.Engine, small: Factory, holder: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    def attempt(_: int) -> bool:
        try:
            enter(small, tenant_id, group_id)
        except PlanGroupLockedError:
            return False
        return True

    with ThreadPoolExecutor(3 * POOL) as threads:
        attempts = [threads.submit(attempt, number) for number in range(3 * POOL)]
        eventually(
            lambda: sum(request.done() for request in attempts) == 3 * POOL - MAX_WAITERS,
            "all requests are refused except those that may wait",
        )
        wait_until_waiting(engine, group_id, waiters=MAX_WAITERS)
        holder.rollback()
        assert sum(request.result(TIMEOUT) for request in attempts) == MAX_WAITERS


def test_unrelated_request_is_served_while_half_the_pool_waits(
    engine: sa.Engine, small: Factory, holder: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    unrelated = stored_group(small)
    with ThreadPoolExecutor(MAX_WAITERS) as threads:
        waiting = fill_queue(threads, engine, small, tenant_id, group_id)
        assert generate(small, unrelated).generation == 1
        assert not any(waiter.done() for waiter in waiting)
        holder.rollback()
        for waiter in waiting:
            waiter.result(TIMEOUT)


def test_waiting_slot_is_released_after_every_wait(
    engine: sa.Engine, small: Factory, holder: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    impatient = PlanGroupLock(tenant_id, group_id, wait=timedelta(milliseconds=20))
    for _ in range(MAX_WAITERS + 1):
        with pytest.raises(LockTimeoutError), UnitOfWork(small, lock=impatient):
            pass
    with ThreadPoolExecutor(MAX_WAITERS) as threads:
        waiting = fill_queue(threads, engine, small, tenant_id, group_id)
        holder.rollback()
        for waiter in waiting:
            waiter.result(TIMEOUT)


def test_wait_for_the_students_lock_counts_towards_the_limit(
    engine: sa.Engine, small: Factory, session_factory: Factory
) -> None:
    one = stored_group(session_factory)
    same = {"tenant_id": one.tenant_id, "student_id": one.student_id}
    others = [stored_group(session_factory, **same) for _ in range(MAX_WAITERS + 1)]
    key = student_lock_key(one.tenant_id, one.student_id)

    def wait_for_the_student(group: PlanGroup) -> None:
        with UnitOfWork(small, lock=PlanGroupLock(group.tenant_id, group.id, wait=LONG)) as uow:
            uow.lock_student(group.id)

    with ThreadPoolExecutor(MAX_WAITERS + 1) as threads:
        with UnitOfWork(session_factory, lock=PlanGroupLock(one.tenant_id, one.id)) as uow:
            uow.lock_student(one.id)
            waiting = [
                threads.submit(wait_for_the_student, group) for group in others[:MAX_WAITERS]
            ]
            eventually(
                lambda: len(backends_at_key(engine, key, granted=False)) == MAX_WAITERS,
                "half the pool waits for the student's lock",
            )
            with pytest.raises(PlanGroupLockedError) as refused:
                threads.submit(wait_for_the_student, others[MAX_WAITERS]).result(TIMEOUT)
            assert refused.value.scope == "student"
        for waiter in waiting:
            waiter.result(TIMEOUT)
