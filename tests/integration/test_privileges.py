"""Missing privileges and missing objects are reported with the server's message."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import Base, PlanGroupLock, UnitOfWork, schema
from domain.database_errors import MIGRATE
from domain.errors import SchemaError
from domain.locking.statements import FUNCTIONS
from domain.privileges import TABLES as NEEDED
from domain.probe import probe
from tests.factories import PlanGroupFactory
from tests.integration.asking import sqlstate
from tests.integration.editing import Factory, World, new_world
from tests.integration.operations import OPERATIONS, refusals

ROLE = f"studyplan_test_app_{os.getpid()}"
TABLES = [table.fullname for table in Base.metadata.sorted_tables]
USAGE = "USAGE ON SCHEMA studyplan"
PRIVILEGES = ["SELECT", "INSERT", "UPDATE", "DELETE"]
each_function = pytest.mark.parametrize("function", FUNCTIONS)


@pytest.fixture(scope="module")
def owner(template: str, new_database: Callable[[str], sa.URL]) -> Iterator[sa.Engine]:
    """Return the owner's engine of a separate database, whose grants the tests change."""
    engine = sa.create_engine(new_database(template), poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def app(owner: sa.Engine, maintenance: sa.Connection) -> Iterator[sa.Engine]:
    """Return the engine of a role that has exactly the privileges that the package needs."""
    maintenance.exec_driver_sql(f"CREATE ROLE {ROLE}")
    try:
        with owner.begin() as connection:
            connection.exec_driver_sql(f"GRANT {USAGE} TO {ROLE}")
            for table, privileges in NEEDED.items():
                connection.exec_driver_sql(f"GRANT {', '.join(privileges)} ON {table} TO {ROLE}")
            for function in FUNCTIONS:
                connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {function} TO {ROLE}")
        options = {"options": f"-c role={ROLE}"}
        engine = sa.create_engine(owner.url, pool_size=2, connect_args=options)
        yield engine
        engine.dispose()
    finally:
        with owner.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {ROLE}")
        maintenance.exec_driver_sql(f"DROP ROLE {ROLE}")


@pytest.fixture(scope="module")
def app_factory(app: sa.Engine) -> Factory:
    return sessionmaker(app)


@pytest.fixture(scope="module")
def stored(owner: sa.Engine) -> World:
    """Return one world for all tests, because no operation here is committed."""
    return new_world(sessionmaker(owner))


@contextmanager
def executed_and_undone(owner: sa.Engine, do: str, undo: str) -> Iterator[None]:
    autocommit = owner.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        connection.exec_driver_sql(do)
        try:
            yield
        finally:
            connection.exec_driver_sql(undo)


def unqualified(name: str) -> str:
    """Return a name without its schema, as the server's messages and RENAME TO have it."""
    return name.removeprefix("studyplan.")


@contextmanager
def revoked(owner: sa.Engine, privilege: str, on: str) -> Iterator[None]:
    """Revoke a privilege for the duration of the block, and grant it again if the role had it."""
    table = on.removeprefix("FUNCTION ")
    had = on.startswith("FUNCTION") or privilege in NEEDED[table]
    undo = f"GRANT {privilege} ON {on} TO {ROLE}" if had else "SELECT 1"
    with executed_and_undone(owner, f"REVOKE {privilege} ON {on} FROM {ROLE}", undo):
        yield


# --- privileges -------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "privilege"), [*product(TABLES, PRIVILEGES)])
def test_privilege_on_a_table_is_required_exactly_if_an_operation_needs_it(
    *,
    owner: sa.Engine,
    app: sa.Engine,
    app_factory: Factory,
    stored: World,
    table: str,
    privilege: str,
) -> None:
    """``probe`` requires exactly the privileges that the operations need."""
    with revoked(owner, privilege, table):
        found = refusals(app_factory, stored)
        if privilege not in NEEDED[table]:
            assert not found
            probe(app)
            return
        with pytest.raises(SchemaError, match=f"The role {ROLE} lacks {privilege} on {table}"):
            probe(app)
    assert found
    refusal = f"The role lacks a privilege: permission denied for table {unqualified(table)}"
    for message in found.values():
        assert refusal in message
        assert "functions are missing" not in message
    assert not refusals(app_factory, stored)


@each_function
def test_missing_privilege_on_a_function_is_named(
    owner: sa.Engine, app: sa.Engine, app_factory: Factory, stored: World, function: str
) -> None:
    name = unqualified(function).partition("(")[0]
    with revoked(owner, "EXECUTE", f"FUNCTION {function}"):
        found = refusals(app_factory, stored)
        with pytest.raises(SchemaError) as refused:
            probe(app)
    assert f"EXECUTE on {function}" in str(refused.value)
    assert found
    assert all(f"permission denied for function {name}" in message for message in found.values())


def test_missing_privilege_on_the_schema_is_named(
    owner: sa.Engine, app: sa.Engine, app_factory: Factory, stored: World
) -> None:
    with executed_and_undone(owner, f"REVOKE {USAGE} FROM {ROLE}", f"GRANT {USAGE} TO {ROLE}"):
        found = refusals(app_factory, stored)
        with pytest.raises(SchemaError):
            probe(app)
    assert found.keys() == OPERATIONS.keys()
    assert "permission denied for schema studyplan" in found["generate"]


def test_probe_names_all_missing_privileges_in_one_error(owner: sa.Engine, app: sa.Engine) -> None:
    with (
        revoked(owner, "UPDATE", "studyplan.blocks"),
        revoked(owner, "SELECT", "studyplan.contents"),
        revoked(owner, "EXECUTE", f"FUNCTION {FUNCTIONS[0]}"),
        pytest.raises(SchemaError) as refused,
    ):
        probe(app)
    for what in (
        "UPDATE on studyplan.blocks",
        "SELECT on studyplan.contents",
        f"EXECUTE on {FUNCTIONS[0]}",
    ):
        assert what in str(refused.value)


@pytest.mark.parametrize("body", ["PERFORM nextval('hosts_numbers')", "PERFORM FROM hosts_table"])
def test_missing_privilege_of_a_trigger_of_the_host_is_reported_with_the_servers_message(
    owner: sa.Engine, app_factory: Factory, stored: World, body: str
) -> None:
    with executed_and_undone(
        owner,
        "CREATE SEQUENCE hosts_numbers; CREATE TABLE hosts_table (); "
        "CREATE FUNCTION hosts_trigger() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body}; RETURN new; END $$; CREATE TRIGGER hosts "
        "BEFORE INSERT ON studyplan.blocks FOR EACH ROW EXECUTE FUNCTION hosts_trigger()",
        "DROP TRIGGER hosts ON studyplan.blocks; DROP FUNCTION hosts_trigger(); "
        "DROP TABLE hosts_table; DROP SEQUENCE hosts_numbers",
    ):
        found = refusals(app_factory, stored)
    assert found.keys() == {"store a group", "create a group", "GroupTimeService.add_block"}
    assert all(
        "permission denied for" in message and "hosts_" in message for message in found.values()
    )


@pytest.mark.parametrize(
    ("policy", "operation"),
    [
        ("ON studyplan.blocks USING (true) WITH CHECK (false)", "GroupTimeService.add_block"),
        ("ON studyplan.plan_groups USING (true) WITH CHECK (false)", "generate"),
    ],
)
def test_row_that_a_policy_refuses_is_not_reported_as_a_missing_privilege(
    owner: sa.Engine, app_factory: Factory, stored: World, policy: str, operation: str
) -> None:
    table = policy.split()[1]
    with (
        executed_and_undone(
            owner,
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY hosts {policy}",
            f"DROP POLICY hosts ON {table}; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ),
        pytest.raises(sa.exc.ProgrammingError, match="row-level security") as refused,
    ):
        OPERATIONS[operation](app_factory, stored)
    assert sqlstate(refused.value) == "42501"


def test_require_current_needs_no_privilege(owner: sa.Engine, app: sa.Engine) -> None:
    with (
        executed_and_undone(owner, f"REVOKE {USAGE} FROM {ROLE}", f"GRANT {USAGE} TO {ROLE}"),
        app.connect() as connection,
    ):
        schema.require_current(connection)


# --- missing objects --------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_missing_table_is_named(
    owner: sa.Engine, app: sa.Engine, app_factory: Factory, stored: World, table: str
) -> None:
    with executed_and_undone(
        owner,
        f"ALTER TABLE {table} RENAME TO renamed",
        f"ALTER TABLE studyplan.renamed RENAME TO {unqualified(table)}",
    ):
        found = refusals(app_factory, stored)
        with pytest.raises(SchemaError, match=f"lacks {table}. Migrate with this version of"):
            probe(app)
    assert found
    for message in found.values():
        assert f'relation "{table}" does not exist. {MIGRATE}' in message


@pytest.mark.parametrize("column", ["plan_groups.generation", "student_plans.reserve"])
def test_missing_column_is_named(
    owner: sa.Engine, app_factory: Factory, stored: World, column: str
) -> None:
    table, _, name = column.partition(".")
    with executed_and_undone(
        owner,
        f"ALTER TABLE studyplan.{table} RENAME {name} TO renamed",
        f"ALTER TABLE studyplan.{table} RENAME renamed TO {name}",
    ):
        found = refusals(app_factory, stored)
    assert {"generate", "preview", "read"} <= found.keys()
    assert all(name in message and "does not exist" in message for message in found.values())


@each_function
def test_missing_function_is_named(
    owner: sa.Engine, app_factory: Factory, stored: World, function: str
) -> None:
    name, _, arguments = unqualified(function).partition("(")
    with executed_and_undone(
        owner,
        f"ALTER FUNCTION {function} RENAME TO renamed",
        f"ALTER FUNCTION studyplan.renamed({arguments} RENAME TO {name}",
    ):
        found = refusals(app_factory, stored)
    assert found
    assert all(name in message and "does not exist" in message for message in found.values())


def test_missing_schema_is_named(owner: sa.Engine, app_factory: Factory, stored: World) -> None:
    with executed_and_undone(
        owner,
        "ALTER SCHEMA studyplan RENAME TO renamed",
        "ALTER SCHEMA renamed RENAME TO studyplan",
    ):
        found = refusals(app_factory, stored)
    assert found.keys() == OPERATIONS.keys()
    assert 'schema "studyplan" does not exist' in found["generate"]


def test_object_that_is_missing_at_the_commit_is_named(owner: sa.Engine) -> None:
    """A deferred constraint trigger of the host, which runs at the commit, needs the object."""
    group = PlanGroupFactory.build()
    with (
        executed_and_undone(
            owner,
            "CREATE FUNCTION hosts_trigger() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM FROM missing_table; RETURN NULL; END $$; "
            "CREATE CONSTRAINT TRIGGER hosts AFTER INSERT ON studyplan.plan_groups "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hosts_trigger()",
            "DROP TRIGGER hosts ON studyplan.plan_groups; DROP FUNCTION hosts_trigger()",
        ),
        UnitOfWork(sessionmaker(owner), lock=PlanGroupLock(group.tenant_id, group.id)) as uow,
    ):
        uow.groups.add(group)
        with pytest.raises(SchemaError, match='relation "missing_table" does not exist'):
            uow.commit()
    with Session(owner) as session:
        assert session.get(type(group), (group.tenant_id, group.id)) is None
