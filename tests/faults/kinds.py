"""What can go wrong, each as a function that lets it happen at a step of a generation."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from domain import PlanGroup
from domain.testing import Step, terminate_backend
from domain.testing.contention import PATIENCE, cancel_backend
from domain.testing.faults import Action, wait_until_commit_ended
from tests.concurrency.worlds import generate
from tests.faults.killed import killed_client
from tests.faults.stage import BROKEN, Stage

RUNNING: Final = {Step.IN_THE_WRITE, Step.DURING_COMMIT}
"""The steps at which the backend is at work, so that there is something to cancel."""


class Deliberate(Exception):  # noqa: N818 - it is not an error of anything
    """Raised by a test in the middle of a generation."""


def exception(stage: Stage, group: PlanGroup, step: Step) -> None:
    """At the commit: as a worker's soft time limit does it, out of a signal's handler.

    The package then cancels the commit; the gate in front of it stays closed until that is done.
    """
    if step is not Step.DURING_COMMIT:
        _strike(stage, group, step, _raise, (Deliberate,))
        return
    with _soft_limit() as interrupt:

        def strike(pid: int) -> None:
            interrupt()
            wait_until_commit_ended(stage.aside, pid)

        _strike(stage, group, step, strike, (Deliberate,))


def terminated_backend(stage: Stage, group: PlanGroup, step: Step) -> None:
    _strike(stage, group, step, lambda pid: terminate_backend(stage.aside, pid))


def cancelled_statement(stage: Stage, group: PlanGroup, step: Step) -> None:
    if step in RUNNING:
        failure = _strike(stage, group, step, lambda pid: cancel_backend(stage.aside, pid))
        cause = failure.orig if isinstance(failure, DBAPIError) else failure
        assert isinstance(cause, psycopg.errors.QueryCanceled)
        return
    with stage.fault(step, lambda pid: cancel_backend(stage.aside, pid)):
        generate(stage.factory, group)


def cut_network(stage: Stage, group: PlanGroup, step: Step) -> None:
    _strike(stage, group, step, lambda _: stage.proxy.cut())


def restarted_server(stage: Stage, group: PlanGroup, step: Step) -> None:
    _strike(stage, group, step, lambda _: stage.server.restart(immediate=True))


FAULTS: Final[dict[str, Callable[[Stage, PlanGroup, Step], None]]] = {
    "exception": exception,
    "kill -9 of the client": killed_client,
    "pg_terminate_backend": terminated_backend,
    "pg_cancel_backend": cancelled_statement,
    "network cut": cut_network,
    "server crash": restarted_server,
}


def _strike(
    stage: Stage,
    group: PlanGroup,
    step: Step,
    action: Action,
    expected: tuple[type[Exception], ...] = BROKEN,
) -> Exception:
    with stage.fault(step, action), pytest.raises(expected) as failure:
        generate(stage.factory, group)
    return failure.value


def _raise(_: int) -> None:
    raise Deliberate


@contextmanager
def _soft_limit() -> Iterator[Callable[[], None]]:
    """Raises in the main thread, wherever that is, and returns when it has."""
    raised = threading.Event()

    def handler(_number: int, _frame: FrameType | None) -> None:
        raised.set()
        raise Deliberate

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert raised.wait(PATIENCE)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGUSR1, before)
