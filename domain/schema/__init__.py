"""Upgrade, downgrade and inspect the schema, which Alembic's revisions create.

Only this package imports alembic. If the connection that is passed to a function is in a
transaction, the function is part of it, and the caller commits; otherwise the function begins and
ends a separate transaction.
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

# Alembic keeps the environment of a run in module globals, so a process can only run one at a time.
_PROCESS_LOCK = threading.Lock()
# For anything else, Alembic's errors have no useful message.
_REVISION: Final = re.compile(r"[\w@+-]+(:[\w@+-]+)?")
_PROCESS_LOCK_POLL: Final = timedelta(milliseconds=20)


def upgrade(
    connection: sa.Connection,
    revision: str = "head",
    *,
    grant_to: str | Iterable[str] = "",
    wait: timedelta = DEFAULT_WAIT,
) -> str | None:
    """Upgrade the database to ``revision``; return the revision that it had before.

    If the connection is in a transaction, the run is part of it, and the caller commits; the
    caller may be a revision or the ``env.py`` of another Alembic environment. Otherwise the run is
    a separate transaction, which is committed. Runs are serialised by a transaction-level advisory
    lock. A run that fails changes nothing. ``grant_to`` names roles, separated by commas, which
    are granted the privileges that the package needs, also if the schema is already at
    ``revision``.

    Raises ``SchemaError`` if the server is older than PostgreSQL 15, if the database has a
    revision that this package does not know, the version table of another Alembic environment or
    objects with the same names, if another environment manages the schema and it is not at
    ``revision``, if ``revision`` or a role does not exist, or if the role lacks a privilege;
    ``WrongTransactionError`` in autocommit mode, at an isolation level above READ COMMITTED and
    in a read-only transaction; ``DatabaseReadOnlyError`` on a standby; ``MisuseError`` if
    ``connection`` is not a connection or ``grant_to`` has no names of roles;
    ``InvalidInputError`` if ``wait`` is no timedelta; ``TimeoutError``, with the process that holds
    the lock, if another run takes longer than ``wait``.
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
    """Downgrade the database to ``revision``, under the same conditions as ``upgrade``.

    Returns the revision that the database had before.

    ``base`` drops every table of the package. It also drops the schema, unless the schema contains
    other objects or existed before the package. Objects of the application that depend on those
    of the package, such as foreign keys, are not dropped; ``SchemaError`` names them.
    """
    run.require_connection(connection, "schema.downgrade(connection)")
    config = _config(connection=connection, wait=wait)
    with _running(revision, connection):
        command.downgrade(config, revision)
    return _found(config)


def upgrade_sql(revision: str = "head", *, grant_to: str | Iterable[str] = "") -> str:
    """Return the SQL that ``upgrade`` executes on a database without the schema.

    It is one transaction. ``revision`` may be a range, such as ``sp_0001:head``. No database is
    needed. Raises ``SchemaError`` if ``revision`` does not exist.
    """
    output = io.StringIO()
    config = _config(output, grant_to=privileges.role_names(grant_to))
    with _running(revision):
        command.upgrade(config, revision, sql=True)
    return output.getvalue()


def grant(connection: sa.Connection, roles: str | Iterable[str]) -> None:
    """Grant roles exactly the privileges that the package needs.

    Use it for a schema that another Alembic environment manages, and for roles that are created
    later. A string contains role names separated by commas; each element of another iterable is
    one name.

    Raises ``SchemaError`` if the schema or a role does not exist, or if a role would still lack a
    privilege because the caller is not the owner; otherwise the same errors as ``upgrade``.
    """
    run.require_connection(connection, "schema.grant(connection, roles)")
    names = privileges.role_names(roles)
    with run.one_run(connection):
        catalog.require_made(connection, _known_revisions())
        privileges.grant(connection, names)


def current_revision(connection: sa.Connection) -> str | None:
    """Return the revision of the schema, or ``None`` if it has none.

    The revision may be one that this package does not know. It is read from the comment of the
    schema, so it does not matter which Alembic environment created the schema. Requires no
    privilege. Raises ``MisuseError`` if ``connection`` is not a connection.
    """
    with _read(connection, "current_revision"):
        return catalog.stamped_revision(connection)


