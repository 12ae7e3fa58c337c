"""A complete run: the groups, the worker processes, the external faults and the end."""

import multiprocessing
import random
from collections import Counter
from collections.abc import Iterator, Mapping, MutableSequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, UnitOfWork
from domain.testing import CuttingProxy
from tests.factories import PlanGroupFactory
from tests.soak.draws import MIXED, Target
from tests.soak.external_faults import inject_external_faults
from tests.soak.history import Kind
from tests.soak.sabotage import Sabotage, sabotage_database
from tests.soak.worker import WorkerConfig, main, work

POLL = 0.05
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Load:
    """The size and the composition of a load."""

    operations: int
    processes: int = 4
    threads: int = 2
    tasks: int = 2
    students: tuple[int, ...] = (2, 2, 1, 1)
    """The number of groups per student; those of every second student are activated and paused."""
    faults: float = 0.12
    """The fraction of the operations that inject a fault into themselves."""
    external_fault_interval: float | None = 0.1
    """The average number of seconds between external faults; None for no external faults."""
    kills: int = 2
    """The number of worker processes that are killed."""
    cuts: bool = True
    """Whether the connections of one process are cut; the server must listen on TCP."""
    seed: int = 1
    weights: Mapping[Kind, int] = field(default_factory=lambda: MIXED)
    """The relative frequency of each kind of operation."""
    sabotage: Sabotage = Sabotage.NOTHING
    safeguards: bool = True
    """Whether the constraints and the fence behind the lock are kept."""

    @property
    def workers(self) -> int:
        return self.processes * (self.threads + self.tasks)


def run(
    load: Load, database: sa.URL, directory: Path, *, through: sa.URL | None = None
) -> Counter[str]:
    """Run the load on a migrated, empty database and return the number of external faults by name.

    :param through: the URL that the workers connect to, if it is not that of ``database``.
    """
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    targets = tuple(_store_groups(load, engine))
    with engine.connect() as connection:
        sabotage_database(connection, load.sabotage, safeguards=load.safeguards)
    engine.dispose()
    cut = load.cuts and through is None
    with _proxy(database) if cut else nullcontext() as proxy:
        configs = _configs(load, through or database, directory, targets)
        if proxy is not None:
            url = database.set(host=proxy.host, port=proxy.port)
            configs[0] = replace(configs[0], url=url.render_as_string(hide_password=False))
        conninfo = conninfo_of(database)
        with inject_external_faults(
            conninfo, seed=load.seed, interval=load.external_fault_interval, proxy=proxy
        ) as counts:
            killed = _work(configs, load)
    return counts + Counter({"kill -9 of a process": killed})


def run_alone(load: Load, database: sa.URL, directory: Path) -> None:
    """Run the operations of one worker in this thread."""
    engine = sa.create_engine(database)
    targets = tuple(_store_groups(load, engine))
    with engine.connect() as connection:
        sabotage_database(connection, load.sabotage, safeguards=load.safeguards)
    (config,) = _configs(load, database, directory, targets)
    work(config, 0, sessionmaker(engine))
    engine.dispose()


def conninfo_of(url: sa.URL) -> str:
    """Return the URL in the form that psycopg accepts."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def _proxy(database: sa.URL) -> Iterator[CuttingProxy]:
    assert database.host, "cutting connections requires a server that listens on TCP"
    with CuttingProxy(database.host, database.port or 5432) as proxy:
        yield proxy


def _store_groups(load: Load, engine: sa.Engine) -> Iterator[Target]:
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


def _configs(
    load: Load, url: sa.URL, directory: Path, targets: tuple[Target, ...]
) -> list[WorkerConfig]:
    progress: MutableSequence[int] = SPAWN.RawArray("L", load.workers)
    common = WorkerConfig(
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
        weights=load.weights,
        sabotage=load.sabotage,
        safeguards=load.safeguards,
    )
    each = load.threads + load.tasks
    return [
        replace(common, name=f"p{number}", first_worker=number * each)
        for number in range(load.processes)
    ]


def _work(configs: list[WorkerConfig], load: Load) -> int:
    """Run all processes; a killed one is replaced by one that does its remaining operations."""
    rng = random.Random(load.seed)  # noqa: S311 - not for cryptography
    thresholds = sorted(rng.uniform(0.05, 0.9) * load.operations for _ in range(load.kills))
    running = [(config, _started(config)) for config in configs]
    killed = 0
    try:
        for threshold in thresholds:
            if not _reached(threshold, running):
                break
            index = rng.randrange(len(running))
            running[index] = _replaced(*running[index])
            killed += 1
        for config, process in running:
            process.join()
            assert process.exitcode == 0, f"process {config.name} ended with {process.exitcode}"
    finally:
        for _, process in running:
            process.kill()
            process.join()
    return killed


def _started(config: WorkerConfig) -> SpawnProcess:
    process = SPAWN.Process(target=main, args=(config,))
    process.start()
    return process


def _replaced(config: WorkerConfig, process: SpawnProcess) -> tuple[WorkerConfig, SpawnProcess]:
    process.kill()
    process.join()
    successor = replace(config, name=f"{config.name}x")
    return successor, _started(successor)


def _reached(threshold: float, running: list[tuple[WorkerConfig, SpawnProcess]]) -> bool:
    """Wait until ``threshold`` operations have ended; return False if all processes end before."""
    progress = running[0][0].progress
    while sum(progress) < threshold:
        alive = [process.sentinel for _, process in running if process.is_alive()]
        if not alive:
            return False
        wait(alive, POLL)
    return True
