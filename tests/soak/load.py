"""A whole run: the world, the worker processes, the harm done to them, and its end."""

import multiprocessing
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnProcess
from pathlib import Path
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, UnitOfWork
from tests.factories import PlanGroupFactory
from tests.soak import sabotage
from tests.soak.attempts import FIRST_DAY, Attempt, Target, recorded
from tests.soak.faults import Fault, Harasser
from tests.soak.history import Journal, Kind, Operation
from tests.soak.sabotage import Sabotage
from tests.soak.worker import Orders, main, perform


@dataclass(frozen=True, slots=True)
class Load:
    """How much of what."""

    operations: int
    processes: int = 4
    threads: int = 3
    tasks: int = 2
    students: tuple[int, ...] = (2, 2, 1, 1)
    """How many groups each student has."""
    faults: float = 0.12
    """Which part of the generations come to harm by themselves."""
    harm_every: float | None = 0.1
    """Seconds between the harms from outside, on average."""
    kills: int = 2
    """How many worker processes are killed."""
    seed: int = 1
    contention: bool = False
    """Nearly only generations: for loads whose lock is spoilt."""
    sabotage: Sabotage = Sabotage.NOTHING

    @property
    def workers(self) -> int:
        return self.processes * (self.threads + self.tasks)


@dataclass(frozen=True, slots=True)
class Done:
    """What happened besides what is recorded."""

    killed: int
    terminated: int
    cancelled: int


def run(load: Load, database: sa.URL, directory: Path, *, through: sa.URL | None = None) -> Done:
    """Put the load on a migrated, empty database, the workers ``through`` another URL."""
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    targets = _world(load, engine, directory)
    with engine.connect() as connection:
        sabotage.spoil_database(connection, load.sabotage)
    with _harassed(conninfo_of(database), load) as harasser:
        killed = _work(_orders(load, through or database, directory, targets), load)
    engine.dispose()
    return Done(killed, harasser.terminated, harasser.cancelled)


def conninfo_of(url: sa.URL) -> str:
    """The URL for psycopg and the checker."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _world(load: Load, engine: sa.Engine, directory: Path) -> tuple[Target, ...]:
    """Groups, each generated once, some with a plan that later generations must keep."""
    factory = sessionmaker(engine)
    targets = []
    for count in load.students:
        tenant, student = uuid4(), uuid4()
        for _ in range(count):
            group = PlanGroupFactory.build(tenant_id=tenant, student_id=student)
            targets.append(Target(tenant, student, group.id))
            with UnitOfWork(factory, lock=PlanGroupLock(group.id)) as uow:
                uow.groups.add(group)
                uow.commit()
    journal = Journal(directory / "setup.jsonl")
    for number, target in enumerate(targets):
        operation = Operation(
            f"setup.{number}", Kind.GENERATE, str(target.group_id), str(target.student_id),
            started=time.monotonic(),
        )  # fmt: skip
        lock = PlanGroupLock(target.group_id)
        with recorded(journal, operation):
            perform(factory, Attempt(operation, target, lock, FIRST_DAY, Fault.NONE, dwell=0))
    journal.close()
    with engine.begin() as connection:
        _pin_one(connection, targets[0].group_id)
    return tuple(targets)


def _pin_one(connection: sa.Connection, group_id: UUID) -> None:
    connection.execute(
        sa.text("UPDATE student_plans SET pinned = true WHERE group_id = :group AND sequence = 3"),
        {"group": group_id},
    )


def _orders(load: Load, url: sa.URL, directory: Path, targets: tuple[Target, ...]) -> list[Orders]:
    each = -(-load.operations // load.workers)
    common = Orders(
        name="",
        url=url.render_as_string(hide_password=False),
        directory=directory,
        targets=targets,
        operations=each,
        threads=load.threads,
        tasks=load.tasks,
        seed=load.seed,
        faults=load.faults,
        contention=load.contention,
        isolation_level=sabotage.isolation_level(load.sabotage),
        sabotage=load.sabotage,
    )
    return [replace(common, name=f"p{number}") for number in range(load.processes)]


def _work(orders: list[Orders], load: Load) -> int:
    """Run all processes to their end; a killed one is replaced by one that does its rest."""
    dice = random.Random(load.seed)  # noqa: S311 - drawn, not secret
    context = multiprocessing.get_context("spawn")
    running: list[tuple[Orders, SpawnProcess]] = []
    for order in orders:
        running.append((order, context.Process(target=main, args=(order,))))
        running[-1][1].start()
    killed = 0
    while killed < load.kills and _reached(load, running, (killed + 1) / (load.kills + 1)):
        at = dice.randrange(len(running))
        order, process = running[at]
        process.kill()
        process.join()
        killed += 1
        rest = replace(order, name=f"{order.name}x", operations=_rest(order))
        successor = context.Process(target=main, args=(rest,))
        successor.start()
        running[at] = (rest, successor)
    for order, process in running:
        process.join()
        assert process.exitcode == 0, f"worker process {order.name} ended with {process.exitcode}"
    return killed


def _rest(order: Orders) -> int:
    """What each of its workers has left on average, and at least one."""
    workers = order.threads + order.tasks
    begun = _begun(order.directory, f"{order.name}.*.jsonl")
    return max(1, order.operations - begun // workers)


def _reached(load: Load, running: list[tuple[Orders, SpawnProcess]], part: float) -> bool:
    """Wait until this part of all operations has begun; whether there is anybody left to kill."""
    directory = running[0][0].directory
    while _begun(directory, "p*.jsonl") < part * load.operations:
        if not any(process.is_alive() for _, process in running):
            return False
        time.sleep(0.1)
    return True


def _begun(directory: Path, pattern: str) -> int:
    # Two lines an operation.
    return sum(path.read_bytes().count(b"\n") for path in directory.glob(pattern)) // 2


@contextmanager
def _harassed(conninfo: str, load: Load) -> Iterator[Harasser]:
    harasser = Harasser(conninfo, load.seed, every=load.harm_every or 1)
    if load.harm_every is not None:
        harasser.start()
    try:
        yield harasser
    finally:
        if load.harm_every is not None:
            harasser.stop()
