"""The privileges that an application's role needs: one definition for the probe and the grants."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import sqlalchemy as sa

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
VERSION_TABLE: Final = "studyplan.alembic_version"
FUNCTIONS_FOR_SQL: Final = (
    "studyplan.acquire_plan_group_lock(uuid, integer)",
    "public.acquire_plan_group_lock(uuid, integer)",
    "public.check_plan_group_lock(uuid)",
)
"""What the package itself does not call, but clients that use the locks from SQL."""

_LACKING: Final = sa.text(
    "SELECT 'USAGE on schema studyplan' AS privilege, 'schema studyplan' AS name, "
    "pg_catalog.to_regnamespace('studyplan') IS NULL AS is_missing "
    "WHERE pg_catalog.has_schema_privilege("
    "pg_catalog.to_regnamespace('studyplan')::oid, 'USAGE') IS NOT TRUE"
)
# What a name that does not resolve has is null.
_LACKING_INSIDE: Final = sa.text(
    "SELECT privilege || ' on ' || name AS privilege, name, "
    "pg_catalog.to_regclass(name) IS NULL AS is_missing "
    "FROM ROWS FROM (pg_catalog.unnest(CAST(:tables AS text[])), "
    "pg_catalog.unnest(CAST(:privileges AS text[]))) AS needed (name, privilege) "
    "WHERE pg_catalog.has_table_privilege("
    "pg_catalog.to_regclass(name)::oid, privilege) IS NOT TRUE "
    "UNION ALL SELECT 'EXECUTE on ' || name, name, pg_catalog.to_regprocedure(name) IS NULL "
    "FROM pg_catalog.unnest(CAST(:functions AS text[])) AS needed (name) "
    "WHERE pg_catalog.has_function_privilege("
    "pg_catalog.to_regprocedure(name)::oid, 'EXECUTE') IS NOT TRUE"
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


def lacking(connection: sa.Connection) -> tuple[list[str], list[str]]:
    """What the database does not have, and which privileges the role lacks; both named.

    What is inside a schema that the role may not use cannot be asked for.
    """
    found = connection.execute(_LACKING).all()
    if not found:
        pairs = [(name, privilege) for name, listed in TABLES.items() for privilege in listed]
        found = connection.execute(
            _LACKING_INSIDE,
            {
                "tables": [name for name, _ in pairs],
                "privileges": [privilege for _, privilege in pairs],
                "functions": list(FUNCTIONS),
            },
        ).all()
    missing = sorted({row.name for row in found if row.is_missing})
    return missing, [row.privilege for row in found if not row.is_missing]


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
    tables = {**TABLES, VERSION_TABLE: ("SELECT",)}
    return _GRANT.format(
        tag=tag,
        role=_literal(role),
        tables=",\n      ".join(
            f"('{', '.join(all_)}', '{name}')" for name, all_ in tables.items()
        ),
        functions=",\n      ".join(f"'{name}'" for name in (*FUNCTIONS, *FUNCTIONS_FOR_SQL)),
    ).strip()


def _literal(text: str) -> str:
    """The text as a literal that means the same with and without standard_conforming_strings."""
    quoted = text.replace("'", "''")
    return "E'{}'".format(quoted.replace("\\", "\\\\")) if "\\" in text else f"'{quoted}'"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
