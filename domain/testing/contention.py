"""Requests that overlap for certain, and what the server reports about their locks.

A function that takes an engine or a connection opens a connection of its own for an engine. The
locks are read from ``pg_locks`` and not through the package's functions, so that the check does
not depend on the code under test.
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
"""Seconds after which a wait is a failure of the test, never a part of it."""

_POLL: Final = 0.005
_ADVISORY: Final = """
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted = :granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# A bigint key is shown as two unsigned halves.
_OF_KEY: Final = """
      AND classid::bigint = (:key >> 32) & 4294967295 AND objid::bigint = :key & 4294967295
"""

Where = sa.Engine | sa.Connection
Group = PlanGroup | UUID
T = TypeVar("T")


@dataclass(frozen=True)
class Outcomes(Generic[T]):
    """What the contenders got."""

    results: list[T]
    refusals: list[DomainError]


class Rendezvous:
    """Starts all contenders at once, and holds each that gets through until none is left.

    ``hold`` is called before the commit. It returns when every contender either holds too
    or has its answer: so the lock is held for as long as a contender asks, and a lock that
    lets two in is not hidden by a deadlock of the test.
    """

    def __init__(self, contenders: int) -> None:
        self._contenders = contenders
        self._changed = threading.Condition()
        self._settled = 0
        self._start = threading.Barrier(contenders)

    def begin(self) -> None:
        """Wait until every contender is there."""
        self._start.wait(TIMEOUT)

    def settle(self) -> None:
        """Say that a contender holds, or has its answer."""
        with self._changed:
            self._settled += 1
            self._changed.notify_all()

    def hold(self) -> None:
        """Settle, and wait until all have; raises ``AssertionError`` if that takes too long."""
        self.settle()
        with self._changed:
            done = self._changed.wait_for(lambda: self._settled >= self._contenders, TIMEOUT)
        if not done:
            raise AssertionError("not every contender came to an answer")


def contend(contenders: int, request: Callable[[Callable[[], None]], T]) -> Outcomes[T]:
    """Run ``request(hold)`` in as many threads at once; domain errors are refusals.

    The request calls ``hold()`` before its commit. Each needs a connection of its own, so
    the engine's pool must have room for all.
    """
    meeting = Rendezvous(contenders)

    def attempt(_: int) -> T | DomainError:
        meeting.begin()
        held = threading.Event()

        def hold() -> None:
            held.set()
            meeting.hold()

        try:
            return request(hold)
        except DomainError as refusal:
            return refusal
        finally:
            if not held.is_set():
                meeting.settle()

    with ThreadPoolExecutor(contenders) as pool:
        return _sorted(pool.map(attempt, range(contenders)))


async def contend_async(
    contenders: int, request: Callable[[Callable[[], Awaitable[None]]], Awaitable[T]]
) -> Outcomes[T]:
    """The same in tasks of one event loop; the request awaits ``hold()`` before its commit."""
    start = asyncio.Barrier(contenders)
    everyone = asyncio.Event()
    settled = 0

    def settle() -> None:
        nonlocal settled
        settled += 1
        if settled >= contenders:
            everyone.set()

    async def attempt() -> T | DomainError:
        await start.wait()
        held = False

        async def hold() -> None:
            nonlocal held
            held = True
            settle()
            await asyncio.wait_for(everyone.wait(), TIMEOUT)

        try:
            return await request(hold)
        except DomainError as refusal:
            return refusal
        finally:
            if not held:
                settle()

    return _sorted(await asyncio.gather(*(attempt() for _ in range(contenders))))


def eventually(condition: Callable[[], bool], hope: str, seconds: float = TIMEOUT) -> None:
    """Return as soon as ``condition`` holds.

    Raises ``AssertionError`` with ``hope`` in its text when the time has run out.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} seconds in vain until {hope}")
        time.sleep(_POLL)


def assert_lock_held(where: Where, group: Group, *, by: "UnitOfWork | int | None" = None) -> None:
    """Raise ``AssertionError`` unless some transaction holds the group's lock.

    :param by: the unit of work, open in this thread, or the backend's process id whose
        transaction it has to be.
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
    """Raise ``AssertionError`` if a transaction holds the group's lock, naming the backend.

    A server may need a moment to notice that a client is gone: it gets ``seconds`` for it.
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
    """Return once so many requests or more wait for the group's lock."""
    group_id = _id_of(group)
    key = plan_group_lock_key(group_id)
    eventually(
        lambda: len(backends_at_key(where, key, granted=False)) >= waiters,
        f"{waiters} wait for the lock of group {group_id}",
        seconds,
    )


def advisory_locks(where: Where, *, granted: bool = True) -> int:
    """How many of this database's advisory locks are held, or waited for."""
    with _connected(where) as connection:
        return len(connection.execute(sa.text(_ADVISORY), {"granted": granted}).all())


def backends_at_key(where: Where, key: int, *, granted: bool = True) -> list[int]:
    """The process ids of the backends that hold, or wait for, a key's advisory lock."""
    with _connected(where) as connection:
        found = connection.execute(sa.text(_ADVISORY + _OF_KEY), {"granted": granted, "key": key})
        return list(found.scalars())


def terminate_backend(
    where: Where, pid: int, within: timedelta = timedelta(seconds=TIMEOUT)
) -> None:
    """End a backend as an administrator or a failing host would; it is gone on return.

    Raises ``AssertionError`` if there is no such backend or if it does not go.
    """
    _signal(where, "pg_terminate_backend(:pid, :wait)", pid, within // timedelta(milliseconds=1))


def cancel_backend(where: Where, pid: int) -> None:
    """Cancel what a backend is running; one that runs nothing does not notice.

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
    text = f"SELECT {call} FROM pg_stat_activity WHERE pid = :pid"  # noqa: S608 - our own calls
    statement = sa.text(text)
    values = {"pid": pid, "wait": wait} if wait else {"pid": pid}
    with _connected(where) as connection:
        if not connection.scalar(statement, values):
            raise AssertionError(f"backend {pid} did not get the signal, or did not go")


def _id_of(group: Group) -> UUID:
    return group if isinstance(group, UUID) else group.id


def _backend_of(holder: "UnitOfWork | int") -> int:
    if isinstance(holder, int):
        return holder
    # What the client knows is a pooler's process, where there is one.
    ask = sa.select(sa.func.pg_backend_pid(type_=sa.Integer))
    return holder.session.connection().scalars(ask).one()


@contextmanager
def _connected(where: Where) -> Iterator[sa.Connection]:
    if isinstance(where, sa.Connection):
        yield where
        return
    with where.connect() as connection:
        yield connection
