"""Upgrades through a transaction pooler wait for each other and leave no lock."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from domain import schema
from domain.schema.run import MIGRATION_LOCK
from domain.testing.contention import advisory_locks, eventually
from tests.pooler.pgbouncer import PgBouncer, clients

# Enough transactions for psycopg to have prepared a repeated statement in both runs.
ATTEMPTS = 20


@pytest.fixture
def empty(new_database: Callable[[str], sa.URL]) -> sa.URL:
    return new_database("template0")


def upgrade(url: sa.URL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "domain", "upgrade"],
        env={**os.environ, "DATABASE_URL": url.render_as_string(hide_password=False)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def transactions(pooler: PgBouncer, database: sa.URL) -> int:
    rows = pooler.show("STATS")
    return sum(row["total_xact_count"] for row in rows if row["database"] == database.database)


def test_upgrades_wait_for_each_other_and_leave_no_lock(
    new_pooler: Callable[..., PgBouncer], empty: sa.URL
) -> None:
    pooler = new_pooler(pool_size=2)
    direct = sa.create_engine(empty, poolclass=sa.NullPool)
    with ExitStack() as stack, direct.begin() as other:
        other.scalar(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        runs = [stack.enter_context(upgrade(pooler.url_for(empty))) for _ in range(2)]
        for run in runs:
            stack.callback(run.kill)
        for run in runs:
            assert run.stderr is not None
            assert "waiting for the migration lock" in run.stderr.readline()
        before = transactions(pooler, empty)
        eventually(
            lambda: transactions(pooler, empty) >= before + ATTEMPTS,
            "the runs have retried",
            seconds=60,
        )
        assert [run.poll() for run in runs] == [None, None]
        other.commit()
        outputs = [run.communicate(timeout=60) for run in runs]
    assert [(run.returncode, err) for run, (_, err) in zip(runs, outputs, strict=True)] == [
        (0, "")
    ] * 2
    assert advisory_locks(direct) == 0
    with direct.connect() as connection:
        assert schema.is_current(connection)


def test_upgrade_leaves_no_lock_if_another_client_gets_its_backend(
    new_pooler: Callable[..., PgBouncer], empty: sa.URL
) -> None:
    """Whenever a transaction of the upgrade ends, another client gets its backend."""
    pooler = new_pooler(pool_size=2)
    direct = sa.create_engine(empty, poolclass=sa.NullPool)
    with clients(pooler, empty) as engine, engine.connect() as client:
        sa.event.listen(engine, "commit", lambda _: client.scalar(sa.text("SELECT 1")))
        with engine.connect() as connection:
            schema.upgrade(connection)
        assert advisory_locks(direct) == 0
        client.rollback()
        with engine.connect() as connection:
            schema.upgrade(connection)
            assert schema.is_current(connection)
