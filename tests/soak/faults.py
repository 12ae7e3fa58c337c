"""Faults that an operation injects into its own unit of work."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from traceback import walk_stack
from types import FrameType
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain import PlanGenerationService, UnitOfWork
from domain.scheduling.types import Request
from tests.soak.history import Operation

LONGER_THAN_IDLE = 0.4


class DeliberateError(Exception):
    """Raised deliberately by an operation of the load."""


class InterruptionError(Exception):
    """Raised by a signal handler, at any point of the main thread."""


INTERRUPTED = "interrupted at first use"
POOL = "/sqlalchemy/pool/"
"""The part of SQLAlchemy that is not interrupted.

If an exception is raised there, SQLAlchemy loses count of a connection, with any ``Session``. This
hides no defect of the package: a connection holds no lock there, because it is before its first
statement or after its last one.
"""
RETRY_SECONDS = 0.001


class Fault(Enum):
    """A fault that an operation injects into itself."""

    NONE = ""
    RAISE_IN_SERVICE = "exception in the service"
    RAISE = "exception after writing"
    TERMINATE = "own backend terminated"
    CANCEL = "own statement cancelled"
    CANCEL_AND_COMMIT = "own statement cancelled, and commit"
    ABANDON = "client vanished"
    IDLE = "idle for too long"


def service_for(fault: Fault, uow: UnitOfWork) -> PlanGenerationService:
    """Return the service; its computation fails if that is the fault."""
    if fault is Fault.RAISE_IN_SERVICE:
        return PlanGenerationService(uow, compute=_fail)
    return PlanGenerationService(uow)


def inject(fault: Fault, uow: UnitOfWork) -> float:
    """Inject the fault into an open unit of work; return the seconds to stay idle afterwards."""
    session = uow.session
    match fault:
        case Fault.RAISE | Fault.RAISE_IN_SERVICE:
            raise DeliberateError
        case Fault.TERMINATE:
            session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        case Fault.CANCEL:
            session.execute(sa.text("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)"))
        case Fault.CANCEL_AND_COMMIT:
            _cancel_and_suppress(session.connection())
        case Fault.ABANDON:
            driver: Any = session.connection().connection.driver_connection
            driver.pgconn.finish()
        case Fault.IDLE:
            return LONGER_THAN_IDLE
    return 0.0


@contextmanager
def interrupted(operation: Operation, after: float) -> Iterator[None]:
    """Raise ``InterruptionError`` in the block ``after`` seconds, unless the block ends earlier.

    A signal handler raises it in the main thread, which must execute the block. While the main
    thread executes code of ``POOL``, the handler tries again a little later. The block must not
    suppress the exception.
    """

    def handler(_number: int, frame: FrameType | None) -> None:
        if any(POOL in inner.f_code.co_filename for inner, _ in walk_stack(frame)):
            signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
            return
        operation.fault = INTERRUPTED
        raise InterruptionError

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _cancel_and_suppress(connection: sa.Connection) -> None:
    try:
        connection.exec_driver_sql("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)")
    except DBAPIError:
        return


def _fail(_: Request) -> NoReturn:
    raise DeliberateError
