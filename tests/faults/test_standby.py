"""Errors and retries of a pool that still leads to a demoted primary."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from domain import (
    GroupStatus,
    PlanGroup,
    PlanGroupLock,
    UnitOfWork,
    generate_plans,
    generate_plans_async,
    lock_status,
    schema,
)
from domain.embedded import EmbeddedServer, embedded_postgres
from domain.errors import DatabaseReadOnlyError
from domain.probe import probe
from domain.repositories import PlanGroupRepository
from domain.retrying import RetryPolicy, is_retryable, retrying, retrying_async
from domain.services import GroupEditService, GroupStateService, activate, activate_async
from tests.factories import PlanGroupFactory
from tests.integration.storing import FIRST, generate, live, stored_group
from tests.servers import binaries, standby_of

POOL = 4
NO_PAUSE = RetryPolicy(first_pause=timedelta(0))


@dataclass(frozen=True)
class Pair:
    """A primary and its standby."""

    primary: sa.URL
    standby: sa.URL
    group: PlanGroup


@dataclass
class Route:
    """The server to which an engine opens new connections."""

    url: sa.URL

    def conninfo(self) -> str:
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with embedded_postgres(bindir=binaries(), settings={"synchronous_commit": "local"}) as server:
        yield server


@pytest.fixture(scope="module")
def pair(server: EmbeddedServer) -> Iterator[Pair]:
    primary = sa.create_engine(server.url, poolclass=sa.NullPool)
    with primary.connect() as connection:
        schema.upgrade(connection)
    group = stored_group(sessionmaker(primary))
    generate(sessionmaker(primary), group)
    with standby_of(server) as follower:
        url = follower.url_for("postgres")
        follower.catch_up(primary, sa.create_engine(url, poolclass=sa.NullPool))
        yield Pair(sa.make_url(server.url), url, group)


@pytest.fixture
def standby(pair: Pair) -> Iterator[sa.Engine]:
    engine = sa.create_engine(pair.standby, pool_size=POOL, pool_pre_ping=True)
    yield engine
    engine.dispose()


def edit(factory: sessionmaker[Any], group: PlanGroup) -> None:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        GroupEditService(uow).change_settings(expected_version=1, name="여름")


def cancel(factory: sessionmaker[Any], group: PlanGroup) -> None:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        GroupStateService(uow).change(to=GroupStatus.CANCELLED)


def store(factory: sessionmaker[Any], _: PlanGroup) -> None:
    group = PlanGroupFactory.build()
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.groups.add(group)
        uow.commit()


def activate_group(factory: sessionmaker[Any], group: PlanGroup) -> None:
    activate(factory, tenant_id=group.tenant_id, group_id=group.id)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("run", [schema.upgrade, schema.downgrade])
def test_migration_on_a_standby_raises_database_read_only_error(
    *, standby: sa.Engine, run: Callable[[sa.Connection], None], begun: bool
) -> None:
    with standby.connect() as connection:
        if begun:
            connection.begin()
        with pytest.raises(DatabaseReadOnlyError):
            run(connection)


@pytest.mark.parametrize("write", [generate, edit, cancel, store, activate_group])
@pytest.mark.parametrize("parameter", ["on", "off", None])
def test_write_on_a_standby_raises_database_read_only_error(
    pair: Pair,
    standby: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Any, PlanGroup], object],
    parameter: str | None,
) -> None:
    """The error does not depend on the server parameter that the driver reports.

    A pooler may report an outdated value of ``in_hot_standby``, or none.
    """
    if parameter != "on":
        monkeypatch.setattr(
            psycopg.ConnectionInfo, "parameter_status", lambda *_: parameter, raising=True
        )
    with pytest.raises(DatabaseReadOnlyError) as refused:
        write(sessionmaker(standby), pair.group)
    assert is_retryable(refused.value)
    assert refused.value.to_problem()["status"] == 503
    assert isinstance(standby.pool, sa.QueuePool)
    assert standby.pool.checkedout() == 0


def test_read_on_a_standby_succeeds(pair: Pair, standby: sa.Engine) -> None:
    with sessionmaker(standby)() as session:
        found = PlanGroupRepository(session, pair.group.tenant_id).get(pair.group.id)
        assert found.generation == 1


@pytest.mark.parametrize(
    "call",
    [
        "public.acquire_plan_group_lock(gen_random_uuid())",
        "studyplan.acquire_plan_group_lock(gen_random_uuid())",
        "studyplan.acquire_plan_locks(ARRAY[1, 2], 10)",
        "studyplan.acquire_plan_locks(ARRAY[1], 0, p_shared => true)",
        "studyplan.acquire_plan_locks_with_limits(ARRAY[1], 0, false, NULL, '', '1s', '1s', '1s')",
        "studyplan.acquire_plan_locks_with_limits(ARRAY[1], 0, true, NULL, '', '1s', '1s', '1s')",
        "studyplan.acquire_student_locks(ARRAY[1], 0, 'a', 'b')",
    ],
)
def test_lock_functions_on_a_standby_raise_an_error_with_a_hint(
    pair: Pair, standby: sa.Engine, call: str
) -> None:
    with standby.connect() as connection:
        with pytest.raises(sa.exc.InternalError, match="this server is a standby") as refused:
            connection.exec_driver_sql(f"SELECT {call}")
        assert isinstance(refused.value.orig, psycopg.errors.ReadOnlySqlTransaction)
        assert "Connect to the primary" in (refused.value.orig.diag.message_hint or "")
        connection.rollback()
        status = lock_status(connection, pair.group.tenant_id, pair.group.id)
        assert (status.held, status.waiting) == (False, 0)


def test_probe_refuses_a_standby(standby: sa.Engine) -> None:
    with pytest.raises(DatabaseReadOnlyError, match="standby"):
        probe(standby)


def fill_pool(engine: sa.Engine) -> sa.Engine:
    """Open all connections of the engine's pool and return the engine."""
    with ExitStack() as stack:
        for _ in range(POOL):
            stack.enter_context(engine.connect())
    return engine


