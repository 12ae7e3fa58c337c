"""The errors of a pooler for a backend that is terminated, in COPY or between statements."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain.database_errors import connection_lost
from domain.testing import FaultAt, Step
from domain.testing.contention import eventually
from tests.integration.storing import generate, stored_group
from tests.pooler.pgbouncer import CONNECT_ARGS, pgbouncer

IN_A_TRANSACTION = """
FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
"""


@pytest.fixture
def pooled(server_url: sa.URL, database_url: sa.URL) -> Iterator[sa.Engine]:
    with pgbouncer(server_url, pool_size=2) as pooler:
        engine = sa.create_engine(
            pooler.url_for(database_url), pool_pre_ping=True, connect_args=CONNECT_ARGS
        )
        yield engine
        engine.dispose()


def test_backend_terminated_during_copy_is_reported_as_a_lost_connection(
    pooled: sa.Engine, engine: sa.Engine
) -> None:
    def terminate(_: int) -> None:
        # Autocommit, because pg_stat_activity does not change within a transaction.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as aside:
            aside.execute(sa.text(f"SELECT pg_terminate_backend(pid) {IN_A_TRANSACTION}"))
            eventually(
                lambda: aside.scalar(sa.text(f"SELECT count(*) {IN_A_TRANSACTION}")) == 0,
                "the backend has ended",
            )

    factory = sessionmaker(pooled)
    group = stored_group(factory)
    with (
        FaultAt(pooled, Step.IN_THE_WRITE, terminate),
        pytest.raises((psycopg.OperationalError, sa.exc.OperationalError)) as raised,
    ):
        generate(factory, group)
    assert connection_lost(raised.value)
    assert generate(factory, group).generation == 1


@pytest.mark.parametrize(
    "end", [psycopg.Connection.rollback, psycopg.Connection.commit], ids=["ROLLBACK", "COMMIT"]
)
def test_backend_terminated_in_a_transaction_is_reported_as_a_lost_connection(
    pooled: sa.Engine, engine: sa.Engine, end: Callable[[psycopg.Connection], None]
) -> None:
    with pooled.connect() as connection:
        backend = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        with engine.connect() as aside:
            terminated = "SELECT pg_terminate_backend(:backend, 5000)"
            assert aside.scalar(sa.text(terminated), {"backend": backend})
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        # psycopg expects one result, and the pooler reports the server's error and its own.
        with pytest.raises(psycopg.InternalError, match="2 results") as raised:
            end(driver)
        assert connection_lost(raised.value)
        connection.invalidate()
