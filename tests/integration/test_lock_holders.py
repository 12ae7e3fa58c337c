"""The status functions name every kind of holder that PostgreSQL has, and are fooled by none."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, PlanGroupLockedError, UnitOfWork, schema
from domain.embedded import EmbeddedServer, embedded_postgres
from domain.errors import LockTimeoutError
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


@pytest.fixture
def key(group_id: UUID) -> int:
    return plan_group_lock_key(group_id)


def take(connection: sa.Connection, kind: str, key: int) -> datetime:
    """Take a lock of the kind; returns when the transaction began."""
    connection.exec_driver_sql(kind, (key,))
    began: datetime = connection.execute(sa.select(sa.func.now())).scalar_one()
    return began


def administer(engine: sa.Engine, statement: str) -> None:
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(statement)


def named(status: LockStatus) -> tuple[int | None, datetime | None]:
    assert status.holder is not None
    return status.holder.pid, status.holder.since


@pytest.mark.parametrize("kind", KINDS)
def test_holder_of_a_lock_of_any_kind_is_named(
    *,
    connection: sa.Connection,
    other: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    key: int,
    kind: str,
) -> None:
    began = take(connection, kind, key)
    theirs, mine = (
        lock_status(other, tenant_id, group_id),
        lock_status(connection, tenant_id, group_id),
    )
    assert (theirs.held, theirs.held_by_me, theirs.waiting) == (True, False, 0)
    assert (mine.held, mine.held_by_me) == (True, True)
    assert named(theirs) == named(mine) == (backend_pid(connection), began)
    busy = acquire(other, group_id)
    assert (busy.outcome, busy.holder_pid, busy.holder_since) == (
        "busy", backend_pid(connection), began,
    )  # fmt: skip


@pytest.mark.parametrize("kind", [OF_SESSION, SHARED_OF_SESSION])
def test_holder_of_a_lock_of_a_session_without_a_transaction_has_no_time(
    *,
    connection: sa.Connection,
    other: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    key: int,
    kind: str,
) -> None:
    pid = backend_pid(connection)
    take(connection, kind, key)
    connection.commit()
    status = lock_status(other, tenant_id, group_id)
    assert status.held
    assert named(status) == (pid, None)
    assert status.holder is not None
    assert status.holder.held_ms is None
    assert acquire(other, group_id).holder_pid == pid
    assert lock_status(connection, tenant_id, group_id).held_by_me


def test_lock_in_both_modes_has_one_holder(
    connection: sa.Connection, other: sa.Connection, tenant_id: UUID, group_id: UUID, key: int
) -> None:
    take(connection, EXCLUSIVE, key)
    began = take(connection, SHARED_OF_SESSION, key)
    assert named(lock_status(other, tenant_id, group_id)) == (backend_pid(connection), began)
    assert lock_status(connection, tenant_id, group_id).held_by_me


@pytest.mark.parametrize("mine_first", [True, False])
def test_of_several_shared_holders_the_asker_is_named_first(
    connection: sa.Connection,
    other: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    key: int,
    *,
    mine_first: bool,
) -> None:
    for each in (connection, other) if mine_first else (other, connection):
        take(each, SHARED, key)
    for each in (connection, other):
        status = lock_status(each, tenant_id, group_id)
        assert (status.held, status.held_by_me) == (True, True)
        assert named(status)[0] == backend_pid(each)


def test_of_several_shared_holders_the_oldest_is_named_to_others(
    *,
    engine: sa.Engine,
    connection: sa.Connection,
    other: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    key: int,
) -> None:
    began = take(connection, SHARED, key)
    take(other, SHARED, key)
    with engine.connect() as asker:
        assert named(lock_status(asker, tenant_id, group_id)) == (backend_pid(connection), began)
        both = {backend_pid(connection), backend_pid(other)}
        assert acquire(asker, group_id).holder_pid in both
    take(other, SHARED, key)
    busy = acquire(other, group_id)
    assert busy.holder_pid == backend_pid(connection), "not the asker, whom its own does not stop"


@pytest.fixture
def prepared(engine: sa.Engine) -> Iterator[list[str]]:
    """Identifiers of prepared transactions, which are rolled back in the end."""
    gids: list[str] = []
    yield gids
    for gid in gids:
        administer(engine, f"ROLLBACK PREPARED '{gid}'")


@pytest.mark.parametrize("kind", [EXCLUSIVE, SHARED])
@pytest.mark.parametrize("name", ["a transaction", "트랜잭션 2"])
def test_prepared_transaction_is_named_by_its_identifier(
    *,
    connection: sa.Connection,
    other: sa.Connection,
    prepared: list[str],
    tenant_id: UUID,
    group_id: UUID,
    key: int,
    kind: str,
    name: str,
) -> None:
    gid = f"{name} {uuid4()}"
    take(connection, kind, key)
    connection.exec_driver_sql(f"PREPARE TRANSACTION '{gid}'")
    prepared.append(gid)
    shown = "".join(letter if letter.isascii() else "?" for letter in gid)
    for asker in (connection, other):
        status = lock_status(asker, tenant_id, group_id)
        assert (status.held, status.held_by_me, status.waiting) == (True, False, 0)
        assert status.holder is not None
        assert (status.holder.pid, status.holder.since, status.holder.gid) == (None, None, shown)
    busy = acquire(other, group_id)
    assert (busy.outcome, busy.holder_pid, busy.holder_gid) == ("busy", None, shown)
    other.rollback()
    assert acquire(other, group_id, 20).holder_gid == shown
    other.rollback()
    for wait, refusal in ((0, PlanGroupLockedError), (20, LockTimeoutError)):
        lock = PlanGroupLock(tenant_id, group_id, wait=timedelta(milliseconds=wait))
        with pytest.raises(refusal) as refused, UnitOfWork(sessionmaker(other.engine), lock=lock):
            pass
        assert refused.value.holder is not None
        assert refused.value.holder.gid == shown


@pytest.mark.parametrize("restart", [False, True])
def test_each_of_several_prepared_transactions_is_named(
    *,
    tenant_id: UUID,
    engine: sa.Engine,
    server: EmbeddedServer,
    prepared: list[str],
    restart: bool,
) -> None:
    """After a restart too, when they have other virtual transaction ids."""
    factory = sessionmaker(engine)
    group_ids = [stored_group(factory, tenant_id=tenant_id).id for _ in range(3)]
    for group_id in group_ids:
        gid = f"holds {group_id}"
        with engine.connect() as session:
            take(session, EXCLUSIVE, plan_group_lock_key(group_id))
            session.exec_driver_sql(f"PREPARE TRANSACTION '{gid}'")
        prepared.append(gid)
    if restart:
        server.restart()
    with engine.connect() as asker:
        for group_id in group_ids:
            status = lock_status(asker, tenant_id, group_id)
            assert status.held
            assert status.holder is not None
            assert status.holder.gid == f"holds {group_id}"


def test_shared_holder_with_a_process_is_named_before_a_prepared_one(
    *,
    connection: sa.Connection,
    other: sa.Connection,
    prepared: list[str],
    engine: sa.Engine,
    tenant_id: UUID,
    group_id: UUID,
    key: int,
) -> None:
    with engine.connect() as session:
        gid = f"prepared {uuid4()}"
        take(session, SHARED, key)
        session.exec_driver_sql(f"PREPARE TRANSACTION '{gid}'")
        prepared.append(gid)
    take(connection, SHARED, key)
    assert named(lock_status(other, tenant_id, group_id))[0] == backend_pid(connection)
    assert lock_status(connection, tenant_id, group_id).held_by_me


def test_waiting_requests_are_counted_and_hold_nothing(
    *,
    engine: sa.Engine,
    connection: sa.Connection,
    other: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    key: int,
) -> None:
    def wait(kind: str) -> None:
        with engine.connect() as waiter:
            waiter.exec_driver_sql(kind, (key,))

    take(connection, SHARED, key)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(wait, EXCLUSIVE)]
        until_waiting(other, group_id, 1)
        waiting.append(pool.submit(wait, SHARED))
        until_waiting(other, group_id, 2)
        status = lock_status(other, tenant_id, group_id)
        assert (status.held, status.waiting) == (True, 2)
        assert named(status)[0] == backend_pid(connection)
        connection.rollback()
        for each in waiting:
            each.result(LONG_MS / 1000)
    other.rollback()
    assert not lock_status(other, tenant_id, group_id).held


def test_pair_of_integers_with_the_same_numbers_is_another_lock(
    connection: sa.Connection, other: sa.Connection, group_id: UUID, key: int
) -> None:
    high, low = key >> 32, key & 0xFFFFFFFF
    signed = low - (1 << 32) if low >= 1 << 31 else low
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s::int, %s::int)", (high, signed))
    assert not check(other, group_id).held
    assert acquire(other, group_id).acquired


@pytest.mark.parametrize("kind", KINDS)
def test_holder_in_another_database_is_none(
    *,
    engine: sa.Engine,
    connection: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    key: int,
    kind: str,
) -> None:
    name = f"elsewhere_{uuid4().hex}"
    administer(engine, f"CREATE DATABASE {name} TEMPLATE template0")
    elsewhere = sa.create_engine(engine.url.set(database=name), poolclass=sa.NullPool)
    with elsewhere.connect() as session:
        take(session, kind, key)
        assert not lock_status(connection, tenant_id, group_id).held
        assert acquire(connection, group_id).acquired
    administer(engine, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("kind", KINDS)
def test_holder_that_may_not_be_seen_is_held_by_a_process(
    *,
    engine: sa.Engine,
    connection: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    key: int,
    kind: str,
) -> None:
    role = f"blind_{uuid4().hex}"
    administer(engine, f"CREATE ROLE {role}")
    with engine.begin() as owner:
        for right in (
            "USAGE ON SCHEMA studyplan",
            "SELECT ON studyplan.plan_groups",
            "EXECUTE ON ALL FUNCTIONS IN SCHEMA studyplan, public",
        ):
            owner.exec_driver_sql(f"GRANT {right} TO {role}")
    take(connection, kind, key)
    options: dict[str, Any] = {"options": f"-c role={role}"}
    blind = sa.create_engine(engine.url, poolclass=sa.NullPool, connect_args=options)
    with blind.connect() as asker:
        status, busy = lock_status(asker, tenant_id, group_id), acquire(asker, group_id)
    assert (status.held, status.held_by_me) == (True, False)
    assert named(status) == (backend_pid(connection), None)
    assert (busy.outcome, busy.holder_pid, busy.holder_held_ms) == (
        "busy", backend_pid(connection), None,
    )  # fmt: skip
    with engine.begin() as owner:
        owner.exec_driver_sql(f"DROP OWNED BY {role}")
    administer(engine, f"DROP ROLE {role}")


def test_holder_that_publishes_nothing_is_held_by_a_process(
    connection: sa.Connection, other: sa.Connection, tenant_id: UUID, group_id: UUID, key: int
) -> None:
    connection.exec_driver_sql("SET track_activities = off")
    connection.commit()
    take(connection, EXCLUSIVE, key)
    status = lock_status(other, tenant_id, group_id)
    assert status.held
    assert named(status) == (backend_pid(connection), None)
    assert lock_status(connection, tenant_id, group_id).held_by_me


@pytest.mark.parametrize("consistency", ["none", "cache", "snapshot"])
def test_holder_is_that_of_now_however_often_a_transaction_asks(
    *,
    engine: sa.Engine,
    other: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    key: int,
    consistency: str,
) -> None:
    other.exec_driver_sql(f"SET LOCAL stats_fetch_consistency = '{consistency}'")
    with ExitStack() as stack:
        for _ in range(3):
            holder = stack.enter_context(engine.connect())
            began = take(holder, EXCLUSIVE, key)
            assert named(lock_status(other, tenant_id, group_id)) == (backend_pid(holder), began)
            assert acquire(other, group_id).holder_since == began
            holder.rollback()


def test_since_is_the_begin_of_the_holders_transaction_and_not_of_its_hold(
    connection: sa.Connection, other: sa.Connection, tenant_id: UUID, group_id: UUID, key: int
) -> None:
    """PostgreSQL does not publish when a lock was granted: held_ms is an upper bound."""
    connection.exec_driver_sql("SELECT pg_sleep(0.05)")
    began = take(connection, EXCLUSIVE, key)
    status = lock_status(other, tenant_id, group_id)
    assert named(status)[1] == began
    assert status.holder is not None
    assert status.holder.held_ms is not None
    assert status.holder.held_ms >= 50
