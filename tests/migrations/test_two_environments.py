"""Only one Alembic environment can manage the schema of a database; others are refused."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.util import CommandError

from domain import schema
from domain.cli.main import main
from domain.errors import SchemaError
from tests.migrations.catalog import catalog
from tests.migrations.hosts import Host
from tests.migrations.test_command_line import run_sql
from tests.migrations.test_grants import FUNCTIONS, NEEDED, executable, privileges

MANAGED_BY_THE_HOST = r"application's own Alembic environment manages this schema.*`alembic "


@pytest.fixture
def host(tmp_path: Path, empty_url: sa.URL) -> Host:
    """Return an application with the package's revisions as a branch."""
    host = Host(tmp_path, empty_url)
    host.write_revision("h1", "op.execute('CREATE TABLE public.lessons ()')")
    host.add_branch()
    return host


def assert_refused(
    connection: sa.Connection, act: Callable[[], object], error: type[Exception], message: str
) -> None:
    """Assert that the call raises the error with the message and changes nothing."""
    before = catalog(connection)
    with pytest.raises(error, match=message):
        act()
    assert catalog(connection) == before


def test_branch_that_is_current_is_current_for_the_package(
    host: Host,
    connection: sa.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    host.upgrade()
    before = catalog(connection)
    assert schema.current_revision(connection) == schema.head_revision()
    schema.require_current(connection)
    for revision in ("head", "heads", "sp_0002", "studyplan@head"):
        schema.upgrade(connection, revision)
    monkeypatch.setenv("DATABASE_URL", connection.engine.url.render_as_string(hide_password=False))
    assert main(["upgrade"]) == 0
    assert capsys.readouterr().out.endswith("(already).\n")
    assert catalog(connection) == before


def test_branch_that_is_current_allows_grants(
    host: Host, connection: sa.Connection, new_role: Callable[[], str]
) -> None:
    host.upgrade()
    first, second = new_role(), new_role()
    schema.upgrade(connection, grant_to=first)
    schema.grant(connection, [second])
    for role in (first, second):
        assert executable(connection, role) == FUNCTIONS
        assert privileges(connection, role) == NEEDED - {("studyplan.alembic_version", "SELECT")}


def test_branch_that_is_older_is_refused_with_the_command_to_run(
    host: Host,
    connection: sa.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    host.upgrade("h1")
    host.upgrade("sp_0001")
    message = MANAGED_BY_THE_HOST + "upgrade studyplan@head`"
    assert_refused(connection, lambda: schema.upgrade(connection), SchemaError, message)
    assert_refused(connection, lambda: schema.require_current(connection), SchemaError, message)
    monkeypatch.setenv("DATABASE_URL", connection.engine.url.render_as_string(hide_password=False))
    assert main(["upgrade"]) == 1
    printed = capsys.readouterr().err
    assert "`alembic upgrade studyplan@head`" in printed
    assert printed.count("\n") == 1


def test_branch_without_the_schema_comment_is_refused_with_the_restoring_statement(
    host: Host, connection: sa.Connection
) -> None:
    host.upgrade()
    with connection.begin():
        connection.exec_driver_sql("COMMENT ON SCHEMA studyplan IS NULL")
    message = "was lost or changed.*application's own Alembic environment should have it"
    for act in (schema.upgrade, schema.downgrade, schema.require_current):
        assert_refused(connection, partial(act, connection), SchemaError, message)
    with pytest.raises(SchemaError) as error:
        schema.require_current(connection)
    statement = str(error.value).split("`")[1]
    with connection.begin():
        connection.exec_driver_sql(statement.replace("REVISION", "sp_0002"))
    schema.require_current(connection)


@pytest.mark.parametrize("revision", ["base", "sp_0001", "-1"])
def test_branch_is_not_downgraded_by_the_package(
    host: Host, connection: sa.Connection, revision: str
) -> None:
    host.upgrade()
    message = MANAGED_BY_THE_HOST + "(down|up)grade studyplan@"
    assert_refused(connection, lambda: schema.downgrade(connection, revision), SchemaError, message)


@pytest.mark.parametrize("per_migration", [False, True])
def test_branch_is_refused_if_the_package_created_the_schema(
    *, host: Host, connection: sa.Connection, per_migration: bool
) -> None:
    schema.upgrade(connection)
    host.upgrade("h1")
    assert_refused(
        connection,
        lambda: host.upgrade("heads", transaction_per_migration=per_migration),
        sa.exc.DBAPIError,
        "schema studyplan was already created by another Alembic environment",
    )
    schema.upgrade(connection)


def test_downgrade_of_the_branch_includes_revisions_that_depend_on_it(
    host: Host, connection: sa.Connection
) -> None:
    host.write_revision(
        "h2",
        "op.execute('CREATE TABLE public.later ()')",
        "op.execute('DROP TABLE public.later')",
        after="h1",
    )
    with (host.path / "versions" / "h2.py").open("a") as written:
        written.write("\n\ndepends_on = 'sp_0002'\n")
    host.upgrade()
    with pytest.raises(CommandError, match="Multiple heads are present"):
        command.revision(host.config, "a third one")
    host.downgrade("studyplan@base")
    with connection.begin():
        assert connection.scalars(sa.text("SELECT version_num FROM alembic_version")).all() == [
            "h1"
        ]
        assert sa.inspect(connection).get_table_names(schema="public") == [
            "alembic_version",
            "lessons",
        ]


def test_sql_script_is_refused_if_the_schema_exists(
    host: Host, connection: sa.Connection, empty_url: sa.URL
) -> None:
    def run() -> None:
        run_sql(empty_url, schema.upgrade_sql())

    host.upgrade()
    message = "already created by another Alembic environment"
    assert_refused(connection, run, Exception, message)
    host.downgrade("studyplan@base")
    schema.upgrade(connection)
    assert_refused(connection, run, Exception, r"alembic_version already exists: .* sp_0001:head")


def test_sql_script_and_package_can_be_used_alternately(
    connection: sa.Connection, empty_url: sa.URL
) -> None:
    """Both use the same version table."""
    run_sql(empty_url, schema.upgrade_sql("sp_0001"))
    schema.upgrade(connection)
    schema.downgrade(connection, "sp_0001")
    run_sql(empty_url, schema.upgrade_sql("sp_0001:head"))
    schema.require_current(connection)
