"""Requests that are guaranteed to overlap, and assertions about their locks.

A function that accepts an engine or a connection opens a new connection if it is given an engine.
The locks are read from ``pg_locks`` and not through the functions of the package, so that the
checks do not depend on the code under test.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa

from domain.errors import DomainError
from domain.locking.policy import plan_group_lock_key
from domain.models import PlanGroup

if TYPE_CHECKING:
    from domain.unit_of_work import UnitOfWork

TIMEOUT: Final = 30.0
"""Seconds after which a wait fails the test. A test that passes never waits that long."""

_POLL: Final = 0.005
_ADVISORY: Final = """
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted = :granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# pg_locks shows a bigint key as two unsigned halves.
_OF_KEY: Final = """
      AND classid::bigint = (:key >> 32) & 4294967295 AND objid::bigint = :key & 4294967295
"""

Where = sa.Engine | sa.Connection
Group = PlanGroup | UUID
T = TypeVar("T")


@dataclass(frozen=True)
class Outcomes(Generic[T]):
    """The outcomes of all contenders, in the order of their numbers."""

    results: list[T]
    """What the successful requests returned."""
    refusals: list[DomainError]
    """The domain errors of the other requests."""


class Rendezvous:
    """Starts all contenders at the same time, and delays their commits until all are settled.

    A contender is settled when it waits in ``hold``, which it calls before its commit, or when it
    has its outcome. Therefore the lock is held while other contenders request it. If the lock is
    defective and two contenders acquire it, both wait in ``hold`` and both return, so that the
    test reports two results instead of a deadlock.
    """

    def __init__(self, contenders: int) -> None:
        self._contenders = contenders
        self._changed = threading.Condition()
        self._settled = 0
        self._start = threading.Barrier(contenders)

    def begin(self) -> None:
        """Wait until every contender has called this method."""
        self._start.wait(TIMEOUT)

    def settle(self) -> None:
        """Record that a contender waits in ``hold`` or has its outcome."""
        with self._changed:
            self._settled += 1
            self._changed.notify_all()

    def hold(self) -> None:
        """Settle, and wait until all contenders are settled.

        Raises ``AssertionError`` after ``TIMEOUT``.
        """
        self.settle()
        with self._changed:
            done = self._changed.wait_for(lambda: self._settled >= self._contenders, TIMEOUT)
        if not done:
            raise AssertionError(f"not every contender was settled after {TIMEOUT:g} seconds")


def contend(contenders: int, request: Callable[[Callable[[], None]], T]) -> Outcomes[T]:
    """Run ``request(hold)`` simultaneously in ``contenders`` threads.

    The request must call ``hold()`` before its commit, which returns when every other request
    has its outcome or is also in ``hold()``. A ``DomainError`` that a request raises is returned
    as a refusal; any other exception is raised. Each request needs a separate connection, so the
    pool of the engine must be large enough.
    """
    rendezvous = Rendezvous(contenders)

    def attempt(_: int) -> T | DomainError:
        rendezvous.begin()
        held = threading.Event()

        def hold() -> None:
            held.set()
            rendezvous.hold()

        try:
            return request(hold)
        except DomainError as refusal:
            return refusal
        finally:
            if not held.is_set():
                rendezvous.settle()

    with ThreadPoolExecutor(contenders) as pool:
        return _sorted(pool.map(attempt, range(contenders)))


async def contend_async(
    contenders: int, request: Callable[[Callable[[], Awaitable[None]]], Awaitable[T]]
) -> Outcomes[T]:
    """Do the same as ``contend`` in tasks of one event loop; the request awaits ``hold()``."""
    start = asyncio.Barrier(contenders)
    all_settled = asyncio.Event()
    settled = 0

    def settle() -> None:
        nonlocal settled
        settled += 1
        if settled >= contenders:
            all_settled.set()

    async def attempt() -> T | DomainError:
        await start.wait()
        held = False

        async def hold() -> None:
            nonlocal held
            held = True
            settle()
            await asyncio.wait_for(all_settled.wait(), TIMEOUT)

        try:
            return await request(hold)
        except DomainError as refusal:
            return refusal
        finally:
            if not held:
                settle()

    return _sorted(await asyncio.gather(*(attempt() for _ in range(contenders))))


