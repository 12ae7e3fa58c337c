"""A separate server for tests that stop it, whichever server the other tests use."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
import sqlalchemy as sa

from domain import schema
from domain.embedded import EmbeddedServer, embedded_postgres
from domain.testing import CuttingProxy
from tests.faults.stage import POOL, Stage
from tests.servers import binaries

# Unlike on the other test servers, a commit must survive a crash here. A client that sets
# synchronous_commit = on waits at the end of its commit for a standby that does not exist.
SETTINGS = {"synchronous_commit": "local", "synchronous_standby_names": "missing"}

_numbers = count(1)


@pytest.fixture(scope="session")
def stoppable_server() -> Iterator[EmbeddedServer]:
    with embedded_postgres(bindir=binaries(), settings=SETTINGS) as server:
        engine = sa.create_engine(server.url_for("template1"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            schema.upgrade(connection)
        engine.dispose()
        yield server


@pytest.fixture(scope="module")
def stoppable_database(stoppable_server: EmbeddedServer) -> str:
    """Create a migrated database on ``stoppable_server`` for the tests of one module."""
    name = f"studyplan_{next(_numbers)}"
    engine = sa.create_engine(
        stoppable_server.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return name


@pytest.fixture
def stage(
    stoppable_server: EmbeddedServer,
    stoppable_database: str,
    cutting_proxy: Callable[[str, int], CuttingProxy],
) -> Iterator[Stage]:
    url = sa.make_url(stoppable_server.url_for(stoppable_database))
    proxy = cutting_proxy(stoppable_server.host, stoppable_server.port)
    proxied = sa.make_url(stoppable_server.url_for(stoppable_database, tcp=True))
    engine = sa.create_engine(
        proxied.set(port=proxy.port), pool_size=POOL, max_overflow=0, pool_pre_ping=True
    )
    direct = sa.create_engine(url, poolclass=sa.NullPool)
    yield Stage(stoppable_server, url, proxy, engine, direct)
    engine.dispose()
    direct.dispose()
