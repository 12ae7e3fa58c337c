"""Fixtures of the migration tests: an empty database per test, and roles."""

from collections.abc import Callable, Iterator
from itertools import count
from os import getpid
from typing import Any

import pytest
import sqlalchemy as sa

_roles = count(1)
# Without parameters, psycopg does not interpret a percent sign in a name.
NO_PARAMETERS: Any = {"execution_options": {"no_parameters": True}}


@pytest.fixture
def empty_url(new_database: Callable[[str], sa.URL]) -> sa.URL:
    return new_database("template0")


@pytest.fixture
def engine(empty_url: sa.URL) -> Iterator[sa.Engine]:
    """Yield an engine for the empty database, without a connection pool."""
    engine = sa.create_engine(empty_url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def new_role(maintenance: sa.Connection, engine: sa.Engine) -> Iterator[Callable[..., str]]:
    """Yield a function that creates a role without privileges and returns its name.

    Roles belong to the server and not to a database, so they are dropped after the test.
    """
    created: list[str] = []

    def create(prefix: str = 'studyplan "Test"') -> str:
        name = f"{prefix}-{getpid()}-{next(_roles)}"
        maintenance.exec_driver_sql(f"CREATE ROLE {quoted(name)}", **NO_PARAMETERS)
        created.append(name)
        return name

    yield create
    with engine.begin() as connection:
        for name in created:
            connection.exec_driver_sql(f"DROP OWNED BY {quoted(name)}", **NO_PARAMETERS)
    for name in created:
        maintenance.exec_driver_sql(f"DROP ROLE {quoted(name)}", **NO_PARAMETERS)


def quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
