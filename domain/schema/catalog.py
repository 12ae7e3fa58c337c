"""What a database says of its schema: the revision, and which Alembic environment manages it.

Alembic's environment and ``domain.schema`` use it; nothing here knows the revisions.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from domain.database_errors import MIGRATE
from domain.errors import SchemaError

# Each revision stamps the schema, whichever environment runs it.
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
        if connection.scalar(_HAS_VERSIONS, {"readable": True}):
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
