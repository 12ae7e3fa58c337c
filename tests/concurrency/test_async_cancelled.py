"""A task may be cancelled anywhere: no lock stays, no connection, and the pool is whole."""

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
    BEFORE_THE_COMMIT,
    AsyncFactory,
    Blockade,
    Once,
    backends_waiting,
    each_way,
    generate_async,
    pooled,
    until_a_backend_waits,
    with_pool,
)
from tests.factories import ContentFactory
from tests.integration.storing import generate, stored_group, traces

Factory = sessionmaker[Session]
LONG = timedelta(seconds=TIMEOUT)
MIDDLE = 700


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A year of four books: some 1460 plans, several blocks of a COPY."""
    books = [ContentFactory.build(position=i, last_unit=2000, minutes_per_unit=1) for i in range(4)]
    return stored_group(session_factory, period_end=date(2026, 1, 5), contents=books)


@each_way
@pytest.mark.parametrize("blockade", BEFORE_THE_COMMIT.values(), ids=list(BEFORE_THE_COMMIT))
def test_while_the_server_works_for_it_the_work_ends_in_the_server_too(  # noqa: PLR0917 - fixtures
    owner_engine: sa.Engine,
    session_factory: Factory,
    database_url: sa.URL,
    group: PlanGroup,
    way: type[Once],
    blockade: Blockade,
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with blockade(owner_engine, group):
            request = way(generate_async(factory, group, wait=LONG))
            await until_a_backend_waits(owner_engine)
            request.strike()
            await request.ended()
            assert backends_waiting(owner_engine) == 0, "no backend goes on in the server"
        assert advisory_locks(owner_engine) == 0

    before = traces(owner_engine, group.id)
    with_pool(database_url, main)
    assert traces(owner_engine, group.id) == before
    assert generate(session_factory, group).generation == 1, "and the next request succeeds"


@each_way
def test_while_it_holds_the_lock_the_lock_is_free_at_once(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup, way: type[Once]
) -> None:
    async def main() -> None:
        holding = asyncio.Event()

        async def hold() -> None:
            holding.set()
            await asyncio.Event().wait()

        async with pooled(database_url) as factory:
            request = way(generate_async(factory, group, hold))
            await holding.wait()
            assert advisory_locks(engine) == 2, "the group's and its student's"
            request.strike()
            await request.ended()
            assert advisory_locks(engine) == 0

    asyncio.run(main())
    assert traces(engine, group.id)[0] == 0


@each_way
@pytest.mark.parametrize(
    "step", [step for step in Step if step is not Step.DURING_COMMIT], ids=lambda step: step.value
)
def test_at_every_step_there_are_all_plans_or_none(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup, way: type[Once], step: Step
) -> None:
    async def main(factory: AsyncFactory) -> None:
        requests: list[Once] = []
        sync_engine = factory.kw["bind"].sync_engine
        with FaultAt(sync_engine, step, lambda _: requests[0].strike(), rows=MIDDLE):
            requests.append(way(generate_async(factory, group)))
            await requests[0].ended()

    with_pool(database_url, main)
    assert_lock_free(engine, group.id)
    assert advisory_locks(engine) == 0
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == bool(plans)
    assert bool(plans) == (step is Step.BEFORE_COMMIT), "a commit that has begun is carried out"


@each_way
def test_while_it_waits_for_a_connection_of_the_pool(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup, way: type[Once]
) -> None:
    async def main(factory: AsyncFactory) -> None:
        async with factory() as other:
            await other.connection()
            request = way(generate_async(factory, group))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            request.strike()
            await request.ended()
        assert (await generate_async(factory, group)).generation == 1

    with_pool(database_url, main, 1)
    assert advisory_locks(engine) == 0


def test_a_unit_of_work_that_was_cancelled_is_lost_to_those_who_go_on_in_its_block(
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
