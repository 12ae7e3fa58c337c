"""The state of a database's schema: its revision, and which Alembic environment manages it.

``domain.schema`` and Alembic's ``env.py`` use this module. It does not depend on the revisions.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from domain.database_errors import MIGRATE
from domain.errors import SchemaError

# Each revision writes its name to the comment of the schema, in whichever environment it runs.
_COMMENT: Final = sa.text(
    "SELECT pg_catalog.obj_description("
    "pg_catalog.to_regnamespace('studyplan')::pg_catalog.oid, 'pg_namespace')"
)
_STAMP: Final = re.compile(r"studyplan-domain, revision (\w+)(?:; .*)?", re.DOTALL)
_HAS_VERSIONS: Final = sa.text(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = 'alembic_version' "
    "AND relnamespace = pg_catalog.to_regnamespace('studyplan') AND (NOT :readable "
    "OR pg_catalog.has_schema_privilege(relnamespace, 'USAGE') "
    "AND pg_catalog.has_table_privilege(oid, 'SELECT')))"
).bindparams(sa.bindparam("readable", value=False, type_=sa.Boolean))
_VERSIONS: Final = sa.text("SELECT version_num FROM studyplan.alembic_version")
_HAS_TABLES: Final = sa.text(
    "SELECT count(*) = 4 FROM pg_catalog.pg_class WHERE relkind = 'r' "
    "AND relnamespace = pg_catalog.to_regnamespace('studyplan') "
    "AND relname IN ('contents', 'plan_generations', 'plan_groups', 'student_plans')"
)
_MANAGED_BY_APPLICATION: Final = (
    "the application's own Alembic environment manages this schema, as a branch in its "
    "version_locations"
)


@dataclass(frozen=True, slots=True)
class State:
    """The state of a database's schema."""

    revision: str | None
    """The revision in the comment of the schema, whichever environment ran it."""
    versions: frozenset[str] | None
    """The contents of ``studyplan.alembic_version``; ``None`` if that table does not exist."""

    @property
    def is_managed_by_host(self) -> bool:
        """Whether an Alembic environment other than the package's ran the revisions."""
        return self.revision is not None and self.revision not in (self.versions or ())


def stamped_revision(connection: sa.Connection) -> str | None:
    """Return the revision in the comment of the schema. Requires no privilege."""
    found = _STAMP.fullmatch(connection.scalar(_COMMENT) or "")
    return found and found[1]


def state_of(connection: sa.Connection, known: Collection[str]) -> State:
    """Return the state of the database.

    Raises ``SchemaError`` for a state that a run must not change: a newer revision, a lost
    comment, or a ``studyplan.alembic_version`` that does not match the comment.
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
    """Raise ``SchemaError`` if the package's tables exist and only the comment is missing.

    Call it for a schema whose comment has no revision. The version table is only the package's if
    it has exactly one revision: the table of another environment may contain a revision of the
    package in addition to its own.
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
        "The comment of the schema studyplan, which has its revision, was lost or changed, for "
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
        f"has {listed}). This package needs a version table of that name: set another "
        "version_table_schema for the application's table; or add this package's revisions to "
        "its version_locations and run `alembic upgrade heads` there."
    )


def require_own(state: State, destination: object) -> None:
    """Raise ``SchemaError`` if another environment manages a schema that has to be changed.

    :param destination: the requested revision, ``None`` for the base. A schema that already has
        it is not changed.
    """
    if not state.is_managed_by_host or state.revision == destination:
        return
    command = "downgrade studyplan@base" if destination is None else "upgrade studyplan@head"
    raise SchemaError(
        f"The database has revision {state.revision}, and {_MANAGED_BY_APPLICATION}. Run "
        f"`alembic {command}` there."
    )


def require_made(connection: sa.Connection, known: Collection[str]) -> str:
    """Return the revision of the schema.

    Raises ``SchemaError`` if there is no schema or its comment was lost. Requires no privilege: a
    role that cannot read the version table gets the error for a missing schema.
    """
    found = stamped_revision(connection)
    if found is None:
        if connection.scalar(_HAS_VERSIONS, {"readable": True}):
            _require_comment(connection, frozenset(connection.scalars(_VERSIONS)), known)
        elif not connection.scalar(_HAS_VERSIONS):
            _require_comment(connection, None, known)
        raise SchemaError(f"The database does not have the schema of this package. {MIGRATE}")
    return found


def require_current(connection: sa.Connection, known: Collection[str], needed: str | None) -> None:
    """Raise ``SchemaError`` unless the schema has the revision ``needed``.

    The message has both revisions and the command to run.
    """
    found = require_made(connection, known)
    if found == needed:
        return
    _require_known(found, known)
    command = MIGRATE
    if not connection.scalar(_HAS_VERSIONS):
        command = f"Because {_MANAGED_BY_APPLICATION}, run `alembic upgrade studyplan@head` there."
    raise SchemaError(
        f"The database has revision {found} of the schema; this package needs {needed}. {command}"
    )
