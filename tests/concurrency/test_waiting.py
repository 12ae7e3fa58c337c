"""Requests wait for a lock in the server's queue, for a bounded time, and restore settings."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import LockTimeoutError
from domain.locking import acquiring
from domain.scheduling.difference import PlanChanges
from domain.testing import assert_lock_free
from domain.testing.contention import TIMEOUT, wait_until_waiting
from tests.concurrency.overlapping import generate_after_waiting
from tests.integration.asking import counted
from tests.integration.storing import enter, generate, live, stored_group

Factory = sessionmaker[Session]
LONG = timedelta(seconds=TIMEOUT)
SHORT = timedelta(milliseconds=40)
BEGIN_AND_LOCK = 1


@pytest.fixture
def holder(engine: sa.Engine, group_id: UUID) -> Iterator[sa.Connection]:
    """The connection of another client, which holds the group's lock until its rollback."""
    with engine.connect() as connection:
        connection.execute(
            sa.text("SELECT public.acquire_plan_group_lock(:group)"), {"group": group_id}
        )
        yield connection


def release_when_waiting(engine: sa.Engine, holder: sa.Connection, group_id: UUID) -> None:
    wait_until_waiting(engine, group_id)
    holder.rollback()


def cancel_when_waiting(engine: sa.Engine, group_id: UUID, pid: int | None) -> None:
    wait_until_waiting(engine, group_id)
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_cancel_backend(pid)))


def test_waiters_are_served_in_the_order_of_their_requests(
    engine: sa.Engine,
    session_factory: Factory,
    holder: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    served: list[int] = []

    def wait(number: int) -> None:
        with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, group_id, wait=LONG)):
            served.append(number)

    with ThreadPoolExecutor(8) as pool:
        waiting = []
        for number in range(8):
            waiting.append(pool.submit(wait, number))
            wait_until_waiting(engine, group_id, waiters=number + 1)
        assert not served
        holder.rollback()
        for waiter in waiting:
            waiter.result(TIMEOUT)
    assert served == list(range(8))


@pytest.mark.parametrize("end", ["free", "waited", "busy", "timeout"])
def test_unit_of_work_is_entered_in_one_round_trip_for_every_outcome(
    *,
    engine: sa.Engine,
    new_engine: Callable[..., sa.Engine],
    holder: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    end: str,
) -> None:
    own = new_engine(pool_size=2, max_overflow=0)
    waits = {"waited": LONG, "timeout": SHORT}
    lock = PlanGroupLock(tenant_id, group_id, wait=waits.get(end))
    if end == "free":
        holder.rollback()
    uow = UnitOfWork(sessionmaker(own), lock=lock)
    with ThreadPoolExecutor(1) as pool, counted(own) as trips:
        if end == "waited":
            pool.submit(release_when_waiting, engine, holder, group_id)
        if end in {"busy", "timeout"}:
            with pytest.raises((PlanGroupLockedError, LockTimeoutError)), uow:
                pass
        else:
            with uow:
                uow.rollback()
    assert trips.count == BEGIN_AND_LOCK + 1, "plus one for the rollback"


@pytest.mark.parametrize("own", ["0", "7s"])
@pytest.mark.parametrize("end", ["free", "waited", "busy", "timeout"])
def test_lock_timeout_is_restored_for_every_outcome(
    *,
    engine: sa.Engine,
    database_url: sa.URL,
    holder: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    end: str,
    own: str,
) -> None:
    # Connects directly to the server, because clients of a transaction pooler share sessions and
    # their settings. tests/pooler tests a lock_timeout that is set for the database.
    options = {"options": f"-c lock_timeout={own}"}
    other = sa.create_engine(database_url, pool_size=2, max_overflow=0, connect_args=options)
    waits = {"waited": LONG, "timeout": SHORT}
    lock = PlanGroupLock(tenant_id, group_id, wait=waits.get(end))
    if end == "free":
        holder.rollback()
    with ThreadPoolExecutor(1) as pool, other.connect() as connection, connection.begin():
        if end == "waited":
            pool.submit(release_when_waiting, engine, holder, group_id)
        if end in {"busy", "timeout"}:
            with pytest.raises((PlanGroupLockedError, LockTimeoutError)):
                acquiring.acquire(connection, lock)
        else:
            assert (acquiring.acquire(connection, lock).waited_ms > 0) <= (end == "waited")
        limit = own if own != "0" or end == "busy" else "5s"
        assert connection.scalar(sa.text("SHOW lock_timeout")) == limit
    with other.connect() as connection:
        assert connection.scalar(sa.text("SHOW lock_timeout")) == own
    other.dispose()


