"""A separate migrated database for a run, on a server that listens on TCP."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from domain import schema
from domain.embedded import embedded_postgres


@contextmanager
def database() -> Iterator[sa.URL]:
    """Yield a new database on a temporary server, or on that of ``TEST_DATABASE_URL``."""
    name = f"studyplan_soak_{os.getpid()}"
    with _server() as server:
        maintenance = sa.create_engine(server, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with maintenance.connect() as connection:
            connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE template0')
            try:
                yield _migrated(server.set(database=name))
            finally:
                connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def _server() -> Iterator[sa.URL]:
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield sa.make_url(given).set(drivername="postgresql+psycopg")
        return
    with embedded_postgres() as server:
        yield sa.make_url(server.url_for("postgres", tcp=True))


def _migrated(url: sa.URL) -> sa.URL:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        schema.upgrade(connection)
    return url
