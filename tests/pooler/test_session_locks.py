"""Why no session-level lock is used: behind a pooler it does not belong to one client."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa

from domain.testing import assert_lock_free, assert_lock_held
from domain.testing.contention import advisory_locks
from tests.pooler.pgbouncer import PgBouncer, clients

SESSION = sa.text("SELECT pg_try_advisory_lock(:key)")
UNLOCK = sa.text("SELECT pg_advisory_unlock(:key)")
TRANSACTION = sa.text("SELECT acquired FROM public.acquire_plan_group_lock(:id)")


@pytest.fixture
def one_backend(new_pooler: Callable[..., PgBouncer], database_url: sa.URL) -> Iterator[sa.Engine]:
    """Clients that share a single backend, one transaction after the other."""
    with clients(new_pooler(pool_size=1), database_url) as engine:
        yield engine


@pytest.fixture
def two_backends(new_pooler: Callable[..., PgBouncer], database_url: sa.URL) -> Iterator[sa.Engine]:
    with clients(new_pooler(pool_size=2), database_url) as engine:
        yield engine


def test_session_lock_remains_after_its_client_has_disconnected(
    one_backend: sa.Engine, direct: sa.Engine
) -> None:
    with one_backend.connect() as client:
        assert client.scalar(SESSION, {"key": 1})
        client.commit()
    one_backend.dispose()
    assert advisory_locks(direct) == 1, "still held by a backend of the pooler, but by no client"


def test_session_lock_can_be_acquired_by_two_clients(one_backend: sa.Engine) -> None:
    with one_backend.connect() as one, one_backend.connect() as other:
        assert one.scalar(SESSION, {"key": 2})
        one.commit()
        assert other.scalar(SESSION, {"key": 2}), "the backend acquires its own lock again"


def test_session_lock_of_another_backend_cannot_be_unlocked(
    two_backends: sa.Engine, direct: sa.Engine
) -> None:
    with two_backends.connect() as one, two_backends.connect() as other:
        assert one.scalar(SESSION, {"key": 3})
        one.commit()
        assert other.scalar(sa.text("SELECT 1")), (
            "the other client occupies the backend that holds the lock"
        )
        # The server sends a warning and returns false, which an application can overlook.
        assert one.scalar(UNLOCK, {"key": 3}) is False
        assert advisory_locks(direct) == 1


def test_transaction_lock_is_released_with_its_transaction(
    one_backend: sa.Engine, direct: sa.Engine
) -> None:
    group_id = uuid4()
    with one_backend.connect() as one, one_backend.connect() as other:
        assert one.scalar(TRANSACTION, {"id": group_id})
        assert_lock_held(direct, group_id)
        one.commit()
        assert_lock_free(direct, group_id)
        assert other.scalar(TRANSACTION, {"id": group_id})
