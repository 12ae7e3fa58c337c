"""The output of the process: it may be closed, full, or a pipe without a reader."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class OutputError(Exception):
    """The output could not be written; the message has the reason.

    It is no ``OSError``, so that a command that has committed is not reported as failed.
    """


def open_missing() -> None:
    """Open the null device as stdout and stderr if the process was started without them.

    Otherwise they are ``None``, and the next file or connection would have their descriptors.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(null, "w", encoding="utf-8", closefd=False))


@contextmanager
def writing() -> Iterator[None]:
    """Raise ``OutputError`` if the block fails to write to stdout, and discard what is left."""
    try:
        yield
    except OSError as error:
        _discard(sys.stdout)
        raise OutputError(error.strerror or str(error)) from error


def flush() -> None:
    """Write what is still in the buffer of stdout. Raises ``OutputError``."""
    with writing():
        sys.stdout.flush()


def report(text: str) -> None:
    """Write to stderr. A stderr that cannot be written does not change the exit code."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Redirect a stream to the null device.

    Otherwise the interpreter fails a second time when it flushes the buffer at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
