"""A worker process: threads that are synchronous workers, and tasks that are asynchronous ones."""

import asyncio
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from domain.unit_of_work import AsyncUnitOfWork, UnitOfWork
from tests.soak import sabotage
from tests.soak.attempts import Attempt, Target, draw, recorded
from tests.soak.faults import APPLICATION
from tests.soak.history import Journal, Kind


@dataclass(frozen=True, slots=True)
class Orders:
    """What a process is told to do; each of its workers does ``operations`` of them."""

    name: str
    url: str
    directory: Path
    targets: tuple[Target, ...]
    operations: int
    threads: int
    tasks: int
    seed: int
    faults: float
    contention: bool
    isolation_level: str
    sabotage: sabotage.Sabotage


def main(orders: Orders) -> None:
    """Entry point of the spawned process."""
    sabotage.spoil_process(orders.sabotage)
    failures: list[BaseException] = []

    def sync_worker(name: str) -> None:
        try:
            _work(orders, name, factory)
        except BaseException as error:
            failures.append(error)
            raise

    engine = sa.create_engine(orders.url, **_engine_options(orders))
    factory = sessionmaker(engine)
    workers = [
        threading.Thread(target=sync_worker, args=(f"{orders.name}.t{number}",))
        for number in range(orders.threads)
    ]
    for worker in workers:
        worker.start()
    failures.extend(asyncio.run(_work_async(orders)))
    for worker in workers:
        worker.join()
    failures.extend(_left_in_use(engine))
    engine.dispose()
    for failure in failures:
        print(repr(failure), file=sys.stderr)
    sys.exit(1 if failures else 0)


def _engine_options(orders: Orders) -> dict[str, Any]:
    return {
        "pool_size": orders.threads + orders.tasks + 1,
        "isolation_level": orders.isolation_level,
        "connect_args": {"application_name": APPLICATION, "prepare_threshold": None},
    }


def _left_in_use(engine: sa.Engine) -> Iterator[BaseException]:
    """A connection that nobody gave back would keep its transaction, and so its lock."""
    pool = engine.pool
    assert isinstance(pool, sa.QueuePool)
    if count := pool.checkedout():
        yield RuntimeError(f"{count} connections were never given back")


def _attempts(orders: Orders, worker: str) -> Iterator[Attempt]:
    dice = random.Random(f"{orders.seed} {worker}")  # noqa: S311 - drawn, not secret
    for number in range(orders.operations):
        yield draw(
            dice,
            f"{worker}.{number}",
            dice.choice(orders.targets),
            faults=orders.faults,
            contention=orders.contention,
        )


def _work(orders: Orders, worker: str, factory: sessionmaker[Session]) -> None:
    journal = Journal(orders.directory / f"{worker}.jsonl")
    for attempt in _attempts(orders, worker):
        with recorded(journal, attempt.operation):
            perform(factory, attempt)
    journal.close()


def perform(factory: sessionmaker[Session], attempt: Attempt) -> None:
    """One operation, through the package's synchronous door."""
    if attempt.operation.kind is Kind.READ:
        with factory() as session:
            attempt.read(session)
        return
    with UnitOfWork(factory, lock=attempt.lock) as uow:
        attempt.entered()
        time.sleep(attempt.work(uow))
        if attempt.operation.kind is Kind.ROLL_BACK:
            attempt.leave_alive(uow)
            uow.rollback()
            attempt.rolled_back()
        else:
            attempt.leave()
            uow.commit()
            attempt.committed()


async def _work_async(orders: Orders) -> list[BaseException]:
    engine = create_async_engine(orders.url, **_engine_options(orders))
    factory = async_sessionmaker(engine)

    async def worker(name: str) -> None:
        journal = Journal(orders.directory / f"{name}.jsonl")
        for attempt in _attempts(orders, name):
            with recorded(journal, attempt.operation):
                await asyncio.wait_for(_perform_async(factory, attempt), attempt.patience)
        journal.close()

    names = [f"{orders.name}.a{number}" for number in range(orders.tasks)]
    await asyncio.gather(*map(worker, names))
    failures = list(_left_in_use(engine.sync_engine))
    await engine.dispose()
    return failures


async def _perform_async(factory: async_sessionmaker[Any], attempt: Attempt) -> None:
    if attempt.operation.kind is Kind.READ:
        async with factory() as session:
            await session.run_sync(attempt.read)
        return
    async with AsyncUnitOfWork(factory, lock=attempt.lock) as uow:
        attempt.entered()
        await asyncio.sleep(await uow.run(attempt.work))
        if attempt.operation.kind is Kind.ROLL_BACK:
            await uow.run(attempt.leave_alive)
            await uow.rollback()
            attempt.rolled_back()
        else:
            attempt.leave()
            await uow.commit()
            attempt.committed()
