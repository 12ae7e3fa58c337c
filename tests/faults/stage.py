"""Where things go wrong: a group with plans, its server, and the network between."""

from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup
from domain.driver import transaction_status
from domain.embedded import EmbeddedServer
from domain.errors import CommitOutcomeUnknownError
from domain.testing import CuttingProxy, FaultAt, Step, assert_lock_free
from domain.testing.contention import advisory_locks, eventually
from domain.testing.faults import Action
from tests.concurrency.worlds import generate, stored_group, traces
from tests.factories import ContentFactory

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
