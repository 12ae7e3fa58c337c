"""The status functions name every kind of lock holder in PostgreSQL and ignore similar locks."""

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
SESSION_LEVEL = "SELECT pg_advisory_lock(%s)"
SHARED_SESSION_LEVEL = "SELECT pg_advisory_lock_shared(%s)"
KINDS = [EXCLUSIVE, SHARED, SESSION_LEVEL, SHARED_SESSION_LEVEL]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server that allows prepared transactions, which are disabled by default."""
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
    """The group whose lock the tests hold, request, and inspect."""

    tenant_id: UUID
    group_id: UUID

    @property
    def key(self) -> int:
        return plan_group_lock_key(self.group_id)

    def hold(self, connection: sa.Connection, kind: str) -> datetime:
        """Acquire a lock of the kind; return the start time of the transaction."""
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
    began = target.hold(connection, kind)
    theirs, mine = target.status(other), target.status(connection)
    assert (theirs.held, theirs.held_by_me, theirs.waiting) == (True, False, 0)
    assert (mine.held, mine.held_by_me) == (True, True)
    assert named(theirs) == named(mine) == (backend_pid(connection), began)
    busy = target.acquire(other)
    assert (busy.outcome, busy.holder_pid) == ("busy", backend_pid(connection))
    assert busy.holder_since == began


@pytest.mark.parametrize("kind", [SESSION_LEVEL, SHARED_SESSION_LEVEL])
def test_holder_of_a_session_level_lock_without_a_transaction_has_no_time(
    connection: sa.Connection, other: sa.Connection, target: Target, kind: str
) -> None:
    pid = backend_pid(connection)
    target.hold(connection, kind)
    connection.commit()
    holder = holder_of(target.status(other))
    assert (holder.pid, holder.since, holder.held_ms) == (pid, None, None)
    assert target.acquire(other).holder_pid == pid
    assert target.status(connection).held_by_me


def test_lock_in_both_modes_has_one_holder(
    connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    target.hold(connection, EXCLUSIVE)
    began = target.hold(connection, SHARED_SESSION_LEVEL)
    assert named(target.status(other)) == (backend_pid(connection), began)
    assert target.status(connection).held_by_me


@pytest.mark.parametrize("own_first", [True, False])
def test_shared_holder_that_is_the_session_itself_is_named_first(
    connection: sa.Connection, other: sa.Connection, target: Target, *, own_first: bool
) -> None:
    for each in (connection, other) if own_first else (other, connection):
        target.hold(each, SHARED)
    for each in (connection, other):
        status = target.status(each)
        assert (status.held, status.held_by_me) == (True, True)
        assert named(status)[0] == backend_pid(each)


def test_shared_holder_that_is_the_oldest_is_named_to_other_sessions(
    engine: sa.Engine, connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    began = target.hold(connection, SHARED)
    target.hold(other, SHARED)
    with engine.connect() as requester:
        assert named(target.status(requester)) == (backend_pid(connection), began)
        both = {backend_pid(connection), backend_pid(other)}
        assert target.acquire(requester).holder_pid in both
    target.hold(other, SHARED)
    busy = target.acquire(other)
    assert busy.holder_pid == backend_pid(connection), (
        "not the session itself, whose own lock does not block it"
    )


Prepare = Callable[[sa.Connection, str], None]


@pytest.fixture
def prepare(engine: sa.Engine) -> Iterator[Prepare]:
    """Prepare a connection's transaction under an identifier; it is rolled back at the end."""
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
    target.hold(connection, kind)
    prepare(connection, gid)
    shown = "".join(character if character.isascii() else "?" for character in gid)
    for requester in (connection, other):
        status = target.status(requester)
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
def test_prepared_transactions_are_named_each_by_its_own_identifier(
    engine: sa.Engine, server: EmbeddedServer, prepare: Prepare, *, restart: bool
) -> None:
    """Also after a restart, which changes their virtual transaction ids."""
    factory = sessionmaker(engine)
    groups = [stored_group(factory) for _ in range(3)]
    targets = [Target(group.tenant_id, group.id) for group in groups]
    for target in targets:
        with engine.connect() as session:
            target.hold(session, EXCLUSIVE)
            prepare(session, f"holds {target.group_id}")
    if restart:
        server.restart()
    with engine.connect() as requester:
        for target in targets:
            assert holder_of(target.status(requester)).gid == f"holds {target.group_id}"


