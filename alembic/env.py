"""Runs the revisions of the study plan schema.

The connection is the one in ``config.attributes["connection"]``, or a new one to
``DATABASE_URL``. ``domain.schema.run`` manages the transaction and the migration lock, and
``domain.schema.catalog`` checks the state of the database before the revisions run.
"""

from typing import Any, Final

import sqlalchemy as sa
from alembic import context
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from domain import privileges
from domain.database_url import DatabaseUrlError, url_from_environment
from domain.errors import DatabaseReadOnlyError, MisuseError
from domain.models import Base
from domain.models.base import SCHEMA
from domain.schema import catalog, run

# The revisions qualify the names of their objects with the schema. This search path resolves the
# types, functions and operators of PostgreSQL.
SEARCH_PATH: Final = "SET LOCAL search_path = pg_catalog, pg_temp"
OPTIONS: Final[dict[str, Any]] = {
    "target_metadata": Base.metadata,
    "version_table": "alembic_version",
    "version_table_schema": SCHEMA,
}
# Executed first, because Alembic's version table is in this schema. A condition is used because
# CREATE SCHEMA IF NOT EXISTS requires the privilege to create a schema even if it exists. The
# comment tells the first revision that the package's environment created the schema.
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
# For offline mode, in which the state of the database cannot be checked in advance.
REFUSE_SECOND_RUN = """
DO $$
BEGIN
  IF EXISTS (
    SELECT FROM pg_class WHERE relname = 'alembic_version'
      AND relnamespace = to_regnamespace('studyplan')
  ) THEN
    RAISE EXCEPTION USING ERRCODE = '55000',
      MESSAGE = 'studyplan.alembic_version already exists: these statements are for a database '
        || 'without this schema. For the steps between two revisions, print the SQL of '
        || '--revision sp_0001:head';
  END IF;
END
$$
"""
# Executed after the last downgrade. The first revision keeps a schema that this environment has
# created, because the version table is still in it. If the application has objects in the schema,
# only the comment is removed.
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
    target = destination()
    if target is not UNKNOWN:
        catalog.require_own(state, target)
    roles = granted_roles()
    privileges.require_roles(connection, roles)
    search_path = connection.scalar(sa.select(sa.func.current_setting("search_path")))
    connection.exec_driver_sql(SEARCH_PATH)
    if target is UNKNOWN or not state.is_managed_by_host:
        context.execute(CREATE_SCHEMA)
        context.run_migrations()
        if not context.get_context().get_current_heads():
            context.execute(DROP_SCHEMA)
    privileges.grant(connection, roles)
    # The caller may continue to use the transaction after the migration.
    connection.execute(sa.select(sa.func.set_config("search_path", search_path, sa.true())))


def destination() -> object:
    """Return the target revision: ``None`` for the base, ``UNKNOWN`` if the command has none."""
    try:
        found = context.get_revision_argument()
        return found[0] if isinstance(found, tuple) and len(found) == 1 else found  # of "heads"
    except KeyError:
        return UNKNOWN
    except (CommandError, RevisionError):
        # A relative revision, or one that does not exist, which Alembic reports itself.
        return "another one"


def granted_roles() -> tuple[str, ...]:
    """Return the roles that the calling program passed, or those of ``-x grant_to=ROLE,…``."""
    given = context.config.attributes.get("grant_to")
    if not given:
        given = context.get_x_argument(as_dictionary=True).get("grant_to") or ""
    return privileges.role_names(given)


def run_online() -> None:
    """Migrate on the caller's connection, whose open transaction is not ended, or on a new one."""
    attributes = context.config.attributes
    given: sa.Connection | None = attributes.get("connection")
    wait = attributes.get("wait", run.DEFAULT_WAIT)
    if given is not None:
        with run.one_run(given, wait):
            migrate(given)
        return
    try:
        url = url_from_environment()
    except DatabaseUrlError as error:
        raise SystemExit(str(error)) from error
    if url is None:
        raise SystemExit("set DATABASE_URL, for example postgresql+psycopg://user@host/name")
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="READ COMMITTED")
    try:
        with engine.connect() as connection:
            run.require_connection(connection)
            with run.one_run(connection, wait):
                migrate(connection)
    except (MisuseError, DatabaseReadOnlyError, TimeoutError) as error:
        raise SystemExit(str(error)) from error
    finally:
        engine.dispose()


def run_offline() -> None:
    """Write the SQL of the revisions to standard output (``--sql``)."""
    # Other parameter styles would double every % in the statements.
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


if context.is_offline_mode():
    run_offline()
else:
    run_online()
