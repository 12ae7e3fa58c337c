"""Cancellation of a task before its commit releases the lock and returns the connection."""

import asyncio
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock
from domain.testing import FaultAt, Step, assert_lock_free
from domain.testing.contention import TIMEOUT, advisory_locks
from domain.unit_of_work import AsyncUnitOfWork
from tests.concurrency.tasks import (
    BLOCKADES,
    AsyncFactory,
    Blockade,
    CancelledOnce,
    backends_waiting,
    each_cancellation,
    generate_async,
    pooled,
    run_with_pool,
    wait_until_backend_waits,
)
from tests.factories import ContentFactory
from tests.integration.storing import generate, stored_group, traces

Factory = sessionmaker[Session]
LONG = timedelta(seconds=TIMEOUT)
MIDDLE = 700


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A year of four books: about 1460 plans, which COPY sends in several blocks."""
    books = [ContentFactory.build(position=i, last_unit=2000, minutes_per_unit=1) for i in range(4)]
    return stored_group(session_factory, period_end=date(2026, 1, 5), contents=books)


@each_cancellation
@pytest.mark.parametrize("blockade", BLOCKADES.values(), ids=list(BLOCKADES))
def test_cancelled_task_ends_its_statement_on_the_server(  # noqa: PLR0917 - fixtures
    owner_engine: sa.Engine,
    session_factory: Factory,
    database_url: sa.URL,
    group: PlanGroup,
    request_type: type[CancelledOnce],
    blockade: Blockade,
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with blockade(owner_engine, group):
            request = request_type(generate_async(factory, group, wait=LONG))
            await wait_until_backend_waits(owner_engine)
            request.cancel()
            await request.wait_cancelled()
            assert backends_waiting(owner_engine) == 0, "the statement has ended on the server too"
        assert advisory_locks(owner_engine) == 0

    before = traces(owner_engine, group.id)
    run_with_pool(database_url, main)
    assert traces(owner_engine, group.id) == before
    assert generate(session_factory, group).generation == 1, "the next request succeeds"


@each_cancellation
def test_cancelled_task_releases_its_lock_immediately(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup, request_type: type[CancelledOnce]
) -> None:
    async def main() -> None:
        holding = asyncio.Event()

        async def hold() -> None:
            holding.set()
            await asyncio.Event().wait()

        async with pooled(database_url) as factory:
            request = request_type(generate_async(factory, group, hold))
            await holding.wait()
            assert advisory_locks(engine) == 2, "the lock of the group and that of its student"
            request.cancel()
            await request.wait_cancelled()
            assert advisory_locks(engine) == 0

    asyncio.run(main())
    assert traces(engine, group.id)[0] == 0


@each_cancellation
@pytest.mark.parametrize(
    "step", [step for step in Step if step is not Step.DURING_COMMIT], ids=lambda step: step.value
)
def test_cancelled_task_stores_all_plans_or_none_at_every_step(
    engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    request_type: type[CancelledOnce],
    step: Step,
) -> None:
    async def main(factory: AsyncFactory) -> None:
        requests: list[CancelledOnce] = []
        sync_engine = factory.kw["bind"].sync_engine
        with FaultAt(sync_engine, step, lambda _: requests[0].cancel(), rows=MIDDLE):
            requests.append(request_type(generate_async(factory, group)))
            await requests[0].wait_cancelled()

    run_with_pool(database_url, main)
    assert_lock_free(engine, group.id)
    assert advisory_locks(engine) == 0
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == bool(plans)
    assert bool(plans) == (step is Step.BEFORE_COMMIT), "a commit that has begun is completed"


@each_cancellation
def test_cancelled_task_stops_waiting_for_a_connection_of_the_pool(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup, request_type: type[CancelledOnce]
) -> None:
    async def main(factory: AsyncFactory) -> None:
        async with factory() as other:
            await other.connection()
            request = request_type(generate_async(factory, group))
            # Enough iterations for the request to wait in the pool when it is cancelled.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            request.cancel()
            await request.wait_cancelled()
        assert (await generate_async(factory, group)).generation == 1

    run_with_pool(database_url, main, 1)
    assert advisory_locks(engine) == 0


def test_unit_of_work_has_lost_its_lock_after_a_cancelled_statement(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def main() -> str:
        lock = PlanGroupLock(group.tenant_id, group.id)
        async with pooled(database_url) as factory, AsyncUnitOfWork(factory, lock=lock) as uow:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await uow.run(lambda sync: sync.session.scalar(sa.text("SELECT pg_sleep(60)")))
            return uow.lock_state().value

    assert asyncio.run(main()) == "lost"
    assert advisory_locks(engine) == 0
