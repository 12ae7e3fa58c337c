"""Requests that overlap for certain: whoever wins is held until everybody has an answer."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.errors import DomainError

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds after which a wait is a failure of the test, never a part of it."""


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
        self._start.wait(PATIENCE)

    def settle(self) -> None:
        with self._changed:
            self._settled += 1
            self._changed.notify_all()

    def hold(self) -> None:
        self.settle()
        with self._changed:
            done = self._changed.wait_for(lambda: self._settled >= self._contenders, PATIENCE)
        assert done, "not every contender came to an answer"


def contend(contenders: int, request: Callable[[Callable[[], None]], T]) -> Answers[T]:
    """Run ``request(hold)`` in as many threads at once; domain errors are refusals."""
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
        answers = list(pool.map(attempt, range(contenders)))
    return Answers(
        [answer for answer in answers if not isinstance(answer, DomainError)],
        [answer for answer in answers if isinstance(answer, DomainError)],
    )
