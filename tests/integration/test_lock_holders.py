"""The status functions name every kind of holder that PostgreSQL has, and are fooled by none."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, PlanGroupLockedError, UnitOfWork, schema
from domain.embedded import EmbeddedServer, embedded_postgres
from domain.errors import LockHolder, LockTimeoutError
from domain.locking import LockStatus, lock_status, plan_group_lock_key
from tests.integration.asking import acquire, backend_pid, check, until_waiting
from tests.integration.storing import stored_group
from tests.servers import binaries

LONG_MS = 20_000
EXCLUSIVE = "SELECT pg_advisory_xact_lock(%s)"
SHARED = "SELECT pg_advisory_xact_lock_shared(%s)"
OF_SESSION = "SELECT pg_advisory_lock(%s)"
SHARED_OF_SESSION = "SELECT pg_advisory_lock_shared(%s)"
KINDS = [EXCLUSIVE, SHARED, OF_SESSION, SHARED_OF_SESSION]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server that prepares transactions, which none does by default."""
    with embedded_postgres(
        bindir=binaries(), settings={"max_prepared_transactions": "5"}
    ) as server:
        yield server


@pytest.fixture(scope="module")
def engine(server: EmbeddedServer) -> Iterator[sa.Engine]:
    engine = sa.create_engine(server.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        schema.upgrade(connection)
    yield engine
    engine.dispose()


@dataclass(frozen=True)
class Target:
    """The group whose lock is taken and asked for."""

    tenant_id: UUID
    group_id: UUID

    @property
    def key(self) -> int:
        return plan_group_lock_key(self.group_id)

    def take(self, connection: sa.Connection, kind: str) -> datetime:
        """Take a lock of the kind; returns when the transaction began."""
        connection.exec_driver_sql(kind, (self.key,))
        began: datetime = connection.execute(sa.select(sa.func.now())).scalar_one()
        return began

    def status(self, connection: sa.Connection) -> LockStatus:
        return lock_status(connection, self.tenant_id, self.group_id)

    def acquire(self, connection: sa.Connection, wait_ms: int = 0) -> sa.Row[Any]:
        return acquire(connection, self.group_id, wait_ms)


@pytest.fixture
def target(tenant_id: UUID, group_id: UUID) -> Target:
    return Target(tenant_id, group_id)


def administer(engine: sa.Engine, statement: str) -> None:
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(statement)


def holder_of(status: LockStatus) -> LockHolder:
    assert status.held
    assert status.holder is not None
    return status.holder


def named(status: LockStatus) -> tuple[int | None, datetime | None]:
    holder = holder_of(status)
    return holder.pid, holder.since


@pytest.mark.parametrize("kind", KINDS)
def test_holder_of_a_lock_of_any_kind_is_named(
    connection: sa.Connection, other: sa.Connection, target: Target, kind: str
) -> None:
    began = target.take(connection, kind)
    theirs, mine = target.status(other), target.status(connection)
    assert (theirs.held, theirs.held_by_me, theirs.waiting) == (True, False, 0)
    assert (mine.held, mine.held_by_me) == (True, True)
    assert named(theirs) == named(mine) == (backend_pid(connection), began)
    busy = target.acquire(other)
    assert (busy.outcome, busy.holder_pid) == ("busy", backend_pid(connection))
    assert busy.holder_since == began


@pytest.mark.parametrize("kind", [OF_SESSION, SHARED_OF_SESSION])
def test_holder_of_a_lock_of_a_session_without_a_transaction_has_no_time(
    connection: sa.Connection, other: sa.Connection, target: Target, kind: str
) -> None:
    pid = backend_pid(connection)
    target.take(connection, kind)
    connection.commit()
    holder = holder_of(target.status(other))
    assert (holder.pid, holder.since, holder.held_ms) == (pid, None, None)
    assert target.acquire(other).holder_pid == pid
    assert target.status(connection).held_by_me


def test_lock_in_both_modes_has_one_holder(
    connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    target.take(connection, EXCLUSIVE)
    began = target.take(connection, SHARED_OF_SESSION)
    assert named(target.status(other)) == (backend_pid(connection), began)
    assert target.status(connection).held_by_me


@pytest.mark.parametrize("mine_first", [True, False])
def test_of_several_shared_holders_the_asker_is_named_first(
    connection: sa.Connection, other: sa.Connection, target: Target, *, mine_first: bool
) -> None:
    for each in (connection, other) if mine_first else (other, connection):
        target.take(each, SHARED)
    for each in (connection, other):
        status = target.status(each)
        assert (status.held, status.held_by_me) == (True, True)
        assert named(status)[0] == backend_pid(each)


def test_of_several_shared_holders_the_oldest_is_named_to_others(
    engine: sa.Engine, connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    began = target.take(connection, SHARED)
    target.take(other, SHARED)
    with engine.connect() as asker:
        assert named(target.status(asker)) == (backend_pid(connection), began)
        both = {backend_pid(connection), backend_pid(other)}
        assert target.acquire(asker).holder_pid in both
    target.take(other, SHARED)
    busy = target.acquire(other)
    assert busy.holder_pid == backend_pid(connection), "not the asker, whom its own does not stop"


Prepare = Callable[[sa.Connection, str], None]


@pytest.fixture
def prepare(engine: sa.Engine) -> Iterator[Prepare]:
    """Prepares a connection's transaction under an identifier; all are rolled back in the end."""
    gids: list[str] = []

    def make(connection: sa.Connection, gid: str) -> None:
        connection.exec_driver_sql(f"PREPARE TRANSACTION '{gid}'")
        gids.append(gid)

    yield make
    for gid in gids:
        administer(engine, f"ROLLBACK PREPARED '{gid}'")


@pytest.mark.parametrize("kind", [EXCLUSIVE, SHARED])
@pytest.mark.parametrize("name", ["a transaction", "트랜잭션 2"])
def test_prepared_transaction_is_named_by_its_identifier(
    *,
    connection: sa.Connection,
    other: sa.Connection,
    prepare: Prepare,
    target: Target,
    kind: str,
    name: str,
) -> None:
    gid = f"{name} {uuid4()}"
    target.take(connection, kind)
    prepare(connection, gid)
    shown = "".join(letter if letter.isascii() else "?" for letter in gid)
    for asker in (connection, other):
        status = target.status(asker)
        assert (status.held, status.held_by_me, status.waiting) == (True, False, 0)
        assert named(status) == (None, None)
        assert holder_of(status).gid == shown
    busy = target.acquire(other)
    assert (busy.outcome, busy.holder_pid, busy.holder_gid) == ("busy", None, shown)
    other.rollback()
    assert target.acquire(other, 20).holder_gid == shown
    other.rollback()
    for wait, refusal in ((0, PlanGroupLockedError), (20, LockTimeoutError)):
        lock = PlanGroupLock(target.tenant_id, target.group_id, wait=timedelta(milliseconds=wait))
        with pytest.raises(refusal) as refused, UnitOfWork(sessionmaker(other.engine), lock=lock):
            pass
        assert refused.value.holder is not None
        assert refused.value.holder.gid == shown


@pytest.mark.parametrize("restart", [False, True])
def test_each_of_several_prepared_transactions_is_named(
    engine: sa.Engine, server: EmbeddedServer, prepare: Prepare, *, restart: bool
) -> None:
    """After a restart too, when they have other virtual transaction ids."""
    factory = sessionmaker(engine)
    groups = [stored_group(factory) for _ in range(3)]
    targets = [Target(group.tenant_id, group.id) for group in groups]
    for target in targets:
        with engine.connect() as session:
            target.take(session, EXCLUSIVE)
            prepare(session, f"holds {target.group_id}")
    if restart:
        server.restart()
    with engine.connect() as asker:
        for target in targets:
            assert holder_of(target.status(asker)).gid == f"holds {target.group_id}"


def test_shared_holder_with_a_process_is_named_before_a_prepared_one(
    engine: sa.Engine,
    connection: sa.Connection,
    other: sa.Connection,
    prepare: Prepare,
    target: Target,
) -> None:
    with engine.connect() as session:
        target.take(session, SHARED)
        prepare(session, f"prepared {uuid4()}")
    target.take(connection, SHARED)
    assert named(target.status(other))[0] == backend_pid(connection)
    assert target.status(connection).held_by_me


def test_waiting_requests_are_counted_and_hold_nothing(
    engine: sa.Engine, connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    def wait(kind: str) -> None:
        with engine.connect() as waiter:
            target.take(waiter, kind)

    target.take(connection, SHARED)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(wait, EXCLUSIVE)]
        until_waiting(other, target.group_id, 1)
        waiting.append(pool.submit(wait, SHARED))
        until_waiting(other, target.group_id, 2)
        status = target.status(other)
        assert (status.held, status.waiting) == (True, 2)
        assert named(status)[0] == backend_pid(connection)
        connection.rollback()
        for each in waiting:
            each.result(LONG_MS / 1000)
    other.rollback()
    assert not target.status(other).held


def test_pair_of_integers_with_the_same_numbers_is_another_lock(
    connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    high, low = target.key >> 32, target.key & 0xFFFFFFFF
    signed = low - (1 << 32) if low >= 1 << 31 else low
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s::int, %s::int)", (high, signed))
    assert not check(other, target.group_id).held
    assert target.acquire(other).acquired


@pytest.mark.parametrize("kind", KINDS)
def test_holder_in_another_database_is_none(
    engine: sa.Engine, connection: sa.Connection, target: Target, kind: str
) -> None:
    name = f"elsewhere_{uuid4().hex}"
    administer(engine, f"CREATE DATABASE {name} TEMPLATE template0")
    elsewhere = sa.create_engine(engine.url.set(database=name), poolclass=sa.NullPool)
    with elsewhere.connect() as session:
        target.take(session, kind)
        assert not target.status(connection).held
        assert target.acquire(connection).acquired
    administer(engine, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("kind", KINDS)
def test_holder_that_may_not_be_seen_is_held_by_a_process(
    engine: sa.Engine, connection: sa.Connection, target: Target, kind: str
) -> None:
    role = f"blind_{uuid4().hex}"
    administer(engine, f"CREATE ROLE {role}")
    administer(engine, f"GRANT USAGE ON SCHEMA studyplan TO {role}")
    administer(engine, f"GRANT SELECT ON studyplan.plan_groups TO {role}")
    administer(engine, f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA studyplan, public TO {role}")
    target.take(connection, kind)
    options: dict[str, Any] = {"options": f"-c role={role}"}
    blind = sa.create_engine(engine.url, poolclass=sa.NullPool, connect_args=options)
    with blind.connect() as asker:
        status, busy = target.status(asker), target.acquire(asker)
    assert (status.held, status.held_by_me) == (True, False)
    assert named(status) == (backend_pid(connection), None)
    assert (busy.outcome, busy.holder_pid) == ("busy", backend_pid(connection))
    assert busy.holder_held_ms is None
    administer(engine, f"DROP OWNED BY {role}")
    administer(engine, f"DROP ROLE {role}")


def test_holder_that_publishes_nothing_is_held_by_a_process(
    connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    connection.exec_driver_sql("SET track_activities = off")
    connection.commit()
    target.take(connection, EXCLUSIVE)
    assert named(target.status(other)) == (backend_pid(connection), None)
    assert target.status(connection).held_by_me


@pytest.mark.parametrize("consistency", ["none", "cache", "snapshot"])
def test_holder_is_that_of_now_however_often_a_transaction_asks(
    engine: sa.Engine, other: sa.Connection, target: Target, consistency: str
) -> None:
    other.exec_driver_sql(f"SET LOCAL stats_fetch_consistency = '{consistency}'")
    with ExitStack() as stack:
        for _ in range(3):
            holder = stack.enter_context(engine.connect())
            began = target.take(holder, EXCLUSIVE)
            assert named(target.status(other)) == (backend_pid(holder), began)
            assert target.acquire(other).holder_since == began
            holder.rollback()


def test_since_is_the_begin_of_the_holders_transaction_and_not_of_its_hold(
    connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    """PostgreSQL does not publish when a lock was granted: held_ms is an upper bound."""
    connection.exec_driver_sql("SELECT pg_sleep(0.05)")
    began = target.take(connection, EXCLUSIVE)
    holder = holder_of(target.status(other))
    assert holder.since == began
    assert (holder.held_ms or 0) >= 50
