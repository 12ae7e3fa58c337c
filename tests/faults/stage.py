"""The environment of the fault tests, and one function per fault, which injects it at a step."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date
from enum import Enum
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGroup, PlanGroupLock
from domain.driver import transaction_status
from domain.embedded import EmbeddedServer
from domain.errors import CommitOutcomeUnknownError
from domain.services import reschedule_plans
from domain.testing import CuttingProxy, FaultAt, Step, assert_lock_free
from domain.testing.contention import (
    TIMEOUT,
    advisory_locks,
    cancel_backend,
    eventually,
    terminate_backend,
)
from domain.testing.faults import Action, CommitGate, wait_until_commit_ended
from tests.factories import ContentFactory, PlanGroupFactory
from tests.integration.storing import FIRST, generate, stored_group, traces
from tests.soak import rules_of_runs
from tests.soak.facts import read_facts
from tests.soak.violation import Violation

MIDDLE = 1400
"""A row in the middle of a large COPY, whose rows the server stores in batches of 1000."""

POOL = 3

BROKEN = (DBAPIError, psycopg.Error, CommitOutcomeUnknownError)
"""The errors of a run that lost its connection or that the server ended."""


def _large_group() -> dict[str, Any]:
    """Return the fields of a group with a year of four books: about 1460 plans."""
    books = [ContentFactory.build(position=i, last_unit=2000, minutes_per_unit=1) for i in range(4)]
    return {"period_end": date(2026, 1, 5), "contents": books}


def _two_books() -> dict[str, Any]:
    return {"contents": [ContentFactory.build(position=i, last_unit=60) for i in range(2)]}


# No plan has its time any more.
MOVE_ALL: Final = (
    "UPDATE studyplan.blocks SET start_minute = start_minute + 60 WHERE group_id = :group"
)
# The plans of the first book stay, in another week and cycle; those of the second one differ.
CHANGE_SOME: Final = (
    "UPDATE studyplan.plan_groups SET period_start = period_start - 7 WHERE id = :group",
    "UPDATE studyplan.contents SET last_unit = 50 WHERE group_id = :group AND position = 1",
)


def _reschedule(factory: sessionmaker[Session], group: PlanGroup) -> GenerationResult:
    return reschedule_plans(factory, PlanGroupLock(group.tenant_id, group.id), today=FIRST)


RUNS: Final[dict[str, Callable[[sessionmaker[Session], PlanGroup], GenerationResult]]] = {
    "generation": generate,
    "reschedule": _reschedule,
}
"""The complete requests that are hit by faults."""


class Outcome(Enum):
    """The plans that a group has after a fault."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True)
class Stage:
    """A database on a server that tests may stop, behind a proxy whose connections they may cut."""

    server: EmbeddedServer
    url: sa.URL
    """Leads directly to the server, without the proxy."""
    proxy: CuttingProxy
    engine: sa.Engine
    """Connects through the proxy, with ``pool_pre_ping`` as the README recommends."""
    direct: sa.Engine
    """Connects directly to the server, without a pool."""
    run: str = "generation"
    """Which of ``RUNS`` the faults hit."""

    @property
    def factory(self) -> sessionmaker[Session]:
        return sessionmaker(self.engine)

    def planned_group(self, step: Step) -> PlanGroup:
        """Store a group with the plans of generation 1, and fill the pool with connections.

        The next run retires and recounts plans, and a generation also inserts some. If the fault
        occurs in the middle of the write, it moves all of about 1460 plans.
        """
        direct, large = sessionmaker(self.direct), step is Step.IN_THE_WRITE
        group = stored_group(direct, **_large_group() if large else _two_books())
        generate(direct, group)
        with self.direct.begin() as connection:
            for statement in (MOVE_ALL,) if large else CHANGE_SOME:
                connection.execute(sa.text(statement), {"group": group.id})
        for connection in [self.engine.connect() for _ in range(POOL)]:
            connection.close()
        return group

    def fault(self, step: Step, action: Action) -> FaultAt:
        """Return the fault at a step of a run.

        In the middle of the write, the fault occurs once the server has received rows.
        """

        def act(pid: int) -> None:
            if step is Step.IN_THE_WRITE:
                self.wait_for_rows(pid)
            action(pid)

        return FaultAt(self.engine, step, act, rows=MIDDLE, gate_engine=self.direct)

    def wait_for_rows(self, pid: int) -> None:
        """Return once the backend has stored some of the rows of its COPY."""
        eventually(lambda: self._copied(pid) > 0, "the server has received rows")

    def outcome(self, group: PlanGroup, before: tuple[Any, ...]) -> Outcome:
        """Return which plans the group has; assert that they are complete and of one run."""
        after = traces(self.direct, group.id)
        generation, records, plans = after
        assert [record.number for record in records] == list(range(1, generation + 1))
        live = {row.id for row in plans if row.live}
        assert live == {*records[-1].plan_ids, *records[-1].kept_ids}, "the last run is complete"
        violations = list(self.violations(group))
        assert not violations, violations
        if generation == before[0]:
            assert after == before, "the failed request left no trace"
            return Outcome.OLD
        assert generation == before[0] + 1
        return Outcome.NEW

    def violations(self, group: PlanGroup) -> Iterator[Violation]:
        """Yield what the checker of the soak load finds in the runs and plans of the group."""
        conninfo = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        yield from rules_of_runs.violations([], read_facts(conninfo, group.id), frozenset())

    def assert_locks_are_free(self, group: PlanGroup) -> None:
        """Assert that the locks of the group and of its student are free.

        The server has 10 seconds to notice that the client is gone.
        """
        assert_lock_free(self.direct, group.id, seconds=10)
        eventually(lambda: advisory_locks(self.direct) == 0, "the student's lock is free", 10)

    def assert_the_next_request_succeeds(self, group: PlanGroup) -> None:
        """Assert that one attempt succeeds on the pool that the fault left, and check the pool."""
        before = traces(self.direct, group.id)
        assert RUNS[self.run](self.factory, group).generation == before[0] + 1
        assert self.outcome(group, before) is Outcome.NEW
        self.assert_pool_is_complete()

    def assert_pool_is_complete(self) -> None:
        """Assert that no connection is checked out and that none is still in a transaction."""
        assert pool_of(self.engine).checkedout() == 0
        connections = [self.engine.connect() for _ in range(POOL)]
        for connection in connections:
            assert transaction_status(connection) is TransactionStatus.IDLE
            assert connection.scalar(sa.select(1)) == 1
            connection.close()

    def _copied(self, pid: int) -> int:
        statement = sa.text("SELECT tuples_processed FROM pg_stat_progress_copy WHERE pid = :pid")
        with self.direct.connect() as connection:
            return int(connection.scalar(statement, {"pid": pid}) or 0)


