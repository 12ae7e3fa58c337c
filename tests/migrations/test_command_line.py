"""``alembic`` in a process of its own, with the connection in ``DATABASE_URL``."""

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


def ran(*arguments: str, url: sa.URL | str | None) -> str:
    done = alembic(*arguments, url=url)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_upgrade_head_runs_on_database_url(
    empty_url: sa.URL, connection: sa.Connection, scheme: str
) -> None:
    given = empty_url.render_as_string(hide_password=False).split("://", 1)[1]
    ran("upgrade", "head", url=f"{scheme}://{given}")
    assert schema.is_current(connection)


def test_check_current_and_downgrade_run_too(empty_url: sa.URL, connection: sa.Connection) -> None:
    ran("upgrade", "head", url=empty_url)
    assert "No new upgrade operations" in ran("check", url=empty_url)
    assert ran("current", url=empty_url).startswith(f"{schema.head_revision()} (head)")
    ran("downgrade", "base", url=empty_url)
    assert schema.current_revision(connection) is None


def test_without_database_url_it_says_what_to_set() -> None:
    refused = alembic("upgrade", "head", url=None)
    assert refused.returncode != 0
    assert "set DATABASE_URL, for example postgresql" in refused.stderr


def test_x_grant_to_names_a_role(
    empty_url: sa.URL, connection: sa.Connection, new_role: Callable[[], str]
) -> None:
    role = new_role()
    ran("-x", f"grant_to={role}", "upgrade", "head", url=empty_url)
    assert executable(connection, role) == FUNCTIONS


def test_the_sql_of_the_offline_mode_makes_the_same_schema(
    empty_url: sa.URL, new_database: Callable[[str], sa.URL], connection: sa.Connection
) -> None:
    run_sql(empty_url, ran("upgrade", "head", "--sql", url=None))
    assert schema.is_current(connection)
    connection.rollback()
    other = sa.create_engine(new_database("template0"), poolclass=sa.NullPool)
    with other.connect() as migrated:
        schema.upgrade(migrated)
        assert catalog(connection) == catalog(migrated)
    other.dispose()


def test_the_sql_of_the_offline_downgrade_takes_everything_back(
    empty_url: sa.URL, connection: sa.Connection
) -> None:
    before = catalog(connection)
    run_sql(empty_url, ran("upgrade", "head", "--sql", url=None))
    run_sql(empty_url, ran("downgrade", "head:base", "--sql", url=None))
    assert catalog(connection) == before


def test_the_sql_of_an_offline_downgrade_by_one_revision_keeps_the_schema(
    empty_url: sa.URL, connection: sa.Connection
) -> None:
    run_sql(empty_url, ran("upgrade", "head", "--sql", url=None))
    run_sql(empty_url, ran("downgrade", "head:sp_0001", "--sql", url=None))
    assert schema.current_revision(connection) == "sp_0001"
    connection.rollback()
    schema.upgrade(connection)
    assert schema.is_current(connection)


def run_sql(url: sa.URL, script: str) -> None:
    """As ``psql --single-transaction`` would, which need not be installed."""
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(script.encode())


def downgrade_by_sql(connection: sa.Connection) -> None:
    run_sql(connection.engine.url, ran("downgrade", "head:base", "--sql", url=None))
