"""The long form.

    python -m tests.soak --operations 20000 [--seed 1] [--pooler] [--keep DIRECTORY]

On the embedded server, or on the server of TEST_DATABASE_URL in a database of its own.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa

from domain import schema
from domain.embedded import embedded_postgres
from tests.pooler.pgbouncer import transaction_pooler
from tests.soak.checker import check_run
from tests.soak.load import Load, conninfo_of, run

KILLS_EVERY = 2500


def main() -> int:
    """Run, check, tell; 0 if there were no violations."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pooler", action="store_true", help="workers go through PgBouncer")
    parser.add_argument("--keep", type=Path, help="where the histories stay")
    asked = parser.parse_args()
    load = Load(asked.operations, seed=asked.seed, kills=max(1, asked.operations // KILLS_EVERY))
    with ExitStack() as stack:
        directory = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        server = stack.enter_context(_server())
        url = stack.enter_context(_database(server))
        through = None
        if asked.pooler:
            pooler = stack.enter_context(transaction_pooler(server, pool_size=load.workers))
            through = pooler.url_for(url)
        started = time.monotonic()
        done = run(load, url, directory, through=through)
        verdict = check_run(directory, conninfo_of(url))
    print(f"{load.workers} workers in {load.processes} processes; {done}")
    print(verdict)
    print(f"{time.monotonic() - started:.0f} s in all")
    return min(1, len(verdict.violations))


@contextmanager
def _server() -> Iterator[sa.URL]:
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield sa.make_url(given).set(drivername="postgresql+psycopg")
        return
    with embedded_postgres() as server:
        yield sa.make_url(server.url)


@contextmanager
def _database(server: sa.URL) -> Iterator[sa.URL]:
    """A migrated database for this run alone."""
    name = f"studyplan_soak_{os.getpid()}"
    maintenance = sa.create_engine(server, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        connection.exec_driver_sql(f'CREATE DATABASE "{name}" TEMPLATE template0')
        url = server.set(database=name)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as own:
            schema.upgrade(own)
        try:
            yield url
        finally:
            connection.exec_driver_sql(f'DROP DATABASE "{name}" WITH (FORCE)')


if __name__ == "__main__":
    sys.exit(main())
