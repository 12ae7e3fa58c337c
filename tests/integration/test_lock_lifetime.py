"""The lifetime of the lock: behaviour of PostgreSQL on which the unit of work relies."""

from collections.abc import Callable
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.integration.asking import acquire, check, locks_held


@pytest.mark.parametrize(
    "end",
    [sa.Connection.commit, sa.Connection.rollback, sa.Connection.close, sa.Connection.invalidate],
)
def test_lock_is_released_at_the_end_of_its_transaction(
    engine: sa.Engine, end: Callable[[sa.Connection], None]
) -> None:
    group_id = uuid4()
    with engine.connect() as holder, engine.connect() as observer:
        acquire(holder, group_id)
        assert check(observer, group_id).held
        end(holder)
        observer.rollback()
        assert acquire(observer, group_id, 5_000).acquired


def test_lock_is_released_immediately_by_an_error_outside_a_savepoint(
    engine: sa.Engine, connection: sa.Connection
) -> None:
    group_id = uuid4()
    acquire(connection, group_id)
    with pytest.raises(sa.exc.DataError):
        connection.exec_driver_sql("SELECT 1 / 0")
    with engine.connect() as other:
        assert acquire(other, group_id).acquired


def test_lock_acquired_in_a_savepoint_is_released_by_its_rollback(
    connection: sa.Connection,
) -> None:
    connection.begin()
    savepoint = connection.begin_nested()
    assert acquire(connection, uuid4()).acquired
    savepoint.rollback()
    assert locks_held(connection) == 0


def test_lock_acquired_before_a_savepoint_is_kept_by_its_rollback(
    connection: sa.Connection,
) -> None:
    acquire(connection, uuid4())
    connection.begin_nested().rollback()
    assert locks_held(connection) == 1


def test_lock_under_autocommit_is_released_with_its_statement_although_acquired(
    engine: sa.Engine,
) -> None:
    group_id = uuid4()
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        assert acquire(connection, group_id).acquired
        assert locks_held(connection) == 0
        assert not check(connection, group_id).held
