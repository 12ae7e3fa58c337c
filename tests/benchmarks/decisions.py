"""Figures of the decision records: exclusion constraint, lock order, waiting in the server."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import quantiles

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from tests.benchmarks.timing import line, medians

ROWS = 2000
CLIENTS = 8
TRANSACTIONS = 25
"""Transactions per client that each acquire several keys."""
KEYS = range(1, 9)
WAITS = 30
"""Waits per client."""
POLL_SECONDS = 0.05

# The student has ten plans per day, as in a table that is in use.
_INSERT = """
INSERT INTO {table} (tenant_id, id, group_id, student_id, content_id, kind, date, start_minute,
  end_minute, first_unit, last_unit, sequence, week, cycle, generation, live)
SELECT '00000000-0000-0000-0000-000000000001', gen_random_uuid(), gen_random_uuid(),
  '00000000-0000-0000-0000-000000000002', gen_random_uuid(), 'study',
  date '2025-01-01' + n / 10, n % 10 * 60, n % 10 * 60 + 50, 1, 2, n + 1, 1, 1, 1, true
FROM generate_series(0, :rows - 1) AS n
"""
_TRY = sa.text("SELECT pg_try_advisory_xact_lock(:key)")
_WAIT = sa.text("SELECT pg_advisory_xact_lock(:key)")
_HOLD = sa.text("SELECT pg_sleep(0.001)")


def run(engine: sa.Engine) -> None:
    """Print the figures that the records in ``.github/decisions`` quote."""
    line("exclusion constraint, per row", f"{_constraint(engine) * 1e6:.0f} µs")
    sizes = {"pool_size": CLIENTS, "max_overflow": 0}
    clients = sa.create_engine(engine.url, **sizes, isolation_level="READ COMMITTED")
    total = CLIENTS * TRANSACTIONS
    for name, order in (("any", random.sample), ("key", _in_key_order)):
        line(f"deadlocks of {total} transactions, locks in {name} order",
             str(_deadlocks(clients, order)))  # fmt: skip
    for name, acquire in (("queue", _queue), ("polling", _poll)):
        line(f"p99 of the waits for one lock, {name}", f"{_p99_wait(clients, acquire):.0f} ms")
    clients.dispose()


def _constraint(engine: sa.Engine) -> float:
    """Return the seconds per row that the exclusion constraint adds to an INSERT."""
    with engine.begin() as connection:
        for table in ("guarded", "plain"):
            connection.exec_driver_sql(
                f"CREATE TEMPORARY TABLE {table} (LIKE studyplan.student_plans INCLUDING ALL)"
            )
        name = connection.scalar(
            sa.text(
                "SELECT conname FROM pg_constraint "
                "WHERE conrelid = 'plain'::regclass AND contype = 'x'"
            )
        )
        connection.exec_driver_sql(f'ALTER TABLE plain DROP CONSTRAINT "{name}"')

        def insert(table: str) -> None:
            savepoint = connection.begin_nested()
            connection.execute(sa.text(_INSERT.format(table=table)), {"rows": ROWS})
            savepoint.rollback()

        found = medians({name: partial(insert, name) for name in ("guarded", "plain")}, rounds=9)
        connection.rollback()
    return (found["guarded"] - found["plain"]) / ROWS


def _in_key_order(keys: Sequence[int], count: int) -> list[int]:
    return sorted(random.sample(keys, count))


def _deadlocks(engine: sa.Engine, order: Callable[[Sequence[int], int], list[int]]) -> int:
    """Return the number of transactions that the server aborts because of a deadlock."""

    def client(_: int) -> int:
        deadlocks = 0
        for _ in range(TRANSACTIONS):
            try:
                with engine.begin() as connection:
                    connection.exec_driver_sql("SET LOCAL deadlock_timeout = '10ms'")
                    for key in order(KEYS, 4):
                        connection.execute(_WAIT, {"key": key})
                        connection.execute(_HOLD)
            except OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != "40P01":
                    raise
                deadlocks += 1
        return deadlocks

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(client, range(CLIENTS)))


def _queue(connection: sa.Connection) -> None:
    connection.execute(_WAIT, {"key": 1})


def _poll(connection: sa.Connection) -> None:
    while not connection.scalar(_TRY, {"key": 1}):
        time.sleep(POLL_SECONDS)


def _p99_wait(engine: sa.Engine, acquire: Callable[[sa.Connection], None]) -> float:
    """Return the 99th percentile of all clients' waits for one lock, in milliseconds."""

    def client(_: int) -> list[float]:
        waits = []
        for _ in range(WAITS):
            with engine.begin() as connection:
                started = time.perf_counter()
                acquire(connection)
                waits.append(time.perf_counter() - started)
                connection.execute(_HOLD)
        return waits

    with ThreadPoolExecutor(CLIENTS) as pool:
        waits = [wait for waits in pool.map(client, range(CLIENTS)) for wait in waits]
    return quantiles(waits, n=100)[98] * 1000
