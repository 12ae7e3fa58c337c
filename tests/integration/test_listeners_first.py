"""Listeners of the application that execute statements before the lock is requested."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, UnitOfWork, generate_plans_async
from domain.errors import LockNotHeldError, WrongTransactionError
from domain.locking.statements import ACQUIRING
from domain.probe import probe
from domain.testing import assert_lock_free, assert_lock_held
from tests.integration.storing import FIRST, generate, stored_group

Factory = sessionmaker[Session]
Listen = Callable[[sa.Engine, Factory], None]
STATEMENT = "SELECT set_config('app.tenant', 't1', true)"


def after_begin(_: sa.Engine, factory: Factory) -> None:
    @sa.event.listens_for(factory, "after_begin")
    def execute_statement(session: Session, transaction: Any, connection: sa.Connection) -> None:
        connection.exec_driver_sql(STATEMENT)


def engine_begin(engine: sa.Engine, _: Factory) -> None:
    @sa.event.listens_for(engine, "begin")
    def execute_statement(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SET LOCAL statement_timeout = '30s'")


def pool_checkout(engine: sa.Engine, _: Factory) -> None:
    @sa.event.listens_for(engine, "checkout")
    def execute_statement(dbapi_connection: Any, *_: Any) -> None:
        dbapi_connection.cursor().execute("SELECT set_config('app.tenant', 't1', false)")


def pool_connect(engine: sa.Engine, _: Factory) -> None:
    @sa.event.listens_for(engine, "connect")
    def execute_statement(dbapi_connection: Any, *_: Any) -> None:
        dbapi_connection.cursor().execute("SET application_name = 'planner'")


def engine_connect(engine: sa.Engine, _: Factory) -> None:
    @sa.event.listens_for(engine, "engine_connect")
    def execute_statement(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT 1")
        connection.rollback()


def cursor_listener(engine: sa.Engine, _: Factory) -> None:
    @sa.event.listens_for(engine, "before_cursor_execute", retval=True)
    def execute_statement(
        connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> tuple[str, Any]:
        return f"{statement} /* by the application */", parameters


def several(engine: sa.Engine, factory: Factory) -> None:
    for listen in (after_begin, engine_begin, pool_checkout, pool_connect, cursor_listener):
        listen(engine, factory)


LISTENERS: list[Listen] = [
    after_begin,
    engine_begin,
    pool_checkout,
    pool_connect,
    engine_connect,
    cursor_listener,
    several,
]


@pytest.fixture(params=LISTENERS, ids=lambda listen: listen.__name__)
def listening(
    request: pytest.FixtureRequest, database_url: sa.URL
) -> Iterator[tuple[sa.Engine, Factory]]:
    engine = sa.create_engine(database_url, pool_size=2, max_overflow=0)
    factory = sessionmaker(engine)
    request.param(engine, factory)
    yield engine, factory
    engine.dispose()


def test_listener_that_executes_first_is_accepted(
    engine: sa.Engine, session_factory: Factory, listening: tuple[sa.Engine, Factory]
) -> None:
    group = stored_group(session_factory)
    _, factory = listening
    for number in (1, 2, 3):
        with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            assert_lock_held(engine, group.id, by=uow)
            uow.commit()
        assert generate(factory, group).generation == number
    assert_lock_free(engine, group.id)


def test_probe_passes_with_listeners_that_execute_first(
    listening: tuple[sa.Engine, Factory],
) -> None:
    probe(listening[0])


def test_listener_that_executes_first_does_not_hide_a_lost_transaction(
    session_factory: Factory, listening: tuple[sa.Engine, Factory]
) -> None:
    def commit_in_sql() -> None:
        with UnitOfWork(listening[1], lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            uow.session.execute(sa.text("COMMIT"))
            uow.session.execute(sa.text("SELECT 1"))
            uow.commit()

    group = stored_group(session_factory)
    with pytest.raises(LockNotHeldError):
        commit_in_sql()


def test_listener_that_executes_first_is_accepted_with_asyncio(
    database_url: sa.URL, session_factory: Factory
) -> None:
    group = stored_group(session_factory)

    async def request() -> int | None:
        engine = create_async_engine(database_url)
        several(engine.sync_engine, sessionmaker())
        lock = PlanGroupLock(group.tenant_id, group.id)
        result = await generate_plans_async(async_sessionmaker(engine), lock, today=FIRST)
        await engine.dispose()
        return result.generation

    assert asyncio.run(request()) == 1


def test_listener_that_opens_a_savepoint_is_refused(
    database_url: sa.URL, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)

    factory = sessionmaker(engine)

    @sa.event.listens_for(factory, "after_begin")
    def execute_statement(session: Session, transaction: Any, connection: sa.Connection) -> None:
        connection.begin_nested()

    with pytest.raises(WrongTransactionError, match="savepoint"):
        generate(factory, group)
    engine.dispose()


def test_listener_that_opens_a_savepoint_in_sql_is_detected_when_it_is_rolled_back(
    database_url: sa.URL, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "begin")
    def execute_statement(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SAVEPOINT first")

    def roll_back_to_the_savepoint() -> None:
        with UnitOfWork(sessionmaker(engine), lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            uow.session.execute(sa.text("ROLLBACK TO first"))
            uow.commit()

    with pytest.raises(LockNotHeldError):
        roll_back_to_the_savepoint()
    assert generate(sessionmaker(engine), group).generation == 1
    engine.dispose()


def test_listener_that_executes_statements_itself_is_given_the_one_that_acquires_the_lock(
    database_url: sa.URL, lock: PlanGroupLock
) -> None:
    """These are listeners of the dialect, not of the engine."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    executed: list[str] = []

    @sa.event.listens_for(engine, "do_execute_no_params")
    @sa.event.listens_for(engine, "do_execute")
    def note(_: Any, statement: str, *__: Any) -> None:
        executed.append(statement)

    with UnitOfWork(sessionmaker(engine), lock=lock):
        assert [statement for statement in executed if ACQUIRING in statement] == executed[-1:]
