"""The privileges that the role of an application needs, as the probe checks and grants them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain.database_errors import server_message, sqlstate
from domain.errors import MisuseError, SchemaError
from domain.locking.statements import FUNCTIONS
from domain.models import Base
from domain.values import UNSTORABLE

_ALL: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
TABLES: Final[Mapping[str, Sequence[str]]] = {
    table.fullname: _ALL for table in Base.metadata.sorted_tables
}
"""The privileges on each table that the package's operations require."""
_GRANTED_TABLES: Final = {**TABLES, "studyplan.alembic_version": ("SELECT",)}
FUNCTIONS_FOR_SQL: Final = (
    "studyplan.acquire_plan_group_lock(uuid, integer)",
    "public.acquire_plan_group_lock(uuid, integer)",
    "public.check_plan_group_lock(uuid)",
)
"""The functions that only clients which acquire and check the locks in SQL call."""

_MAX_NAMED: Final = 3

_MISSING_USAGE: Final = sa.text(
    "SELECT 'USAGE on schema studyplan' AS privilege, 'schema studyplan' AS name, "
    "pg_catalog.to_regnamespace('studyplan') IS NULL AS is_missing "
    "WHERE pg_catalog.has_schema_privilege(coalesce(CAST(:role AS name), current_user), "
    "pg_catalog.to_regnamespace('studyplan')::oid, 'USAGE') IS NOT TRUE"
)
# ``to_regclass`` and ``to_regprocedure`` return null for a name that does not exist. The privilege
# functions then return null too, so ``IS NOT TRUE`` includes both missing objects and missing
# privileges, which ``is_missing`` distinguishes.
_MISSING_PRIVILEGES: Final = sa.text(
    "SELECT privilege || ' on ' || name AS privilege, name, "
    "pg_catalog.to_regclass(name) IS NULL AS is_missing "
    "FROM ROWS FROM (pg_catalog.unnest(CAST(:tables AS text[])), "
    "pg_catalog.unnest(CAST(:privileges AS text[]))) AS needed (name, privilege) "
    "WHERE pg_catalog.has_table_privilege(coalesce(CAST(:role AS name), current_user), "
    "pg_catalog.to_regclass(name)::oid, privilege) IS NOT TRUE "
    "UNION ALL SELECT 'EXECUTE on ' || name, name, pg_catalog.to_regprocedure(name) IS NULL "
    "FROM pg_catalog.unnest(CAST(:functions AS text[])) AS needed (name) "
    "WHERE pg_catalog.has_function_privilege(coalesce(CAST(:role AS name), current_user), "
    "pg_catalog.to_regprocedure(name)::oid, 'EXECUTE') IS NOT TRUE"
)
_GRANTOR: Final = sa.text(
    "SELECT current_user AS grantor, coalesce((SELECT pg_catalog.pg_get_userbyid(nspowner) "
    "FROM pg_catalog.pg_namespace WHERE nspname = 'studyplan'), current_user) AS owner"
)
_UNKNOWN_ROLES: Final = sa.text(
    "SELECT name FROM pg_catalog.unnest(CAST(:names AS text[])) AS given (name) "
    "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name)"
)
# An object that does not exist yet is skipped, because a migration to an early revision has only
# some of them; a later migration grants the others. GRANT ... ON ALL TABLES IN SCHEMA is not used
# because the application may have its own tables and functions in the schema.
_GRANT: Final = """
DO ${tag}$
DECLARE
  grantee text := {role};
  needed record;
BEGIN
  IF pg_catalog.to_regnamespace('studyplan') IS NULL THEN
    RETURN;
  END IF;
  EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA studyplan TO %I', grantee);
  FOR needed IN
    SELECT * FROM (VALUES
      {tables}
    ) AS t (privileges, name) WHERE pg_catalog.to_regclass(name) IS NOT NULL
  LOOP
    EXECUTE pg_catalog.format('GRANT %s ON %s TO %I', needed.privileges, needed.name, grantee);
  END LOOP;
  FOR needed IN
    SELECT name FROM pg_catalog.unnest(ARRAY[
      {functions}
    ]) AS f (name) WHERE pg_catalog.to_regprocedure(name) IS NOT NULL
  LOOP
    EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I', needed.name, grantee);
  END LOOP;
END
${tag}$
"""


