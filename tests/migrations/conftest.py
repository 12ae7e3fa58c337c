"""An empty database for each test of the migrations."""

from collections.abc import Callable, Iterator
from itertools import count
from os import getpid
from typing import Any

import pytest
import sqlalchemy as sa

_roles = count(1)
# A percent sign in a name is no parameter.
AS_IT_IS: Any = {"execution_options": {"no_parameters": True}}


@pytest.fixture
def empty_url(new_database: Callable[[str], sa.URL]) -> sa.URL:
    return new_database("template0")


@pytest.fixture
def engine(empty_url: sa.URL) -> Iterator[sa.Engine]:
    """An engine on the empty database that keeps no connection."""
    engine = sa.create_engine(empty_url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def new_role(maintenance: sa.Connection, engine: sa.Engine) -> Iterator[Callable[..., str]]:
    """Makes roles without any right; roles belong to the server, so they are dropped."""
    made: list[str] = []

    def make(prefix: str = 'studyplan "Test"') -> str:
        name = f"{prefix}-{getpid()}-{next(_roles)}"
        maintenance.exec_driver_sql(f"CREATE ROLE {quoted(name)}", **AS_IT_IS)
        made.append(name)
        return name

    yield make
    with engine.begin() as connection:
        for name in made:
            connection.exec_driver_sql(f"DROP OWNED BY {quoted(name)}", **AS_IT_IS)
    for name in made:
        maintenance.exec_driver_sql(f"DROP ROLE {quoted(name)}", **AS_IT_IS)


def quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
