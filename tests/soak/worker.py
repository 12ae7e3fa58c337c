"""A worker process: threads that are synchronous workers, and tasks that are asynchronous ones."""

import asyncio
import logging
import random
import sys
import threading
import time
from collections.abc import Iterator, MutableSequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, sessionmaker

from domain import AsyncUnitOfWork, UnitOfWork
from tests.soak.attempts import Attempt, recorded
from tests.soak.draws import Target, draws
from tests.soak.faults import Interrupted, interrupted
from tests.soak.harm import APPLICATION
from tests.soak.history import Journal, Kind
from tests.soak.sabotage import Sabotage, isolation_level, spoil_process

FIRST_SECONDS = 0.1
"""How long a process's first operation takes, roughly: it may be interrupted so late."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a process is told to do."""

    name: str
    url: str
    directory: Path
    targets: tuple[Target, ...]
    progress: MutableSequence[int]
    """How many operations each of all workers has ended: a successor goes on from there."""
    first_worker: int
    threads: int
    tasks: int
    operations: int
    """Of each worker."""
    seed: int
    faults: float
    mixed: bool
    sabotage: Sabotage
    walls: bool

    @property
    def workers(self) -> range:
        """Its places in ``progress``; the threads have the first ones."""
        return range(self.first_worker, self.first_worker + self.threads + self.tasks)


def main(orders: Orders) -> None:
    """Entry point of the spawned process."""
    spoil_process(orders.sabotage, walls=orders.walls)
    for logger in ("studyplan", "psycopg"):  # what they would tell is meant to happen
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    failures: list[BaseException] = []
    engine = sa.create_engine(orders.url, **_engine_options(orders))
    factory = sessionmaker(engine)
    if orders.faults:
        _interrupted_first(orders, factory)

    def thread(worker: int) -> None:
        try:
            _work(orders, worker, factory)
        except BaseException as error:
            failures.append(error)
            raise

    places = orders.workers
    threads = [threading.Thread(target=thread, args=(at,)) for at in places[: orders.threads]]
    for one in threads:
        one.start()
    failures.extend(asyncio.run(_tasks(orders, places[orders.threads :])))
    for one in threads:
        one.join()
    failures.extend(_left_in_use(engine))
    engine.dispose()
    for failure in failures:
        print(repr(failure), file=sys.stderr)
    sys.exit(1 if failures else 0)


def perform(factory: sessionmaker[Session], attempt: Attempt) -> None:
    """One operation, through the package's synchronous door."""
    if attempt.draw.kind is Kind.READ:
        with factory() as session:
            attempt.read(session)
        return
    with UnitOfWork(factory, lock=attempt.draw.lock) as uow:
        attempt.entered()
        time.sleep(attempt.draw.dwell)
        time.sleep(attempt.work(uow))
        if attempt.stores:
            attempt.leave()
            uow.commit()
            attempt.committed()
        else:
            attempt.leave_alive(uow)
            uow.rollback()
            attempt.rolled_back()


async def perform_async(factory: async_sessionmaker[AsyncSession], attempt: Attempt) -> None:
    """The same through the door for tasks."""
    if attempt.draw.kind is Kind.READ:
        async with factory() as session:
            await session.run_sync(attempt.read)
        return
    async with AsyncUnitOfWork(factory, lock=attempt.draw.lock) as uow:
        attempt.entered()
        await asyncio.sleep(attempt.draw.dwell)
        await asyncio.sleep(await uow.run(attempt.work))
        if attempt.stores:
            attempt.leave()
            await uow.commit()
            attempt.committed()
        else:
            await uow.run(attempt.leave_alive)
            await uow.rollback()
            attempt.rolled_back()


def _interrupted_first(orders: Orders, factory: sessionmaker[Session]) -> None:
    """The process's first operation, which a signal ends while everything is used first.

    One more than the workers' own; they go on in the same process, on the same engine.
    """
    name = f"{orders.name}.first"
    seed = f"{orders.seed} {name}"
    journal = Journal(orders.directory / f"{name}.jsonl")
    (draw,) = draws(seed, orders.targets, iter([0]), faults=0, mixed=False)
    attempt = Attempt(draw, draw.operation(name), journal)
    after = random.Random(seed).uniform(0.001, FIRST_SECONDS)  # noqa: S311 - drawn, not secret
    with (
        suppress(Interrupted),
        interrupted(attempt.operation, after),
        recorded(journal, attempt.operation),
    ):
        perform(factory, attempt)
    journal.close()


def _work(orders: Orders, worker: int, factory: sessionmaker[Session]) -> None:
    for attempt in _attempts(orders, worker):
        with recorded(attempt.journal, attempt.operation):
            perform(factory, attempt)


async def _tasks(orders: Orders, workers: range) -> list[BaseException]:
    engine = create_async_engine(orders.url, **_engine_options(orders))
    factory = async_sessionmaker(engine)
    await _warmed_up(engine)

    async def task(worker: int) -> None:
        for attempt in _attempts(orders, worker):
            with recorded(attempt.journal, attempt.operation):
                await asyncio.wait_for(perform_async(factory, attempt), attempt.draw.patience)

    await asyncio.gather(*map(task, workers))
    failures = list(_left_in_use(engine.sync_engine))
    await engine.dispose()
    return failures


def _attempts(orders: Orders, worker: int) -> Iterator[Attempt]:
    """A worker's operations one after the other, each counted when it has ended."""
    name = f"{orders.name}.w{worker}"
    journal = Journal(orders.directory / f"{name}.jsonl")
    numbers = range(orders.progress[worker], orders.operations)
    for draw in draws(
        f"{orders.seed} {name}",
        orders.targets,
        iter(numbers),
        faults=orders.faults,
        mixed=orders.mixed,
    ):
        yield Attempt(draw, draw.operation(f"{name}.{draw.number}"), journal)
        orders.progress[worker] += 1
    journal.close()


def _engine_options(orders: Orders) -> dict[str, Any]:
    return {
        "pool_size": orders.threads + orders.tasks + 1,
        "isolation_level": isolation_level(orders.sabotage),
        "connect_args": {"application_name": APPLICATION, "prepare_threshold": None},
    }


def _left_in_use(engine: sa.Engine) -> Iterator[BaseException]:
    """A connection that nobody gave back would keep its transaction, and so its lock."""
    pool = engine.pool
    assert isinstance(pool, sa.QueuePool)
    if count := pool.checkedout():
        yield RuntimeError(f"{count} connections were never given back")


async def _warmed_up(engine: AsyncEngine) -> None:
    """Connect once, as often as it takes, before anybody may be cancelled.

    SQLAlchemy loses its very first connection if that is cancelled while it asks the server
    about itself.
    """
    while True:
        with suppress(DBAPIError):
            async with engine.connect():
                return
