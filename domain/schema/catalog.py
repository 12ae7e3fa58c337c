"""What a database has of the schema: its revision, who manages it, and the privileges of roles.

Alembic's environment, ``domain.schema`` and the probe use it; nothing here knows the revisions.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain.database_errors import MIGRATE, sqlstate, words
from domain.errors import MisuseError, SchemaError
from domain.locking.statements import FUNCTIONS
from domain.models import Base

# Each revision stamps the schema, whichever environment runs it.
_COMMENT: Final = sa.text(
    "SELECT pg_catalog.obj_description("
    "pg_catalog.to_regnamespace('studyplan')::pg_catalog.oid, 'pg_namespace')"
)
_STAMP: Final = re.compile(r"studyplan-domain, revision (\w+)(?:; .*)?", re.DOTALL)
_HAS_VERSIONS: Final = sa.text(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = 'alembic_version' "
    "AND relnamespace = pg_catalog.to_regnamespace('studyplan'))"
)
_MAY_READ_VERSIONS: Final = sa.text(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = 'alembic_version' "
    "AND relnamespace = pg_catalog.to_regnamespace('studyplan') "
    "AND pg_catalog.has_schema_privilege(relnamespace, 'USAGE') "
    "AND pg_catalog.has_table_privilege(oid, 'SELECT'))"
)
_VERSIONS: Final = sa.text("SELECT version_num FROM studyplan.alembic_version")
_HAS_TABLES: Final = sa.text(
    "SELECT count(*) = 4 FROM pg_catalog.pg_class WHERE relkind = 'r' "
    "AND relnamespace = pg_catalog.to_regnamespace('studyplan') "
    "AND relname IN ('contents', 'plan_generations', 'plan_groups', 'student_plans')"
)
_OF_THE_HOST: Final = (
    "the application's own Alembic environment manages this schema, as a branch in its "
    "version_locations"
)


@dataclass(frozen=True, slots=True)
class State:
    """What a database says of its schema."""

    revision: str | None
    """The revision in the schema's comment, whichever environment ran it."""
    versions: frozenset[str] | None
    """What ``studyplan.alembic_version`` contains, whosever it is; ``None`` if there is none."""

    @property
    def is_managed_by_host(self) -> bool:
        """Whether the revisions were run by another Alembic environment than the package's."""
        return self.revision is not None and self.revision not in (self.versions or ())


def stamped_revision(connection: sa.Connection) -> str | None:
    """The revision in the schema's comment; needs no privilege."""
    found = _STAMP.fullmatch(connection.scalar(_COMMENT) or "")
    return found and found[1]


def state_of(connection: sa.Connection, known: Collection[str]) -> State:
    """The state of the database; raises ``SchemaError`` for one that no run may change.

    That is a newer revision, a comment that was lost, and a ``studyplan.alembic_version`` that
    is not the package's.
    """
    revision = stamped_revision(connection)
    versions = None
    if connection.scalar(_HAS_VERSIONS):
        versions = frozenset(connection.scalars(_VERSIONS))
    _require_known(revision, known)
    if revision is None:
        _require_comment(connection, versions, known)
    if versions is not None and versions != {revision}:
        _refuse_versions(revision, versions, known)
    return State(revision, versions)


def _require_known(revision: str | None, known: Collection[str]) -> None:
    if revision is not None and revision not in known:
        raise SchemaError(
            f"The database has revision {revision}, which this version of the package does not "
            "know: a newer one has migrated it. Install that version, or a later one."
        )


