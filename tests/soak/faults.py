"""Harm that an operation does to itself, in the middle of its unit of work."""

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
from domain.scheduling.planning import Request
from tests.soak.history import Operation

LONGER_THAN_IDLE = 0.4


class Deliberate(Exception):  # noqa: N818 - it is not an error of anything
    """Raised by the load itself."""


class Interrupted(Exception):  # noqa: N818 - it is not an error of anything
    """Raised by a signal's handler, wherever the main thread is."""


INTERRUPTED = "interrupted at first use"
POOL = "/sqlalchemy/pool/"
"""Where a signal does not strike: interrupted there, SQLAlchemy itself loses count of a
connection, with any Session. It holds no lock then, before its first statement or after
its last."""
AGAIN_SECONDS = 0.001


class Fault(Enum):
    """What an operation does to itself."""

    NONE = ""
    RAISE_IN_SERVICE = "exception in the service"
    RAISE = "exception after writing"
    TERMINATE = "own backend terminated"
    CANCEL = "own statement cancelled"
    CANCEL_AND_GO_ON = "own statement cancelled, and commit"
    ABANDON = "client vanished"
    IDLE = "idle for too long"


def service_for(fault: Fault, uow: UnitOfWork) -> PlanGenerationService:
    """A service whose computation fails, if that is the fault."""
    if fault is Fault.RAISE_IN_SERVICE:
        return PlanGenerationService(uow, compute=_fail)
    return PlanGenerationService(uow)


def injected(fault: Fault, uow: UnitOfWork) -> float:
    """Do the harm, in the middle of a unit of work; for how long to be idle then."""
    session = uow.session
    match fault:
        case Fault.RAISE | Fault.RAISE_IN_SERVICE:
            raise Deliberate
        case Fault.TERMINATE:
            session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        case Fault.CANCEL:
            session.execute(sa.text("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)"))
        case Fault.CANCEL_AND_GO_ON:
            _swallowed(session.connection())
        case Fault.ABANDON:
            driver: Any = session.connection().connection.driver_connection
            driver.pgconn.finish()
        case Fault.IDLE:
            return LONGER_THAN_IDLE
    return 0.0


@contextmanager
def interrupted(operation: Operation, after: float) -> Iterator[None]:
    """A signal's handler raises so many seconds after the block's start, unless it ends before.

    Of the main thread only; a little later if that is in ``POOL``. The block must let
    ``Interrupted`` out if it wants to end early.
    """

    def handler(_number: int, frame: FrameType | None) -> None:
        if any(POOL in inner.f_code.co_filename for inner, _ in walk_stack(frame)):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
            return
        operation.fault = INTERRUPTED
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, after)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _swallowed(connection: sa.Connection) -> None:
    try:
        connection.exec_driver_sql("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)")
    except DBAPIError:
        return


def _fail(_: Request) -> NoReturn:
    raise Deliberate
