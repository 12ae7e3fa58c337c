"""The usual fixtures, with a transaction pooler between the tests and the server."""

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
    """Starts a pooler of the test's own, with settings of its own."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(pgbouncer(server_url, **settings))


@pytest.fixture(scope="module")
def engine(database_url: sa.URL, pooler: PgBouncer) -> Iterator[sa.Engine]:
    """Many clients of few server connections."""
    with clients(pooler, database_url, pool_size=40) as engine:
        yield engine


@pytest.fixture(scope="module")
def direct(database_url: sa.URL) -> Iterator[sa.Engine]:
    """Past the pooler, for looking on."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def session_factory(engine: sa.Engine) -> sessionmaker[Session]:
    return sessionmaker(engine)


@pytest.fixture
def group(session_factory: sessionmaker[Session]) -> PlanGroup:
    return stored_group(session_factory)
