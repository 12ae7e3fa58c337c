"""Helpers for generations in asyncio tasks.

A pool of one event loop, several forms of cancellation, and statements that block a request.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypeVar

import pytest
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
from domain.locking import acquiring
from domain.testing.contention import TIMEOUT, eventually
from domain.testing.faults import CommitGate
from domain.unit_of_work import AsyncUnitOfWork
from tests.integration.storing import FIRST

T = TypeVar("T")
AsyncFactory: TypeAlias = async_sessionmaker[AsyncSession]

POOL = 4
_WAITING = sa.text(
    "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE NOT l.granted AND a.datname = current_database()"
)


async def do_nothing() -> None:
    """The default action of a request before its commit."""


@asynccontextmanager
async def pooled(url: sa.URL, size: int = POOL) -> AsyncIterator[AsyncFactory]:
    """Yield a session factory on a new pool of this event loop; the pool is checked at the end."""
    engine = create_async_engine(url, pool_size=size, max_overflow=0, pool_timeout=20)
    try:
        async with engine.connect():  # the first connection also initializes the dialect
            pass
        yield async_sessionmaker(engine)
        await assert_pool_is_complete(engine, size)
    finally:
        await engine.dispose()


def run_with_pool(url: sa.URL, work: Callable[[AsyncFactory], Awaitable[T]], size: int = POOL) -> T:
    """Run ``work`` in a new event loop with a new pool, and check the pool at the end."""

    async def main() -> T:
        async with pooled(url, size) as factory:
            return await work(factory)

    return asyncio.run(main())


async def assert_pool_is_complete(engine: AsyncEngine, size: int = POOL) -> None:
    """Assert that no connection is checked out and that ``size`` working ones can be."""
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
    hold: Callable[[], Awaitable[None]] = do_nothing,
    wait: timedelta | None = None,
) -> GenerationResult:
    """Lock, generate and commit; ``hold`` is awaited before the commit."""
    async with AsyncUnitOfWork(
        factory, lock=PlanGroupLock(group.tenant_id, group.id, wait=wait)
    ) as uow:
        result = await uow.run(lambda u: PlanGenerationService(u).generate(today=FIRST))
        await hold()
        await uow.commit()
    return result


def backends_waiting(engine: sa.Engine) -> int:
    """Count the lock requests of any kind that wait in this database."""
    with engine.connect() as connection:
        return int(connection.scalar(_WAITING) or 0)


async def wait_until_backend_waits(engine: sa.Engine) -> None:
    """Return once a backend of this database waits for a lock of any kind."""
    await wait_until(lambda: backends_waiting(engine) > 0, "a backend waits for a lock")


async def wait_until(condition: Callable[[], bool], description: str) -> None:
    """Call ``eventually`` in a separate thread, so that the event loop keeps running."""
    await asyncio.to_thread(eventually, condition, description)


class CancelledOnce:
    """A request in a task that is cancelled by one call of ``task.cancel()``."""

    error: type[BaseException] = asyncio.CancelledError

    def __init__(self, request: Coroutine[Any, Any, Any]) -> None:
        self._request = request
        self._loop = asyncio.get_running_loop()
        self.task = asyncio.create_task(self._run())

    def cancel(self) -> None:
        """Cancel the request; must be called in the thread of the event loop."""
        self.task.cancel()

    async def wait_cancelled(self) -> None:
        """Wait for the task and assert that its cancellation ended it."""
        done, _ = await asyncio.wait([self.task], timeout=TIMEOUT)
        assert done, "the cancelled task does not end"
        with pytest.raises(self.error):
            self.task.result()

    async def _run(self) -> None:
        await self._request


class CancelledRepeatedly(CancelledOnce):
    """Cancelled in every iteration of the event loop until it ends, as AnyIO's cancel scopes do."""

    def cancel(self) -> None:
        if self.task.cancel():
            self._loop.call_soon(self.cancel)


class TimeLimited(CancelledOnce):
    """Cancelled by an ``asyncio.timeout()`` around the request."""

    error = TimeoutError

    def cancel(self) -> None:
        self._limit.reschedule(self._loop.time())

    async def _run(self) -> None:
        async with asyncio.timeout(None) as self._limit:
            await self._request


async def cancel_during_commit(gate: CommitGate, request: CancelledOnce) -> None:
    """Cancel a request once its commit waits at the gate."""
    await wait_until(lambda: gate.arrived() is not None, "the commit waits at the gate")
    request.cancel()


each_cancellation = pytest.mark.parametrize(
    "request_type",
    [CancelledOnce, CancelledRepeatedly, TimeLimited],
    ids=lambda request_type: request_type.__name__,
)


_KEY: Final = 0x424C_4F43_4B41_4445
_ROW: Final = 1000
"""The row of a COPY whose insertion blocks.

When it blocks, the server has stored the rows before it and the client may have sent more.
"""

_BLOCK_ROW: Final = (
    f"""CREATE OR REPLACE FUNCTION blockade() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared({_KEY}); RETURN NEW; END $$""",
    f"""CREATE TRIGGER blockade BEFORE INSERT ON studyplan.student_plans FOR EACH ROW
    WHEN (NEW.sequence = {_ROW}) EXECUTE FUNCTION blockade()""",
)

Blockade = Callable[[sa.Engine, PlanGroup], AbstractContextManager[object]]


@contextmanager
def waiting_for_the_lock(engine: sa.Engine, group: PlanGroup) -> Iterator[None]:
    """Another transaction holds the group's lock."""
    with engine.connect() as connection, connection.begin():
        acquiring.acquire(connection, PlanGroupLock(group.tenant_id, group.id))
        yield


@contextmanager
def reading_the_snapshot(engine: sa.Engine, _: PlanGroup) -> Iterator[None]:
    """Another transaction locks a table that no statement before the snapshot reads."""
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("LOCK TABLE studyplan.contents IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def copying_the_plans(engine: sa.Engine, _: PlanGroup) -> Iterator[None]:
    """A trigger blocks the insertion of the thousandth plan."""
    with engine.begin() as connection:
        for statement in _BLOCK_ROW:
            connection.exec_driver_sql(statement)
    try:
        with engine.connect() as connection, connection.begin():
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_KEY)))
            yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER blockade ON studyplan.student_plans")


BLOCKADES: Final[dict[str, Blockade]] = {
    "waiting for the lock": waiting_for_the_lock,
    "reading the snapshot": reading_the_snapshot,
    "copying the plans": copying_the_plans,
}
