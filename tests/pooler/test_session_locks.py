"""Why the lock is never a session's: behind the pooler such a lock is nobody's and everybody's."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.concurrency.worlds import advisory_locks
from tests.pooler.pgbouncer import CONNECT_ARGS, Pooler, transaction_pooler

SESSION = sa.text("SELECT pg_try_advisory_lock(:key)")
TRANSACTION = sa.text("SELECT acquired FROM public.acquire_plan_group_lock(:id)")


@pytest.fixture(scope="module")
def one_backend(server_url: sa.URL) -> Iterator[Pooler]:
    """A pool of one: whose transaction is over has given its backend to the next."""
    with transaction_pooler(server_url, pool_size=1) as pooler:
        yield pooler


@pytest.fixture
def clients(one_backend: Pooler, database_url: sa.URL) -> Iterator[sa.Engine]:
    engine = sa.create_engine(
        one_backend.url_for(database_url), connect_args=CONNECT_ARGS, poolclass=sa.NullPool
    )
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def _freed(clients: sa.Engine) -> Iterator[None]:
    yield
    with clients.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_unlock_all()"))


def test_a_session_lock_stays_after_its_client_is_gone(
    clients: sa.Engine, direct: sa.Engine
) -> None:
    with clients.connect() as client:
        assert client.scalar(SESSION, {"key": 1})
        client.commit()
    assert advisory_locks(direct) == 1, "held by a pooled backend for no client at all"


def test_a_session_lock_is_given_to_two_clients(clients: sa.Engine) -> None:
    with clients.connect() as one, clients.connect() as other:
        assert one.scalar(SESSION, {"key": 2})
        one.commit()
        assert other.scalar(SESSION, {"key": 2}), "the same backend takes its own lock again"


def test_a_session_lock_of_another_backend_cannot_be_unlocked(
    engine: sa.Engine, direct: sa.Engine
) -> None:
    unlock = sa.text("SELECT pg_advisory_unlock(3)")
    with engine.connect() as one, engine.connect() as other:
        assert one.scalar(SESSION, {"key": 3})
        one.commit()
        other.execute(sa.text("SELECT 1"))  # occupies the backend that has the lock
        assert one.scalar(unlock) is False
        one.rollback()
        assert advisory_locks(direct) == 1
        other.execute(sa.text("SELECT pg_advisory_unlock_all()"))


def test_the_packages_lock_is_gone_with_its_transaction(
    clients: sa.Engine, direct: sa.Engine
) -> None:
    group_id = uuid4()
    with clients.connect() as one, clients.connect() as other:
        assert one.scalar(TRANSACTION, {"id": group_id})
        assert advisory_locks(direct) == 1
        one.commit()
        assert advisory_locks(direct) == 0
        assert other.scalar(TRANSACTION, {"id": group_id})
