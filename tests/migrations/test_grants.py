"""Who may execute the lock functions: the roles that the migration names, and nobody else."""

from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa

from domain import schema
from tests.migrations.conftest import quoted

FUNCTIONS = {
    "acquire_plan_group_lock(uuid,integer)",
    "acquire_plan_locks(bigint[],integer)",
    "check_plan_group_lock(uuid)",
    "acquire_plan_locks_with_limits(bigint[],integer,text,text,text,text)",
    "plan_group_lock_key(uuid)",
    "plan_lock_version()",
    "require_plan_transaction(text)",
    "student_lock_key(uuid)",
}
CALLS = [
    "SELECT * FROM public.acquire_plan_group_lock(gen_random_uuid())",
    "SELECT * FROM public.check_plan_group_lock(gen_random_uuid())",
    "SELECT public.plan_group_lock_key(gen_random_uuid())",
    "SELECT * FROM public.acquire_plan_locks(ARRAY[1::bigint])",
    "SELECT public.student_lock_key(gen_random_uuid())",
    "SELECT public.acquire_plan_locks_with_limits('{1}', 0, 'i', '1s', '1s', '1s')",
    "SELECT public.plan_lock_version()",
    "SELECT public.require_plan_transaction(set_config('studyplan.transaction', 'i', true))",
]
EXECUTABLE = sa.text(
    "SELECT p.oid::regprocedure::text FROM pg_proc p "
    "WHERE p.oid::regprocedure::text ~ 'lock|require_plan' "
    "AND pronamespace = 'public'::regnamespace "
    "AND has_function_privilege(:role, p.oid, 'EXECUTE')"
)


def executable(connection: sa.Connection, role: str) -> set[str]:
    with connection.begin():
        return set(connection.scalars(EXECUTABLE, {"role": role}))


def attempt(connection: sa.Connection, role: str, call: str) -> None:
    """Call a function as the role, and undo it."""
    with connection.begin() as transaction:
        connection.exec_driver_sql(f"SET LOCAL ROLE {quoted(role)}")
        try:
            connection.exec_driver_sql(call)
        finally:
            transaction.rollback()


@pytest.mark.parametrize("call", CALLS)
def test_a_role_that_was_not_named_is_refused(
    connection: sa.Connection, new_role: Callable[[], str], call: str
) -> None:
    schema.upgrade(connection)
    with pytest.raises(sa.exc.ProgrammingError) as refused:
        attempt(connection, new_role(), call)
    assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)


def test_public_has_no_right(connection: sa.Connection) -> None:
    schema.upgrade(connection)
    assert executable(connection, "public") == set()


@pytest.mark.parametrize("call", CALLS)
def test_a_role_that_was_named_may_call_every_function(
    connection: sa.Connection, new_role: Callable[[], str], call: str
) -> None:
    role = new_role()
    schema.upgrade(connection, grant_to=role)
    attempt(connection, role, call)


def test_several_roles_may_be_named(connection: sa.Connection, new_role: Callable[[], str]) -> None:
    first, second, other = new_role(), new_role(), new_role()
    schema.upgrade(connection, grant_to=f"{first}, {second}")
    assert executable(connection, first) == executable(connection, second) == FUNCTIONS
    assert executable(connection, other) == executable(connection, "public") == set()


def test_a_role_named_later_is_granted_without_a_downgrade(
    connection: sa.Connection, new_role: Callable[[], str]
) -> None:
    role = new_role()
    schema.upgrade(connection)
    schema.upgrade(connection, grant_to=role)
    assert executable(connection, role) == FUNCTIONS
