"""Connections that ``schema`` cannot use are refused with a message that says what to pass."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from domain import schema
from domain.errors import InvalidInputError, MisuseError, WrongTransactionError
from tests.migrations.catalog import catalog

CHANGING: list[Callable[..., object]] = [
    schema.upgrade,
    schema.downgrade,
    lambda connection: schema.grant(connection, "app"),
]
READING: list[Callable[..., object]] = [
    schema.current_revision,
    schema.is_current,
    schema.require_current,
]
each_changing_call = pytest.mark.parametrize(
    "call", CHANGING, ids=["upgrade", "downgrade", "grant"]
)


@pytest.fixture
def unchanged(connection: sa.Connection) -> Iterator[None]:
    before = catalog(connection)
    yield
    assert catalog(connection) == before


@each_changing_call
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("level", ["AUTOCOMMIT", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("begun", [False, True])
def test_isolation_level_other_than_read_committed_is_refused(
    *, engine: sa.Engine, call: Callable[..., object], level: str, begun: bool
) -> None:
    expected = "autocommit mode" if level == "AUTOCOMMIT" else f"is {level}: its snapshot"
    with engine.connect().execution_options(isolation_level=level) as connection:
        if begun:
            connection.begin()
        with pytest.raises(WrongTransactionError, match=expected):
            call(connection)
        assert connection.in_transaction() is begun


@each_changing_call
@pytest.mark.usefixtures("unchanged")
def test_driver_connection_in_autocommit_is_refused(
    empty_url: sa.URL, call: Callable[..., object]
) -> None:
    engine = sa.create_engine(empty_url, poolclass=sa.NullPool, connect_args={"autocommit": True})
    with engine.connect() as connection, pytest.raises(WrongTransactionError, match="autocommit"):
        call(connection)


@each_changing_call
@pytest.mark.usefixtures("unchanged")
def test_read_only_transaction_is_refused(
    connection: sa.Connection, call: Callable[..., object]
) -> None:
    read_only = connection.execution_options(postgresql_readonly=True)
    with pytest.raises(WrongTransactionError, match="read-only"):
        call(read_only)
    connection.execution_options(postgresql_readonly=False)


@pytest.mark.parametrize(
    ("call", "name", "others"),
    [
        *(
            (call, name, "")
            for call, name in zip(CHANGING[:2], ["upgrade", "downgrade"], strict=True)
        ),
        (CHANGING[2], "grant", ", roles"),
        *((call, call.__name__, "") for call in READING),
    ],
    ids=["upgrade", "downgrade", "grant", "current_revision", "is_current", "require_current"],
)
def test_argument_that_is_not_a_connection_is_refused_with_what_to_pass(
    engine: sa.Engine, call: Callable[..., object], name: str, others: str
) -> None:
    asynchronous = create_async_engine(engine.url)
    wrong_kinds = [asynchronous, asynchronous.connect(), asynchronous.sync_engine]
    with Session(engine) as session:
        instead: dict[str, list[object]] = {
            f"engine.connect() as connection: schema.{name}(connection{others})": [engine],
            f"schema.{name}(session.connection(){others})": [
                session,
                scoped_session(sessionmaker(engine)),
            ],
            f"await connection.run_sync(schema.{name}{others})": wrong_kinds,
            "op.get_bind()": ["postgresql://", session.get_bind],
            "offline mode (--sql)": [None, sa.create_mock_engine("postgresql://", print)],
        }
        for sentence, wrong in instead.items():
            for connection in wrong:
                with pytest.raises(MisuseError) as refused:
                    call(connection)
                assert sentence in str(refused.value)


def test_connection_of_an_asyncio_driver_is_refused_outside_run_sync(engine: sa.Engine) -> None:
    async def check() -> None:
        asynchronous = create_async_engine(engine.url, poolclass=sa.NullPool)
        async with asynchronous.connect() as connection:
            given = connection.sync_connection
            assert given is not None
            with pytest.raises(MisuseError, match=r"run_sync\(schema.is_current\), with an Async"):
                schema.is_current(given)
            assert not await connection.run_sync(schema.is_current)

    asyncio.run(check())


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("call", [schema.upgrade, schema.downgrade])
@pytest.mark.parametrize("wait", [5, 0.5, None])
def test_wait_that_is_no_timedelta_is_refused(
    connection: sa.Connection, call: Callable[..., object], wait: object
) -> None:
    with pytest.raises(InvalidInputError, match="wait"):
        call(connection, wait=wait)


@each_changing_call
def test_driver_other_than_psycopg_is_refused(
    connection: sa.Connection, call: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection.dialect, "driver", "psycopg2")
    with pytest.raises(MisuseError, match=r"uses postgresql\+psycopg2; .*upgrade --sql"):
        call(connection)


def test_upgrade_runs_on_asynchronous_connections_in_two_simultaneous_tasks(
    empty_url: sa.URL, connection: sa.Connection
) -> None:
    async def upgraded(engine: AsyncEngine) -> bool:
        async with engine.connect() as asynchronous:
            await asynchronous.run_sync(schema.upgrade)
            return await asynchronous.run_sync(schema.is_current)

    async def both() -> list[bool]:
        engine = create_async_engine(empty_url, poolclass=sa.NullPool)
        async with asyncio.timeout(60):
            return list(await asyncio.gather(upgraded(engine), upgraded(engine)))

    assert asyncio.run(both()) == [True, True]
    assert schema.is_current(connection)
