"""The schema, as Alembic's revisions make it. The only module that imports alembic."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from domain.database_errors import translated
from domain.errors import SchemaError

SCHEMA: Final = "studyplan"
"""The PostgreSQL schema of the tables, the functions and the version table."""

# Each revision stamps the schema, whichever environment runs it.
_STAMPED: Final = (
    "SELECT pg_catalog.obj_description(pg_catalog.to_regnamespace(%s)::pg_catalog.oid, "
    "'pg_namespace')"
)
_STAMP: Final = re.compile(r"studyplan-domain, revision (\w+)")

# Alembic keeps the environment of a run in module globals, so threads must take turns.
_ONE_AT_A_TIME = threading.Lock()


def upgrade(connection: sa.Connection, revision: str = "head", *, grant_to: str = "") -> None:
    """Bring the database to ``revision``.

    On a connection without a transaction the run is serialised by an advisory lock and
    committed; inside the caller's transaction it is part of that and the caller commits.
    ``grant_to`` names roles, separated by commas, that may use the schema and its functions.

    Raises ``SchemaError`` if the server is older than PostgreSQL 15, if the database has a
    revision that this package does not know, or if ``revision`` is none; nothing is changed
    then.
    """
    with _ONE_AT_A_TIME, _revisions_known(revision):
        command.upgrade(_config(connection, grant_to), revision)


def downgrade(connection: sa.Connection, revision: str = "base") -> None:
    """Take the database back to ``revision``, under the same conditions as ``upgrade``."""
    with _ONE_AT_A_TIME, _revisions_known(revision):
        command.downgrade(_config(connection), revision)


def current_revision(connection: sa.Connection) -> str | None:
    """The revision that the schema has, known or not; ``None`` if it has none.

    It is read from the schema's comment, so it does not matter whose Alembic environment
    made the schema. Needs no privilege.
    """
    began = not connection.in_transaction()
    try:
        with translated():
            comment = connection.exec_driver_sql(_STAMPED, (SCHEMA,)).scalar()
    finally:
        # A transaction left open here would swallow an upgrade that follows.
        if began:
            connection.rollback()
    found = _STAMP.fullmatch(comment or "")
    return found and found[1]


def head_revision() -> str | None:
    """The revision that this package needs."""
    return ScriptDirectory(str(migrations_directory())).get_current_head()


def is_current(connection: sa.Connection) -> bool:
    """Whether the database has exactly the schema that this package needs."""
    return current_revision(connection) == head_revision()


def require_current(connection: sa.Connection) -> None:
    """Raise ``SchemaError`` unless the schema is current; says both revisions."""
    found, needed = current_revision(connection), head_revision()
    if found != needed:
        raise SchemaError(
            f"The database has revision {found or 'none'} of the schema, this package needs "
            f"{needed}. Run `python -m domain upgrade`, or `alembic upgrade head`."
        )


def migrations_directory() -> Path:
    """Where the revisions are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


@contextmanager
def _revisions_known(asked_for: str) -> Iterator[None]:
    """Say what alembic's errors about revisions mean here."""
    try:
        yield
    except CommandError as error:
        unknown = getattr(error.__cause__, "argument", None)
        if unknown is None or unknown == asked_for:
            raise SchemaError(f"The revisions cannot be run: {error}") from error
        raise SchemaError(
            f"The database has revision {unknown}, which this version of the package does not "
            "know: a newer one has migrated it. Install that version, or a later one."
        ) from error


def _config(connection: sa.Connection, grant_to: str = "") -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    attributes["grant_to"] = grant_to
    return config