def test_shared_holder_with_a_process_is_named_before_a_prepared_one(
    engine: sa.Engine,
    connection: sa.Connection,
    other: sa.Connection,
    prepare: Prepare,
    target: Target,
) -> None:
    with engine.connect() as session:
        target.hold(session, SHARED)
        prepare(session, f"prepared {uuid4()}")
    target.hold(connection, SHARED)
    assert named(target.status(other))[0] == backend_pid(connection)
    assert target.status(connection).held_by_me


def test_waiting_requests_are_counted_and_hold_nothing(
    engine: sa.Engine, connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    def wait(kind: str) -> None:
        with engine.connect() as waiter:
            target.hold(waiter, kind)

    target.hold(connection, SHARED)
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
def test_lock_in_another_database_has_no_effect(
    engine: sa.Engine, connection: sa.Connection, target: Target, kind: str
) -> None:
    name = f"other_{uuid4().hex}"
    administer(engine, f"CREATE DATABASE {name} TEMPLATE template0")
    other_engine = sa.create_engine(engine.url.set(database=name), poolclass=sa.NullPool)
    with other_engine.connect() as session:
        target.hold(session, kind)
        assert not target.status(connection).held
        assert target.acquire(connection).acquired
    administer(engine, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("kind", KINDS)
def test_holder_that_the_role_may_not_see_is_named_by_its_process_only(
    engine: sa.Engine, connection: sa.Connection, target: Target, kind: str
) -> None:
    role = f"restricted_{uuid4().hex}"
    administer(engine, f"CREATE ROLE {role}")
    administer(engine, f"GRANT USAGE ON SCHEMA studyplan TO {role}")
    administer(engine, f"GRANT SELECT ON studyplan.plan_groups TO {role}")
    administer(engine, f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA studyplan, public TO {role}")
    target.hold(connection, kind)
    options: dict[str, Any] = {"options": f"-c role={role}"}
    restricted = sa.create_engine(engine.url, poolclass=sa.NullPool, connect_args=options)
    with restricted.connect() as requester:
        status, busy = target.status(requester), target.acquire(requester)
    assert (status.held, status.held_by_me) == (True, False)
    assert named(status) == (backend_pid(connection), None)
    assert (busy.outcome, busy.holder_pid) == ("busy", backend_pid(connection))
    assert busy.holder_held_ms is None
    administer(engine, f"DROP OWNED BY {role}")
    administer(engine, f"DROP ROLE {role}")


def test_holder_with_track_activities_off_is_named_by_its_process_only(
    connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    connection.exec_driver_sql("SET track_activities = off")
    connection.commit()
    target.hold(connection, EXCLUSIVE)
    assert named(target.status(other)) == (backend_pid(connection), None)
    assert target.status(connection).held_by_me


@pytest.mark.parametrize("consistency", ["none", "cache", "snapshot"])
def test_holder_is_the_current_one_at_every_call_in_a_transaction(
    engine: sa.Engine, other: sa.Connection, target: Target, consistency: str
) -> None:
    other.exec_driver_sql(f"SET LOCAL stats_fetch_consistency = '{consistency}'")
    with ExitStack() as stack:
        for _ in range(3):
            holder = stack.enter_context(engine.connect())
            began = target.hold(holder, EXCLUSIVE)
            assert named(target.status(other)) == (backend_pid(holder), began)
            assert target.acquire(other).holder_since == began
            holder.rollback()


def test_holder_since_is_the_start_of_its_transaction(
    connection: sa.Connection, other: sa.Connection, target: Target
) -> None:
    """PostgreSQL does not show when a lock was granted, so held_ms is an upper bound."""
    connection.exec_driver_sql("SELECT pg_sleep(0.05)")
    began = target.hold(connection, EXCLUSIVE)
    holder = holder_of(target.status(other))
    assert holder.since == began
    assert (holder.held_ms or 0) >= 50
