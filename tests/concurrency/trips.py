"""Round trips to the server, counted from libpq's own trace."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

END_OF_A_TRIP = r"^[^\t\n]*\tB\t\d+\t(?:ReadyForQuery|CopyInResponse)"


class Trips:
    """How many there were; known after the block."""

    count = -1


@contextmanager
def counted(engine: sa.Engine) -> Iterator[Trips]:
    """Count on the one connection of the engine's pool that the block will be given."""
    with engine.connect() as warm:
        connection = warm.connection.driver_connection
        assert connection is not None
    trips = Trips()
    with tempfile.TemporaryFile("w+", errors="replace") as trace:
        connection.pgconn.trace(trace.fileno())
        try:
            yield trips
        finally:
            connection.pgconn.untrace()
        trace.seek(0)
        trips.count = len(re.findall(END_OF_A_TRIP, trace.read(), re.MULTILINE))
