"""``python -m domain upgrade`` and ``downgrade``, from the wheel's files without any extra."""

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

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
    """What ``schema.upgrade`` makes of an empty database."""

    def make(grant_to: Iterable[str] = ()) -> Catalog:
        engine = sa.create_engine(new_database("template0"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            schema.upgrade(connection, grant_to=grant_to)
            made = catalog(connection)
            schema.downgrade(connection)  # nothing may refer to the roles, which are dropped
            return made

    return make


# --- upgrade ----------------------------------------------------------------------------


def test_upgrade_and_downgrade_work_from_the_wheel_alone(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection
) -> None:
    before = catalog(connection)
    said = wheel.domain("upgrade", url=empty_url)
    assert said == (0, f"The schema is at {HEAD} (from nothing).\n", "")
    assert wheel.domain("upgrade", url=empty_url)[1] == f"The schema is at {HEAD} (already).\n"
    said = wheel.domain("downgrade", "--revision", "sp_0001", url=empty_url)
    assert said == (0, f"The schema is at sp_0001 (from {HEAD}).\n", "")
    said = wheel.domain("downgrade", "--revision", "base", url=empty_url)
    assert said == (0, "The schema is at nothing (from sp_0001).\n", "")
    assert catalog(connection) == before


def test_upgrade_stops_at_a_revision(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection
) -> None:
    said = wheel.domain("upgrade", "--revision", "sp_0001", url=empty_url)
    assert said == (0, "The schema is at sp_0001 (from nothing).\n", "")
    assert schema.current_revision(connection) == "sp_0001"


def test_upgrade_works_whatever_the_default_isolation_level_is(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection
) -> None:
    database = quoted(str(empty_url.database))
    with connection.begin():
        connection.exec_driver_sql(
            f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'"
        )
    assert wheel.domain("upgrade", url=empty_url)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["downgrade"], 2, "required: --revision"),
        (["upgrade", "--grant-to", " , "], 2, "must name a role"),
        (["upgrade", "--revision", "sp_9"], 1, "cannot be run to sp_9: Can't locate revision"),
        (["upgrade", "--revision", ""], 1, "'' is not a revision"),
        (["upgrade", "--revision", "a:b:c"], 1, "'a:b:c' is not a revision"),
        (["upgrade", "--revision", "sp_0001:head"], 1, "cannot be run to sp_0001:head"),
        (["upgrade", "--sql", "--revision", "sp_9"], 1, "cannot be run to sp_9"),
        (["upgrade", "--grant-to", "nobody at all"], 1, 'no role "nobody at all" on this server'),
        (["upgrade", "--grant-to", "public"], 1, 'no role "public" on this server'),
    ],
)
def test_command_that_fails_says_why_in_one_line_and_changes_nothing(
    *,
    wheel: Wheel,
    empty_url: sa.URL,
    connection: sa.Connection,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    before = catalog(connection)
    failed, out, err = wheel.domain(*arguments, url=empty_url)
    assert (failed, out) == (code, "")
    assert words in err
    assert code == 2 or err.count("\n") == 1
    assert catalog(connection) == before


@pytest.mark.parametrize("command", [["upgrade"], ["downgrade", "--revision", "base"]])
def test_command_without_a_database_is_misused(wheel: Wheel, command: list[str]) -> None:
    code, out, err = wheel.domain(*command)
    assert (code, out) == (2, "")
    assert err.startswith("Set DATABASE_URL")


def test_read_only_database_is_told_in_one_line(
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


# --- --sql ------------------------------------------------------------------------------


def test_printed_sql_makes_the_same_catalog_through_psql(
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


def test_printed_sql_of_a_range_continues_an_older_schema(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection, migrated: Callable[..., Catalog]
) -> None:
    psql(empty_url, wheel.domain("upgrade", "--sql", "--revision", "sp_0001")[1])
    assert schema.current_revision(connection) == "sp_0001"
    psql(empty_url, wheel.domain("upgrade", "--sql", "--revision", "sp_0001:head")[1])
    assert schema.is_current(connection)
    assert catalog(connection) == migrated()


def test_sql_is_one_transaction(empty_url: sa.URL, connection: sa.Connection) -> None:
    before = catalog(connection)
    script = schema.upgrade_sql(grant_to="nobody at all")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        psql(empty_url, script)
    assert 'role "nobody at all" does not exist' in failed.value.stderr
    assert catalog(connection) == before


# --- grants -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_names_of_roles_are_taken_as_they_are(
    connection: sa.Connection, new_role: Callable[..., str], name: str
) -> None:
    role = new_role(name)
    schema.upgrade(connection)
    schema.grant(connection, f" {role} ,")
    assert executable(connection, role) == FUNCTIONS
    assert privileges(connection, role) == NEEDED


def test_backslash_in_a_name_means_itself_under_every_setting(
    connection: sa.Connection, new_role: Callable[..., str]
) -> None:
    role = new_role("back\\slash \\' ")
    schema.upgrade(connection)
    with connection.begin():
        connection.exec_driver_sql("SET LOCAL escape_string_warning = off")
        connection.exec_driver_sql("SET LOCAL standard_conforming_strings = off")
        schema.grant(connection, [role])
    assert privileges(connection, role) == NEEDED


def test_name_with_a_comma_is_one_of_a_list(
    connection: sa.Connection, new_role: Callable[..., str]
) -> None:
    role = new_role("one, two")
    schema.upgrade(connection, grant_to=[role])
    assert privileges(connection, role) == NEEDED


def test_upgrade_grants_where_the_schema_is_there_already(
    wheel: Wheel, empty_url: sa.URL, connection: sa.Connection, new_role: Callable[..., str]
) -> None:
    schema.upgrade(connection)
    role = new_role()
    said = wheel.domain("upgrade", "--grant-to", role, url=empty_url)
    assert said == (0, f"The schema is at {HEAD} (already).\n", "")
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


@pytest.mark.parametrize("roles", [["a", ""], ["a\0b"]])
def test_what_cannot_be_a_name_is_refused(connection: sa.Connection, roles: list[str]) -> None:
    for act in (schema.grant, lambda c, r: schema.upgrade(c, grant_to=r)):
        with pytest.raises(MisuseError, match="is not the name of a role"):
            act(connection, roles)
    assert schema.current_revision(connection) is None


def test_role_that_does_not_exist_is_named_with_what_creates_it(connection: sa.Connection) -> None:
    before = catalog(connection)
    with pytest.raises(SchemaError, match=r'no role "No" on .* CREATE ROLE "No" LOGIN'):
        schema.upgrade(connection, grant_to="No")
    assert catalog(connection) == before


def test_revisions_of_the_wheel_are_found_as_a_package_resource(wheel: Wheel) -> None:
    """As a branch in ``version_locations``."""
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
