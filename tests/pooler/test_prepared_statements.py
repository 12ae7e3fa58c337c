"""Why ``prepare_threshold=None`` is required behind a pooler without prepared statements.

Since version 1.21, PgBouncer can keep them (``max_prepared_statements``); these tests disable that.
"""

from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from domain import PlanGroup
from domain.testing.contention import advisory_locks
from tests.integration.storing import generate, traces
from tests.pooler.pgbouncer import PgBouncer, backend, clients

EXECUTIONS = 7
"""More than five, after which psycopg prepares a statement by default."""


@pytest.fixture
def two_backends(new_pooler: Callable[..., PgBouncer]) -> PgBouncer:
    return new_pooler(pool_size=2)


@pytest.fixture
def unprepared(two_backends: PgBouncer, database_url: sa.URL) -> Iterator[sa.Engine]:
    """Clients that do not use prepared statements, as the README requires."""
    with clients(two_backends, database_url) as engine:
        yield engine


@pytest.fixture
def prepared(two_backends: PgBouncer, database_url: sa.URL) -> Iterator[sa.Engine]:
    """Clients with the default ``prepare_threshold`` of psycopg."""
    with clients(two_backends, database_url, prepare_threshold=5) as engine:
        yield engine


def count_answering_backends(engine: sa.Engine) -> int:
    """Count the backends that execute one client's statement while it alternates with another."""
    answered_by = set()
    with engine.connect() as client, engine.connect() as other:
        for _ in range(EXECUTIONS):
            answered_by.add(backend(client))
            client.commit()
            backend(other)  # gets the backend that was returned last
            answered_by.add(backend(client))
            client.commit()
            other.commit()
    return len(answered_by)


def generate_on_several_backends(engine: sa.Engine, group: PlanGroup) -> None:
    """Generate on one connection, before and after another client gets its backend."""
    with engine.connect() as other:
        for _ in range(EXECUTIONS):
            generate(sessionmaker(engine), group)
        backend(other)
        generate(sessionmaker(engine), group)


def test_unprepared_statement_is_answered_by_every_backend(unprepared: sa.Engine) -> None:
    assert count_answering_backends(unprepared) == 2


def test_prepared_statement_is_unknown_to_the_next_backend(prepared: sa.Engine) -> None:
    with pytest.raises(DBAPIError) as unknown:
        count_answering_backends(prepared)
    assert isinstance(unknown.value.orig, psycopg.errors.InvalidSqlStatementName)


def test_prepared_statement_of_another_client_can_be_executed_by_mistake(
    two_backends: PgBouncer, database_url: sa.URL
) -> None:
    url = two_backends.url_for(database_url).set(drivername="postgresql")
    conninfo = url.render_as_string(hide_password=False)
    with (
        psycopg.connect(conninfo, prepare_threshold=0) as mine,
        psycopg.connect(conninfo, prepare_threshold=0) as theirs,
    ):
        assert mine.execute("SELECT 'mine'").fetchone() == ("mine",)
        assert theirs.execute("SELECT 'theirs'").fetchone() == ("theirs",)
        mine.commit()
        theirs.commit()  # the backend that is returned last is assigned first
        assert mine.execute("SELECT 'mine'").fetchone() == ("theirs",), (
            "both clients use the same statement name"
        )


def test_generations_without_prepared_statements_succeed_on_every_backend(
    unprepared: sa.Engine, group: PlanGroup
) -> None:
    generate_on_several_backends(unprepared, group)


def test_generation_with_an_unknown_prepared_statement_stores_nothing(
    prepared: sa.Engine, direct: sa.Engine, group: PlanGroup
) -> None:
    with pytest.raises(DBAPIError) as unknown:
        generate_on_several_backends(prepared, group)
    assert isinstance(unknown.value.orig, psycopg.errors.InvalidSqlStatementName)
    assert advisory_locks(direct) == 0
    generation, records, plans = traces(direct, group.id)
    assert generation == len(records) == EXECUTIONS
    # All generations are those of one day, so that the later ones kept the plans of the first one.
    assert {(row.generation, row.live) for row in plans} == {(1, True)}
