"""Runs the revisions of the study plan schema.

The connection is the one in ``config.attributes["connection"]``, or a new one to
``DATABASE_URL``. ``domain.schema.run`` has the transaction and the migration lock,
``domain.schema.catalog`` what a database must be like for a run.
"""

import os
from typing import Any, Final

import sqlalchemy as sa
from alembic import context
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from domain import privileges
from domain.errors import SchemaError
from domain.models import Base
from domain.models.base import SCHEMA
from domain.schema import catalog, run

# The revisions name everything; this is for types and operators.
SEARCH_PATH: Final = "SET LOCAL search_path = pg_catalog, pg_temp"
OPTIONS: Final[dict[str, Any]] = {
    "target_metadata": Base.metadata,
    "version_table": "alembic_version",
    "version_table_schema": SCHEMA,
}
# Before anything else: Alembic's version table is in it. By a condition, for IF NOT EXISTS asks
# for the right to create one even where there is one. The comment tells the first revision that
# the schema is the package's own.
CREATE_SCHEMA = """
DO $$
BEGIN
  IF to_regnamespace('studyplan') IS NULL THEN
    CREATE SCHEMA studyplan;
    COMMENT ON SCHEMA studyplan IS 'studyplan-domain';
  END IF;
END
$$
"""
# Offline, nothing has looked at the database.
REFUSE_SECOND_RUN = """
DO $$
BEGIN
  IF EXISTS (
    SELECT FROM pg_class WHERE relname = 'alembic_version'
      AND relnamespace = to_regnamespace('studyplan')
  ) THEN
    RAISE EXCEPTION USING ERRCODE = '55000',
      MESSAGE = 'studyplan.alembic_version is there already: these statements are for a database '
        || 'without this schema. For the steps between two revisions, print '
        || '--revision sp_0001:head';
  END IF;
END
$$
"""
# After the last downgrade, which leaves a schema of our own to us. The host may have objects in it.
DROP_SCHEMA = """
DO $$
BEGIN
  DROP TABLE IF EXISTS studyplan.alembic_version;
  IF obj_description(to_regnamespace('studyplan')::oid, 'pg_namespace') = 'studyplan-domain' THEN
    BEGIN
      DROP SCHEMA studyplan;
    EXCEPTION WHEN dependent_objects_still_exist THEN
      COMMENT ON SCHEMA studyplan IS NULL;
    END;
  END IF;
END
$$
"""
UNKNOWN: Final = object()


def migrate(connection: sa.Connection) -> None:
    """Run the revisions in the connection's transaction, which holds the migration lock."""
    context.configure(
        connection=connection,
        **OPTIONS,
        transaction_per_migration=False,
        compare_server_default=False,
        include_schemas=True,
        autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        include_name=lambda name, kind, _: kind != "schema" or name == SCHEMA,
    )
    known = {script.revision for script in context.script.walk_revisions()}
    state = catalog.state_of(connection, known)
    context.config.attributes["found"] = state.revision
    where_to = destination()
    if where_to is not UNKNOWN:
        catalog.require_own(state, where_to)
    roles = granted_roles()
    privileges.require_roles(connection, roles)
    own = connection.scalar(sa.select(sa.func.current_setting("search_path")))
    connection.exec_driver_sql(SEARCH_PATH)
    if where_to is UNKNOWN or not state.is_managed_by_host:
        context.execute(CREATE_SCHEMA)
        context.run_migrations()
        if not context.get_context().get_current_heads():
            context.execute(DROP_SCHEMA)
    privileges.grant(connection, roles)
    # A caller's transaction goes on after this one.
    connection.execute(sa.select(sa.func.set_config("search_path", own, sa.true())))


def destination() -> object:
    """The revision to go to, ``None`` for the base; ``UNKNOWN`` for commands that go nowhere."""
    try:
        found = context.get_revision_argument()
        return found[0] if isinstance(found, tuple) and len(found) == 1 else found  # of "heads"
    except KeyError:
        return UNKNOWN
    except (CommandError, RevisionError):
        return "another one"  # a relative one; Alembic reports those that do not exist


def granted_roles() -> tuple[str, ...]:
    """The roles of ``-x grant_to=ROLE,…``, or of the program that runs the migrations."""
    given = context.config.attributes.get("grant_to")
    if not given:
        given = context.get_x_argument(as_dictionary=True).get("grant_to") or ""
    return privileges.role_names(given)


def run_online() -> None:
    """Use the caller's connection, or open one; a caller's open transaction is left open."""
    attributes = context.config.attributes
    given: sa.Connection | None = attributes.get("connection")
    wait = attributes.get("wait", run.DEFAULT_WAIT)
    if given is not None:
        with run.one_run(given, wait):
            migrate(given)
        return
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit("set DATABASE_URL, for example postgresql+psycopg://user@host/name")
    engine = sa.create_engine(
        _with_driver(url), poolclass=sa.NullPool, isolation_level="READ COMMITTED"
    )
    try:
        with engine.connect() as connection:
            run.require_connection(connection)
            with run.one_run(connection, wait):
                migrate(connection)
    except (SchemaError, TimeoutError) as error:
        raise SystemExit(str(error)) from error
    finally:
        engine.dispose()


def run_offline() -> None:
    """Write the SQL of the revisions to standard output (``--sql``)."""
    # Another style would double every % in the statements.
    context.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},
        **OPTIONS,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.execute(SEARCH_PATH)
        if not context.get_starting_revision_argument():
            context.execute(REFUSE_SECOND_RUN)
            context.execute(CREATE_SCHEMA)
        context.run_migrations()
        for role in granted_roles():
            context.get_context().impl.static_output(f"{privileges.grant_statement(role)};")
        if not context.get_revision_argument():
            context.execute(DROP_SCHEMA)


def _with_driver(url: str) -> sa.URL:
    """``postgres://`` and ``postgresql://`` mean psycopg here."""
    parsed = sa.make_url(url.replace("postgres://", "postgresql://", 1))
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


if context.is_offline_mode():
    run_offline()
else:
    run_online()
