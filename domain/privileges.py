"""The privileges that an application's role needs: one definition for the probe and the grants."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain.database_errors import server_message, sqlstate
from domain.errors import MisuseError, SchemaError
from domain.locking.statements import FUNCTIONS
from domain.models import Base

_ALL: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
# Deleting a group deletes its plans and their records by foreign keys, which act as the owner.
_FEWER: Final[Mapping[str, Sequence[str]]] = {
    "plan_generations": ("SELECT", "INSERT"),
    "student_plans": ("SELECT", "INSERT", "UPDATE"),
}
TABLES: Final[Mapping[str, Sequence[str]]] = {
    table.fullname: _FEWER.get(table.name, _ALL) for table in Base.metadata.sorted_tables
}
"""The privileges on tables without which some operation of the package fails."""
_GRANTED: Final = {**TABLES, "studyplan.alembic_version": ("SELECT",)}
FUNCTIONS_FOR_SQL: Final = (
    "studyplan.acquire_plan_group_lock(uuid, integer)",
    "public.acquire_plan_group_lock(uuid, integer)",
    "public.check_plan_group_lock(uuid)",
)
"""What the package itself does not call, but clients that use the locks from SQL."""

_MAX_NAMED: Final = 3

_LACKING: Final = sa.text(
    "SELECT 'USAGE on schema studyplan' AS privilege, 'schema studyplan' AS name, "
    "pg_catalog.to_regnamespace('studyplan') IS NULL AS is_missing "
    "WHERE pg_catalog.has_schema_privilege(coalesce(CAST(:role AS name), current_user), "
    "pg_catalog.to_regnamespace('studyplan')::oid, 'USAGE') IS NOT TRUE"
)
# What a name that does not resolve has is null.
_LACKING_INSIDE: Final = sa.text(
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
    "SELECT name FROM pg_catalog.unnest(CAST(:names AS text[])) AS asked (name) "
    "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name)"
)
# What does not exist at an early revision is granted with the revision that creates it. The host
# may have tables and functions in the schema too, so nothing is granted ON ALL.
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
    """Give the roles all that the package needs of what exists, and prove that they have it.

    Raises ``SchemaError`` if a role does not exist, or if the current role cannot grant: of
    a privilege that it may not pass on, PostgreSQL only warns if it has any other one.
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
        _, without = missing_privileges(
            connection, role, _GRANTED, (*FUNCTIONS, *FUNCTIONS_FOR_SQL)
        )
        if without:
            more = f" and {len(without) - _MAX_NAMED} more" if len(without) > _MAX_NAMED else ""
            listed = ", ".join(without[:_MAX_NAMED])
            raise _cannot_grant(row, role, f"it would still lack {listed}{more}")


def missing_privileges(
    connection: sa.Connection,
    role: str | None = None,
    tables: Mapping[str, Sequence[str]] = TABLES,
    functions: Sequence[str] = FUNCTIONS,
) -> tuple[list[str], list[str]]:
    """What the database does not have, and which privileges the role lacks; both named.

    What is inside a schema that the role may not use cannot be asked for.

    :param role: the current one without it.
    """
    found = connection.execute(_LACKING, {"role": role}).all()
    if not found:
        pairs = [(name, privilege) for name, listed in tables.items() for privilege in listed]
        found = connection.execute(
            _LACKING_INSIDE,
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
        f"The role {_quoted(row.grantor)} cannot grant {_quoted(role)} what the package needs: "
        f"{reason}. The owner of the schema, {_quoted(row.owner)}, must grant it. Nothing was "
        "changed."
    )


def role_names(roles: str | Iterable[str]) -> tuple[str, ...]:
    """The names in a text, where a comma separates them, or in an iterable, taken as they are.

    Raises ``MisuseError`` for what cannot be a role's name.
    """
    if isinstance(roles, str):
        names = [name.strip() for name in roles.split(",") if name.strip()]
    else:
        names = list(roles)
    for name in names:
        if not name or "\0" in name:
            raise MisuseError(f"grant_to: {name!r} is not the name of a role.")
    return tuple(dict.fromkeys(names))


def require_roles(connection: sa.Connection, names: Sequence[str]) -> None:
    """Raise ``SchemaError`` if a role does not exist; PUBLIC is none."""
    if unknown := connection.scalars(_UNKNOWN_ROLES, {"names": list(names)}).all():
        raise SchemaError(
            f"grant_to: there is no role {', '.join(map(_quoted, unknown))} on this server. "
            f"Create it first, for example CREATE ROLE {_quoted(unknown[0])} LOGIN. Names are "
            "taken as they are, in upper and lower case."
        )


def grant_statement(role: str) -> str:
    """A statement that lets a role do what the package needs, and no more.

    Without parameters, so that it can be printed. It is not for ``sqlalchemy.text``, which
    would look for parameters in the name.
    """
    tag = "grant"
    while f"${tag}$" in role:
        tag += "_"
    return _GRANT.format(
        tag=tag,
        role=_literal(role),
        tables=",\n      ".join(
            f"('{', '.join(all_)}', '{name}')" for name, all_ in _GRANTED.items()
        ),
        functions=",\n      ".join(f"'{name}'" for name in (*FUNCTIONS, *FUNCTIONS_FOR_SQL)),
    ).strip()


def _literal(text: str) -> str:
    """The text as a literal that means the same with and without standard_conforming_strings."""
    quoted = text.replace("'", "''")
    return "E'{}'".format(quoted.replace("\\", "\\\\")) if "\\" in text else f"'{quoted}'"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
