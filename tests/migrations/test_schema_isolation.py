"""The package uses only its own schema ``studyplan``, whatever else the database contains."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from domain import schema
from tests.migrations.catalog import catalog
from tests.migrations.conftest import quoted
from tests.migrations.test_command_line import downgrade_by_sql, run_alembic, run_sql
from tests.migrations.test_models import check

TABLES = ["plan_groups", "contents", "blocks", "student_plans", "alembic_version"]
REVISIONS = ["sp_0001", "sp_0002"]
HOSTS_ENV = """
from alembic import context
from sqlalchemy import MetaData

context.configure(connection=context.config.attributes["connection"], target_metadata=MetaData())
with context.begin_transaction():
    context.run_migrations()
"""
HOSTS_REVISION = """
from alembic import op

revision, down_revision = "host_1", None


def upgrade():
    op.execute("CREATE TABLE public.contents (id integer)")


def downgrade():
    op.execute("DROP TABLE public.contents")
"""


Run = Callable[[sa.Connection], object]


def upgrade_by_sql(connection: sa.Connection) -> None:
    run_sql(connection.engine.url, run_alembic("upgrade", "head", "--sql", url=None))


@pytest.fixture(params=["app", "app, public", "studyplan, public", "pg_temp, app, pg_catalog"])
def misled(
    request: pytest.FixtureRequest, connection: sa.Connection, empty_url: sa.URL
) -> sa.Connection:
    """Return a connection whose search path has other tables with the names of the package's."""
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA app")
        database = quoted(str(empty_url.database))
        connection.exec_driver_sql(f"ALTER DATABASE {database} SET search_path = {request.param}")
        connection.exec_driver_sql(f"SET search_path = {request.param}")
        for table in TABLES:
            connection.exec_driver_sql(f"CREATE TABLE app.{table} (id integer)")
            connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {table} (id integer)")
    return connection


def test_upgrade_check_and_downgrade_work_with_another_search_path(misled: sa.Connection) -> None:
    before = catalog(misled)
    assert not schema.is_current(misled)
    schema.upgrade(misled)
    assert schema.is_current(misled)
    check(misled)
    misled.rollback()
    schema.downgrade(misled)
    assert catalog(misled) == before


@pytest.mark.parametrize(
    "owner", ["DATABASE {database}", "ROLE CURRENT_USER IN DATABASE {database}"]
)
@pytest.mark.parametrize("path", ["app", "app, public"])
def test_search_path_of_the_database_or_role_has_no_effect(
    empty_url: sa.URL, connection: sa.Connection, owner: str, path: str
) -> None:
    """Each command opens a new connection, which starts with the setting."""
    target = owner.format(database=quoted(str(empty_url.database)))
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA app")
        for table in TABLES:
            connection.exec_driver_sql(f"CREATE TABLE app.{table} (id integer)")
        connection.exec_driver_sql(f"ALTER {target} SET search_path = {path}")
    before = catalog(connection)
    run_alembic("upgrade", "head", url=empty_url)
    assert "No new upgrade operations" in run_alembic("check", url=empty_url)
    assert run_alembic("current", url=empty_url).startswith(f"{schema.head_revision()} (head)")
    with connection.engine.connect() as fresh:
        assert fresh.scalar(sa.text("SHOW search_path")) == path
        assert schema.is_current(fresh)
    run_alembic("downgrade", "base", url=empty_url)
    assert catalog(connection) == before
    upgrade_by_sql(connection)
    assert schema.is_current(connection)
    connection.rollback()
    downgrade_by_sql(connection)
    assert catalog(connection) == before


def test_schema_named_like_the_role_stays_empty(
    connection: sa.Connection, new_role: Callable[[], str]
) -> None:
    role = quoted(new_role())
    with connection.begin():
        connection.exec_driver_sql(f"ALTER ROLE {role} SUPERUSER")
        connection.exec_driver_sql(f"CREATE SCHEMA {role} AUTHORIZATION {role}")
        connection.exec_driver_sql(f"SET SESSION AUTHORIZATION {role}")
    schema.upgrade(connection)
    assert schema.is_current(connection)
    check(connection)
    connection.rollback()
    assert sa.inspect(connection).get_table_names(schema=role.strip('"').replace('""', '"')) == []
    connection.rollback()
    schema.downgrade(connection)
    connection.exec_driver_sql("RESET SESSION AUTHORIZATION")
    connection.exec_driver_sql(f"DROP SCHEMA {role}")
    connection.commit()


