"""Why ``prepare_threshold=None``: a pooler that keeps no prepared statements mixes them up.

PgBouncer can keep them from 1.21 on (``max_prepared_statements``); here it is told not to.
"""

from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from domain import PlanGroup
from domain.testing.contention import advisory_locks
from tests.integration.storing import generate, live
from tests.pooler.pgbouncer import PgBouncer, backend, clients

ENOUGH = 7
"""Psycopg prepares a statement that a connection has executed more than five times."""


@pytest.fixture
def two_backends(new_pooler: Callable[..., PgBouncer]) -> PgBouncer:
    return new_pooler(pool_size=2)


@pytest.fixture
def careful(two_backends: PgBouncer, database_url: sa.URL) -> Iterator[sa.Engine]:
    """Clients as the README wants them behind such a pooler."""
    with clients(two_backends, database_url) as engine:
        yield engine


@pytest.fixture
def careless(two_backends: PgBouncer, database_url: sa.URL) -> Iterator[sa.Engine]:
    """Clients as psycopg makes them if nothing is said."""
    with clients(two_backends, database_url, prepare_threshold=5) as engine:
        yield engine


def asked_in_turn(engine: sa.Engine) -> int:
    """How many backends answer one statement of a client that is given one after the other."""
    answered_by = set()
    with engine.connect() as client, engine.connect() as other:
        for _ in range(ENOUGH):
            answered_by.add(backend(client))
            client.commit()
            backend(other)  # takes the backend that was given back last
            answered_by.add(backend(client))
            client.commit()
            other.commit()
    return len(answered_by)


def generated_in_turn(engine: sa.Engine, group: PlanGroup) -> None:
    """Generate by one connection, before and after another client takes its backend."""
    with engine.connect() as other:
        for _ in range(ENOUGH):
            generate(sessionmaker(engine), group)
        backend(other)
        generate(sessionmaker(engine), group)


def test_a_statement_that_is_not_prepared_is_answered_by_every_backend(careful: sa.Engine) -> None:
    assert asked_in_turn(careful) == 2


def test_a_prepared_statement_is_unknown_to_the_next_backend(careless: sa.Engine) -> None:
    with pytest.raises(DBAPIError) as unknown:
        asked_in_turn(careless)
    assert isinstance(unknown.value.orig, psycopg.errors.InvalidSqlStatementName)


def test_a_prepared_statement_can_answer_another_clients_question(
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
        theirs.commit()  # the last to be given back is the first to be given away
        assert mine.execute("SELECT 'mine'").fetchone() == ("theirs",), "one name, two statements"


def test_generations_without_prepared_statements_change_backends_freely(
    careful: sa.Engine, group: PlanGroup
) -> None:
    generated_in_turn(careful, group)


def test_a_generation_that_meets_an_unknown_statement_fails_as_a_whole(
    careless: sa.Engine, direct: sa.Engine, group: PlanGroup
) -> None:
    with pytest.raises(DBAPIError) as unknown:
        generated_in_turn(careless, group)
    assert isinstance(unknown.value.orig, psycopg.errors.InvalidSqlStatementName)
    assert advisory_locks(direct) == 0
    assert {row.generation for row in live(sessionmaker(direct), group)} == {ENOUGH}
