"""The schema, as Alembic's revisions make it. The only package that imports alembic.

Every function that takes a connection works in the transaction that it is in, and leaves the
commit to the caller; without one it makes a transaction of its own.
"""

import io
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TextIO

import alembic.context
import alembic.op
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import NameFilterParentNames, NameFilterType
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from domain import privileges
from domain.arguments import as_connection
from domain.database_errors import translated
from domain.errors import SchemaError
from domain.models.base import SCHEMA
from domain.schema import catalog, run
from domain.schema.run import DEFAULT_WAIT

# Alembic keeps the environment of a run in module globals, so threads must take turns.
_ONE_AT_A_TIME = threading.Lock()
# Of anything else, Alembic raises errors without a sentence.
_REVISION: Final = re.compile(r"[\w@+-]+(:[\w@+-]+)?")
_TURN: Final = timedelta(milliseconds=20)


def upgrade(
    connection: sa.Connection,
    revision: str = "head",
    *,
    grant_to: str | Iterable[str] = "",
    wait: timedelta = DEFAULT_WAIT,
) -> str | None:
    """Bring the database to ``revision``; returns the revision that it had before.

    In a transaction of the caller's the run is part of it, and the caller commits; that may
    be a revision or the ``env.py`` of another Alembic environment. Otherwise the run is a
    transaction of its own. Runs are serialised by an advisory lock of the transaction. A run
    that fails leaves nothing behind. ``grant_to`` names roles, separated by commas, that get
    the privileges which the package needs, also if the schema is at ``revision`` already.

    Raises ``SchemaError`` if the server is older than PostgreSQL 15, if the database has a
    revision that this package does not know, another Alembic environment's version table or
    objects of the same names, if another environment manages the schema and it is not at
    ``revision``, if ``revision`` or a role does not exist, or if the role lacks a privilege;
    ``WrongTransactionError`` in autocommit mode, above READ COMMITTED and in a read-only
    transaction; ``DatabaseReadOnlyError`` on a standby; ``MisuseError`` for what is no
    connection; ``TimeoutError``, which names the other run, if that one takes longer than
    ``wait``.
    """
    run.require_connection(connection)
    roles = privileges.role_names(grant_to)
    config = _config(connection=connection, grant_to=roles, wait=wait)
    with _running(revision, connection):
        command.upgrade(config, revision)
    return _found(config)


def downgrade(
    connection: sa.Connection, revision: str = "base", *, wait: timedelta = DEFAULT_WAIT
) -> str | None:
    """Take the database back to ``revision``, under the same conditions as ``upgrade``.

    Returns the revision that the database had before.

    ``base`` drops every table of the package. The schema goes too, unless something else is in
    it or it existed before the package. Objects of the application's that depend on the
    package's, such as foreign keys, are not dropped: ``SchemaError`` names them.
    """
    run.require_connection(connection, "schema.downgrade(connection)")
    config = _config(connection=connection, wait=wait)
    with _running(revision, connection):
        command.downgrade(config, revision)
    return _found(config)


def upgrade_sql(revision: str = "head", *, grant_to: str | Iterable[str] = "") -> str:
    """The SQL that ``upgrade`` executes on a database without the schema, as one transaction.

    ``revision`` may be a range, such as ``sp_0001:head``. Needs no database. Raises
    ``SchemaError`` if ``revision`` does not exist.
    """
    written = io.StringIO()
    config = _config(written, grant_to=privileges.role_names(grant_to))
    with _running(revision):
        command.upgrade(config, revision, sql=True)
    return written.getvalue()


def grant(connection: sa.Connection, roles: str | Iterable[str]) -> None:
    """Give roles the privileges that the package needs, and no more.

    For a schema that another Alembic environment manages, and for roles that are made later.
    A text names roles separated by commas; of an iterable each element is one name.

    Raises ``SchemaError`` if there is no schema, no such role, or if a role would still lack
    a privilege, because the caller is not the owner; otherwise as ``upgrade``.
    """
    run.require_connection(connection, "schema.grant(connection, roles)")
    names = privileges.role_names(roles)
    with run.one_run(connection):
        catalog.require_made(connection, _known_revisions())
        privileges.grant(connection, names)


def current_revision(connection: sa.Connection) -> str | None:
    """The revision that the schema has, known or not; ``None`` if it has none.

    It is read from the schema's comment, so it does not matter whose Alembic environment
    made the schema. Needs no privilege. Raises ``MisuseError`` for what is no connection.
    """
    with _read(connection, "current_revision"):
        return catalog.stamped_revision(connection)


def head_revision() -> str | None:
    """The revision that this package needs."""
    return _script().get_current_head()


