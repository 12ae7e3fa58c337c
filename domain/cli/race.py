"""Simultaneous generations of one group, overlapping for certain."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from time import perf_counter
from typing import Final

from sqlalchemy.orm import Session

from domain.errors import DomainError
from domain.locking.policy import PlanGroupLock
from domain.services import GenerationResult, PlanGenerationService
from domain.unit_of_work.unit import UnitOfWork

BOUND_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request's answer, and how long it took without being held."""

    number: int
    answer: GenerationResult | DomainError
    ms: float


class Race:
    """Requests that run the same code on connections of their own.

    The overlap is certain rather than likely: whoever holds the lock commits only when
    everybody else has an answer. In a program that is wrong, for nothing but the database
    and pure code should run under a lock; here it is what makes the point.
    """

    def __init__(self, factory: Callable[[], Session], *, lock: PlanGroupLock, today: date) -> None:
        self._factory = factory
        self._lock = lock
        self._today = today

    def run(self, requests: int) -> list[Attempt]:
        """The answers in the order of the requests' numbers.

        Whatever is no ``DomainError`` is raised; no request waits longer than the bound.
        """
        self._start = threading.Barrier(requests)
        self._answered = threading.Barrier(requests)
        with ThreadPoolExecutor(requests) as threads:
            asked = [threads.submit(self._request, number + 1) for number in range(requests)]
        _raise_the_cause(asked)
        return [request.result() for request in asked]

    def _request(self, number: int) -> Attempt:
        try:
            self._start.wait(BOUND_SECONDS)
            return self._attempt(number)
        except BaseException:
            self._start.abort()
            self._answered.abort()
            raise

    def _attempt(self, number: int) -> Attempt:
        begun = perf_counter()
        held = 0.0
        try:
            with UnitOfWork(self._factory, lock=self._lock) as uow:
                result = PlanGenerationService(uow).generate(today=self._today)
                held = -perf_counter()
                self._answered.wait(BOUND_SECONDS)
                held += perf_counter()
                uow.commit()
        except DomainError as error:
            attempt = Attempt(number, error, _ms(begun, held))
            if not held:
                self._answered.wait(BOUND_SECONDS)
            return attempt
        return Attempt(number, result, _ms(begun, held))


def _ms(begun: float, held: float) -> float:
    return (perf_counter() - begun - held) * 1000


def _raise_the_cause(asked: list[Future[Attempt]]) -> None:
    """The others' barriers break when one request fails; its error tells more than theirs."""
    errors = [error for request in asked if (error := request.exception())]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
