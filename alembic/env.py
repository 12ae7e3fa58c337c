"""Runs the revisions of the study plan schema.

The connection is the one in ``config.attributes["connection"]``, or a new one to
``DATABASE_URL``. Runs are serialised by an advisory lock that is polled: a session waiting
in the server would hold a snapshot that CREATE INDEX CONCURRENTLY of another run waits for.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import context

from domain.database_errors import require_supported_server
from domain.models import Base

MIGRATION_LOCK = 7_310_868_735_423_512_941
WAIT_SECONDS = 300
POLL_SECONDS = 0.2
GRANT = """
DO $$
DECLARE
  signature text;
BEGIN
  FOR signature IN
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname IN (
      'acquire_plan_group_lock', 'acquire_plan_locks', 'acquire_plan_locks_with_limits',
      'check_plan_group_lock', 'plan_group_lock_key', 'plan_lock_version',
      'require_plan_transaction', 'student_lock_key')
  LOOP
    EXECUTE 'GRANT EXECUTE ON FUNCTION ' || signature || ' TO {role}';
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
    """Run the revisions in one transaction, in the schema ``public``."""
    require_supported_server(connection)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table="studyplan_alembic_version",
        transaction_per_migration=False,
        compare_server_default=False,
        autogenerate_plugins=[
            "alembic.autogenerate.*",
            "alembic.ext.checkconstraint_byname",
        ],
        include_name=lambda name, kind, _: kind != "table" or name in Base.metadata.tables,
    )
    search_path = sa.func.current_setting("search_path")
    with context.begin_transaction():
        own = connection.scalar(sa.select(search_path))
        connection.exec_driver_sql("SET LOCAL search_path = public")
        context.run_migrations()
        grant()
        # A caller's transaction goes on after this one.
        put_back = sa.func.set_config("search_path", own, sa.true())
        connection.execute(sa.select(put_back))


def grant() -> None:
    """Let the roles of ``-x grant_to=ROLE,…`` execute the lock functions there are."""
    named = context.config.attributes.get("grant_to") or context.get_x_argument(
        as_dictionary=True
    ).get("grant_to")
    quote = context.get_context().dialect.identifier_preparer.quote_identifier
    for role in str(named or "").split(","):
        if role.strip():
            context.execute(GRANT.format(role=quote(role.strip()).replace("'", "''")))


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
    context.configure(
        dialect_name="postgresql",
        target_metadata=Base.metadata,
        version_table="studyplan_alembic_version",
        literal_binds=True,
    )
    with context.begin_transaction():
        context.execute("SET LOCAL search_path = public")
        context.run_migrations()
        grant()


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