def pool_of(engine: sa.Engine) -> sa.QueuePool:
    """Return the engine's pool, which counts the connections that are checked out."""
    assert isinstance(engine.pool, sa.QueuePool)
    return engine.pool


def killed_client(stage: Stage, group: PlanGroup, step: Step) -> None:
    """Kill a client process with SIGKILL while its run is at the step."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    url = stage.url.render_as_string(hide_password=False)
    process = context.Process(
        target=_run_in_a_process, args=(stage.run, url, (group.tenant_id, group.id), step, theirs)
    )
    gate = CommitGate(stage.direct) if step is Step.DURING_COMMIT else None
    with gate or nullcontext():
        process.start()
        theirs.close()
        assert process.pid is not None
        try:
            if gate is not None:
                eventually(lambda: gate.arrived() is not None, "the client commits")
            else:
                assert ours.poll(TIMEOUT), "the client reaches the step"
                backend = ours.recv()
                if step is Step.IN_THE_WRITE:
                    stage.wait_for_rows(backend)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.join(TIMEOUT)
    ours.close()
    assert process.exitcode == -signal.SIGKILL


def _run_in_a_process(
    run: str, url: str, ids: tuple[UUID, UUID], step: Step, parent: Connection
) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    group = PlanGroupFactory.build(tenant_id=ids[0], id=ids[1])

    def stop_here(pid: int) -> None:
        parent.send(pid)
        parent.recv()

    # During the commit the client is blocked anyway, because the parent has closed the gate.
    fault = FaultAt(engine, step, stop_here, rows=MIDDLE)
    with nullcontext() if step is Step.DURING_COMMIT else fault:
        RUNS[run](sessionmaker(engine), group)


RUNNING: Final = {Step.IN_THE_WRITE, Step.DURING_COMMIT}
"""The steps at which the backend executes a statement that can be cancelled."""


class DeliberateError(Exception):
    """Raised by a test in the middle of a run."""


def exception(stage: Stage, group: PlanGroup, step: Step) -> None:
    """Raise an exception in the client at the step.

    During the commit, a signal handler raises it, as the soft time limit of a task queue does. The
    package then cancels the commit. The gate stays closed until the cancellation has ended the
    commit, because otherwise the commit might complete before the cancellation arrives.
    """
    if step is not Step.DURING_COMMIT:
        _run_with_fault(stage, group, step, _raise, (DeliberateError,))
        return
    with _soft_limit() as interrupt:

        def raise_in_client(pid: int) -> None:
            interrupt()
            wait_until_commit_ended(stage.direct, pid)

        _run_with_fault(stage, group, step, raise_in_client, (DeliberateError,))


def terminated_backend(stage: Stage, group: PlanGroup, step: Step) -> None:
    _run_with_fault(stage, group, step, lambda pid: terminate_backend(stage.direct, pid))


def cancelled_statement(stage: Stage, group: PlanGroup, step: Step) -> None:
    if step in RUNNING:
        failure = _run_with_fault(stage, group, step, lambda pid: cancel_backend(stage.direct, pid))
        cause = failure.orig if isinstance(failure, DBAPIError) else failure
        assert isinstance(cause, psycopg.errors.QueryCanceled)
        return
    with stage.fault(step, lambda pid: cancel_backend(stage.direct, pid)):
        RUNS[stage.run](stage.factory, group)


def cut_network(stage: Stage, group: PlanGroup, step: Step) -> None:
    _run_with_fault(stage, group, step, lambda _: stage.proxy.cut())


def restarted_server(stage: Stage, group: PlanGroup, step: Step) -> None:
    _run_with_fault(stage, group, step, lambda _: stage.server.restart(immediate=True))


FAULTS: Final[dict[str, Callable[[Stage, PlanGroup, Step], None]]] = {
    "exception": exception,
    "kill -9 of the client": killed_client,
    "pg_terminate_backend": terminated_backend,
    "pg_cancel_backend": cancelled_statement,
    "network cut": cut_network,
    "server crash": restarted_server,
}


def _run_with_fault(
    stage: Stage,
    group: PlanGroup,
    step: Step,
    action: Action,
    expected: tuple[type[Exception], ...] = BROKEN,
) -> Exception:
    with stage.fault(step, action), pytest.raises(expected) as failure:
        RUNS[stage.run](stage.factory, group)
    return failure.value


def _raise(_: int) -> None:
    raise DeliberateError


@contextmanager
def _soft_limit() -> Iterator[Callable[[], None]]:
    """Yield a function that raises in the main thread, at any point, and then returns."""
    raised = threading.Event()

    def handler(_number: int, _frame: FrameType | None) -> None:
        raised.set()
        raise DeliberateError

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert raised.wait(TIMEOUT)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGUSR1, before)
