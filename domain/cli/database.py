"""The database of a command: that of ``DATABASE_URL``, or a throwaway one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from domain import schema
from domain.embedded import embedded_postgres

CONNECT_SECONDS = 10
_DRIVERS = {"postgres", "postgresql", "postgresql+psycopg"}


class DatabaseUrlError(ValueError):
    """``DATABASE_URL`` names no PostgreSQL database; the text, without the URL, says why."""


def url_from_environment() -> sa.URL | None:
    """Return ``DATABASE_URL`` for psycopg, ``None`` if unset; raises ``DatabaseUrlError``."""
    text = os.environ.get("DATABASE_URL", "").strip()
    if not text:
        return None
    driver = text.partition("://")[0]
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise DatabaseUrlError("DATABASE_URL is not a URL") from None
    if driver not in _DRIVERS:
        raise DatabaseUrlError("DATABASE_URL must begin with postgresql://")
    return url.set(drivername="postgresql+psycopg")


@contextmanager
def engine_for(url: sa.URL, *, connections: int = 1) -> Iterator[sa.Engine]:
    """Yield an engine with a pool of so many connections, disposed of after the block.

    Connecting to a host that does not answer fails after ``CONNECT_SECONDS``.
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
    """Keep PGSERVICE, PGOPTIONS and the like, meant for other servers, from a throwaway one."""
    removed = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PG")}
    try:
        yield
    finally:
        os.environ.update(removed)


@contextmanager
def open_database(url: sa.URL | None) -> Iterator[sa.Engine]:
    """Yield the engine of a database with the current schema: the URL's or a throwaway one.

    Raises ``SchemaError`` if the URL's has another schema. It is never upgraded here.
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
    """A connection for the revisions, whatever the role's default isolation level is."""
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="READ COMMITTED")
