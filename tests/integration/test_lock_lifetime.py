"""How long the lock lasts: facts of PostgreSQL that the unit of work is built on."""

from collections.abc import Callable
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.integration.asking import acquire, check, locks_held


@pytest.mark.parametrize(
    "end",
    [sa.Connection.commit, sa.Connection.rollback, sa.Connection.close, sa.Connection.invalidate],
)
def test_the_lock_ends_with_its_transaction_however_that_ends(
    engine: sa.Engine, end: Callable[[sa.Connection], None]
) -> None:
    group_id = uuid4()
    with engine.connect() as holder, engine.connect() as observer:
        acquire(holder, group_id)
        assert check(observer, group_id).held
        end(holder)
        observer.rollback()
        assert acquire(observer, group_id, 5_000).acquired


def test_an_error_outside_a_savepoint_frees_the_lock_at_once(
    engine: sa.Engine, connection: sa.Connection
) -> None:
    group_id = uuid4()
    acquire(connection, group_id)
    with pytest.raises(sa.exc.DataError):
        connection.exec_driver_sql("SELECT 1 / 0")
    with engine.connect() as other:
        assert acquire(other, group_id).acquired


def test_rolling_back_a_savepoint_frees_a_lock_that_was_taken_inside(
    connection: sa.Connection,
) -> None:
    connection.begin()
    savepoint = connection.begin_nested()
    assert acquire(connection, uuid4()).acquired
    savepoint.rollback()
    assert locks_held(connection) == 0


def test_rolling_back_a_savepoint_keeps_a_lock_that_was_taken_before(
    connection: sa.Connection,
) -> None:
    acquire(connection, uuid4())
    connection.begin_nested().rollback()
    assert locks_held(connection) == 1


def test_under_autocommit_the_lock_ends_with_its_statement_and_still_says_yes(
    engine: sa.Engine,
) -> None:
    group_id = uuid4()
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        assert acquire(connection, group_id).acquired
        assert locks_held(connection) == 0
        assert not check(connection, group_id).held
