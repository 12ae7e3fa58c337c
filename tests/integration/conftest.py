"""Fixtures that several modules of the integration tests share."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork
from domain.embedded import EmbeddedServer, embedded_postgres
from domain.events import GenerationEvent
from tests.integration.editing import World, new_world
from tests.integration.rows import insert_valid_rows
from tests.integration.storing import book_group, listening


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A separate connection; its transaction begins with its first statement."""
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def valid_rows(connection: sa.Connection) -> sa.Connection:
    """The same connection with a valid row in every table; they are rolled back at the end."""
    insert_valid_rows(connection)
    return connection


@pytest.fixture
def other(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A second connection, which usually requests what the first one holds."""
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def second(database_url: sa.URL) -> Iterator[sa.Engine]:
    """A second engine for the same database; SQLAlchemy treats it as a different one."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def lock() -> PlanGroupLock:
    """The lock of a group that is not stored."""
    return PlanGroupLock(uuid4(), uuid4())


@pytest.fixture
def uow(session_factory: sessionmaker[Session], lock: PlanGroupLock) -> UnitOfWork:
    """A unit of work with that lock that has not been entered."""
    return UnitOfWork(session_factory, lock=lock)


@pytest.fixture
def group(session_factory: sessionmaker[Session]) -> PlanGroup:
    """A stored group without a generation."""
    return book_group(session_factory)


@pytest.fixture
def reported() -> Iterator[list[GenerationEvent]]:
    """The events of generations that have been reported."""
    events: list[GenerationEvent] = []
    with listening(events.append):
        yield events


@pytest.fixture
def world(session_factory: sessionmaker[Session]) -> World:
    """A stored group with one row of everything that can be edited, generated once."""
    return new_world(session_factory)


@pytest.fixture
def empty_engine(new_database: Callable[[str], sa.URL]) -> Iterator[sa.Engine]:
    """An engine for a database without the schema."""
    engine = sa.create_engine(new_database("template0"), poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, in seconds, which are recorded without sleeping."""
    recorded: list[float] = []

    class Time:
        sleep = staticmethod(recorded.append)

    monkeypatch.setattr("tenacity.nap.time", Time)
    return recorded


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with embedded_postgres() as server:
        yield server


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A separate TMPDIR that the server's account can enter, unlike that of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        monkeypatch.setattr("tempfile.tempdir", name)
        yield Path(name).resolve()
