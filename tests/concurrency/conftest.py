"""Fixtures that connect clients to the server, or to a pooler if ``TEST_POOLER`` is set."""

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

# Smaller than the engine's pool, so that clients share backends; large enough for all requests of
# a test that hold a lock or wait for one at the same time.
POOL_SIZE = 12


@pytest.fixture(scope="session")
def pooler(server_url: sa.URL) -> Iterator[PgBouncer | None]:
    if not os.environ.get("TEST_POOLER"):
        yield None
        return
    with pgbouncer(server_url, pool_size=POOL_SIZE) as running:
        yield running
        assert any(row["total_xact_count"] for row in running.show("STATS")), (
            "no transaction used the pooler"
        )


@pytest.fixture(scope="module")
def client_url(database_url: sa.URL, pooler: PgBouncer | None) -> sa.URL:
    """The URL that clients connect to; ``database_url`` always leads directly to the server."""
    return pooler.url_for(database_url) if pooler else database_url


@pytest.fixture(scope="session")
def connect_args(pooler: PgBouncer | None) -> dict[str, Any]:
    return CONNECT_ARGS if pooler else {}


@pytest.fixture(scope="module")
def new_engine(client_url: sa.URL, connect_args: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """Return a factory of client engines, which are disposed of at the end of the module."""
    engines: list[sa.Engine] = []

    def create(**options: Any) -> sa.Engine:
        engines.append(sa.create_engine(client_url, connect_args=connect_args, **options))
        return engines[-1]

    yield create
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="module")
def engine(new_engine: Callable[..., sa.Engine]) -> sa.Engine:
    return new_engine(pool_size=40, max_overflow=0, pool_timeout=20)


@pytest.fixture
def group(session_factory: sessionmaker[Session]) -> PlanGroup:
    """A stored group without any generation."""
    return stored_group(session_factory)


@pytest.fixture
def short_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled task waits only 20 ms for the end of its commit or rollback."""
    monkeypatch.setattr(asynchronous, "FINISHING_SECONDS", 0.02)


@pytest.fixture(params=range(20), ids="{}".format)
def repetition() -> None:
    """Run the test 20 times, because the order of simultaneous requests varies."""
