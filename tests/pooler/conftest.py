"""The usual fixtures, with a transaction pooler between the tests and the server."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from tests.pooler.pgbouncer import CONNECT_ARGS, Pooler, transaction_pooler

POOL_SIZE = 4


@pytest.fixture(scope="session")
def pooler(server_url: sa.URL) -> Iterator[Pooler]:
    with transaction_pooler(server_url, pool_size=POOL_SIZE) as running:
        yield running


@pytest.fixture(scope="module")
def engine(database_url: sa.URL, pooler: Pooler) -> Iterator[sa.Engine]:
    """Many clients of few server connections."""
    engine = sa.create_engine(
        pooler.url_for(database_url),
        connect_args=CONNECT_ARGS,
        pool_size=40,
        max_overflow=0,
        pool_timeout=20,
    )
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def direct(database_url: sa.URL) -> Iterator[sa.Engine]:
    """Past the pooler, for looking on."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def session_factory(engine: sa.Engine) -> sessionmaker[Session]:
    return sessionmaker(engine)
