"""A worker process, whose threads are synchronous workers and whose tasks are asynchronous ones."""

import asyncio
import logging
import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping, MutableSequence
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
from tests.soak.draws import CONTENDING, Target, draws
from tests.soak.external_faults import APPLICATION
from tests.soak.faults import InterruptionError, interrupted
from tests.soak.history import Journal, Kind
from tests.soak.sabotage import Sabotage, isolation_level, sabotage_process

FIRST_SECONDS = 0.1
"""About how long the first operation of a process takes; it is interrupted within this time."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The configuration of a worker process."""

    name: str
    url: str
    directory: Path
    targets: tuple[Target, ...]
    progress: MutableSequence[int]
    """The number of finished operations of each worker of the load; a successor continues there."""
    first_worker: int
    threads: int
    tasks: int
    operations: int
    """The number of operations per worker."""
    seed: int
    faults: float
    weights: Mapping[Kind, int]
    sabotage: Sabotage
    safeguards: bool

    @property
    def workers(self) -> range:
        """Its indexes in ``progress``; the threads have the first ones."""
        return range(self.first_worker, self.first_worker + self.threads + self.tasks)


def main(config: WorkerConfig) -> None:
    """Run the operations of a spawned worker process, and exit with status 1 if a worker failed."""
    sabotage_process(config.sabotage, safeguards=config.safeguards)
    for logger in ("studyplan", "psycopg"):  # the load causes what they would log
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    failures: list[BaseException] = []
    engine = sa.create_engine(config.url, **_engine_options(config))
    factory = sessionmaker(engine)
    if config.faults:
        _interrupted_operation(config, factory)

    def thread(worker: int) -> None:
        try:
            work(config, worker, factory)
        except BaseException as error:
            failures.append(error)
            raise

    workers = config.workers
    threads = [
        threading.Thread(target=thread, args=(worker,)) for worker in workers[: config.threads]
    ]
    for worker_thread in threads:
        worker_thread.start()
    failures.extend(asyncio.run(_tasks(config, workers[config.threads :])))
    for worker_thread in threads:
        worker_thread.join()
    failures.extend(_left_in_use(engine))
    engine.dispose()
    for failure in failures:
        print(repr(failure), file=sys.stderr)
    sys.exit(1 if failures else 0)


def perform(factory: sessionmaker[Session], attempt: Attempt) -> None:
    """Do one operation with the synchronous unit of work."""
    if attempt.draw.kind is Kind.READ:
        with factory() as session:
            attempt.read(session)
        return
    with UnitOfWork(factory, lock=attempt.draw.lock) as uow:
        attempt.entered()
        time.sleep(attempt.draw.dwell)
        time.sleep(attempt.work(uow))
        if attempt.has_changes:
            attempt.before_commit()
            uow.commit()
            attempt.committed()
        else:
            attempt.before_rollback(uow)
            uow.rollback()
            attempt.rolled_back()


async def perform_async(factory: async_sessionmaker[AsyncSession], attempt: Attempt) -> None:
    """Do one operation with the asynchronous unit of work."""
    if attempt.draw.kind is Kind.READ:
        async with factory() as session:
            await session.run_sync(attempt.read)
        return
    async with AsyncUnitOfWork(factory, lock=attempt.draw.lock) as uow:
        attempt.entered()
        await asyncio.sleep(attempt.draw.dwell)
        await asyncio.sleep(await uow.run(attempt.work))
        if attempt.has_changes:
            attempt.before_commit()
            await uow.commit()
            attempt.committed()
        else:
            await uow.run(attempt.before_rollback)
            await uow.rollback()
            attempt.rolled_back()


def _interrupted_operation(config: WorkerConfig, factory: sessionmaker[Session]) -> None:
    """Do an additional first operation, which a signal interrupts while everything is initialized.

    The workers then use the same engine in the same process, so damage by the interruption would
    affect them.
    """
    name = f"{config.name}.first"
    seed = f"{config.seed} {name}"
    journal = Journal(config.directory / f"{name}.jsonl")
    (draw,) = draws(seed, config.targets, iter([0]), faults=0, weights=CONTENDING)
    attempt = Attempt(draw, draw.operation(name), journal)
    after = random.Random(seed).uniform(0.001, FIRST_SECONDS)  # noqa: S311 - not for cryptography
    with (
        suppress(InterruptionError),
        interrupted(attempt.operation, after),
        recorded(journal, attempt.operation),
    ):
        perform(factory, attempt)
    journal.close()


def work(config: WorkerConfig, worker: int, factory: sessionmaker[Session]) -> None:
    """Do all operations of one synchronous worker."""
    for attempt in _attempts(config, worker):
        with recorded(attempt.journal, attempt.operation):
            perform(factory, attempt)


async def _tasks(config: WorkerConfig, workers: range) -> list[BaseException]:
    engine = create_async_engine(config.url, **_engine_options(config))
    factory = async_sessionmaker(engine)
    await _connect_once(engine)

    async def task(worker: int) -> None:
        for attempt in _attempts(config, worker):
            with recorded(attempt.journal, attempt.operation):
                await asyncio.wait_for(perform_async(factory, attempt), attempt.draw.patience)

    await asyncio.gather(*map(task, workers))
    failures = list(_left_in_use(engine.sync_engine))
    await engine.dispose()
    return failures


def _attempts(config: WorkerConfig, worker: int) -> Iterator[Attempt]:
    """Yield the operations of a worker one after the other; each is counted when it has ended."""
    name = f"{config.name}.w{worker}"
    journal = Journal(config.directory / f"{name}.jsonl")
    numbers = range(config.progress[worker], config.operations)
    for draw in draws(
        f"{config.seed} {name}",
        config.targets,
        iter(numbers),
        faults=config.faults,
        weights=config.weights,
    ):
        yield Attempt(draw, draw.operation(f"{name}.{draw.number}"), journal)
        config.progress[worker] += 1
    journal.close()


def _engine_options(config: WorkerConfig) -> dict[str, Any]:
    return {
        "pool_size": config.threads + config.tasks + 1,
        "isolation_level": isolation_level(config.sabotage),
        "connect_args": {"application_name": APPLICATION, "prepare_threshold": None},
    }


def _left_in_use(engine: sa.Engine) -> Iterator[BaseException]:
    """Yield an error if connections are checked out, because they keep their locks."""
    pool = engine.pool
    assert isinstance(pool, sa.QueuePool)
    if count := pool.checkedout():
        yield RuntimeError(f"{count} connections were not returned to the pool")


async def _connect_once(engine: AsyncEngine) -> None:
    """Connect once, and retry until it succeeds, before any task may be cancelled.

    SQLAlchemy loses the first connection of an engine if it is cancelled while the dialect is
    initialized.
    """
    while True:
        with suppress(DBAPIError):
            async with engine.connect():
                return