def test_retrying_discards_the_connections_to_a_demoted_primary_after_one_attempt(
    pair: Pair,
) -> None:
    """One attempt suffices although every connection of the pool leads to the demoted primary."""
    route, attempts = Route(pair.standby), list[None]()
    engine = sa.create_engine(
        pair.primary,
        pool_size=POOL,
        max_overflow=0,
        creator=lambda: psycopg.connect(route.conninfo()),
    )
    fill_pool(engine)
    route.url = pair.primary

    def work() -> int | None:
        attempts.append(None)
        return generate_plans(
            sessionmaker(engine), PlanGroupLock(pair.group.tenant_id, pair.group.id), today=FIRST
        ).generation

    assert retrying(work, policy=NO_PAUSE) == 2
    assert len(attempts) == 2
    assert retrying(work, policy=NO_PAUSE) == 3
    assert len(attempts) == 3
    assert live(sessionmaker(engine), pair.group)
    engine.dispose()


def test_retrying_async_discards_the_connections_to_a_demoted_primary_after_one_attempt(
    pair: Pair,
) -> None:
    route, attempts = Route(pair.standby), list[None]()

    async def connect() -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(route.conninfo())

    async def fill_pool_async(engine: AsyncEngine) -> None:
        connections = [await engine.connect() for _ in range(POOL)]
        for connection in connections:
            await connection.close()

    async def requests() -> None:
        engine = create_async_engine(
            pair.primary, pool_size=POOL, max_overflow=0, async_creator=connect
        )
        await fill_pool_async(engine)
        route.url = pair.primary

        async def work() -> None:
            attempts.append(None)
            await generate_plans_async(
                async_sessionmaker(engine),
                PlanGroupLock(pair.group.tenant_id, pair.group.id),
                today=FIRST,
            )

        await retrying_async(work, policy=NO_PAUSE)
        await engine.dispose()

    asyncio.run(requests())
    assert len(attempts) == 2


@pytest.mark.parametrize("parameter", ["on", "off"])
def test_activate_async_on_a_standby_raises_database_read_only_error(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, parameter: str
) -> None:
    monkeypatch.setattr(psycopg.ConnectionInfo, "parameter_status", lambda *_: parameter)

    async def request() -> None:
        engine = create_async_engine(pair.standby)
        try:
            await activate_async(
                async_sessionmaker(engine), tenant_id=pair.group.tenant_id, group_id=pair.group.id
            )
        finally:
            await engine.dispose()

    with pytest.raises(DatabaseReadOnlyError):
        asyncio.run(request())
