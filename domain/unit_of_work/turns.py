"""One thread at a time: a unit of work may move between threads, but never be in two at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from domain.driver import cancel
from domain.errors import UnitOfWorkStateError

_OVERLAPPING: Final = (
    "Another thread is using this unit of work at this moment. One transaction does one thing "
    "at a time: give each thread a unit of work of its own, or let the threads take turns."
)


class Turns:
    """Which thread is using a unit of work. Calls of one thread may be nested."""

    def __init__(self) -> None:
        self._in_use = threading.RLock()
        self._flushing_thread = 0

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """A block for one thread; raises ``UnitOfWorkStateError`` if another one is in it."""
        if not self._in_use.acquire(blocking=False):
            raise UnitOfWorkStateError(_OVERLAPPING)
        try:
            yield
        finally:
            self._in_use.release()

    @contextmanager
    def turn(self, session: Session | None) -> Iterator[None]:
        """The same, and no other thread may be flushing the Session."""
        with self.one_thread():
            # SQLAlchemy has no accessor; a second flush() raises an error of its own.
            flushing = session is not None and session._flushing  # noqa: SLF001 - as above
            if flushing and self._flushing_thread != threading.get_ident():
                raise UnitOfWorkStateError(_OVERLAPPING)
            yield

    def note_flush(self) -> None:
        """Record that this thread flushes, inside ``one_thread()``."""
        self._flushing_thread = threading.get_ident()

    @contextmanager
    def last(self, connection: Connection | None, *, failed: bool) -> Iterator[None]:
        """The last turn; waits for the end of another thread's.

        What that thread executes is cancelled, so it is the end of one call. Raises
        ``UnitOfWorkStateError`` afterwards if there was one, unless the block has ``failed``.
        """
        overtaken = not self._in_use.acquire(blocking=False)
        if overtaken:
            if connection is not None and not connection.invalidated:
                cancel(connection)
            self._in_use.acquire()
        try:
            yield
        finally:
            self._in_use.release()
        if overtaken and not failed:
            raise UnitOfWorkStateError(
                "The block ended while another thread was using the unit of work. What it did "
                "was cancelled and rolled back. Wait inside the block for the threads it uses."
            )