def head_revision() -> str | None:
    """Return the revision that this package needs."""
    return _script().get_current_head()


def is_current(connection: sa.Connection) -> bool:
    """Whether the database has exactly the schema that this package needs.

    Raises ``MisuseError`` if ``connection`` is not a connection.
    """
    with _read(connection, "is_current"):
        return catalog.stamped_revision(connection) == head_revision()


def require_current(connection: sa.Connection) -> None:
    """Raise ``SchemaError`` unless the schema is current. Its message says what to do.

    That is to upgrade the database, to install the newer version of the package that has upgraded
    it, or to restore the comment of the schema, which contains the revision. Raises
    ``MisuseError`` if ``connection`` is not a connection.
    """
    with _read(connection, "require_current"):
        catalog.require_current(connection, _known_revisions(), head_revision())


def migrations_directory() -> Path:
    """Return the directory of the revisions.

    It is in the installed package, or next to the package in a checkout.
    """
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "alembic"


def include_name(
    name: str | None, type_: NameFilterType, parent_names: NameFilterParentNames
) -> bool:
    """Whether autogenerate should reflect an object with this name: False for this package's.

    Use it as ``context.configure(include_name=…)`` in an application that sets
    ``include_schemas``. Alembic does not call it for ``target_metadata``, so an application whose
    ``target_metadata`` has ``domain.Base.metadata`` needs ``include_object`` instead.
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
    """Whether autogenerate should compare an object: False for tables of this package.

    Use it as ``context.configure(include_object=…)``. It is sufficient whether or not the
    application sets ``include_schemas`` and has ``domain.Base.metadata`` in its
    ``target_metadata``. A foreign key on a table of the application is compared; one that the
    application has added to a table of this package is ignored.
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
        # If the transaction stayed open, a following upgrade would be part of it, and would be
        # lost unless the caller commits.
        if began:
            connection.rollback()


@contextmanager
def _running(revision: str, connection: sa.Connection | None = None) -> Iterator[None]:
    """Prepare the process for a run of Alembic, which may be nested in another run of Alembic."""
    given: object = revision  # callers without a type checker pass any object
    if not isinstance(given, str) or not _REVISION.fullmatch(given):
        raise SchemaError(f"{revision!r} is not a revision, such as head, base or sp_0001.")
    with _process_lock(connection), _outer_run_restored(), _revision_errors_translated(revision):
        yield


@contextmanager
def _process_lock(connection: sa.Connection | None) -> Iterator[None]:
    # Another task of this thread may hold the lock. A blocking wait would stop its event loop,
    # and thereby the task that has to release the lock.
    while not _PROCESS_LOCK.acquire(blocking=connection is None or not connection.dialect.is_async):
        if connection is not None:
            run.pause(connection, _PROCESS_LOCK_POLL)
    try:
        yield
    finally:
        _PROCESS_LOCK.release()


@contextmanager
def _outer_run_restored() -> Iterator[None]:
    """Restore ``alembic.op`` and ``alembic.context`` for the outer run, if there is one.

    Each of these modules delegates to one proxy object, which Alembic removes at the end of a run.
    """
    modules = (alembic.op, alembic.context)
    outer = [vars(module).get("_proxy") for module in modules]
    try:
        yield
    finally:
        for module, proxy in zip(modules, outer, strict=True):
            remaining = vars(module).get("_proxy")
            if proxy is not None:
                proxy._install_proxy()  # noqa: SLF001 - Alembic has no public function for this
            elif remaining is not None:  # Alembic does not remove the ``op`` of a failed revision.
                remaining._remove_proxy()  # noqa: SLF001 - as above


@contextmanager
def _revision_errors_translated(revision: str) -> Iterator[None]:
    """Raise Alembic's errors about revisions as ``SchemaError``."""
    try:
        yield
    except CommandError as error:
        raise SchemaError(f"The revisions cannot be run to {revision}: {error}") from error


def _found(config: Config) -> str | None:
    """Return the revision that ``env.py`` read after it had acquired the migration lock."""
    found: str | None = config.attributes["found"]
    return found


def _config(output: TextIO | None = None, **attributes: Any) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(attributes)
    return config
