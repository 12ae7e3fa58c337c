"""Many requesters: what a refusal costs, and what the lock costs those who do not meet."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, PlanGroupLockedError, UnitOfWork
from tests.benchmarks.timing import line

REQUESTERS = 64
ROUNDS = 20
WORKERS = 8
ONE = sa.text("SELECT 1")


def run(engine: sa.Engine) -> None:
    """64 requesters on one held group, and 8 workers on groups of their own."""
    factory: sessionmaker[Session] = sessionmaker(engine)
    held = uuid4()
    with UnitOfWork(factory, lock=PlanGroupLock(held)):
        plain, refused = _interleaved(lambda: _plain(factory), lambda: _refused(factory, held))
    ratio = _p99(refused) / _p99(plain)
    line("p99 of a refusal / of a transaction with SELECT 1", f"{ratio:.2f}", "goal ≤ 1.5")
    with_lock, without = _throughputs(factory)
    line("distinct groups: throughput with the lock / without", f"{with_lock / without:.2f}",
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


def _throughputs(factory: sessionmaker[Session]) -> tuple[float, float]:
    """Transactions a second with and without the lock, the same work in each, in turn."""
    done = {"with": 0.0, "without": 0.0}
    for _ in range(5):
        for name, call in (("with", _locked_work), ("without", _work)):
            groups = [uuid4() for _ in range(WORKERS)]
            begun = time.perf_counter()
            with ThreadPoolExecutor(WORKERS) as pool:
                list(pool.map(lambda group, call=call: _repeat(call, factory, group), groups))
            done[name] += 1 / (time.perf_counter() - begun)
    return done["with"], done["without"]


def _repeat(
    call: Callable[[sessionmaker[Session], UUID], None], factory: sessionmaker[Session], group: UUID
) -> None:
    for _ in range(40):
        call(factory, group)


def _plain(factory: sessionmaker[Session]) -> None:
    with factory() as session:
        session.execute(ONE)
        session.commit()


def _refused(factory: sessionmaker[Session], group: UUID) -> None:
    try:
        with UnitOfWork(factory, lock=PlanGroupLock(group)):
            raise AssertionError("the group is held")
    except PlanGroupLockedError:
        pass


def _work(factory: sessionmaker[Session], group: UUID) -> None:
    with factory() as session:
        _ten_statements(session)
        session.commit()


def _locked_work(factory: sessionmaker[Session], group: UUID) -> None:
    with UnitOfWork(factory, lock=PlanGroupLock(group)) as uow:
        _ten_statements(uow.session)
        uow.commit()


def _ten_statements(session: Session) -> None:
    """About as many round trips as a generation has."""
    for _ in range(10):
        session.execute(ONE)