def test_lock_timeout_is_restored_after_a_cancelled_wait(
    engine: sa.Engine, database_url: sa.URL, holder: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    # Connects directly to the server, for the same reason.
    options = {"options": "-c lock_timeout=7s"}
    other = sa.create_engine(database_url, pool_size=2, max_overflow=0, connect_args=options)
    with other.connect() as connection, ThreadPoolExecutor(1) as pool:
        pid = connection.scalar(sa.select(sa.func.pg_backend_pid()))
        connection.rollback()
        pool.submit(cancel_when_waiting, engine, group_id, pid)
        with pytest.raises(sa.exc.OperationalError), connection.begin():
            acquiring.acquire(connection, PlanGroupLock(tenant_id, group_id, wait=LONG))
        assert connection.scalar(sa.text("SHOW lock_timeout")) == "7s"
    other.dispose()
    assert holder.in_transaction()


def test_wait_that_times_out_ends_at_its_bound_and_names_the_holder(
    session_factory: Factory, holder: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    pid = holder.scalar(sa.select(sa.func.pg_backend_pid()))
    with pytest.raises(LockTimeoutError) as late:
        enter(session_factory, PlanGroupLock(tenant_id, group_id, wait=SHORT))
    assert late.value.group_id == group_id
    assert late.value.holder is not None
    assert late.value.holder.pid == pid
    assert late.value.waited_ms is not None
    assert 40 <= late.value.waited_ms < TIMEOUT * 1000
    assert late.value.retry_after == 1


def test_wait_that_times_out_leaves_the_queue(
    engine: sa.Engine,
    session_factory: Factory,
    holder: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    with pytest.raises(LockTimeoutError):
        enter(session_factory, PlanGroupLock(tenant_id, group_id, wait=SHORT))
    holder.rollback()
    assert_lock_free(engine, group_id)
    enter(session_factory, PlanGroupLock(tenant_id, group_id))


@pytest.mark.parametrize(
    "end", [sa.Connection.commit, sa.Connection.rollback, sa.Connection.invalidate]
)
def test_wait_ends_when_the_holders_transaction_ends(
    *,
    engine: sa.Engine,
    session_factory: Factory,
    holder: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    end: Callable[[sa.Connection], None],
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(enter, session_factory, PlanGroupLock(tenant_id, group_id, wait=LONG))
        wait_until_waiting(engine, group_id)
        end(holder)
        waiting.result(TIMEOUT)
    assert_lock_free(engine, group_id)


def test_waiting_request_sees_and_keeps_the_holders_plans(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    with ThreadPoolExecutor(1) as pool:
        waiting = []

        def submit_a_waiting_request() -> None:
            waiting.append(pool.submit(generate_after_waiting, session_factory, group))
            wait_until_waiting(engine, group.id)

        first = generate(session_factory, group, hold=submit_a_waiting_request)
        second = waiting[0].result(TIMEOUT)
    assert (first.generation, second.generation) == (1, 2)
    assert [row.id for row in live(session_factory, group)] == list(second.plan_ids)
    assert second.plan_ids == first.plan_ids
    assert second.changes == PlanChanges(kept=len(first.plans))


def test_generation_record_contains_the_time_waited(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    with ThreadPoolExecutor(1) as pool, engine.connect() as holder:
        acquiring.acquire(holder, PlanGroupLock(group.tenant_id, group.id))
        waiting = pool.submit(generate_after_waiting, session_factory, group)
        wait_until_waiting(engine, group.id)
        holder.exec_driver_sql("SELECT pg_sleep(0.02)")
        holder.rollback()
        waiting.result(TIMEOUT)
    with engine.connect() as connection:
        waited = connection.scalar(
            sa.text("SELECT waited_ms FROM studyplan.plan_generations WHERE group_id = :group"),
            {"group": group.id},
        )
    assert waited is not None
    assert 20 <= waited < TIMEOUT * 1000
