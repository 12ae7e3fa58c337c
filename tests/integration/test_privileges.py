"""What a role lacks, or the schema, is said in the server's words, whichever statement it was."""

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
    """The owner of a database of its own, whose grants the tests change."""
    engine = sa.create_engine(new_database(template), poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def app(owner: sa.Engine, maintenance: sa.Connection) -> Iterator[sa.Engine]:
    """A role that may do all that the package needs, and nothing else."""
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
    """One world for all tests: no operation here is committed."""
    return new_world(sessionmaker(owner))


@contextmanager
def run_and_undone(owner: sa.Engine, do: str, undo: str) -> Iterator[None]:
    for_all = owner.execution_options(isolation_level="AUTOCOMMIT")
    with for_all.connect() as connection:
        connection.exec_driver_sql(do)
        try:
            yield
        finally:
            connection.exec_driver_sql(undo)


def bare(name: str) -> str:
    """A name without its schema, as the server says and renames it."""
    return name.removeprefix("studyplan.")


@contextmanager
def revoked(owner: sa.Engine, privilege: str, on: str) -> Iterator[None]:
    """The role has not this privilege for the length of the block, if it ever had."""
    table = on.removeprefix("FUNCTION ")
    had = on.startswith("FUNCTION") or privilege in NEEDED[table]
    undo = f"GRANT {privilege} ON {on} TO {ROLE}" if had else "SELECT 1"
    with run_and_undone(owner, f"REVOKE {privilege} ON {on} FROM {ROLE}", undo):
        yield


# --- privileges -------------------------------------------------------------------------


@pytest.mark.parametrize(("table", "privilege"), [*product(TABLES, PRIVILEGES)])
def test_privilege_on_a_table_is_named_where_it_is_needed_and_only_there(
    *,
    owner: sa.Engine,
    app: sa.Engine,
    app_factory: Factory,
    stored: World,
    table: str,
    privilege: str,
) -> None:
    """So what ``probe`` asks for is what the operations need, no more and no less."""
    with revoked(owner, privilege, table):
        found = refusals(app_factory, stored)
        if privilege not in NEEDED[table]:
            assert not found
            probe(app)
            return
        with pytest.raises(SchemaError, match=f"The role {ROLE} lacks {privilege} on {table}"):
            probe(app)
    assert found
    refusal = f"refused a privilege to the role: permission denied for table {bare(table)}"
    for sentence in found.values():
        assert refusal in sentence
        assert "functions are missing" not in sentence
    assert not refusals(app_factory, stored)


@each_function
def test_privilege_on_a_function_is_named(
    owner: sa.Engine, app: sa.Engine, app_factory: Factory, stored: World, function: str
) -> None:
    name = bare(function).partition("(")[0]
    with revoked(owner, "EXECUTE", f"FUNCTION {function}"):
        found = refusals(app_factory, stored)
        with pytest.raises(SchemaError) as refused:
            probe(app)
    assert f"EXECUTE on {function}" in str(refused.value)
    assert found
    assert all(f"permission denied for function {name}" in sentence for sentence in found.values())


def test_privilege_on_the_schema_is_named(
    owner: sa.Engine, app: sa.Engine, app_factory: Factory, stored: World
) -> None:
    with run_and_undone(owner, f"REVOKE {USAGE} FROM {ROLE}", f"GRANT {USAGE} TO {ROLE}"):
        found = refusals(app_factory, stored)
        with pytest.raises(SchemaError):
            probe(app)
    assert found.keys() == OPERATIONS.keys()
    assert "permission denied for schema studyplan" in found["generate"]


def test_everything_that_lacks_is_named_at_once(owner: sa.Engine, app: sa.Engine) -> None:
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
def test_privilege_that_a_trigger_of_the_host_lacks_is_said_in_the_servers_words(
    owner: sa.Engine, app_factory: Factory, stored: World, body: str
) -> None:
    with run_and_undone(
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
        "permission denied for" in sentence and "hosts_" in sentence for sentence in found.values()
    )


@pytest.mark.parametrize(
    ("policy", "operation"),
    [
        ("ON studyplan.blocks USING (true) WITH CHECK (false)", "GroupTimeService.add_block"),
        ("ON studyplan.plan_groups USING (true) WITH CHECK (false)", "generate"),
    ],
)
def test_row_that_a_policy_refuses_is_no_missing_privilege(
    owner: sa.Engine, app_factory: Factory, stored: World, policy: str, operation: str
) -> None:
    table = policy.split()[1]
    with (
        run_and_undone(
            owner,
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY hosts {policy}",
            f"DROP POLICY hosts ON {table}; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ),
        pytest.raises(sa.exc.ProgrammingError, match="row-level security") as refused,
    ):
        OPERATIONS[operation](app_factory, stored)
    assert sqlstate(refused.value) == "42501"


def test_revision_is_told_without_any_privilege(owner: sa.Engine, app: sa.Engine) -> None:
    with (
        run_and_undone(owner, f"REVOKE {USAGE} FROM {ROLE}", f"GRANT {USAGE} TO {ROLE}"),
        app.connect() as connection,
    ):
        schema.require_current(connection)


# --- what is not there ------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_missing_table_is_named(
    owner: sa.Engine, app: sa.Engine, app_factory: Factory, stored: World, table: str
) -> None:
    with run_and_undone(
        owner,
        f"ALTER TABLE {table} RENAME TO elsewhere",
        f"ALTER TABLE studyplan.elsewhere RENAME TO {bare(table)}",
    ):
        found = refusals(app_factory, stored)
        with pytest.raises(SchemaError, match=f"lacks {table}. Migrate with this version of"):
            probe(app)
    assert found
    for sentence in found.values():
        assert f'relation "{table}" does not exist. {MIGRATE}' in sentence


@pytest.mark.parametrize("column", ["plan_groups.generation", "student_plans.reserve"])
def test_missing_column_is_named(
    owner: sa.Engine, app_factory: Factory, stored: World, column: str
) -> None:
    table, _, name = column.partition(".")
    with run_and_undone(
        owner,
        f"ALTER TABLE studyplan.{table} RENAME {name} TO elsewhere",
        f"ALTER TABLE studyplan.{table} RENAME elsewhere TO {name}",
    ):
        found = refusals(app_factory, stored)
    assert {"generate", "preview", "read"} <= found.keys()
    assert all(name in sentence and "does not exist" in sentence for sentence in found.values())


@each_function
def test_missing_function_is_named(
    owner: sa.Engine, app_factory: Factory, stored: World, function: str
) -> None:
    name, _, arguments = bare(function).partition("(")
    with run_and_undone(
        owner,
        f"ALTER FUNCTION {function} RENAME TO elsewhere",
        f"ALTER FUNCTION studyplan.elsewhere({arguments} RENAME TO {name}",
    ):
        found = refusals(app_factory, stored)
    assert found
    assert all(name in sentence and "does not exist" in sentence for sentence in found.values())


def test_missing_schema_is_named(owner: sa.Engine, app_factory: Factory, stored: World) -> None:
    with run_and_undone(
        owner,
        "ALTER SCHEMA studyplan RENAME TO elsewhere",
        "ALTER SCHEMA elsewhere RENAME TO studyplan",
    ):
        found = refusals(app_factory, stored)
    assert found.keys() == OPERATIONS.keys()
    assert 'schema "studyplan" does not exist' in found["generate"]


def test_what_lacks_at_the_commit_is_named(owner: sa.Engine) -> None:
    """By a constraint trigger of the host that is deferred until then."""
    group = PlanGroupFactory.build()
    with (
        run_and_undone(
            owner,
            "CREATE FUNCTION hosts_trigger() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM FROM not_there; RETURN NULL; END $$; "
            "CREATE CONSTRAINT TRIGGER hosts AFTER INSERT ON studyplan.plan_groups "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hosts_trigger()",
            "DROP TRIGGER hosts ON studyplan.plan_groups; DROP FUNCTION hosts_trigger()",
        ),
        UnitOfWork(sessionmaker(owner), lock=PlanGroupLock(group.tenant_id, group.id)) as uow,
    ):
        uow.groups.add(group)
        with pytest.raises(SchemaError, match='relation "not_there" does not exist'):
            uow.commit()
    with Session(owner) as session:
        assert session.get(type(group), (group.tenant_id, group.id)) is None