@pytest.mark.parametrize(
    ("up", "down"),
    [(schema.upgrade, schema.downgrade), (upgrade_by_sql, downgrade_by_sql)],
    ids=["online", "offline"],
)
@pytest.mark.parametrize("first", [True, False], ids=["created before", "created afterwards"])
def test_schema_with_objects_of_the_host_is_kept(
    connection: sa.Connection, up: Run, down: Run, first: bool
) -> None:
    """The objects and the schema are kept; the version table and the comment are dropped."""
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA studyplan")
        connection.exec_driver_sql("CREATE TABLE studyplan.of_the_host (id integer)")
    host_catalog = catalog(connection)
    if not first:
        with connection.begin():
            connection.exec_driver_sql("DROP SCHEMA studyplan CASCADE")
    up(connection)
    if not first:
        with connection.begin():
            connection.exec_driver_sql("CREATE TABLE studyplan.of_the_host (id integer)")
    assert schema.is_current(connection)
    connection.rollback()
    down(connection)
    assert catalog(connection) == host_catalog
    assert schema.current_revision(connection) is None
    connection.rollback()
    up(connection)
    assert schema.is_current(connection)


@pytest.mark.parametrize("comment", ["NULL", "'of the host'", "'studyplan-domain, revision'"])
def test_schema_that_exists_already_is_used_and_has_no_revision(
    connection: sa.Connection, comment: str
) -> None:
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA studyplan")
        connection.exec_driver_sql(f"COMMENT ON SCHEMA studyplan IS {comment}")
    assert schema.current_revision(connection) is None
    schema.upgrade(connection)
    assert schema.is_current(connection)


def test_schema_is_stamped_by_each_revision(connection: sa.Connection) -> None:
    for revision in REVISIONS:
        schema.upgrade(connection, revision)
        assert schema.current_revision(connection) == revision
        assert schema.is_current(connection) is (revision == REVISIONS[-1])
    for revision in reversed(REVISIONS[:-1]):
        schema.downgrade(connection, revision)
        assert schema.current_revision(connection) == revision
        assert not schema.is_current(connection)
    schema.downgrade(connection)
    assert schema.current_revision(connection) is None
    assert not schema.is_current(connection)


def test_branch_in_the_environment_of_a_host_is_recognized(
    connection: sa.Connection, tmp_path: Path
) -> None:
    """The version table is the host's; the revisions create and drop the package's schema."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(HOSTS_ENV)
    (tmp_path / "versions" / "host_1.py").write_text(HOSTS_REVISION)
    shutil.copytree(schema.migrations_directory() / "versions", tmp_path / "package")
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", f"{tmp_path / 'versions'}\n{tmp_path / 'package'}")
    config.attributes["connection"] = connection
    before = catalog(connection)
    command.upgrade(config, "heads")
    connection.commit()
    assert schema.is_current(connection)
    migrated = catalog(connection)
    command.current(schema._config(connection=connection))
    assert catalog(connection) == migrated, "the package's own environment changed the catalog"
    tables = sa.inspect(connection).get_table_names
    assert set(tables(schema="public")) == {"alembic_version", "contents"}
    assert "alembic_version" not in tables(schema="studyplan")
    connection.rollback()
    command.downgrade(config, "base")
    connection.commit()
    assert schema.current_revision(connection) is None
    connection.rollback()
    with connection.begin():
        connection.exec_driver_sql("DROP TABLE public.alembic_version")
    assert catalog(connection) == before


def test_autogenerate_of_a_host_ignores_the_packages_tables(connection: sa.Connection) -> None:
    schema.upgrade(connection)
    context = MigrationContext.configure(connection)
    assert compare_metadata(context, sa.MetaData()) == []
