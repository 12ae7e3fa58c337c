"""Many requesters: what a refusal costs, and what the lock costs those who do not meet."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from statistics import median, quantiles
from unittest.mock import patch
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.locking import acquiring
from domain.locking.acquiring import Acquired
from domain.locking.statements import IDENTITY
from tests.benchmarks.timing import line
from tests.integration.storing import generate, stored_group

REQUESTERS = 64
ROUNDS = 60
WORKERS = 8
GENERATIONS = 5
TURNS = 9
ONE = sa.text("SELECT 1")


def run(engine: sa.Engine) -> None:
    """64 requesters on one held group, and 8 workers on groups of their own."""
    factory: sessionmaker[Session] = sessionmaker(engine)
    group = stored_group(factory)
    held = PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(factory, lock=held):
        plain, refused = _interleaved(lambda: _plain(factory), lambda: _refused(factory, held))
    ratio = _p99(refused) / _p99(plain)
    line("p99 of a refusal / of a transaction with SELECT 1", f"{ratio:.2f}", "goal ≤ 1.5")
    locked, unlocked = _generating(factory)
    line("distinct groups: throughput with the lock / without", f"{unlocked / locked:.2f}",
         "goal ≥ 0.9")  # fmt: skip


def _interleaved(
    one: Callable[[], None], other: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Seconds of each call, all requesters at once, the two kinds in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    barrier = threading.Barrier(REQUESTERS)

    def requester(_: int) -> None:
        for _ in range(ROUNDS):
            for own, call in zip(times, (one, other), strict=True):
                barrier.wait()
                begun = time.perf_counter()
                call()
                own.append(time.perf_counter() - begun)

    with ThreadPoolExecutor(REQUESTERS) as pool:
        list(pool.map(requester, range(REQUESTERS)))
    return times


def _p99(times: list[float]) -> float:
    return quantiles(times, n=100)[98]


def _generating(factory: sessionmaker[Session]) -> tuple[float, float]:
    """Median seconds of the same generations with the locks and without any, in turn."""
    groups = [stored_group(factory) for _ in range(WORKERS)]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * TURNS):
        locked, own = (nullcontext(), times[0]) if number % 2 else (_unlocked(), times[1])
        with locked, ThreadPoolExecutor(WORKERS) as pool:
            begun = time.perf_counter()
            list(pool.map(lambda group: _repeat(factory, group), groups))
            own.append(time.perf_counter() - begun)
    return median(times[0]), median(times[1])


def _repeat(factory: sessionmaker[Session], group: PlanGroup) -> None:
    for _ in range(GENERATIONS):
        generate(factory, group)


@contextmanager
def _unlocked() -> Iterator[None]:
    """Everybody is told that the locks are theirs, and nothing is asked of the server."""

    def pretend(
        connection: sa.Connection, *_: object, asked_for: UUID, renewed: str, **__: object
    ) -> dict[UUID, UUID]:
        _begin(connection, identity=renewed)
        return {asked_for: asked_for}

    with (
        patch.object(acquiring, "acquire", _begin),
        patch.object(acquiring, "acquire_students", pretend),
    ):
        yield


def _begin(connection: sa.Connection, *_: object, identity: str, **__: object) -> Acquired:
    """What the unit of work asks for afterwards: a transaction with its identity."""
    connection.connection.cursor().execute(f"SET LOCAL {IDENTITY} = '{identity}'")
    return Acquired()


def _plain(factory: sessionmaker[Session]) -> None:
    with factory() as session:
        session.execute(ONE)
        session.commit()


def _refused(factory: sessionmaker[Session], lock: PlanGroupLock) -> None:
    try:
        with UnitOfWork(factory, lock=lock):
            raise AssertionError("the group is held")
    except PlanGroupLockedError:
        pass
