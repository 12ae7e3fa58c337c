"""A pool without a free connection is `database_busy`, wherever the package needs one."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from domain import AsyncUnitOfWork, PlanGroup, PlanGroupLock, StudentLock, UnitOfWork, lock_status
from domain.database_errors import During, translated
from domain.errors import DatabaseBusyError
from domain.probe import probe
from domain.repositories import PlanGroupRepository, StudentPlanRepository, StudentTimeRepository
from domain.retrying import is_retryable, retrying
from domain.services import activate, activate_async, preview_plans
from tests.integration.storing import FIRST, generate

Factory = sessionmaker[Session]


@pytest.fixture
def tiny(database_url: sa.URL) -> Iterator[sa.Engine]:
    engine = sa.create_engine(
        database_url, pool_size=1, max_overflow=0, pool_timeout=0.05, pool_pre_ping=True
    )
    yield engine
    engine.dispose()


def enter(factory: Factory, group: PlanGroup) -> None:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)):
        pass


def enter_for_student(factory: Factory, group: PlanGroup) -> None:
    with UnitOfWork(factory, lock=StudentLock(group.tenant_id, group.student_id)):
        pass


def activate_group(factory: Factory, group: PlanGroup) -> None:
    activate(factory, tenant_id=group.tenant_id, group_id=group.id)


def read_status(factory: Factory, group: PlanGroup) -> None:
    with factory() as session:
        lock_status(session, group.tenant_id, group.id)


def preview(factory: Factory, group: PlanGroup) -> None:
    with factory() as session:
        preview_plans(session, tenant_id=group.tenant_id, group_id=group.id, today=FIRST)


def read_group(factory: Factory, group: PlanGroup) -> None:
    with factory() as session:
        PlanGroupRepository(session, group.tenant_id).get(group.id)


def read_plans(factory: Factory, group: PlanGroup) -> None:
    with factory() as session:
        StudentPlanRepository(session, group.tenant_id).live(group.id)


def read_time(factory: Factory, group: PlanGroup) -> None:
    with factory() as session:
        StudentTimeRepository(session, group.tenant_id).exclusions(group.student_id)


@pytest.mark.parametrize(
    "request_",
    [
        enter,
        enter_for_student,
        generate,
        activate_group,
        read_status,
        preview,
        read_group,
        read_plans,
        read_time,
    ],
)
def test_request_without_a_free_connection_is_database_busy(
    tiny: sa.Engine, group: PlanGroup, request_: Callable[[Factory, PlanGroup], object]
) -> None:
    factory = sessionmaker(tiny)
    with tiny.connect(), pytest.raises(DatabaseBusyError) as refused:
        request_(factory, group)
    problem = refused.value.to_problem()
    assert json.loads(json.dumps(problem)) == problem
    assert (problem["status"], problem["code"], problem["retry_after"]) == (503, "database_busy", 1)
    assert problem["retryable"]
    assert is_retryable(refused.value)
    assert isinstance(tiny.pool, sa.QueuePool)
    assert tiny.pool.checkedout() == 0
    request_(factory, group)
    assert tiny.pool.checkedout() == 0


async def enter_async(factory: async_sessionmaker[AsyncSession], group: PlanGroup) -> None:
    async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)):
        pass


async def activate_group_async(factory: async_sessionmaker[AsyncSession], group: PlanGroup) -> None:
    await activate_async(factory, tenant_id=group.tenant_id, group_id=group.id)


@pytest.mark.parametrize("request_", [enter_async, activate_group_async])
def test_async_request_without_a_free_connection_is_database_busy(
    database_url: sa.URL,
    group: PlanGroup,
    request_: Callable[[async_sessionmaker[AsyncSession], PlanGroup], Awaitable[None]],
) -> None:
    async def requests() -> None:
        engine = create_async_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=0.05)
        factory = async_sessionmaker(engine)
        pool = engine.pool
        assert isinstance(pool, sa.QueuePool)
        async with engine.connect():
            with pytest.raises(DatabaseBusyError) as refused:
                await request_(factory, group)
            assert refused.value.retry_after == 1
            assert pool.checkedout() == 1
        await request_(factory, group)
        assert pool.checkedout() == 0
        await engine.dispose()

    asyncio.run(requests())


def test_probe_without_a_second_free_connection_is_database_busy(database_url: sa.URL) -> None:
    engine = sa.create_engine(database_url, pool_size=2, max_overflow=0, pool_timeout=0.05)
    with engine.connect(), pytest.raises(DatabaseBusyError):
        probe(engine)
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.checkedout() == 0
    probe(engine)
    engine.dispose()


def test_retrying_pauses_at_least_as_long_as_retry_after(
    tiny: sa.Engine, group: PlanGroup, pauses: list[float]
) -> None:
    with tiny.connect(), pytest.raises(DatabaseBusyError):
        retrying(lambda: generate(sessionmaker(tiny), group))
    assert len(pauses) == 4
    assert all(pause >= 1 for pause in pauses)


@pytest.mark.parametrize("wrapped", [True, False])
def test_server_without_a_free_connection_is_database_busy(*, wrapped: bool) -> None:
    refused = psycopg.errors.TooManyConnections("sorry")
    with pytest.raises(DatabaseBusyError), translated(during=During.CHECKOUT):
        raise DBAPIError("connect", None, refused) if wrapped else refused


def test_application_error_in_a_begin_listener_is_not_database_busy(
    database_url: sa.URL, group: PlanGroup
) -> None:
    """Errors of the application's listeners are not translated, unlike those of the package."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT FROM hosts_table")

    with pytest.raises(sa.exc.ProgrammingError, match="hosts_table"):
        enter(sessionmaker(engine), group)
