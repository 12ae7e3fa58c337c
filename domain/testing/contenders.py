"""Requests that overlap for certain: whoever wins is held until everybody has an answer."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.errors import DomainError
from domain.testing.watching import PATIENCE

T = TypeVar("T")


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What the contenders got."""

    results: list[T]
    refusals: list[DomainError]


class Meeting:
    """Starts all contenders at once, and holds each that gets through until nobody is left.

    ``hold`` is called before the commit. It returns when every contender either holds too
    or has its answer: so the lock is held for as long as anybody asks, and a lock that
    lets two in is not hidden by a deadlock of the test.
    """

    def __init__(self, contenders: int) -> None:
        self._contenders = contenders
        self._changed = threading.Condition()
        self._settled = 0
        self._start = threading.Barrier(contenders)

    def begin(self) -> None:
        """Wait until every contender is there."""
        self._start.wait(PATIENCE)

    def settle(self) -> None:
        """Say that a contender holds, or has its answer."""
        with self._changed:
            self._settled += 1
            self._changed.notify_all()

    def hold(self) -> None:
        """Settle, and wait until all have; raises ``AssertionError`` if that takes too long."""
        self.settle()
        with self._changed:
            done = self._changed.wait_for(lambda: self._settled >= self._contenders, PATIENCE)
        if not done:
            raise AssertionError("not every contender came to an answer")


def contend(contenders: int, request: Callable[[Callable[[], None]], T]) -> Answers[T]:
    """Run ``request(hold)`` in as many threads at once; domain errors are refusals.

    The request calls ``hold()`` before its commit. Each needs a connection of its own, so
    the engine's pool must have room for all.
    """
    meeting = Meeting(contenders)

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
) -> Answers[T]:
    """The same in tasks of one event loop; the request awaits ``hold()`` before its commit."""
    start = asyncio.Barrier(contenders)
    everybody = asyncio.Event()
    settled = 0

    def settle() -> None:
        nonlocal settled
        settled += 1
        if settled >= contenders:
            everybody.set()

    async def attempt() -> T | DomainError:
        await start.wait()
        held = False

        async def hold() -> None:
            nonlocal held
            held = True
            settle()
            await asyncio.wait_for(everybody.wait(), PATIENCE)

        try:
            return await request(hold)
        except DomainError as refusal:
            return refusal
        finally:
            if not held:
                settle()

    return _sorted(await asyncio.gather(*(attempt() for _ in range(contenders))))


def _sorted(answers: Iterable[T | DomainError]) -> Answers[T]:
    results: list[T] = []
    refusals: list[DomainError] = []
    for answer in answers:
        if isinstance(answer, DomainError):
            refusals.append(answer)
        else:
            results.append(answer)
    return Answers(results, refusals)
