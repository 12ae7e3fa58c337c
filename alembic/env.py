"""Runs the revisions of the study plan schema.

The connection is the one in ``config.attributes["connection"]``, or a new one to
``DATABASE_URL``. Runs are serialised by an advisory lock that is polled: a session waiting
in the server would hold a snapshot that CREATE INDEX CONCURRENTLY of another run waits for.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from alembic import context

from domain.database_errors import require_supported_server
from domain.locking import statements
from domain.models import Base

MIGRATION_LOCK = 7_310_868_735_423_512_941
WAIT_SECONDS = 300
POLL_SECONDS = 0.2
SCHEMA: Final = "studyplan"
# By name, for the host may have functions beside them.
FUNCTIONS: Final = (
    *statements.FUNCTIONS,
    "studyplan.acquire_plan_group_lock(uuid, integer)",
    "public.acquire_plan_group_lock(uuid, integer)",
    "public.check_plan_group_lock(uuid)",
)
# The revisions name everything; this is for types and operators.
SEARCH_PATH: Final = "SET LOCAL search_path = pg_catalog, pg_temp"
OPTIONS: Final[dict[str, Any]] = {
    "target_metadata": Base.metadata,
    "version_table": "alembic_version",
    "version_table_schema": SCHEMA,
}
# Before anything else: Alembic's version table is in it. By a condition, for IF NOT EXISTS asks
# for the right to create one even where there is one.
CREATE_SCHEMA = """
DO $$
BEGIN
  IF to_regnamespace('studyplan') IS NULL THEN
    CREATE SCHEMA studyplan;
  END IF;
END
$$
"""
# After the last downgrade, which leaves the schema to us. Objects of the host may be in it.
DROP_SCHEMA = """
DO $$
BEGIN
  DROP TABLE IF EXISTS studyplan.alembic_version;
  DROP SCHEMA studyplan;
EXCEPTION WHEN dependent_objects_still_exist THEN
  DROP TABLE IF EXISTS studyplan.alembic_version;
END
$$
"""
GRANT = """
DO $$
DECLARE
  function regprocedure;
BEGIN
  IF to_regnamespace('studyplan') IS NULL THEN
    RETURN;
  END IF;
  EXECUTE 'GRANT USAGE ON SCHEMA studyplan TO {role}';
  FOR function IN
    SELECT to_regprocedure(f) FROM unnest('{{{functions}}}'::text[]) f
    WHERE to_regprocedure(f) IS NOT NULL
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {role}', function);
  END LOOP;
END
$$
"""


@contextmanager
def one_run_at_a_time(connection: sa.Connection) -> Iterator[None]:
    """Hold the session-level migration lock; raises ``TimeoutError`` after the bounded wait."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(MIGRATION_LOCK))):
        connection.rollback()
        if time.monotonic() > deadline:
            raise TimeoutError("another run holds the migration lock")
        time.sleep(POLL_SECONDS)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.scalar(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))
        connection.commit()


def run(connection: sa.Connection) -> None:
    """Run the revisions in one transaction."""
    require_supported_server(connection)
    context.configure(
        connection=connection,
        **OPTIONS,
        transaction_per_migration=False,
        compare_server_default=False,
        include_schemas=True,
        autogenerate_plugins=[
            "alembic.autogenerate.*",
            "alembic.ext.checkconstraint_byname",
        ],
        include_name=lambda name, kind, _: kind != "schema" or name == SCHEMA,
    )
    search_path = sa.func.current_setting("search_path")
    with context.begin_transaction():
        own = connection.scalar(sa.select(search_path))
        connection.exec_driver_sql(SEARCH_PATH)
        context.execute(CREATE_SCHEMA)
        context.run_migrations()
        grant()
        if not context.get_context().get_current_heads():
            context.execute(DROP_SCHEMA)
        # A caller's transaction goes on after this one.
        put_back = sa.func.set_config("search_path", own, sa.true())
        connection.execute(sa.select(put_back))


def grant() -> None:
    """Let the roles of ``-x grant_to=ROLE,…`` use the schema and execute its functions."""
    named = context.config.attributes.get("grant_to") or context.get_x_argument(
        as_dictionary=True
    ).get("grant_to")
    quote = context.get_context().dialect.identifier_preparer.quote_identifier
    functions = ", ".join(f'"{function}"' for function in FUNCTIONS)
    for role in str(named or "").split(","):
        if role.strip():
            quoted = quote(role.strip()).replace("'", "''")
            context.execute(GRANT.format(role=quoted, functions=functions))


def run_online() -> None:
    """Use the caller's connection, or open one; a caller's open transaction is left open."""
    given: sa.Connection | None = context.config.attributes.get("connection")
    if given is not None:
        if given.in_transaction():
            run(given)
        else:
            with one_run_at_a_time(given):
                run(given)
        return
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit("set DATABASE_URL, for example postgresql+psycopg://user@host/name")
    engine = sa.create_engine(_with_driver(url), poolclass=sa.NullPool)
    with engine.connect() as connection, one_run_at_a_time(connection):
        run(connection)
    engine.dispose()


def run_offline() -> None:
    """Write the SQL of the revisions to standard output (``--sql``)."""
    context.configure(dialect_name="postgresql", **OPTIONS, literal_binds=True)
    with context.begin_transaction():
        context.execute(SEARCH_PATH)
        context.execute(CREATE_SCHEMA)
        context.run_migrations()
        grant()
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
