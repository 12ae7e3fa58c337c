"""Where things go wrong, and each thing that can: a function that lets it happen at a step."""

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

from domain import PlanGroup
from domain.driver import transaction_status
from domain.embedded import EmbeddedServer
from domain.errors import CommitOutcomeUnknownError
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
from tests.integration.storing import generate, stored_group, traces

MIDDLE = 1400
"""A row of a large write. The server stores the rows of a COPY by the thousand."""

POOL = 3

BROKEN = (DBAPIError, psycopg.Error, CommitOutcomeUnknownError)
"""What a generation raises that lost its connection, or that the server stopped."""


def _large() -> dict[str, Any]:
    """A year of four books: some 1460 plans."""
    books = [ContentFactory.build(position=i, last_unit=2000, minutes_per_unit=1) for i in range(4)]
    return {"period_end": date(2026, 1, 5), "contents": books}


class Outcome(Enum):
    """Which plans a group has after a fault."""

    OLD = "old"
    NEW = "new"


@dataclass(frozen=True)
class Stage:
    """One database on a server that may be taken down, behind a proxy that may be cut."""

    server: EmbeddedServer
    url: sa.URL
    """Past the proxy."""
    proxy: CuttingProxy
    engine: sa.Engine
    """Through the proxy; the pool pings, as the README recommends."""
    aside: sa.Engine
    """Past the proxy, without a pool."""

    @property
    def factory(self) -> sessionmaker[Session]:
        return sessionmaker(self.engine)

    def planned_group(self, step: Step) -> PlanGroup:
        """A group with the plans of generation 1, and a pool that is full of connections."""
        aside = sessionmaker(self.aside)
        group = stored_group(aside, **_large() if step is Step.IN_THE_WRITE else {})
        generate(aside, group)
        for connection in [self.engine.connect() for _ in range(POOL)]:
            connection.close()
        return group

    def fault(self, step: Step, action: Action) -> FaultAt:
        """The fault at a step of a generation; in the write, rows are on the server then."""

        def act(pid: int) -> None:
            if step is Step.IN_THE_WRITE:
                self.wait_for_rows(pid)
            action(pid)

        return FaultAt(self.engine, step, act, rows=MIDDLE, aside=self.aside)

    def wait_for_rows(self, pid: int) -> None:
        """Return when the backend has stored some of the rows of its COPY."""
        eventually(lambda: self._copied(pid) > 0, "rows are on the server")

    def outcome(self, group: PlanGroup, before: tuple[Any, ...]) -> Outcome:
        """Which plans the group has, after a look at whether they are all of their kind."""
        after = traces(self.aside, group.id)
        generation, records, plans = after
        assert [record.number for record in records] == list(range(1, generation + 1))
        live = [row for row in plans if row.live]
        assert {row.generation for row in live} == {generation}, "the live plans are no mix"
        assert len(live) == records[-1].plan_count, "and all of them are there"
        for record in records:
            written = [row for row in plans if row.generation == record.number]
            assert len(written) == record.plan_count
        if generation == before[0]:
            assert after == before, "not a trace is left"
            return Outcome.OLD
        assert generation == before[0] + 1
        return Outcome.NEW

    def assert_locks_are_free(self, group: PlanGroup) -> None:
        """The group's, and its student's: within the moment a server needs to notice."""
        assert_lock_free(self.aside, group.id, seconds=10)
        eventually(lambda: advisory_locks(self.aside) == 0, "the student's lock is free too", 10)

    def assert_the_next_request_succeeds(self, group: PlanGroup) -> None:
        """At the first try, with the pool as the fault left it; and every connection is sound."""
        before = traces(self.aside, group.id)
        assert generate(self.factory, group).generation == before[0] + 1
        assert self.outcome(group, before) is Outcome.NEW
        self.assert_pool_is_whole()

    def assert_pool_is_whole(self) -> None:
        """Nothing is lent, and none of the connections is still in a transaction."""
        assert pool_of(self.engine).checkedout() == 0
        connections = [self.engine.connect() for _ in range(POOL)]
        for connection in connections:
            assert transaction_status(connection) is TransactionStatus.IDLE
            assert connection.scalar(sa.select(1)) == 1
            connection.close()

    def _copied(self, pid: int) -> int:
        statement = sa.text("SELECT tuples_processed FROM pg_stat_progress_copy WHERE pid = :pid")
        with self.aside.connect() as connection:
            return int(connection.scalar(statement, {"pid": pid}) or 0)


def pool_of(engine: sa.Engine) -> sa.QueuePool:
    """The engine's pool, which counts its connections."""
    assert isinstance(engine.pool, sa.QueuePool)
    return engine.pool


def killed_client(stage: Stage, group: PlanGroup, step: Step) -> None:
    """Kill -9 a client that generates, while it is at the step."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    url = stage.url.render_as_string(hide_password=False)
    process = context.Process(
        target=_generate_in_a_process, args=(url, group.tenant_id, group.id, step, theirs)
    )
    gate = CommitGate(stage.aside) if step is Step.DURING_COMMIT else None
    with gate or nullcontext():
        process.start()
        theirs.close()
        assert process.pid is not None
        try:
            if gate is not None:
                eventually(lambda: gate.arrived() is not None, "the client commits")
            else:
                assert ours.poll(TIMEOUT), "the client is at the step"
                backend = ours.recv()
                if step is Step.IN_THE_WRITE:
                    stage.wait_for_rows(backend)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.join(TIMEOUT)
    ours.close()
    assert process.exitcode == -signal.SIGKILL


def _generate_in_a_process(
    url: str, tenant_id: UUID, group_id: UUID, step: Step, parent: Connection
) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    group = PlanGroupFactory.build(id=group_id, tenant_id=tenant_id)

    def stop_here(pid: int) -> None:
        parent.send(pid)
        parent.recv()

    # At the commit the client stands still by itself, for the parent has closed the gate.
    if step is Step.DURING_COMMIT:
        generate(sessionmaker(engine), group)
    else:
        with FaultAt(engine, step, stop_here, rows=MIDDLE):
            generate(sessionmaker(engine), group)


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
        assert raised.wait(TIMEOUT)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGUSR1, before)
