"""A read-only transaction on a server that accepts writes raises a usage error."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, UnitOfWork, generate_plans_async
from domain.errors import WrongTransactionError
from domain.locking import acquiring
from domain.probe import probe
from domain.retrying import is_retryable
from tests.factories import PlanGroupFactory
from tests.integration.editing import CALLS, Factory, World, everything, lock_of
from tests.integration.storing import FIRST, book_group, generate

READ_ONLY = sa.text("SET TRANSACTION READ ONLY")
URL_OPTIONS: dict[str, Any] = {"connect_args": {"options": "-c default_transaction_read_only=on"}}
ENGINE_OPTIONS: dict[str, Any] = {"execution_options": {"postgresql_readonly": True}}
each_setting = pytest.mark.parametrize(
    "options", [URL_OPTIONS, ENGINE_OPTIONS], ids=["URL", "engine"]
)


@pytest.fixture
def new_engine(database_url: sa.URL) -> Iterator[Callable[..., sa.Engine]]:
    engines: list[sa.Engine] = []

    def make(**options: Any) -> sa.Engine:
        engines.append(sa.create_engine(database_url, **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@each_setting
def test_generation_in_read_only_transactions_is_a_usage_error(
    session_factory: Factory, new_engine: Callable[..., sa.Engine], options: dict[str, Any]
) -> None:
    group = book_group(session_factory)
    with pytest.raises(WrongTransactionError, match="read-only") as refused:
        generate(sessionmaker(new_engine(**options)), group)
    assert not is_retryable(refused.value)
    assert generate(session_factory, group).generation == 1


@each_setting
def test_async_generation_in_read_only_transactions_is_a_usage_error(
    session_factory: Factory, database_url: sa.URL, options: dict[str, Any]
) -> None:
    group = book_group(session_factory)

    async def request() -> None:
        engine = create_async_engine(database_url, **options)
        factory = async_sessionmaker(engine, class_=AsyncSession)
        try:
            await generate_plans_async(
                factory, PlanGroupLock(group.tenant_id, group.id), today=FIRST
            )
        finally:
            await engine.dispose()

    with pytest.raises(WrongTransactionError, match="read-only"):
        asyncio.run(request())


@each_setting
def test_probe_refuses_read_only_transactions(
    new_engine: Callable[..., sa.Engine], options: dict[str, Any]
) -> None:
    engine = new_engine(**options)
    with pytest.raises(WrongTransactionError, match="default_transaction_read_only"):
        probe(engine)
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.checkedout() == 0


@pytest.mark.parametrize("name", CALLS)
def test_edit_in_a_read_only_transaction_is_a_usage_error(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=lock_of(name, world)) as uow:
        uow.session.execute(READ_ONLY)
        with pytest.raises(WrongTransactionError):
            CALLS[name](uow, world, 1)
    assert everything(session_factory) == before


def test_commit_in_a_read_only_transaction_is_a_usage_error(session_factory: Factory) -> None:
    group = PlanGroupFactory.build()
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.session.execute(READ_ONLY)
        uow.groups.add(group)
        with pytest.raises(WrongTransactionError):
            uow.commit()


def test_lock_function_that_refuses_a_read_only_transaction_is_a_usage_error(
    template: str, new_database: Callable[[str], sa.URL]
) -> None:
    """The SQLSTATE decides; the text of the function's message does not matter."""
    engine = sa.create_engine(new_database(template), poolclass=sa.NullPool)
    with engine.begin() as owner:
        owner.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION studyplan.acquire_plan_locks_with_limits("
            "p_keys bigint[], p_wait_ms integer, p_shared boolean, p_behind_shared_ms integer, "
            "p_identity text, p_idle_timeout text, p_transaction_timeout text, "
            "p_lock_timeout text) RETURNS jsonb "
            "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'standby' USING ERRCODE = '25006'; END $$"
        )
    with (
        pytest.raises(WrongTransactionError, match="postgresql_readonly is set"),
        engine.connect() as connection,
    ):
        acquiring.acquire(connection, PlanGroupLock(uuid4(), uuid4()))


def test_write_of_the_application_that_is_refused_keeps_its_error(session_factory: Factory) -> None:
    with session_factory() as session:
        session.execute(READ_ONLY)
        with pytest.raises(sa.exc.InternalError, match="read-only transaction"):
            session.execute(sa.text("CREATE TABLE own ()"))


def test_connection_is_usable_after_a_refusal_inside_a_savepoint(
    engine: sa.Engine, session_factory: Factory, world: World
) -> None:
    name = "GroupTimeService.add_block"
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        uow.session.execute(READ_ONLY)
        with pytest.raises(WrongTransactionError), uow.session.begin_nested():
            CALLS[name](uow, world, 1)
    with Session(engine) as session:
        assert session.scalar(sa.select(1)) == 1
