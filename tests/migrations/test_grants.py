"""Only the roles that are named in an upgrade or a grant may execute the lock functions."""

from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa

from domain import schema
from domain.cli.main import main
from domain.errors import SchemaError
from domain.privileges import TABLES
from tests.migrations.catalog import catalog
from tests.migrations.conftest import quoted

_WITH_LIMITS = "studyplan.acquire_plan_locks_with_limits"
FUNCTIONS = {
    "acquire_plan_group_lock(uuid,integer)",
    "check_plan_group_lock(uuid)",
    "studyplan.acquire_plan_group_lock(uuid,integer)",
    "studyplan.acquire_plan_locks(bigint[],integer,boolean,integer)",
    f"{_WITH_LIMITS}(bigint[],integer,boolean,integer,text,text,text,text)",
    "studyplan.acquire_student_locks(bigint[],integer,text,text)",
    "studyplan.check_plan_group_lock(uuid)",
    "studyplan.is_plan_transaction(uuid,text)",
    "studyplan.plan_group_lock_key(uuid)",
    "studyplan.plan_lock_version()",
    "studyplan.plans_are_copyable()",
    "studyplan.require_plan_transaction(text)",
    "studyplan.student_lock_key(uuid,uuid)",
}
"""Functions in ``public`` have no schema in their names, because it is on the search path."""
CALLS = [
    "SELECT * FROM public.acquire_plan_group_lock(gen_random_uuid())",
    "SELECT * FROM public.check_plan_group_lock(gen_random_uuid())",
    "SELECT studyplan.plan_group_lock_key(gen_random_uuid())",
    "SELECT * FROM studyplan.acquire_plan_locks(ARRAY[1::bigint])",
    "SELECT studyplan.student_lock_key(gen_random_uuid(), gen_random_uuid())",
    f"SELECT {_WITH_LIMITS}('{{1}}', 0, false, NULL, 'i', '1s', '1s', '1s')",
    "SELECT studyplan.acquire_student_locks('{1}', 0, 'i', 'j')",
    "SELECT * FROM studyplan.acquire_plan_group_lock(gen_random_uuid())",
    "SELECT * FROM studyplan.check_plan_group_lock(gen_random_uuid())",
    "SELECT studyplan.is_plan_transaction(gen_random_uuid(), 'i')",
    "SELECT studyplan.plans_are_copyable()",
    "SELECT studyplan.plan_lock_version()",
    "SELECT studyplan.require_plan_transaction(set_config('studyplan.transaction', 'i', true))",
]
EXECUTABLE = sa.text(
    "SELECT p.oid::regprocedure::text FROM pg_proc p "
    "WHERE (pronamespace = 'studyplan'::regnamespace OR pronamespace = 'public'::regnamespace "
    "AND p.oid::regprocedure::text ~ 'lock') "
    "AND has_function_privilege(:role, p.oid, 'EXECUTE')"
)

PRIVILEGES = sa.text(
    "SELECT 'studyplan' AS name, privilege FROM unnest(ARRAY['USAGE', 'CREATE']) AS a (privilege) "
    "WHERE has_schema_privilege(:role, 'studyplan', privilege) UNION ALL "
    "SELECT 'studyplan.' || relname, privilege FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', "
    "'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'] || CASE WHEN "
    "current_setting('server_version_num')::int >= 170000 THEN '{MAINTAIN}'::text[] END) "
    "AS a (privilege) WHERE relnamespace = 'studyplan'::regnamespace AND relkind = 'r' "
    "AND has_table_privilege(:role, c.oid, privilege)"
)
NEEDED = {
    ("studyplan", "USAGE"),
    ("studyplan.alembic_version", "SELECT"),
    *((table, privilege) for table, listed in TABLES.items() for privilege in listed),
}


def executable(connection: sa.Connection, role: str) -> set[str]:
    with connection.begin():
        return set(connection.scalars(EXECUTABLE, {"role": role}))


def privileges(connection: sa.Connection, role: str) -> set[tuple[str, str]]:
    """Return the role's privileges on the schema and on the tables in it."""
    with connection.begin():
        rows = connection.execute(PRIVILEGES, {"role": role})
        return {(row.name, row.privilege) for row in rows}


def attempt(connection: sa.Connection, role: str, call: str) -> None:
    """Execute a statement as the role and roll it back."""
    with connection.begin() as transaction:
        connection.exec_driver_sql(f"SET LOCAL ROLE {quoted(role)}")
        try:
            connection.exec_driver_sql(call)
        finally:
            transaction.rollback()


@pytest.mark.parametrize("call", CALLS)
def test_role_that_was_not_named_is_refused(
    connection: sa.Connection, new_role: Callable[[], str], call: str
) -> None:
    schema.upgrade(connection)
    with pytest.raises(sa.exc.ProgrammingError) as refused:
        attempt(connection, new_role(), call)
    assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)


def test_public_has_no_privileges(connection: sa.Connection) -> None:
    schema.upgrade(connection)
    assert executable(connection, "public") == set()


@pytest.mark.parametrize("call", CALLS)
def test_role_that_was_named_may_call_every_function(
    connection: sa.Connection, new_role: Callable[[], str], call: str
) -> None:
    role = new_role()
    schema.upgrade(connection, grant_to=role)
    attempt(connection, role, call)


