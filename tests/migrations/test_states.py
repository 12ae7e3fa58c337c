"""Database states from which a run cannot start: an error is raised and nothing is changed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain import schema
from domain.errors import SchemaError
from tests.migrations.catalog import catalog
from tests.migrations.conftest import quoted
from tests.migrations.hosts import Host
from tests.migrations.test_command_line import downgrade_by_sql, run_sql

Run = Callable[[sa.Connection], object]


def assert_refused(connection: sa.Connection, message: str, act: Run = schema.upgrade) -> None:
    """Assert that the call raises ``SchemaError`` with the message and changes nothing.

    The call is made outside of a transaction and in one of the caller.
    """
    before = catalog(connection)
    with pytest.raises(SchemaError, match=message):
        act(connection)
    assert catalog(connection) == before
    with connection.begin(), pytest.raises(SchemaError, match=message):
        act(connection)
    assert catalog(connection) == before


# --- objects of the host ----------------------------------------------------------------


@pytest.mark.parametrize("act", [schema.upgrade, schema.downgrade])
@pytest.mark.parametrize("rows", ["", "INSERT INTO studyplan.alembic_version VALUES ('host_7')"])
def test_version_table_of_the_host_in_the_packages_schema_is_reported(
    connection: sa.Connection, act: Run, rows: str
) -> None:
    with connection.begin():
        connection.exec_driver_sql(
            "CREATE SCHEMA studyplan; CREATE TABLE studyplan.alembic_version (version_num text); "
            f"{rows}"
        )
    assert_refused(connection, r"version table of another .* another version_table_schema", act)


def test_branch_with_its_version_table_in_the_packages_schema_belongs_to_the_host(
    tmp_path: Path, connection: sa.Connection, empty_url: sa.URL
) -> None:
    host = Host(tmp_path, empty_url)
    host.write_revision("h1", "pass")
    host.add_branch()
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA studyplan")
    host.upgrade(version_table_schema="studyplan")
    assert schema.is_current(connection)
    assert_refused(
        connection, r"another Alembic environment \(it has h1, sp_0002\)", schema.downgrade
    )


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE studyplan.contents ()",
        "CREATE VIEW studyplan.plan_groups AS SELECT 1",
        "CREATE FUNCTION studyplan.plan_lock_version() RETURNS integer LANGUAGE sql AS 'SELECT 7'",
        "CREATE FUNCTION public.check_plan_group_lock(uuid) RETURNS int LANGUAGE sql AS 'SELECT 7'",
    ],
)
def test_objects_with_the_packages_names_are_reported_and_kept(
    connection: sa.Connection, statement: str
) -> None:
    with connection.begin():
        connection.exec_driver_sql(f"CREATE SCHEMA studyplan; {statement}")
    assert_refused(
        connection, "an object of this name that this package did not create: .* already exists"
    )


def test_database_without_the_schema_public_is_refused_with_the_servers_message(
    connection: sa.Connection,
) -> None:
    with connection.begin():
        connection.exec_driver_sql("DROP SCHEMA public")
    assert_refused(
        connection,
        'that the database does not have: schema "public" does not exist.* Create it first',
    )
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA public")
    schema.upgrade(connection)
    schema.require_current(connection)


@pytest.mark.parametrize("change", ["DELETE FROM studyplan.alembic_version", "COMMENT"])
def test_version_table_and_comment_that_differ_are_both_reported(
    connection: sa.Connection, change: str
) -> None:
    schema.upgrade(connection)
    change = {"COMMENT": "COMMENT ON SCHEMA studyplan IS 'studyplan-domain, revision sp_0001'"}.get(
        change, change
    )
    with connection.begin():
        connection.exec_driver_sql(change)
    assert_refused(
        connection, r"comment says revision sp_000\d, and studyplan.alembic_version says "
    )


@pytest.mark.parametrize("revision", ["sp_0001", "sp_0002"])
@pytest.mark.parametrize("comment", ["NULL", "'of the host'"])
def test_schema_without_its_comment_is_refused_with_the_statement_that_restores_it(
    connection: sa.Connection, new_role: Callable[[], str], comment: str, revision: str
) -> None:
    role = new_role()
    schema.upgrade(connection, revision)
    with connection.begin():
        connection.exec_driver_sql(f"COMMENT ON SCHEMA studyplan IS {comment}")
    acts: list[Run] = [
        schema.upgrade,
        schema.downgrade,
        schema.require_current,
        lambda c: schema.grant(c, [role]),
    ]
    for act in acts:
        assert_refused(
            connection, rf"was lost or changed.* studyplan\.alembic_version has {revision}", act
        )
    with pytest.raises(SchemaError) as error:
        schema.require_current(connection)
    with connection.begin():
        connection.exec_driver_sql(str(error.value).split("`")[1])
    assert schema.current_revision(connection) == revision
    schema.upgrade(connection)
    schema.require_current(connection)


def test_schema_without_its_comment_is_missing_for_a_role_that_cannot_read_it(
    connection: sa.Connection, new_role: Callable[[], str]
) -> None:
    schema.upgrade(connection)
    with connection.begin():
        connection.exec_driver_sql("COMMENT ON SCHEMA studyplan IS NULL")
        connection.exec_driver_sql(f"SET LOCAL ROLE {quoted(new_role())}")
        with pytest.raises(SchemaError, match="does not have the schema of this package"):
            schema.require_current(connection)
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_version_table_without_the_packages_tables_is_not_a_lost_comment(
    connection: sa.Connection,
) -> None:
    with connection.begin():
        connection.exec_driver_sql(
            "CREATE SCHEMA studyplan; CREATE TABLE studyplan.alembic_version (version_num text); "
            "INSERT INTO studyplan.alembic_version VALUES ('sp_0002')"
        )
    assert_refused(
        connection, "comment says revision none, and studyplan.alembic_version says sp_0002"
    )
    assert_refused(connection, "does not have the schema", schema.require_current)


# --- privileges -------------------------------------------------------------------------


@pytest.fixture
def migrator(connection: sa.Connection, new_role: Callable[[], str]) -> sa.Connection:
    """Return a connection as a role that has no CREATE privilege."""
    role = quoted(new_role())
    connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    connection.exec_driver_sql(f"SET ROLE {role}")
    connection.commit()
    return connection


def as_owner(connection: sa.Connection, statement: str) -> None:
    """Execute a statement as the owner, and return to the current role."""
    with connection.begin():
        role = quoted(str(connection.scalar(sa.text("SELECT current_user"))))
        database = quoted(str(connection.engine.url.database))
        connection.exec_driver_sql("RESET ROLE")
        connection.exec_driver_sql(statement.format(role=role, database=database))
        connection.exec_driver_sql(f"SET ROLE {role}")


CREATE = "GRANT CREATE ON DATABASE {database} TO {role}"
CREATE_IN_PUBLIC = "GRANT CREATE ON SCHEMA public TO {role}"


@pytest.mark.parametrize(
    ("granted", "message"),
    [
        ("SELECT 1", "permission denied for database .* needs CREATE on the database"),
        (CREATE, "permission denied for schema public.* needs .* CREATE on the schema public"),
        (
            f"CREATE SCHEMA studyplan AUTHORIZATION {{role}}; {CREATE_IN_PUBLIC}",
            'permission denied to create extension "btree_gist".* needs .* btree_gist installed',
        ),
        (
            f"CREATE SCHEMA studyplan; GRANT ALL ON SCHEMA studyplan TO {{role}}; {CREATE}",
            "must be owner of schema studyplan.* must own a schema",
        ),
    ],
    ids=["database", "public", "btree_gist", "schema"],
)
def test_privilege_that_the_migrating_role_lacks_is_reported(
    migrator: sa.Connection, granted: str, message: str
) -> None:
    as_owner(migrator, granted)
    assert_refused(migrator, f"The role may not migrate the schema: {message}")


@pytest.mark.parametrize(
    "granted",
    [
        f"{CREATE}; {CREATE_IN_PUBLIC}",
        "CREATE SCHEMA studyplan AUTHORIZATION {role}; CREATE EXTENSION btree_gist; "
        + CREATE_IN_PUBLIC,
    ],
    ids=["CREATE on the database", "schema and extension by the owner"],
)
def test_privileges_that_the_message_names_are_sufficient(
    migrator: sa.Connection, granted: str
) -> None:
    as_owner(migrator, granted)
    before = catalog(migrator)
    schema.upgrade(migrator)
    schema.require_current(migrator)
    schema.downgrade(migrator)
    assert catalog(migrator) == before


def test_grant_by_a_role_other_than_the_owner_is_refused(
    migrator: sa.Connection, new_role: Callable[[], str]
) -> None:
    role = new_role()
    with migrator.begin():
        migrator.exec_driver_sql("RESET ROLE")
        schema.upgrade(migrator)
        migrator.exec_driver_sql(f"SET ROLE {quoted(role)}")
    message = (
        "required privileges to .*: permission denied for schema studyplan. The owner of the sch"
    )
    assert_refused(migrator, message, lambda c: schema.grant(c, [role]))


# --- existing schema --------------------------------------------------------------------


def by_sql(connection: sa.Connection) -> None:
    run_sql(connection.engine.url, schema.upgrade_sql())


COMMENTS = [None, "of the host: don't touch", "back\\slash", "studyplan-domain, revision"]


@pytest.mark.parametrize(
    ("up", "down"),
    [(schema.upgrade, schema.downgrade), (by_sql, downgrade_by_sql)],
    ids=["online", "offline"],
)
@pytest.mark.parametrize("comment", COMMENTS)
def test_schema_that_the_host_created_is_kept_with_its_comment(
    connection: sa.Connection, up: Run, down: Run, comment: str | None
) -> None:
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA studyplan")
        if comment:
            connection.execute(
                sa.text("COMMENT ON SCHEMA studyplan IS :comment").bindparams(
                    sa.bindparam("comment", comment, literal_execute=True)
                )
            )
    before = catalog(connection)
    for _ in range(2):
        up(connection)
        assert schema.current_revision(connection) == "sp_0002"
        down(connection)
        assert catalog(connection) == before


def test_schema_that_the_host_created_is_kept_by_the_downgrade_of_its_branch(
    tmp_path: Path, connection: sa.Connection, empty_url: sa.URL
) -> None:
    host = Host(tmp_path, empty_url)
    host.add_branch()
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA studyplan")
        connection.exec_driver_sql("COMMENT ON SCHEMA studyplan IS 'of the host'")
    before = catalog(connection)
    host.upgrade()
    schema.require_current(connection)
    host.downgrade()
    with connection.begin():
        connection.exec_driver_sql("DROP TABLE public.alembic_version")
    assert catalog(connection) == before
