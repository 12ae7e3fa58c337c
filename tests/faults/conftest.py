"""A server of their own for tests that take it down, whatever server the others use."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
import sqlalchemy as sa

from domain import schema
from domain.embedded import EmbeddedServer, embedded_postgres
from domain.testing import CuttingProxy
from tests.faults.stage import POOL, Stage
from tests.servers import binaries

# What is committed must survive a crash here. Whoever asks for synchronous_commit = on waits
# at the end of a commit for a standby that never comes.
SETTINGS = {"synchronous_commit": "local", "synchronous_standby_names": "nobody"}

_numbers = count(1)


@pytest.fixture(scope="session")
def mortal_server() -> Iterator[EmbeddedServer]:
    with embedded_postgres(bindir=binaries(), settings=SETTINGS) as server:
        engine = sa.create_engine(server.url_for("template1"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            schema.upgrade(connection)
        engine.dispose()
        yield server


@pytest.fixture(scope="module")
def mortal_database(mortal_server: EmbeddedServer) -> str:
    """A migrated database on it for the tests of one module."""
    name = f"studyplan_{next(_numbers)}"
    engine = sa.create_engine(
        mortal_server.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return name


@pytest.fixture
def stage(
    mortal_server: EmbeddedServer,
    mortal_database: str,
    cutting_proxy: Callable[[str, int], CuttingProxy],
) -> Iterator[Stage]:
    url = sa.make_url(mortal_server.url_for(mortal_database))
    proxy = cutting_proxy(mortal_server.host, mortal_server.port)
    through = sa.make_url(mortal_server.url_for(mortal_database, tcp=True))
    engine = sa.create_engine(
        through.set(port=proxy.port), pool_size=POOL, max_overflow=0, pool_pre_ping=True
    )
    aside = sa.create_engine(url, poolclass=sa.NullPool)
    yield Stage(mortal_server, url, proxy, engine, aside)
    engine.dispose()
    aside.dispose()
