"""Cancellation of a task during its commit, during its rollback or by the end of the event loop.

A commit or rollback that has begun is completed if it ends within a grace period; otherwise it is
cancelled as well.
"""

import asyncio
from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from domain import PlanGroup, PlanGroupLock
from domain.errors import UnitOfWorkStateError
from domain.testing import assert_lock_free
from domain.testing.contention import advisory_locks
from domain.testing.faults import CommitGate
from domain.unit_of_work import AsyncUnitOfWork, UnitOfWork
from tests.concurrency.tasks import (
    AsyncFactory,
    CancelledOnce,
    backends_waiting,
    cancel_during_commit,
    each_cancellation,
    generate_async,
    reading_the_snapshot,
    run_with_pool,
    wait_until_backend_waits,
)
from tests.integration.storing import traces

ITERATIONS = 200
"""Iterations of the event loop in which a task that waits for nothing would have ended."""


@each_cancellation
def test_commit_that_has_begun_completes_despite_cancellation(
    owner_engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    request_type: type[CancelledOnce],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with CommitGate(owner_engine) as gate:
            request = request_type(generate_async(factory, group))
            await cancel_during_commit(gate, request)
            for _ in range(ITERATIONS):
                await asyncio.sleep(0)
            assert not request.task.done()
            gate.open()
            await request.wait_cancelled()

    run_with_pool(database_url, main)
    assert traces(owner_engine, group.id)[0] == 1
    assert advisory_locks(owner_engine) == 0


@each_cancellation
@pytest.mark.usefixtures("short_grace_period")
def test_commit_that_does_not_end_is_cancelled_after_the_grace_period(
    owner_engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    request_type: type[CancelledOnce],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with CommitGate(owner_engine) as gate:
            request = request_type(generate_async(factory, group))
            await cancel_during_commit(gate, request)
            await request.wait_cancelled()
            assert backends_waiting(owner_engine) == 0

    run_with_pool(database_url, main)
    assert traces(owner_engine, group.id)[0] == 0
    assert advisory_locks(owner_engine) == 0


def test_cancelled_task_does_not_begin_to_commit(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def main(factory: AsyncFactory) -> None:
        async def cancel_itself() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        await CancelledOnce(generate_async(factory, group, cancel_itself)).wait_cancelled()

    run_with_pool(database_url, main)
    assert traces(engine, group.id)[0] == 0


@pytest.fixture
def slow_rollback(monkeypatch: pytest.MonkeyPatch) -> Callable[[], asyncio.Event]:
    """Return a function that makes every rollback of an open transaction wait for its event."""
    rollback = psycopg.AsyncConnection.rollback

    def install() -> asyncio.Event:
        proceed = asyncio.Event()

        async def slowly(driver: psycopg.AsyncConnection[object]) -> None:
            if driver.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
                await proceed.wait()
            await rollback(driver)

        monkeypatch.setattr(psycopg.AsyncConnection, "rollback", slowly)
        return proceed

    return install


async def cancelled_during_rollback(
    factory: AsyncFactory, group: PlanGroup, request_type: type[CancelledOnce]
) -> CancelledOnce:
    """Return a request that failed and is cancelled while its unit of work rolls back."""
    exiting = asyncio.Event()

    async def fail() -> None:
        exiting.set()
        raise ZeroDivisionError

    request = request_type(generate_async(factory, group, fail))
    await exiting.wait()
    request.cancel()
    return request


@each_cancellation
def test_unit_of_work_completes_its_rollback_despite_cancellation(
    engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    request_type: type[CancelledOnce],
    slow_rollback: Callable[[], asyncio.Event],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        proceed = slow_rollback()
        request = await cancelled_during_rollback(factory, group, request_type)
        for _ in range(ITERATIONS):
            await asyncio.sleep(0)
        done = request.task.done()
        proceed.set()  # before the assertion, because the cleanup rolls back too
        assert not done
        await request.wait_cancelled()
        assert advisory_locks(engine) == 0

    run_with_pool(database_url, main)
    assert traces(engine, group.id)[0] == 0


@each_cancellation
@pytest.mark.usefixtures("short_grace_period")
def test_rollback_that_does_not_end_only_costs_the_connection(
    engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    request_type: type[CancelledOnce],
    slow_rollback: Callable[[], asyncio.Event],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        proceed = slow_rollback()
        request = await cancelled_during_rollback(factory, group, request_type)
        await request.wait_cancelled()
        proceed.set()

    run_with_pool(database_url, main)
    assert_lock_free(engine, group.id, seconds=10)


@pytest.mark.parametrize("waiting", [True, False], ids=["waiting", "holding"])
def test_event_loop_shutdown_leaves_no_lock(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup, *, waiting: bool
) -> None:
    """``asyncio.run`` cancels all remaining tasks, including those that roll back."""

    async def main() -> None:
        unpooled = create_async_engine(database_url, poolclass=sa.NullPool)
        factory = async_sessionmaker(unpooled)
        holding = asyncio.Event()

        async def hold() -> None:
            holding.set()
            if waiting:
                sleep = sa.text("SELECT pg_sleep(60)")
                async with factory() as session:
                    await session.execute(sleep)
            await asyncio.Event().wait()

        tasks.add(asyncio.create_task(generate_async(factory, group, hold)))
        await holding.wait()

    tasks: set[asyncio.Task[object]] = set()
    asyncio.run(main())
    assert all(task.cancelled() for task in tasks)
    assert_lock_free(engine, group.id, seconds=10)
    assert traces(engine, group.id)[0] == 0


def test_unit_of_work_stops_other_tasks_before_it_exits_with_an_error(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    """``asyncio.gather`` raises the first error and does not cancel its other tasks."""

    async def main(factory: AsyncFactory) -> None:
        async def fail() -> None:
            await wait_until_backend_waits(engine)
            raise ZeroDivisionError

        with reading_the_snapshot(engine, group):
            lock = PlanGroupLock(group.tenant_id, group.id)
            with pytest.raises(ZeroDivisionError):
                async with AsyncUnitOfWork(factory, lock=lock) as uow:
                    await asyncio.gather(uow.run(_read(group)), fail())
            assert backends_waiting(engine) == 0

    run_with_pool(database_url, main)
    assert advisory_locks(engine) == 0


def test_unit_of_work_raises_if_it_exits_while_another_task_uses_it(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with reading_the_snapshot(engine, group):
            forgotten: list[asyncio.Task[object]] = []

            async def exit_too_early() -> None:
                async with AsyncUnitOfWork(
                    factory, lock=PlanGroupLock(group.tenant_id, group.id)
                ) as uow:
                    forgotten.append(asyncio.create_task(uow.run(_read(group))))
                    await wait_until_backend_waits(engine)

            with pytest.raises(UnitOfWorkStateError, match="another task was using"):
                await exit_too_early()
            await asyncio.wait(forgotten)
            assert forgotten[0].cancelled()

    run_with_pool(database_url, main)
    assert advisory_locks(engine) == 0


def _read(group: PlanGroup) -> Callable[[UnitOfWork], object]:
    return lambda uow: uow.groups.snapshot(group.id)
