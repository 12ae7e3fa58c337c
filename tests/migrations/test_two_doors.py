"""One database, one Alembic environment that manages the schema: the others say so."""

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

BY_THE_HOST = r"application's own Alembic environment manages this schema.*`alembic "


@pytest.fixture
def host(tmp_path: Path, empty_url: sa.URL) -> Host:
    """An application with this package's revisions as a branch."""
    host = Host(tmp_path, empty_url)
    host.write_revision("h1", "op.execute('CREATE TABLE public.mine ()')")
    host.add_branch()
    return host


def unchanged_by(
    connection: sa.Connection, act: Callable[[], object], error: type[Exception], words: str
) -> None:
    before = catalog(connection)
    with pytest.raises(error, match=words):
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


def test_branch_that_is_current_can_be_granted(
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
    words = BY_THE_HOST + "upgrade studyplan@head`"
    unchanged_by(connection, lambda: schema.upgrade(connection), SchemaError, words)
    unchanged_by(connection, lambda: schema.require_current(connection), SchemaError, words)
    monkeypatch.setenv("DATABASE_URL", connection.engine.url.render_as_string(hide_password=False))
    assert main(["upgrade"]) == 1
    told = capsys.readouterr().err
    assert "`alembic upgrade studyplan@head`" in told
    assert told.count("\n") == 1


def test_branch_whose_schema_lost_its_comment_is_not_told_to_make_it_again(
    host: Host, connection: sa.Connection
) -> None:
    host.upgrade()
    with connection.begin():
        connection.exec_driver_sql("COMMENT ON SCHEMA studyplan IS NULL")
    words = "was lost or changed.*application's own Alembic environment should have it"
    for act in (schema.upgrade, schema.downgrade, schema.require_current):
        unchanged_by(connection, partial(act, connection), SchemaError, words)
    with pytest.raises(SchemaError) as told:
        schema.require_current(connection)
    statement = str(told.value).split("`")[1]
    with connection.begin():
        connection.exec_driver_sql(statement.replace("REVISION", "sp_0002"))
    schema.require_current(connection)


@pytest.mark.parametrize("revision", ["base", "sp_0001", "-1"])
def test_branch_is_not_taken_back_by_the_package(
    host: Host, connection: sa.Connection, revision: str
) -> None:
    host.upgrade()
    words = BY_THE_HOST + "(down|up)grade studyplan@"
    unchanged_by(connection, lambda: schema.downgrade(connection, revision), SchemaError, words)


@pytest.mark.parametrize("per_migration", [False, True])
def test_branch_is_refused_where_the_package_came_first(
    *, host: Host, connection: sa.Connection, per_migration: bool
) -> None:
    schema.upgrade(connection)
    host.upgrade("h1")
    unchanged_by(
        connection,
        lambda: host.upgrade("heads", transaction_per_migration=per_migration),
        sa.exc.DBAPIError,
        "schema studyplan was already created by another Alembic environment",
    )
    schema.upgrade(connection)


def test_downgrade_of_the_branch_takes_the_revisions_that_depend_on_it_along(
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
            "mine",
        ]


def test_sql_is_refused_where_the_schema_is_there_already(
    host: Host, connection: sa.Connection, empty_url: sa.URL
) -> None:
    def run() -> None:
        run_sql(empty_url, schema.upgrade_sql())

    host.upgrade()
    words = "already created by another Alembic environment"
    unchanged_by(connection, run, Exception, words)
    host.downgrade("studyplan@base")
    schema.upgrade(connection)
    unchanged_by(connection, run, Exception, r"alembic_version already exists: .* sp_0001:head")


def test_sql_and_the_package_continue_each_other(
    connection: sa.Connection, empty_url: sa.URL
) -> None:
    """They are one door: the same version table."""
    run_sql(empty_url, schema.upgrade_sql("sp_0001"))
    schema.upgrade(connection)
    schema.downgrade(connection, "sp_0001")
    run_sql(empty_url, schema.upgrade_sql("sp_0001:head"))
    schema.require_current(connection)