def grant(connection: sa.Connection, roles: Sequence[str]) -> None:
    """Grant the roles all privileges that the package needs on existing objects, and check them.

    Raises ``SchemaError`` if a role does not exist, or if it still lacks a privilege because the
    current role cannot grant it. The check is necessary because PostgreSQL only issues a warning
    for a privilege without grant option if the current role has any other privilege on the object.
    """
    require_roles(connection, roles)
    for role in roles:
        row = connection.execute(_GRANTOR).one()
        try:
            connection.exec_driver_sql(
                grant_statement(role), execution_options={"no_parameters": True}
            )
        except DBAPIError as error:
            if sqlstate(error) != "42501":
                raise
            raise _cannot_grant(row, role, server_message(error)) from error
        _, lacking = missing_privileges(
            connection, role, _GRANTED_TABLES, (*FUNCTIONS, *FUNCTIONS_FOR_SQL)
        )
        if lacking:
            more = f" and {len(lacking) - _MAX_NAMED} more" if len(lacking) > _MAX_NAMED else ""
            listed = ", ".join(lacking[:_MAX_NAMED])
            raise _cannot_grant(row, role, f"{_quoted(role)} would still lack {listed}{more}")


def missing_privileges(
    connection: sa.Connection,
    role: str | None = None,
    tables: Mapping[str, Sequence[str]] = TABLES,
    functions: Sequence[str] = FUNCTIONS,
) -> tuple[list[str], list[str]]:
    """Return the names of objects that do not exist, and the privileges that the role lacks.

    If the role lacks USAGE on the schema, only that is returned, because the objects in the schema
    cannot be looked up.

    :param role: the role to check, by default the current role.
    """
    found = connection.execute(_MISSING_USAGE, {"role": role}).all()
    if not found:
        pairs = [(name, privilege) for name, listed in tables.items() for privilege in listed]
        found = connection.execute(
            _MISSING_PRIVILEGES,
            {
                "role": role,
                "tables": [name for name, _ in pairs],
                "privileges": [privilege for _, privilege in pairs],
                "functions": list(functions),
            },
        ).all()
    missing = sorted({row.name for row in found if row.is_missing})
    return missing, [row.privilege for row in found if not row.is_missing]


def _cannot_grant(row: sa.Row[Any], role: str, reason: str) -> SchemaError:
    return SchemaError(
        f"The role {_quoted(row.grantor)} cannot grant the required privileges to "
        f"{_quoted(role)}: {reason}. The owner of the schema, {_quoted(row.owner)}, must grant "
        "them. Nothing was changed."
    )


def role_names(roles: str | Iterable[str]) -> tuple[str, ...]:
    """Return the role names in a comma-separated text, or in an iterable, without duplicates.

    The names in an iterable are not changed. Raises ``MisuseError`` for an object that cannot be
    the name of a role.
    """
    given: object = roles  # callers without a type checker pass any object
    if not isinstance(given, str | Iterable):
        raise MisuseError(f"grant_to: names of roles are needed, not {given!r}.")
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",") if name.strip()]
    names = []
    for name in given:
        if not isinstance(name, str) or not name or UNSTORABLE.search(name):
            raise MisuseError(f"grant_to: {name!r} is not the name of a role.")
        names.append(name)
    return tuple(dict.fromkeys(names))


def require_roles(connection: sa.Connection, names: Sequence[str]) -> None:
    """Raise ``SchemaError`` if a role does not exist; PUBLIC is not a role."""
    if unknown := connection.scalars(_UNKNOWN_ROLES, {"names": list(names)}).all():
        raise SchemaError(
            f"grant_to: there is no role {', '.join(map(_quoted, unknown))} on this server. "
            f"Create it first, for example CREATE ROLE {_quoted(unknown[0])} LOGIN. The names in "
            "grant_to are case-sensitive."
        )


def grant_statement(role: str) -> str:
    """Return a statement that grants a role exactly the privileges that the package needs.

    It has no parameters, so that it can be printed. Do not pass it to ``sqlalchemy.text``, which
    would interpret a colon in the role's name as a parameter.
    """
    # The dollar-quoting tag must not occur in the quoted text, whose only variable part is the
    # role's name; otherwise the name could end the literal and inject SQL.
    tag = "grant"
    while f"${tag}$" in role:
        tag += "_"
    return _GRANT.format(
        tag=tag,
        role=_literal(role),
        tables=",\n      ".join(
            f"('{', '.join(needed)}', '{name}')" for name, needed in _GRANTED_TABLES.items()
        ),
        functions=",\n      ".join(f"'{name}'" for name in (*FUNCTIONS, *FUNCTIONS_FOR_SQL)),
    ).strip()


def _literal(text: str) -> str:
    """Return the text as an SQL literal.

    Its value does not depend on ``standard_conforming_strings``.
    """
    quoted = text.replace("'", "''")
    return "E'{}'".format(quoted.replace("\\", "\\\\")) if "\\" in text else f"'{quoted}'"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
