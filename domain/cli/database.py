"""The database that a command uses: the one in ``DATABASE_URL``, or a temporary one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from domain import schema
from domain.embedded import embedded_postgres

CONNECT_SECONDS = 10


@contextmanager
def engine_for(url: sa.URL, *, connections: int = 1) -> Iterator[sa.Engine]:
    """Yield an engine whose pool has ``connections`` connections; dispose of it after the block.

    A connection attempt to a host that does not answer fails after ``CONNECT_SECONDS``, unless
    the URL sets ``connect_timeout``.
    """
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
    engine = sa.create_engine(url, pool_size=connections)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def without_libpq_variables() -> Iterator[None]:
    """Remove libpq's environment variables (``PG…``) during the block.

    PGSERVICE, PGOPTIONS and the like are meant for another server than the temporary one.
    """
    removed = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(removed)


@contextmanager
def open_database(url: sa.URL | None) -> Iterator[sa.Engine]:
    """Yield the engine of a database with the current schema: the URL's, or a temporary one.

    Raises ``SchemaError`` if the URL's database does not have the current schema; that database
    is never upgraded here.
    """
    if url is not None:
        with engine_for(url) as engine:
            with engine.connect() as connection:
                schema.require_current(connection)
            yield engine
        return
    with (
        without_libpq_variables(),
        embedded_postgres() as server,
        engine_for(sa.make_url(server.url)) as engine,
    ):
        upgrade(engine)
        yield engine


def upgrade(
    engine: sa.Engine, revision: str = "head", grant_to: str = ""
) -> tuple[str | None, str | None]:
    """Upgrade the database to a revision; return the revisions before and after."""
    with _migrating(engine) as connection:
        before = schema.upgrade(connection, revision, grant_to=grant_to)
        return before, schema.current_revision(connection)


def downgrade(engine: sa.Engine, revision: str) -> tuple[str | None, str | None]:
    """Downgrade the database to a revision; return the revisions before and after."""
    with _migrating(engine) as connection:
        before = schema.downgrade(connection, revision)
        return before, schema.current_revision(connection)


@contextmanager
def _migrating(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection for the revisions, at READ COMMITTED.

    The role's default isolation level may be a higher one, which ``schema`` rejects.
    """
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="READ COMMITTED")
