"""Cancelled in the commit, while leaving, or by the end of the loop: in order, or cut short."""

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
    Once,
    backends_waiting,
    each_way,
    generate_async,
    reading_the_snapshot,
    strike_in_the_commit,
    until_a_backend_waits,
    with_pool,
)
from tests.integration.storing import traces

TURNS = 200
"""Turns of the loop in which somebody would have gone who does not wait."""


@each_way
def test_a_commit_that_has_begun_is_carried_out(
    owner_engine: sa.Engine, database_url: sa.URL, group: PlanGroup, way: type[Once]
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with CommitGate(owner_engine) as gate:
            request = way(generate_async(factory, group))
            await strike_in_the_commit(gate, request)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            assert not request.task.done()
            gate.open()
            await request.ended()

    with_pool(database_url, main)
    assert traces(owner_engine, group.id)[0] == 1
    assert advisory_locks(owner_engine) == 0


@each_way
@pytest.mark.usefixtures("impatient")
def test_a_commit_that_does_not_end_is_cancelled_after_a_while(
    owner_engine: sa.Engine, database_url: sa.URL, group: PlanGroup, way: type[Once]
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with CommitGate(owner_engine) as gate:
            request = way(generate_async(factory, group))
            await strike_in_the_commit(gate, request)
            await request.ended()
            assert backends_waiting(owner_engine) == 0

    with_pool(database_url, main)
    assert traces(owner_engine, group.id)[0] == 0
    assert advisory_locks(owner_engine) == 0


def test_a_task_that_is_cancelled_already_does_not_begin_to_commit(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def main(factory: AsyncFactory) -> None:
        async def cancel_myself() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

        await Once(generate_async(factory, group, cancel_myself)).ended()

    with_pool(database_url, main)
    assert traces(engine, group.id)[0] == 0


@pytest.fixture
def slow_rollback(monkeypatch: pytest.MonkeyPatch) -> Callable[[], asyncio.Event]:
    """Makes every rollback that has something to roll back wait for the event."""
    rollback = psycopg.AsyncConnection.rollback

    def install() -> asyncio.Event:
        go_on = asyncio.Event()

        async def slowly(driver: psycopg.AsyncConnection[object]) -> None:
            if driver.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
                await go_on.wait()
            await rollback(driver)

        monkeypatch.setattr(psycopg.AsyncConnection, "rollback", slowly)
        return go_on

    return install


async def struck_while_leaving(factory: AsyncFactory, group: PlanGroup, way: type[Once]) -> Once:
    """A request that failed, and is cancelled while it leaves its block."""
    leaving = asyncio.Event()

    async def fail() -> None:
        leaving.set()
        raise ZeroDivisionError

    request = way(generate_async(factory, group, fail))
    await leaving.wait()
    request.strike()
    return request


@each_way
def test_a_block_that_is_being_left_is_left_in_order(
    engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    way: type[Once],
    slow_rollback: Callable[[], asyncio.Event],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        go_on = slow_rollback()
        request = await struck_while_leaving(factory, group, way)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        done = request.task.done()
        go_on.set()  # in any case, for whatever follows rolls back too
        assert not done
        await request.ended()
        assert advisory_locks(engine) == 0

    with_pool(database_url, main)
    assert traces(engine, group.id)[0] == 0


@each_way
@pytest.mark.usefixtures("impatient")
def test_a_rollback_that_does_not_end_costs_the_connection_and_nothing_else(
    engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    way: type[Once],
    slow_rollback: Callable[[], asyncio.Event],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        go_on = slow_rollback()
        request = await struck_while_leaving(factory, group, way)
        await request.ended()
        go_on.set()

    with_pool(database_url, main)
    assert_lock_free(engine, group.id, seconds=10)


@pytest.mark.parametrize("waiting", [True, False], ids=["waiting", "holding"])
def test_a_loop_that_shuts_down_leaves_no_lock_behind(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup, *, waiting: bool
) -> None:
    """``asyncio.run`` cancels all tasks that are left, those that tidy up among them."""

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

        stays.add(asyncio.create_task(generate_async(factory, group, hold)))
        await holding.wait()

    stays: set[asyncio.Task[object]] = set()
    asyncio.run(main())
    assert all(task.cancelled() for task in stays)
    assert_lock_free(engine, group.id, seconds=10)
    assert traces(engine, group.id)[0] == 0


def test_who_is_still_at_work_when_the_block_fails_is_stopped_first(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    """``gather`` raises the first error and lets the others run on."""

    async def main(factory: AsyncFactory) -> None:
        async def fail() -> None:
            await until_a_backend_waits(engine)
            raise ZeroDivisionError

        with reading_the_snapshot(engine, group):
            lock = PlanGroupLock(group.tenant_id, group.id)
            with pytest.raises(ZeroDivisionError):
                async with AsyncUnitOfWork(factory, lock=lock) as uow:
                    await asyncio.gather(uow.run(_read(group)), fail())
            assert backends_waiting(engine) == 0

    with_pool(database_url, main)
    assert advisory_locks(engine) == 0


def test_a_block_that_ends_while_another_task_is_at_work_says_so(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with reading_the_snapshot(engine, group):
            forgotten: list[asyncio.Task[object]] = []

            async def leave_too_early() -> None:
                async with AsyncUnitOfWork(
                    factory, lock=PlanGroupLock(group.tenant_id, group.id)
                ) as uow:
                    forgotten.append(asyncio.create_task(uow.run(_read(group))))
                    await until_a_backend_waits(engine)

            with pytest.raises(UnitOfWorkStateError, match="another task was using"):
                await leave_too_early()
            await asyncio.wait(forgotten)
            assert forgotten[0].cancelled()

    with_pool(database_url, main)
    assert advisory_locks(engine) == 0


def _read(group: PlanGroup) -> Callable[[UnitOfWork], object]:
    return lambda uow: uow.groups.snapshot(group.id)