def test_upgrade_grants_privileges_to_several_roles(
    connection: sa.Connection, new_role: Callable[[], str]
) -> None:
    first, second, other = new_role(), new_role(), new_role()
    schema.upgrade(connection, grant_to=f"{first}, {second}")
    assert executable(connection, first) == executable(connection, second) == FUNCTIONS
    assert executable(connection, other) == executable(connection, "public") == set()
    assert privileges(connection, first) == privileges(connection, second) == NEEDED
    assert privileges(connection, other) == privileges(connection, "public") == set()


def test_functions_and_procedures_of_the_host_are_not_granted(
    connection: sa.Connection, new_role: Callable[[], str]
) -> None:
    role = new_role()
    schema.upgrade(connection)
    own = {
        "FUNCTION studyplan.of_lock()": "RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "FUNCTION public.check_plan_group_lock(text)": "RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "PROCEDURE studyplan.of_locks()": "LANGUAGE sql AS 'SELECT 1'",
    }
    with connection.begin():
        for signature, body in own.items():
            connection.exec_driver_sql(f"CREATE {signature} {body}")
            connection.exec_driver_sql(f"REVOKE EXECUTE ON {signature} FROM PUBLIC")
    schema.upgrade(connection, grant_to=role)
    assert executable(connection, role) == FUNCTIONS


def test_role_named_later_gets_privileges_without_a_downgrade(
    connection: sa.Connection, new_role: Callable[[], str]
) -> None:
    role = new_role()
    schema.upgrade(connection)
    schema.upgrade(connection, grant_to=role)
    assert executable(connection, role) == FUNCTIONS


# --- roles other than the owner ---------------------------------------------------------

GRANTS: list[Callable[[sa.Connection, str], object]] = [
    schema.grant,
    lambda connection, role: schema.upgrade(connection, grant_to=role),
]
each_grant = pytest.mark.parametrize("grant", GRANTS, ids=["grant", "upgrade"])


@pytest.fixture
def app(connection: sa.Connection, new_role: Callable[..., str]) -> str:
    """Return a role with the privileges that the package needs, which does not own the schema."""
    role = new_role("app")
    schema.upgrade(connection, grant_to=role)
    return role


@each_grant
@pytest.mark.parametrize(
    "grantable",
    [[], ["USAGE ON SCHEMA studyplan"], ["USAGE ON SCHEMA studyplan", "SELECT ON {0}"]],
    ids=["nothing", "the schema", "the schema and a table"],
)
def test_grant_by_another_role_reports_missing_privileges_and_changes_nothing(
    *,
    connection: sa.Connection,
    app: str,
    new_role: Callable[..., str],
    grant: Callable[[sa.Connection, str], object],
    grantable: list[str],
) -> None:
    fresh = new_role("fresh")
    with connection.begin():
        for privilege in grantable:
            text = privilege.format("studyplan.plan_groups")
            connection.exec_driver_sql(f"GRANT {text} TO {quoted(app)} WITH GRANT OPTION")
    before = catalog(connection)
    connection.exec_driver_sql(f"SET ROLE {quoted(app)}")
    connection.commit()
    with pytest.raises(SchemaError) as refused:
        grant(connection, fresh)
    message = str(refused.value)
    cannot = f'The role "{app}" cannot grant the required privileges to "{fresh}": "{fresh}" would '
    assert message.startswith(cannot)
    assert ("lack USAGE on schema studyplan." in message) == (not grantable)
    assert "The owner of the schema, " in message
    assert privileges(connection, fresh) == set()
    assert catalog(connection) == before


@each_grant
def test_grant_by_a_role_with_every_grant_option_is_allowed(
    connection: sa.Connection,
    new_role: Callable[..., str],
    app: str,
    grant: Callable[[sa.Connection, str], object],
) -> None:
    fresh = new_role("fresh")
    with connection.begin():
        for kind in ("TABLES", "FUNCTIONS"):
            connection.exec_driver_sql(
                f"GRANT ALL ON ALL {kind} IN SCHEMA studyplan, public TO {quoted(app)} "
                "WITH GRANT OPTION"
            )
        connection.exec_driver_sql(
            f"GRANT USAGE ON SCHEMA studyplan TO {quoted(app)} WITH GRANT OPTION"
        )
        connection.exec_driver_sql(f"SET ROLE {quoted(app)}")
    grant(connection, fresh)
    assert privileges(connection, fresh) == NEEDED
    assert executable(connection, fresh) == FUNCTIONS
    # The fixture's DROP OWNED has no CASCADE, so it would fail while the role's grants exist.
    with connection.begin():
        connection.exec_driver_sql("RESET ROLE")
        connection.exec_driver_sql(f"DROP OWNED BY {quoted(app)} CASCADE")


@each_grant
def test_grant_of_existing_privileges_is_allowed(
    connection: sa.Connection, app: str, grant: Callable[[sa.Connection, str], object]
) -> None:
    with connection.begin():
        connection.exec_driver_sql(f"SET ROLE {quoted(app)}")
    grant(connection, app)
    assert privileges(connection, app) == NEEDED


def test_command_that_grants_as_a_role_other_than_the_owner_fails(
    *,
    connection: sa.Connection,
    app: str,
    new_role: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fresh = new_role("fresh")
    url = connection.engine.url.update_query_dict({"options": f"-c role={app}"})
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    assert main(["upgrade", "--grant-to", fresh]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f'The role "{app}" cannot grant the required privileges to "{fresh}"')
    assert err.count("\n") == 1
    assert privileges(connection, fresh) == set()
    assert main(["upgrade"]) == 0
