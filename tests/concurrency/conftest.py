"""How the clients of these tests connect: to the server, or with TEST_POOLER=1 through a pooler."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup
from domain.unit_of_work import asynchronous
from tests.integration.storing import stored_group
from tests.pooler.pgbouncer import CONNECT_ARGS, PgBouncer, pgbouncer

# Fewer than the engine's connections, and enough for all who hold and wait at one time.
POOL_SIZE = 12


@pytest.fixture(scope="session")
def pooler(server_url: sa.URL) -> Iterator[PgBouncer | None]:
    if not os.environ.get("TEST_POOLER"):
        yield None
        return
    with pgbouncer(server_url, pool_size=POOL_SIZE) as running:
        yield running
        assert any(row["total_xact_count"] for row in running.show("STATS")), "nobody came through"


@pytest.fixture(scope="module")
def client_url(database_url: sa.URL, pooler: PgBouncer | None) -> sa.URL:
    """Where clients connect; ``database_url`` is the server itself."""
    return pooler.url_for(database_url) if pooler else database_url


@pytest.fixture(scope="session")
def connect_args(pooler: PgBouncer | None) -> dict[str, Any]:
    return CONNECT_ARGS if pooler else {}


@pytest.fixture(scope="module")
def new_engine(client_url: sa.URL, connect_args: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """Makes an engine of a client; all are disposed of in the end."""
    made: list[sa.Engine] = []

    def make(**options: Any) -> sa.Engine:
        made.append(sa.create_engine(client_url, connect_args=connect_args, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture(scope="module")
def engine(new_engine: Callable[..., sa.Engine]) -> sa.Engine:
    return new_engine(pool_size=40, max_overflow=0, pool_timeout=20)


@pytest.fixture
def group(session_factory: sessionmaker[Session]) -> PlanGroup:
    """A stored group, not generated yet."""
    return stored_group(session_factory)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled task waits 20 ms for the end of its commit or rollback."""
    monkeypatch.setattr(asynchronous, "FINISHING_SECONDS", 0.02)


@pytest.fixture(params=range(20), ids="{}".format)
def again() -> None:
    """A race is run many times: it may be won in another order each time."""
