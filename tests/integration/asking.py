"""Call the lock functions, wait until sessions wait for a lock, and count round trips."""

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy as sa

ACQUIRE = sa.text("SELECT * FROM public.acquire_plan_group_lock(:group_id, :wait_ms)")
CHECK = sa.text("SELECT * FROM public.check_plan_group_lock(:group_id)")
ADVISORY_LOCKS = sa.text(
    "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted "
    "AND pid = pg_catalog.pg_backend_pid()"
)
KEY_WAITERS = sa.text(
    "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND NOT granted "
    "AND objsubid = 1 AND classid::bigint = (CAST(:key AS bigint) >> 32) & 4294967295 "
    "AND objid::bigint = CAST(:key AS bigint) & 4294967295"
)
TIMEOUT = 20.0


def acquire(connection: sa.Connection, group_id: UUID | None, wait_ms: int = 0) -> sa.Row[Any]:
    """Call the function once, in the connection's transaction."""
    return connection.execute(ACQUIRE, {"group_id": group_id, "wait_ms": wait_ms}).one()


def check(connection: sa.Connection, group_id: UUID | None) -> sa.Row[Any]:
    return connection.execute(CHECK, {"group_id": group_id}).one()


def backend_pid(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.pg_backend_pid())).scalar_one())


def locks_held(connection: sa.Connection) -> int:
    """Return how many advisory locks the connection's own backend holds."""
    return int(connection.execute(ADVISORY_LOCKS).scalar_one())


def until_waiting(connection: sa.Connection, group_id: UUID, waiting: int) -> None:
    """Poll until exactly ``waiting`` requests wait for the group's lock."""
    deadline = time.monotonic() + TIMEOUT
    while (found := check(connection, group_id).waiting) != waiting:
        assert time.monotonic() < deadline, f"{found} requests are waiting, expected {waiting}"
        connection.rollback()
    connection.rollback()


def until_key_waiting(connection: sa.Connection, key: int) -> None:
    """Poll until a session waits for the lock of a key, in either lock mode."""
    deadline = time.monotonic() + TIMEOUT
    while not connection.scalar(KEY_WAITERS, {"key": key}):
        assert time.monotonic() < deadline, "no session is waiting for the lock"
        connection.rollback()
    connection.rollback()


def sqlstate(error: sa.exc.DBAPIError) -> str | None:
    """Return the five-character SQLSTATE of an error."""
    assert isinstance(error.orig, psycopg.Error)
    return error.orig.sqlstate


# In libpq's trace, the messages (B: from the backend) after which the server waits for the client.
# Each of them ends one round trip.
ROUND_TRIP_END = r"^[^\t\n]*\tB\t\d+\t(?:ReadyForQuery|CopyInResponse)"


class RoundTrips:
    """The number of round trips, which is set at the end of the block."""

    count = -1


@contextmanager
def counted(engine: sa.Engine) -> Iterator[RoundTrips]:
    """Count the round trips of the block, which must use the only connection of the pool."""
    with engine.connect() as warm:
        connection = warm.connection.driver_connection
        assert connection is not None
    trips = RoundTrips()
    with tempfile.TemporaryFile("w+", errors="replace") as trace:
        connection.pgconn.trace(trace.fileno())
        try:
            yield trips
        finally:
            connection.pgconn.untrace()
        trace.seek(0)
        trips.count = len(re.findall(ROUND_TRIP_END, trace.read(), re.MULTILINE))
