"""A whole run: the world, the worker processes, the harm done to them, and its end."""

import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, UnitOfWork
from domain.testing import CuttingProxy
from tests.factories import PlanGroupFactory
from tests.soak.draws import Target
from tests.soak.harm import harassed
from tests.soak.sabotage import Sabotage, spoil_database
from tests.soak.worker import Orders, main

POLL = 0.05
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Load:
    """How much of what."""

    operations: int
    processes: int = 4
    threads: int = 2
    tasks: int = 2
    students: tuple[int, ...] = (2, 2, 1, 1)
    """How many groups each student has; those of every second one are activated and paused."""
    faults: float = 0.12
    """Which part of the operations come to harm by themselves."""
    harm_every: float | None = 0.1
    """Seconds between the harms from outside, on average."""
    kills: int = 2
    """How many worker processes are killed."""
    cuts: bool = True
    """Whether one process has a network that is cut; for servers that listen on TCP."""
    seed: int = 1
    mixed: bool = True
    """Operations of all kinds, not nearly generations alone."""
    sabotage: Sabotage = Sabotage.NOTHING
    walls: bool = True

    @property
    def workers(self) -> int:
        return self.processes * (self.threads + self.tasks)


def run(
    load: Load, database: sa.URL, directory: Path, *, through: sa.URL | None = None
) -> Counter[str]:
    """Put the load on a migrated, empty database, the workers ``through`` another URL.

    What was done to it from outside.
    """
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    targets = tuple(_world(load, engine))
    with engine.connect() as connection:
        spoil_database(connection, load.sabotage, walls=load.walls)
    engine.dispose()
    cut = load.cuts and through is None
    with _proxy(database) if cut else nullcontext() as proxy:
        orders = _orders(load, through or database, directory, targets)
        if proxy is not None:
            url = database.set(host=proxy.host, port=proxy.port)
            orders[0] = replace(orders[0], url=url.render_as_string(hide_password=False))
        conninfo = conninfo_of(database)
        with harassed(conninfo, seed=load.seed, every=load.harm_every, proxy=proxy) as done:
            killed = _work(orders, load)
    return done + Counter({"kill -9 of a process": killed})


def conninfo_of(url: sa.URL) -> str:
    """The URL for psycopg and the checker."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def _proxy(database: sa.URL) -> Iterator[CuttingProxy]:
    assert database.host, "cuts need a server that listens on TCP"
    with CuttingProxy(database.host, database.port or 5432) as proxy:
        yield proxy


def _world(load: Load, engine: sa.Engine) -> Iterator[Target]:
    factory = sessionmaker(engine)
    for number, count in enumerate(load.students):
        tenant, student = uuid4(), uuid4()
        groups = [uuid4() for _ in range(count)]
        for group_id in groups:
            with UnitOfWork(factory, lock=PlanGroupLock(tenant, group_id)) as uow:
                uow.groups.add(
                    PlanGroupFactory.build(id=group_id, tenant_id=tenant, student_id=student)
                )
                uow.commit()
            others = tuple(other for other in groups if other != group_id)
            yield Target(tenant, student, group_id, others, activates=bool(number % 2))


def _orders(load: Load, url: sa.URL, directory: Path, targets: tuple[Target, ...]) -> list[Orders]:
    progress: MutableSequence[int] = SPAWN.RawArray("L", load.workers)
    common = Orders(
        name="",
        url=url.render_as_string(hide_password=False),
        directory=directory,
        targets=targets,
        progress=progress,
        first_worker=0,
        threads=load.threads,
        tasks=load.tasks,
        operations=-(-load.operations // load.workers),
        seed=load.seed,
        faults=load.faults,
        mixed=load.mixed,
        sabotage=load.sabotage,
        walls=load.walls,
    )
    each = load.threads + load.tasks
    return [
        replace(common, name=f"p{number}", first_worker=number * each)
        for number in range(load.processes)
    ]


def _work(orders: list[Orders], load: Load) -> int:
    """Run all processes to their end; a killed one is replaced by one that does its rest."""
    dice = random.Random(load.seed)  # noqa: S311 - drawn, not secret
    marks = sorted(dice.uniform(0.05, 0.9) * load.operations for _ in range(load.kills))
    running = [(order, _started(order)) for order in orders]
    killed = 0
    try:
        for mark in marks:
            if not _reached(mark, running):
                break
            at = dice.randrange(len(running))
            running[at] = _replaced(*running[at])
            killed += 1
        for order, process in running:
            process.join()
            assert process.exitcode == 0, f"process {order.name} ended with {process.exitcode}"
    finally:
        for _, process in running:
            process.kill()
            process.join()
    return killed


def _started(order: Orders) -> SpawnProcess:
    process = SPAWN.Process(target=main, args=(order,))
    process.start()
    return process


def _replaced(order: Orders, process: SpawnProcess) -> tuple[Orders, SpawnProcess]:
    process.kill()
    process.join()
    successor = replace(order, name=f"{order.name}x")
    return successor, _started(successor)


def _reached(mark: float, running: list[tuple[Orders, SpawnProcess]]) -> bool:
    """Wait until so many operations have ended; whether there is anybody left to kill."""
    progress = running[0][0].progress
    while sum(progress) < mark:
        alive = [process.sentinel for _, process in running if process.is_alive()]
        if not alive:
            return False
        wait(alive, POLL)
    return True
