"""Fixtures that place a transaction pooler between the tests and the server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup
from tests.integration.storing import stored_group
from tests.pooler.pgbouncer import BACKENDS, PgBouncer, clients, pgbouncer


@pytest.fixture(scope="session")
def pooler(server_url: sa.URL) -> Iterator[PgBouncer]:
    with pgbouncer(server_url, pool_size=BACKENDS) as running:
        yield running


@pytest.fixture
def new_pooler(server_url: sa.URL) -> Iterator[Callable[..., PgBouncer]]:
    """Return a function that starts a separate pooler with other settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(pgbouncer(server_url, **settings))


@pytest.fixture(scope="module")
def engine(database_url: sa.URL, pooler: PgBouncer) -> Iterator[sa.Engine]:
    """An engine with many client connections to a pooler that has few server connections."""
    with clients(pooler, database_url, pool_size=40) as engine:
        yield engine


@pytest.fixture(scope="module")
def direct(database_url: sa.URL) -> Iterator[sa.Engine]:
    """An engine that connects directly to the server, for checks."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def session_factory(engine: sa.Engine) -> sessionmaker[Session]:
    return sessionmaker(engine)


@pytest.fixture
def group(session_factory: sessionmaker[Session]) -> PlanGroup:
    return stored_group(session_factory)
