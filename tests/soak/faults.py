"""Harm: inside an operation, to random backends of the load, and to whole worker processes."""

import random
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any, NoReturn

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain import PlanGenerationService, UnitOfWork
from domain.scheduling import Request

APPLICATION = "soak"
LONGER_THAN_IDLE = 0.4

# Idle ones too: they are in a pool, and the next request meets a dead connection.
HARM = """
SELECT {function}(pid) FROM pg_stat_activity
WHERE application_name = %s AND datname = current_database() ORDER BY random() LIMIT 1
"""


class Deliberate(Exception):  # noqa: N818 - it is not an error of anything
    """Raised by the load itself."""


class Fault(Enum):
    """What an operation does to itself."""

    NONE = "nothing"
    RAISE_IN_SERVICE = "an exception while plans are computed"
    RAISE = "an exception after the rows were written"
    TERMINATE = "its own backend is terminated"
    CANCEL = "a statement is cancelled"
    CANCEL_AND_GO_ON = "a statement is cancelled, and the caller commits as if it were not"
    ABANDON = "the client vanishes"
    IDLE = "it stays idle for longer than the server allows"


def service_for(
    fault: Fault, service: Callable[..., PlanGenerationService]
) -> PlanGenerationService:
    """A service whose computation fails, if that is the fault."""
    return service(_fail) if fault is Fault.RAISE_IN_SERVICE else service()


def injected(fault: Fault, uow: UnitOfWork) -> float:
    """Do the harm, in the middle of a unit of work; for how long to be idle then."""
    session = uow.session
    match fault:
        case Fault.RAISE:
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


def _swallowed(connection: sa.Connection) -> None:
    try:
        connection.exec_driver_sql("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)")
    except DBAPIError:
        return


def _fail(_: Request) -> NoReturn:
    raise Deliberate


class Harasser(threading.Thread):
    """Terminates backends of the load and cancels their statements, at random, to the end."""

    def __init__(self, conninfo: str, seed: int, *, every: float) -> None:
        super().__init__(name="harasser", daemon=True)
        self.terminated = 0
        self.cancelled = 0
        self._conninfo = conninfo
        self._dice = random.Random(seed)  # noqa: S311 - drawn, not secret
        self._every = every
        self._over = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            while not self._over.wait(self._dice.uniform(0, 2 * self._every)):
                terminate = self._dice.random() < 0.5
                function = "pg_terminate_backend" if terminate else "pg_cancel_backend"
                hit = connection.execute(HARM.format(function=function).encode(), [APPLICATION])
                self.terminated += terminate * (hit.rowcount or 0)
                self.cancelled += (not terminate) * (hit.rowcount or 0)

    def stop(self) -> None:
        self._over.set()
        self.join()