def eventually(condition: Callable[[], bool], description: str, seconds: float = TIMEOUT) -> None:
    """Return as soon as ``condition`` is true.

    Raises ``AssertionError``, with ``description`` in its message, after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out after {seconds:g} seconds waiting until {description}")
        time.sleep(_POLL)


def assert_lock_held(where: Where, group: Group, *, by: "UnitOfWork | int | None" = None) -> None:
    """Raise ``AssertionError`` unless a transaction holds the group's lock.

    :param by: the unit of work whose transaction must hold the lock, or the process id of its
        backend. A unit of work must be open in this thread.
    """
    group_id = _id_of(group)
    holders = backends_at_key(where, plan_group_lock_key(group_id))
    if not holders:
        raise AssertionError(f"no transaction holds the lock of group {group_id}")
    if by is not None and _backend_of(by) not in holders:
        raise AssertionError(
            f"backend {holders[0]} holds the lock of group {group_id}, not {_backend_of(by)}"
        )


def assert_lock_free(where: Where, group: Group, *, seconds: float = 0) -> None:
    """Raise ``AssertionError``, which names the backend, if a transaction holds the group's lock.

    :param seconds: how long to wait for the release. The server may need some time to notice that
        a client has disconnected.
    """
    group_id = _id_of(group)
    deadline = time.monotonic() + seconds
    while holders := backends_at_key(where, plan_group_lock_key(group_id)):
        if time.monotonic() >= deadline:
            raise AssertionError(f"backend {holders[0]} holds the lock of group {group_id}")
        time.sleep(_POLL)


def wait_until_waiting(
    where: Where, group: Group, *, waiters: int = 1, seconds: float = TIMEOUT
) -> None:
    """Return as soon as at least ``waiters`` requests wait for the group's lock.

    Raises ``AssertionError`` after ``seconds``.
    """
    group_id = _id_of(group)
    key = plan_group_lock_key(group_id)
    eventually(
        lambda: len(backends_at_key(where, key, granted=False)) >= waiters,
        f"{waiters} requests wait for the lock of group {group_id}",
        seconds,
    )


def advisory_locks(where: Where, *, granted: bool = True) -> int:
    """Return how many advisory locks of this database are held or, if not ``granted``, awaited."""
    with _connected(where) as connection:
        return len(connection.execute(sa.text(_ADVISORY), {"granted": granted}).all())


def backends_at_key(where: Where, key: int, *, granted: bool = True) -> list[int]:
    """Return the process ids of the backends that hold the advisory lock with this key.

    If not ``granted``, return those of the backends that wait for it.
    """
    with _connected(where) as connection:
        found = connection.execute(sa.text(_ADVISORY + _OF_KEY), {"granted": granted, "key": key})
        return list(found.scalars())


def terminate_backend(
    where: Where, pid: int, within: timedelta = timedelta(seconds=TIMEOUT)
) -> None:
    """Terminate a backend, and wait until it has ended.

    Raises ``AssertionError`` if there is no such backend or if it does not end ``within`` this
    time.
    """
    _signal(where, "pg_terminate_backend(:pid, :wait)", pid, within // timedelta(milliseconds=1))


def cancel_backend(where: Where, pid: int) -> None:
    """Cancel the current statement of a backend. This has no effect on an idle backend.

    Raises ``AssertionError`` if there is no such backend.
    """
    _signal(where, "pg_cancel_backend(:pid)", pid)


def _sorted(answers: Iterable[T | DomainError]) -> Outcomes[T]:
    results: list[T] = []
    refusals: list[DomainError] = []
    for answer in answers:
        if isinstance(answer, DomainError):
            refusals.append(answer)
        else:
            results.append(answer)
    return Outcomes(results, refusals)


def _signal(where: Where, call: str, pid: int, wait: int = 0) -> None:
    text = f"SELECT {call} FROM pg_stat_activity WHERE pid = :pid"  # noqa: S608 - constant calls
    statement = sa.text(text)
    values = {"pid": pid, "wait": wait} if wait else {"pid": pid}
    with _connected(where) as connection:
        if not connection.scalar(statement, values):
            raise AssertionError(f"backend {pid} could not be signalled, or did not end in time")


def _id_of(group: Group) -> UUID:
    return group if isinstance(group, UUID) else group.id


def _backend_of(holder: "UnitOfWork | int") -> int:
    if isinstance(holder, int):
        return holder
    # Behind a pooler, the process id that the client has received may be the pooler's.
    statement = sa.select(sa.func.pg_backend_pid(type_=sa.Integer))
    return holder.session.connection().scalars(statement).one()


@contextmanager
def _connected(where: Where) -> Iterator[sa.Connection]:
    if isinstance(where, sa.Connection):
        yield where
        return
    with where.connect() as connection:
        yield connection