def is_current(connection: sa.Connection) -> bool:
    """Whether the database has exactly the schema that this package needs.

    Raises ``MisuseError`` for what is no connection.
    """
    with _read(connection, "is_current"):
        return catalog.stamped_revision(connection) == head_revision()


def require_current(connection: sa.Connection) -> None:
    """Raise ``SchemaError`` unless the schema is current, saying what to do about it.

    That is to migrate, to install the newer version of the package that has migrated the
    database, or to restore the schema's comment, which has the revision. Raises
    ``MisuseError`` for what is no connection.
    """
    with _read(connection, "require_current"):
        catalog.require_current(connection, _known_revisions(), head_revision())


def migrations_directory() -> Path:
    """Where the revisions are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


def include_name(
    name: str | None, type_: NameFilterType, parent_names: NameFilterParentNames
) -> bool:
    """Whether autogenerate should look at what has this name in the database: not at ours.

    For ``context.configure(include_name=…)`` of an application that sets ``include_schemas``.
    Alembic does not ask it about ``target_metadata``, so an application whose list has
    ``domain.Base.metadata`` needs ``include_object``.
    """
    if type_ == "schema":
        return name != SCHEMA
    return parent_names.get("schema_name") != SCHEMA


def include_object(
    object: sa.schema.SchemaItem,  # noqa: A002 - Alembic's name
    name: str | None,
    type_: NameFilterType,
    reflected: bool,  # noqa: FBT001 - Alembic passes it by position
    compare_to: sa.schema.SchemaItem | None,
) -> bool:
    """Whether autogenerate should compare an object: not those of our tables.

    For ``context.configure(include_object=…)``. It is enough by itself, whether or not the
    application sets ``include_schemas`` and has ``domain.Base.metadata`` in its
    ``target_metadata``. A foreign key of the application's is its own on one of its tables, and
    left alone on one of ours.
    """
    table = object if isinstance(object, sa.Table) else getattr(object, "table", None)
    return getattr(table, "schema", None) != SCHEMA


def _script() -> ScriptDirectory:
    return ScriptDirectory(str(migrations_directory()))


def _known_revisions() -> set[str]:
    return {script.revision for script in _script().walk_revisions()}


@contextmanager
def _read(connection: sa.Connection, function: str) -> Iterator[None]:
    as_connection(connection, f"schema.{function}(connection)")
    began = not connection.in_transaction()
    try:
        with translated():
            yield
    finally:
        # A transaction left open here would swallow an upgrade that follows.
        if began:
            connection.rollback()


@contextmanager
def _running(asked_for: str, connection: sa.Connection | None = None) -> Iterator[None]:
    """One run in this process at a time, inside of whatever run of Alembic's is going on."""
    if not _REVISION.fullmatch(asked_for):
        raise SchemaError(f"{asked_for!r} is not a revision, such as head, base or sp_0001.")
    with _turn(connection), _outer_run_kept(), _revisions_known(asked_for):
        yield


@contextmanager
def _turn(connection: sa.Connection | None) -> Iterator[None]:
    # Another task of this thread may have the turn: to wait for it here would stop both.
    while not _ONE_AT_A_TIME.acquire(
        blocking=connection is None or not connection.dialect.is_async
    ):
        if connection is not None:
            run.pause(connection, _TURN)
    try:
        yield
    finally:
        _ONE_AT_A_TIME.release()


@contextmanager
def _outer_run_kept() -> Iterator[None]:
    """Keep ``alembic.op`` and ``alembic.context`` for the run that this one is inside of.

    Alembic has one object behind each of these modules, and takes it away when a run ends.
    """
    modules = (alembic.op, alembic.context)
    outer = [vars(module).get("_proxy") for module in modules]
    try:
        yield
    finally:
        for module, proxy in zip(modules, outer, strict=True):
            left = vars(module).get("_proxy")
            if proxy is not None:
                proxy._install_proxy()  # noqa: SLF001 - Alembic has no public way
            elif left is not None:  # a failed revision leaves its ``op``
                left._remove_proxy()  # noqa: SLF001 - likewise


@contextmanager
def _revisions_known(asked_for: str) -> Iterator[None]:
    """Say what alembic's errors about revisions mean here."""
    try:
        yield
    except CommandError as error:
        raise SchemaError(f"The revisions cannot be run to {asked_for}: {error}") from error


def _found(config: Config) -> str | None:
    """What the environment noted when the run had its turn."""
    found: str | None = config.attributes["found"]
    return found


def _config(written: TextIO | None = None, **attributes: Any) -> Config:
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(attributes)
    return config
