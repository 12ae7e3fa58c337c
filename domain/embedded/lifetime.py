"""Closes what is open however the process ends: normally, by an exception, by SIGTERM.

SIGINT needs nothing here, for Python makes an exception of it.
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Closable(Protocol):
    def close(self) -> None:
        """Close for good; repeating it is harmless, and a forked child does nothing."""

    def abandon(self) -> None:
        """In a forked child: let go of what says that the parent lives."""


_open: list[Closable] = []
_handler_of = 0  # the process that installed the handler; a forked child inherits it


@contextmanager
def closing(resource: Closable) -> Iterator[None]:
    """Close the resource at the end of the block or, should that be cut short, at exit.

    While anything is open, SIGTERM raises ``SystemExit(143)``. This is done in the main
    thread alone, where Python allows it, and only if SIGTERM had its default effect: a
    program with a handler of its own, or that ignores the signal, has made up its mind.
    """
    _open.append(resource)
    _catch_sigterm()
    try:
        yield
    finally:
        resource.close()
        _open.remove(resource)
        if not _open:
            _release_sigterm()


def _catch_sigterm() -> None:
    global _handler_of  # noqa: PLW0603 - signal handlers are the process's, not an object's
    if _in_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        _handler_of = os.getpid()
        signal.signal(signal.SIGTERM, _exit)


def _release_sigterm() -> None:
    if _in_main_thread() and signal.getsignal(signal.SIGTERM) is _exit:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, _frame: FrameType | None) -> None:
    if os.getpid() != _handler_of:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(128 + number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _close_all() -> None:
    for resource in reversed(_open):
        resource.close()


def _abandon_all() -> None:
    for resource in _open:
        resource.abandon()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_abandon_all)
