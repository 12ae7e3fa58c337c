"""The steps of a generation, told by what passes the driver.

The package runs as it does in production: the cursors of a watched connection are of a
class that looks on, and nothing else is put in its way.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from enum import Enum
from itertools import count
from select import select
from typing import Any, Protocol

import psycopg

from domain.locking.statements import ACQUIRING


class Step(Enum):
    """Where a generation is, in the order in which it comes along."""

    BEFORE_THE_LOCK = "before the lock"
    """Connected; the statement that takes the lock is not sent yet."""
    AFTER_THE_LOCK = "after the lock"
    """The first lock is held, nothing is read."""
    AFTER_THE_READ = "after the read"
    """The first statement after the locks has its rows, nothing is written."""
    IN_THE_WRITE = "in the middle of the write"
    """Between two rows of the COPY."""
    BEFORE_COMMIT = "before the commit"
    """Everything is written, COMMIT is not sent yet."""
    DURING_COMMIT = "during the commit"
    """The backend is at work on COMMIT, and the client waits for its answer."""


class Watch(Protocol):
    """Who is told of the steps."""

    rows: int

    def reached(self, step: Step, driver: Any) -> None:
        """A generation on the driver's connection is at the step."""

    def passed(self, step: Step, driver: Any) -> bool:
        """Whether its transaction was told to be at the step."""


def watched(factory: type[Any], watch: Watch) -> type[Any]:
    """A cursor class like ``factory`` that tells ``watch`` of the steps up to the write."""
    methods = _async_methods if issubclass(factory, psycopg.AsyncCursor) else _methods
    return type(f"Watched{factory.__name__}", (factory,), methods(factory, watch))


def _methods(factory: type[Any], watch: Watch) -> dict[str, Any]:
    def execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        _before(watch, query, self.connection)
        done = factory.execute(self, query, *arguments, **options)
        _after(watch, query, self.connection)
        return done

    @contextmanager
    def copy(self: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        with factory.copy(self, *arguments, **options) as copying:
            write, numbers = copying.write_row, count()

            def write_row(row: Sequence[Any]) -> None:
                _between_rows(watch, next(numbers), self.connection)
                write(row)

            copying.write_row = write_row
            yield copying

    return {"execute": execute, "copy": copy}


def _async_methods(factory: type[Any], watch: Watch) -> dict[str, Any]:
    async def execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        _before(watch, query, self.connection)
        done = await factory.execute(self, query, *arguments, **options)
        _after(watch, query, self.connection)
        return done

    @asynccontextmanager
    async def copy(self: Any, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        async with factory.copy(self, *arguments, **options) as copying:
            write, numbers = copying.write_row, count()

            async def write_row(row: Sequence[Any]) -> None:
                _between_rows(watch, next(numbers), self.connection)
                await write(row)

            copying.write_row = write_row
            yield copying

    return {"execute": execute, "copy": copy}


def _before(watch: Watch, query: object, driver: Any) -> None:
    if ACQUIRING in str(query):
        watch.reached(Step.BEFORE_THE_LOCK, driver)


def _after(watch: Watch, query: object, driver: Any) -> None:
    if ACQUIRING in str(query):
        watch.reached(Step.AFTER_THE_LOCK, driver)
    elif watch.passed(Step.AFTER_THE_LOCK, driver):
        watch.reached(Step.AFTER_THE_READ, driver)


def _between_rows(watch: Watch, written: int, driver: Any) -> None:
    if written != watch.rows:
        return
    # libpq keeps what the socket does not take at once, and would for as long as we stop here.
    while driver.pgconn.flush():
        select([], [driver.pgconn.socket], [])
    watch.reached(Step.IN_THE_WRITE, driver)
