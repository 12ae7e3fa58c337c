"""``alembic`` in a separate process, with the connection URL in ``DATABASE_URL``."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from domain import schema
from tests.migrations.catalog import catalog
from tests.migrations.test_grants import FUNCTIONS, executable

PROJECT = Path(__file__).parents[2]


def alembic(*arguments: str, url: sa.URL | str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if url is not None:
        environment["DATABASE_URL"] = (
            url if isinstance(url, str) else url.render_as_string(hide_password=False)
        )
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "alembic", *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_alembic(*arguments: str, url: sa.URL | str | None) -> str:
    done = alembic(*arguments, url=url)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_upgrade_head_runs_on_database_url(
    empty_url: sa.URL, connection: sa.Connection, scheme: str
) -> None:
    given = empty_url.render_as_string(hide_password=False).split("://", 1)[1]
    run_alembic("upgrade", "head", url=f"{scheme}://{given}")
    assert schema.is_current(connection)


def test_check_current_and_downgrade_run_on_database_url(
    empty_url: sa.URL, connection: sa.Connection
) -> None:
    run_alembic("upgrade", "head", url=empty_url)
    assert "No new upgrade operations" in run_alembic("check", url=empty_url)
    assert run_alembic("current", url=empty_url).startswith(f"{schema.head_revision()} (head)")
    run_alembic("downgrade", "base", url=empty_url)
    assert schema.current_revision(connection) is None


def test_alembic_without_database_url_says_what_to_set() -> None:
    refused = alembic("upgrade", "head", url=None)
    assert refused.returncode != 0
    assert "set DATABASE_URL, for example postgresql" in refused.stderr


@pytest.mark.parametrize("url", ["mysql://me@host/name", "no url", "postgresql://host:port/name"])
def test_alembic_with_another_url_says_so_without_a_traceback(url: str) -> None:
    refused = alembic("upgrade", "head", url=url)
    assert refused.returncode != 0
    assert refused.stderr.startswith("DATABASE_URL ")
    assert "Traceback" not in refused.stderr


def test_alembic_in_a_read_only_session_says_so_without_a_traceback(empty_url: sa.URL) -> None:
    read_only = empty_url.update_query_dict({"options": "-c default_transaction_read_only=on"})
    refused = alembic("upgrade", "head", url=read_only)
    assert refused.returncode != 0
    assert "read-only" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_x_grant_to_grants_privileges_to_a_role(
    empty_url: sa.URL, connection: sa.Connection, new_role: Callable[[], str]
) -> None:
    role = new_role()
    run_alembic("-x", f"grant_to={role}", "upgrade", "head", url=empty_url)
    assert executable(connection, role) == FUNCTIONS


def test_offline_sql_creates_the_same_schema(
    empty_url: sa.URL, new_database: Callable[[str], sa.URL], connection: sa.Connection
) -> None:
    run_sql(empty_url, run_alembic("upgrade", "head", "--sql", url=None))
    assert schema.is_current(connection)
    connection.rollback()
    other = sa.create_engine(new_database("template0"), poolclass=sa.NullPool)
    with other.connect() as migrated:
        schema.upgrade(migrated)
        assert catalog(connection) == catalog(migrated)
    other.dispose()


def test_offline_downgrade_sql_drops_everything(
    empty_url: sa.URL, connection: sa.Connection
) -> None:
    before = catalog(connection)
    run_sql(empty_url, run_alembic("upgrade", "head", "--sql", url=None))
    run_sql(empty_url, run_alembic("downgrade", "head:base", "--sql", url=None))
    assert catalog(connection) == before


def test_offline_downgrade_sql_by_one_revision_keeps_the_schema(
    empty_url: sa.URL, connection: sa.Connection
) -> None:
    run_sql(empty_url, run_alembic("upgrade", "head", "--sql", url=None))
    run_sql(empty_url, run_alembic("downgrade", "head:sp_0001", "--sql", url=None))
    assert schema.current_revision(connection) == "sp_0001"
    connection.rollback()
    schema.upgrade(connection)
    assert schema.is_current(connection)


def run_sql(url: sa.URL, script: str) -> None:
    """Execute a script like ``psql --single-transaction``, without requiring psql."""
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(script.encode())


def downgrade_by_sql(connection: sa.Connection) -> None:
    run_sql(connection.engine.url, run_alembic("downgrade", "head:base", "--sql", url=None))
