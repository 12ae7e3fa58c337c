"""Generations in tasks: a pool for one event loop, ways to cancel, and places to wait in."""

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


def with_pool(url: sa.URL, work: Callable[[AsyncFactory], Awaitable[T]], size: int = POOL) -> T:
    """What ``work`` returns in an event loop of its own, with a pool that is whole in the end."""

    async def main() -> T:
        async with pooled(url, size) as factory:
            return await work(factory)

    return asyncio.run(main())


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
        result = await uow.run(lambda u: PlanGenerationService(u).generate(today=FIRST))
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


class Once:
    """``task.cancel()``, the usual way."""

    error: type[BaseException] = asyncio.CancelledError

    def __init__(self, request: Coroutine[Any, Any, Any]) -> None:
        self._request = request
        self._loop = asyncio.get_running_loop()
        self.task = asyncio.create_task(self._run())

    def strike(self) -> None:
        """Cancel; to be called in the loop's thread."""
        self.task.cancel()

    def strike_from_a_thread(self) -> None:
        self._loop.call_soon_threadsafe(self.strike)

    async def ended(self) -> None:
        """Wait for the task, which must end by its cancellation."""
        done, _ = await asyncio.wait([self.task], timeout=TIMEOUT)
        assert done, "the task does not end"
        with pytest.raises(self.error):
            self.task.result()

    async def _run(self) -> None:
        await self._request


class Relentless(Once):
    """Again and again until the task is gone, as cancel scopes do it."""

    def strike(self) -> None:
        if self.task.cancel():
            self._loop.call_soon(self.strike)


class TimeLimit(Once):
    """``asyncio.timeout()`` around the request."""

    error = TimeoutError

    def strike(self) -> None:
        self._limit.reschedule(self._loop.time())

    async def _run(self) -> None:
        async with asyncio.timeout(None) as self._limit:
            await self._request


async def strike_in_the_commit(gate: CommitGate, request: Once) -> None:
    """Cancel a request once its commit waits at the gate."""
    await watched(lambda: gate.arrived() is not None, "the commit is on its way")
    request.strike()


WAYS: Final = (Once, Relentless, TimeLimit)
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


_KEY: Final = 0x424C_4F43_4B41_4445
_ROW: Final = 1000
"""The row of a COPY that is held up: rows before it are stored, rows after it on their way."""

_GATE: Final = (
    f"""CREATE OR REPLACE FUNCTION blockade() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared({_KEY}); RETURN NEW; END $$""",
    f"""CREATE TRIGGER blockade BEFORE INSERT ON studyplan.student_plans FOR EACH ROW
    WHEN (NEW.sequence = {_ROW}) EXECUTE FUNCTION blockade()""",
)

Blockade = Callable[[sa.Engine, PlanGroup], AbstractContextManager[object]]


@contextmanager
def waiting_for_the_lock(engine: sa.Engine, group: PlanGroup) -> Iterator[None]:
    """Somebody else has the group's lock."""
    with engine.connect() as connection, connection.begin():
        acquiring.acquire(connection, PlanGroupLock(group.tenant_id, group.id))
        yield


@contextmanager
def reading_the_snapshot(engine: sa.Engine, _: PlanGroup) -> Iterator[None]:
    """Somebody else changes a table that the snapshot reads, and nothing before it."""
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("LOCK TABLE studyplan.contents IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def copying_the_plans(engine: sa.Engine, _: PlanGroup) -> Iterator[None]:
    """A trigger holds up the thousandth row."""
    with engine.begin() as connection:
        for statement in _GATE:
            connection.exec_driver_sql(statement)
    try:
        with engine.connect() as connection, connection.begin():
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_KEY)))
            yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER blockade ON studyplan.student_plans")


BEFORE_THE_COMMIT: Final[dict[str, Blockade]] = {
    "waiting for the lock": waiting_for_the_lock,
    "reading the snapshot": reading_the_snapshot,
    "copying the plans": copying_the_plans,
}
