"""What several modules of the integration tests begin with."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from tests.integration.rows import insert_valid_rows


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection of its own; its transaction begins with its first statement."""
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def world(connection: sa.Connection) -> sa.Connection:
    """The same with one valid row in every table, all of it rolled back in the end."""
    insert_valid_rows(connection)
    return connection


@pytest.fixture
def empty_engine(new_database: Callable[[str], sa.URL]) -> Iterator[sa.Engine]:
    """A database that was never migrated."""
    engine = sa.create_engine(new_database("template0"), poolclass=sa.NullPool)
    yield engine
    engine.dispose()
