"""What tests with tasks begin with: a pool for one event loop, generations, and watching."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeAlias

import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from domain import GenerationResult, PlanGenerationService, PlanGroup, PlanGroupLock
from domain.driver import transaction_status
from domain.testing.contention import eventually
from domain.unit_of_work import AsyncUnitOfWork
from tests.concurrency.worlds import TODAY

AsyncFactory: TypeAlias = async_sessionmaker[AsyncSession]

POOL = 4
_WAITING = sa.text(
    "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE NOT l.granted AND a.datname = current_database()"
)


async def nothing() -> None:
    """What a request does before its commit, unless it is held there."""


@asynccontextmanager
async def pooled(url: sa.URL, size: int = POOL) -> AsyncIterator[AsyncFactory]:
    """Sessions on a pool of this event loop, which must be whole in the end."""
    engine = create_async_engine(url, pool_size=size, max_overflow=0, pool_timeout=20)
    try:
        async with engine.connect():  # the first one asks the server for its version
            pass
        yield async_sessionmaker(engine)
        await assert_whole(engine, size)
    finally:
        await engine.dispose()


async def assert_whole(engine: AsyncEngine, size: int = POOL) -> None:
    """Nothing is lent, and as many sound connections can be had as the pool may open."""
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.checkedout() == 0
    connections = [await engine.connect() for _ in range(size)]
    for connection in connections:
        status = await connection.run_sync(transaction_status)
        assert status is TransactionStatus.IDLE
        assert await connection.scalar(sa.select(1)) == 1
    for connection in connections:
        await connection.close()
    assert engine.pool.checkedout() == 0


async def generate_async(
    factory: Callable[[], AsyncSession],
    group: PlanGroup,
    hold: Callable[[], Awaitable[None]] = nothing,
    wait: timedelta | None = None,
) -> GenerationResult:
    """The whole flow through the service, held before its commit."""
    async with AsyncUnitOfWork(
        factory, lock=PlanGroupLock(group.tenant_id, group.id, wait=wait)
    ) as uow:
        result = await uow.run(lambda u: PlanGenerationService(u).generate(today=TODAY))
        await hold()
        await uow.commit()
    return result


def backends_waiting(engine: sa.Engine) -> int:
    """How many locks of any kind are waited for in this database."""
    with engine.connect() as connection:
        return int(connection.scalar(_WAITING) or 0)


async def until_a_backend_waits(engine: sa.Engine) -> None:
    """Return as soon as a backend of this database waits for a lock of any kind."""
    await watched(lambda: backends_waiting(engine) > 0, "a backend waits for a lock")


async def watched(condition: Callable[[], bool], hope: str) -> None:
    """``eventually``, in a thread of its own, so that the event loop goes on."""
    await asyncio.to_thread(eventually, condition, hope)
