"""Contention: the time of a refusal, and the cost of the locks of distinct groups."""

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
"""Generations per worker and run."""
RUNS = 9
"""Runs with the locks; there are as many without them."""
ONE = sa.text("SELECT 1")


def run(engine: sa.Engine) -> None:
    """Print the ratios for 64 requesters of one held lock, and for 8 workers with a group each."""
    factory: sessionmaker[Session] = sessionmaker(engine)
    group = stored_group(factory)
    held = PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(factory, lock=held):
        plain, refused = _interleaved(lambda: _plain(factory), lambda: _refused(factory, held))
    ratio = _p99(refused) / _p99(plain)
    line("p99 of a refusal / of a transaction with SELECT 1", f"{ratio:.2f}", "goal ≤ 1.5")
    locked, unlocked = _generation_times(factory)
    line("distinct groups: throughput with the lock / without", f"{unlocked / locked:.2f}",
         "goal ≥ 0.9")  # fmt: skip


def _interleaved(
    first: Callable[[], None], second: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Return the seconds of each call of ``first`` and of ``second``.

    All requesters call the same function simultaneously, and the two functions alternate.
    """
    times: tuple[list[float], list[float]] = ([], [])
    barrier = threading.Barrier(REQUESTERS)

    def requester(_: int) -> None:
        for _ in range(ROUNDS):
            for durations, call in zip(times, (first, second), strict=True):
                barrier.wait()
                started = time.perf_counter()
                call()
                durations.append(time.perf_counter() - started)

    with ThreadPoolExecutor(REQUESTERS) as pool:
        list(pool.map(requester, range(REQUESTERS)))
    return times


def _p99(times: list[float]) -> float:
    return quantiles(times, n=100)[98]


def _generation_times(factory: sessionmaker[Session]) -> tuple[float, float]:
    """Return the median seconds of the same generations with and without locks, alternating."""
    groups = [stored_group(factory) for _ in range(WORKERS)]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * RUNS):
        context, durations = (nullcontext(), times[0]) if number % 2 else (_unlocked(), times[1])
        with context, ThreadPoolExecutor(WORKERS) as pool:
            started = time.perf_counter()
            list(pool.map(lambda group: _repeat(factory, group), groups))
            durations.append(time.perf_counter() - started)
    return median(times[0]), median(times[1])


def _repeat(factory: sessionmaker[Session], group: PlanGroup) -> None:
    for _ in range(GENERATIONS):
        generate(factory, group)


@contextmanager
def _unlocked() -> Iterator[None]:
    """Report every lock as acquired without requesting it from the server."""

    def report_acquired(
        connection: sa.Connection, *_: object, asked_for: UUID, renewed: str, **__: object
    ) -> dict[UUID, UUID]:
        _begin(connection, identity=renewed)
        return {asked_for: asked_for}

    with (
        patch.object(acquiring, "acquire", _begin),
        patch.object(acquiring, "acquire_students", report_acquired),
    ):
        yield


def _begin(connection: sa.Connection, *_: object, identity: str, **__: object) -> Acquired:
    """Start a transaction with its identity, which the unit of work checks afterwards."""
    connection.connection.cursor().execute(f"SET LOCAL {IDENTITY} = '{identity}'")
    return Acquired()


def _plain(factory: sessionmaker[Session]) -> None:
    with factory() as session:
        session.execute(ONE)
        session.commit()


def _refused(factory: sessionmaker[Session], lock: PlanGroupLock) -> None:
    try:
        with UnitOfWork(factory, lock=lock):
            raise AssertionError("a lock that is held was acquired again")
    except PlanGroupLockedError:
        pass
