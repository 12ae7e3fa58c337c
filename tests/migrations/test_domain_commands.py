"""``python -m domain upgrade`` and ``downgrade``, run from the wheel's files without extras."""

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from domain import schema
from domain.errors import MisuseError, SchemaError
from tests.migrations.catalog import Catalog, catalog
from tests.migrations.conftest import quoted
from tests.migrations.hosts import Wheel
from tests.migrations.test_grants import FUNCTIONS, NEEDED, executable, privileges
from tests.servers import binaries

HEAD = schema.head_revision()
NAMES = ['My "Role"', "Schüler 학생", "o'neill\\ $$ $grant$ 100% :x %(y)s", "group"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    return Wheel(tmp_path_factory.mktemp("wheel"))


def psql(url: sa.URL, script: str) -> None:
    subprocess.run(  # noqa: S603 - PostgreSQL's own program
        [
            binaries() / "psql",
            *("-X", "-q", "-v", "ON_ERROR_STOP=1"),
            url.set(drivername="postgresql").render_as_string(hide_password=False),
        ],
        input=script,
        encoding="utf-8",
        timeout=60,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def migrated(new_database: Callable[[str], sa.URL]) -> Callable[..., Catalog]:
    """Return a function that returns the catalog after ``schema.upgrade`` of an empty database."""

    def upgraded(grant_to: Iterable[str] = ()) -> Catalog:
        engine = sa.create_engine(new_database("template0"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            schema.upgrade(connection, grant_to=grant_to)
            result = catalog(connection)
            # PostgreSQL cannot drop a role that has privileges in any database.
            schema.downgrade(connection)
            return result

    return upgraded


# --- upgrade ----------------------------------------------------------------------------


def test_upgrade_and_downgrade_work_from_the_wheel(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection
) -> None:
    before = catalog(connection)
    result = wheel.domain("upgrade", url=empty_url)
    assert result == (0, f"The schema is at {HEAD} (from nothing).\n", "")
    assert wheel.domain("upgrade", url=empty_url)[1] == f"The schema is at {HEAD} (already).\n"
    result = wheel.domain("downgrade", "--revision", "sp_0001", url=empty_url)
    assert result == (0, f"The schema is at sp_0001 (from {HEAD}).\n", "")
    result = wheel.domain("downgrade", "--revision", "base", url=empty_url)
    assert result == (0, "The schema is at nothing (from sp_0001).\n", "")
    assert catalog(connection) == before


def test_upgrade_stops_at_a_revision(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection
) -> None:
    result = wheel.domain("upgrade", "--revision", "sp_0001", url=empty_url)
    assert result == (0, "The schema is at sp_0001 (from nothing).\n", "")
    assert schema.current_revision(connection) == "sp_0001"


def test_upgrade_does_not_depend_on_the_default_isolation_level(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection
) -> None:
    database = quoted(str(empty_url.database))
    with connection.begin():
        connection.exec_driver_sql(
            f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'"
        )
    assert wheel.domain("upgrade", url=empty_url)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["downgrade"], 2, "required: --revision"),
        (["upgrade", "--grant-to", " , "], 2, "must name a role"),
        (["upgrade", "--revision", "sp_9"], 1, "cannot be run to sp_9: Can't locate revision"),
        (["upgrade", "--revision", ""], 1, "'' is not a revision"),
        (["upgrade", "--revision", "a:b:c"], 1, "'a:b:c' is not a revision"),
        (["upgrade", "--revision", "sp_0001:head"], 1, "cannot be run to sp_0001:head"),
        (["upgrade", "--sql", "--revision", "sp_9"], 1, "cannot be run to sp_9"),
        (["upgrade", "--grant-to", "missing role"], 1, 'no role "missing role" on this server'),
        (["upgrade", "--grant-to", "public"], 1, 'no role "public" on this server'),
    ],
)
def test_failed_command_gives_the_reason_in_one_line_and_changes_nothing(
    *,
    wheel: Wheel,
    empty_url: sa.URL,
    connection: sa.Connection,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    before = catalog(connection)
    failed, out, err = wheel.domain(*arguments, url=empty_url)
    assert (failed, out) == (code, "")
    assert message in err
    assert code == 2 or err.count("\n") == 1
    assert catalog(connection) == before


@pytest.mark.parametrize("command", [["upgrade"], ["downgrade", "--revision", "base"]])
def test_command_without_database_url_is_a_usage_error(wheel: Wheel, command: list[str]) -> None:
    code, out, err = wheel.domain(*command)
    assert (code, out) == (2, "")
    assert err.startswith("Set DATABASE_URL")


def test_read_only_database_is_reported_in_one_line(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection
) -> None:
    database = quoted(str(empty_url.database))
    with connection.begin():
        connection.exec_driver_sql(
            f"ALTER DATABASE {database} SET default_transaction_read_only = on"
        )
    code, _, err = wheel.domain("upgrade", url=empty_url)
    assert (code, err.count("\n")) == (1, 1)
    assert "read-only" in err


# --- printed SQL ------------------------------------------------------------------------


def test_printed_sql_creates_the_same_catalog_with_psql(
    wheel: Wheel,
    empty_url: sa.URL,
    connection: sa.Connection,
    new_role: Callable[..., str],
    migrated: Callable[..., Catalog],
) -> None:
    roles = [new_role(), *(new_role(name) for name in NAMES)]
    code, script, err = wheel.domain("upgrade", "--sql", "--grant-to", ",".join(roles))
    assert (code, err) == (0, "")
    psql(empty_url, script)
    assert schema.is_current(connection)
    assert catalog(connection) == migrated(grant_to=roles)
    for role in roles:
        assert executable(connection, role) == FUNCTIONS
        assert privileges(connection, role) == NEEDED


def test_printed_sql_of_a_range_upgrades_an_older_schema(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection, migrated: Callable[..., Catalog]
) -> None:
    psql(empty_url, wheel.domain("upgrade", "--sql", "--revision", "sp_0001")[1])
    assert schema.current_revision(connection) == "sp_0001"
    psql(empty_url, wheel.domain("upgrade", "--sql", "--revision", "sp_0001:head")[1])
    assert schema.is_current(connection)
    assert catalog(connection) == migrated()


def test_printed_sql_is_a_single_transaction(empty_url: sa.URL, connection: sa.Connection) -> None:
    before = catalog(connection)
    script = schema.upgrade_sql(grant_to="missing role")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        psql(empty_url, script)
    assert 'role "missing role" does not exist' in failed.value.stderr
    assert catalog(connection) == before


# --- grants -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_role_names_are_used_unchanged(
    connection: sa.Connection, new_role: Callable[..., str], name: str
) -> None:
    role = new_role(name)
    schema.upgrade(connection)
    schema.grant(connection, f" {role} ,")
    assert executable(connection, role) == FUNCTIONS
    assert privileges(connection, role) == NEEDED


def test_backslash_in_a_role_name_is_literal_under_every_setting(
    connection: sa.Connection, new_role: Callable[..., str]
) -> None:
    role = new_role("back\\slash \\' ")
    schema.upgrade(connection)
    with connection.begin():
        connection.exec_driver_sql("SET LOCAL escape_string_warning = off")
        connection.exec_driver_sql("SET LOCAL standard_conforming_strings = off")
        schema.grant(connection, [role])
    assert privileges(connection, role) == NEEDED


def test_role_name_with_a_comma_is_accepted_in_a_list(
    connection: sa.Connection, new_role: Callable[..., str]
) -> None:
    role = new_role("one, two")
    schema.upgrade(connection, grant_to=[role])
    assert privileges(connection, role) == NEEDED


def test_upgrade_grants_privileges_on_an_existing_schema(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection, new_role: Callable[..., str]
) -> None:
    schema.upgrade(connection)
    role = new_role()
    result = wheel.domain("upgrade", "--grant-to", role, url=empty_url)
    assert result == (0, f"The schema is at {HEAD} (already).\n", "")
    assert privileges(connection, role) == NEEDED


def test_grant_is_part_of_the_callers_transaction(
    connection: sa.Connection, new_role: Callable[..., str]
) -> None:
    role = new_role()
    schema.upgrade(connection)
    with connection.begin() as transaction:
        schema.grant(connection, role)
        transaction.rollback()
    assert privileges(connection, role) == set()


def test_grant_without_the_schema_is_refused(
    connection: sa.Connection, new_role: Callable[..., str]
) -> None:
    with pytest.raises(SchemaError, match="does not have the schema"):
        schema.grant(connection, new_role())


@pytest.mark.parametrize(
    "roles",
    [
        ["a", ""],
        ["a\0b"],
        "a\0b",
        ["\ud800"],
        "app,\udcff",
        [5],
        ["a", None],
        [b"a"],
        b"app",
        None,
        5,
    ],
)
def test_invalid_role_name_is_refused(connection: sa.Connection, roles: Any) -> None:
    for act in (
        schema.grant,
        lambda c, r: schema.upgrade(c, grant_to=r),
        lambda _, r: schema.upgrade_sql(grant_to=r),
    ):
        with pytest.raises(MisuseError, match=r"^grant_to: .* role"):
            act(connection, roles)
    assert schema.current_revision(connection) is None


@pytest.mark.parametrize("revision", [None, 5, b"head", ["head"], "", "\udcff", "head\n"])
def test_invalid_revision_is_refused(connection: sa.Connection, revision: Any) -> None:
    for act in (schema.upgrade, schema.downgrade, lambda _, r: schema.upgrade_sql(r)):
        with pytest.raises(SchemaError, match="is not a revision"):
            act(connection, revision)
    assert schema.current_revision(connection) is None


def test_missing_role_is_reported_with_the_statement_that_creates_it(
    connection: sa.Connection,
) -> None:
    before = catalog(connection)
    with pytest.raises(SchemaError, match=r'no role "No" on .* CREATE ROLE "No" LOGIN'):
        schema.upgrade(connection, grant_to="No")
    assert catalog(connection) == before


def test_revisions_of_the_wheel_are_found_as_a_package_resource(wheel: Wheel) -> None:
    """Applications name it in ``version_locations``."""
    program = (
        "from alembic.config import Config; from alembic.script import ScriptDirectory; "
        "config = Config(); config.set_main_option('script_location', '.'); "
        "config.set_main_option('path_separator', 'newline'); "
        "config.set_main_option('version_locations', 'domain:migrations/versions'); "
        "print(ScriptDirectory.from_config(config).get_revision('studyplan@head').revision)"
    )
    done = wheel.run("-c", program)
    assert (done.stdout, done.stderr) == (f"{HEAD}\n", "")
    assert not (Path(schema.__file__).parent / "migrations").exists()