def _require_comment(
    connection: sa.Connection, versions: Collection[str] | None, known: Collection[str]
) -> None:
    """Raise ``SchemaError`` if the package's tables are there and only their comment is not.

    For a schema whose comment has no revision. Another environment's version table may have a
    revision of the package's beside its own, so there must be exactly one, or no such table.
    """
    revision = None if versions is None else next(iter(versions), None)
    is_ours = versions is None or (len(versions) == 1 and revision in known)
    if not is_ours or not connection.scalar(_HAS_TABLES):
        return
    where = (
        f"studyplan.alembic_version has {revision}"
        if revision
        else "the version table of the application's own Alembic environment should have it"
    )
    raise SchemaError(
        "The comment of the schema studyplan, which says its revision, was lost or changed, for "
        f"example by pg_dump --no-comments; {where}. Restore it as the owner of the schema: "
        f"`COMMENT ON SCHEMA studyplan IS 'studyplan-domain, revision {revision or 'REVISION'}'`"
    )


def _refuse_versions(
    revision: str | None, versions: Collection[str], known: Collection[str]
) -> None:
    listed = ", ".join(sorted(versions)) or "nothing"
    if (versions or revision) and set(versions) <= set(known):
        raise SchemaError(
            f"The schema's comment says revision {revision or 'none'}, and "
            f"studyplan.alembic_version says {listed}. One of them was changed by hand; "
            "correct it."
        )
    raise SchemaError(
        f"studyplan.alembic_version is the version table of another Alembic environment (it "
        f"has {listed}). This package keeps its own there: give the application's another "
        "version_table_schema; or add this package's revisions to its version_locations and run "
        "`alembic upgrade heads` there."
    )


def require_own(state: State, destination: object) -> None:
    """Raise ``SchemaError`` if another environment manages the schema, unless it is there already.

    :param destination: the revision to go to, ``None`` for the base.
    """
    if not state.is_managed_by_host or state.revision == destination:
        return
    command = "downgrade studyplan@base" if destination is None else "upgrade studyplan@head"
    raise SchemaError(
        f"The database has revision {state.revision}, and {_OF_THE_HOST}. Run "
        f"`alembic {command}` there."
    )


def require_made(connection: sa.Connection, known: Collection[str]) -> str:
    """The revision of the schema; raises ``SchemaError`` if there is none, or its comment is lost.

    Needs no privilege. A role that may not read the version table gets the same as without one.
    """
    found = stamped_revision(connection)
    if found is None:
        if connection.scalar(_MAY_READ_VERSIONS):
            _require_comment(connection, frozenset(connection.scalars(_VERSIONS)), known)
        elif not connection.scalar(_HAS_VERSIONS):
            _require_comment(connection, None, known)
        raise SchemaError(f"The database does not have the schema of this package. {MIGRATE}")
    return found


def require_current(connection: sa.Connection, known: Collection[str], needed: str | None) -> None:
    """Raise ``SchemaError`` unless the schema has the revision, naming both and the command."""
    found = require_made(connection, known)
    if found == needed:
        return
    _require_known(found, known)
    command = MIGRATE
    if not connection.scalar(_HAS_VERSIONS):
        command = f"As {_OF_THE_HOST}, run `alembic upgrade studyplan@head` there."
    raise SchemaError(
        f"The database has revision {found} of the schema, this package needs {needed}. {command}"
    )


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


def lacking(connection: sa.Connection) -> tuple[list[str], list[str]]:
    """What the database does not have, and which privileges the role lacks; both named.

    What is inside a schema that the role may not use cannot be asked for.
    """
    return _lacking(connection, None, TABLES, FUNCTIONS)


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
            raise _cannot_grant(row, role, words(error)) from error
        _, without = _lacking(connection, role, _GRANTED, (*FUNCTIONS, *FUNCTIONS_FOR_SQL))
        if without:
            more = f" and {len(without) - _MAX_NAMED} more" if len(without) > _MAX_NAMED else ""
            listed = ", ".join(without[:_MAX_NAMED])
            raise _cannot_grant(row, role, f"it would still lack {listed}{more}")


def _lacking(
    connection: sa.Connection,
    role: str | None,
    tables: Mapping[str, Sequence[str]],
    functions: Sequence[str],
) -> tuple[list[str], list[str]]:
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
