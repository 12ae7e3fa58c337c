"""Requests for the lock in SQL: acquired, busy, after a wait, and timed out; and its status."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from domain.locking import plan_group_lock_key
from tests.integration.asking import (
    acquire,
    backend_pid,
    check,
    locks_held,
    sqlstate,
    until_key_waiting,
    until_waiting,
)

LONG_ENOUGH = 20_000
SHORT = 30


def lock_timeout(connection: sa.Connection) -> object:
    return connection.scalar(sa.text("SHOW lock_timeout"))


def test_free_lock_is_acquired_immediately(connection: sa.Connection, group_id: UUID) -> None:
    result = acquire(connection, group_id)
    key = plan_group_lock_key(group_id)
    assert result == (True, "acquired", key, 0, None, None, None, None, None)


def test_lock_is_acquired_again_by_its_holder(connection: sa.Connection, group_id: UUID) -> None:
    acquire(connection, group_id)
    assert acquire(connection, group_id).outcome == "acquired"


def test_locks_of_different_groups_do_not_conflict(
    connection: sa.Connection, other: sa.Connection, group_id: UUID
) -> None:
    assert acquire(connection, group_id).acquired
    assert acquire(other, uuid4()).acquired


def test_busy_result_names_the_holder(
    connection: sa.Connection, other: sa.Connection, group_id: UUID
) -> None:
    connection.exec_driver_sql("SET LOCAL application_name = 'the winner'")
    began = connection.scalar(sa.select(sa.func.now()))
    acquire(connection, group_id)
    busy = acquire(other, group_id)
    assert (busy.acquired, busy.outcome, busy.waited_ms) == (False, "busy", 0)
    assert (busy.holder_pid, busy.holder_since) == (backend_pid(connection), began)
    assert busy.holder_application == "the winner"
    assert 0 <= busy.holder_held_ms < 60_000
    assert datetime.now(UTC) - busy.holder_since < timedelta(minutes=1)
    assert locks_held(other) == 0


def test_bounded_wait_ends_with_a_timeout_that_names_the_holder(
    connection: sa.Connection, other: sa.Connection, group_id: UUID
) -> None:
    acquire(connection, group_id)
    late = acquire(other, group_id, SHORT)
    assert (late.acquired, late.outcome) == (False, "timeout")
    assert SHORT <= late.waited_ms < 10_000
    assert late.holder_pid == backend_pid(connection)
    assert locks_held(other) == 0


def test_transaction_continues_after_a_timeout(
    connection: sa.Connection, other: sa.Connection, group_id: UUID
) -> None:
    acquire(connection, group_id)
    other.exec_driver_sql("CREATE TEMP TABLE before_the_wait (n integer)")
    assert acquire(other, group_id, SHORT).outcome == "timeout"
    assert other.scalar(sa.text("SELECT count(*) FROM before_the_wait")) == 0
    connection.rollback()
    assert acquire(other, group_id, SHORT).outcome == "acquired"
    other.rollback()


@pytest.mark.parametrize("end", [sa.Connection.commit, sa.Connection.rollback])
def test_waiting_request_acquires_the_lock_when_the_holder_ends(
    connection: sa.Connection,
    other: sa.Connection,
    group_id: UUID,
    end: Callable[[sa.Connection], None],
) -> None:
    acquire(connection, group_id)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(acquire, other, group_id, LONG_ENOUGH)
        with other.engine.connect() as observer:
            until_waiting(observer, group_id, 1)
        end(connection)
        result = waiting.result(timeout=LONG_ENOUGH)
    assert (result.acquired, result.outcome) == (True, "waited")
    assert 0 <= result.waited_ms < LONG_ENOUGH
    assert locks_held(other) == 1
    assert acquire(connection, group_id).outcome == "busy"


@pytest.mark.parametrize("before", ["0", "7s"])
@pytest.mark.parametrize("scope", ["SESSION", "LOCAL"])
@pytest.mark.parametrize(
    ("outcome", "wait_ms"), [("acquired", LONG_ENOUGH), ("busy", 0), ("timeout", SHORT)]
)
def test_lock_timeout_setting_is_restored(
    *,
    connection: sa.Connection,
    other: sa.Connection,
    group_id: UUID,
    before: str,
    scope: str,
    outcome: str,
    wait_ms: int,
) -> None:
    if outcome != "acquired":
        acquire(connection, group_id)
    other.exec_driver_sql(f"SET {scope} lock_timeout = '{before}'")
    assert acquire(other, group_id, wait_ms).outcome == outcome
    assert lock_timeout(other) == before
    other.rollback()
    assert lock_timeout(other) == "0"


@pytest.mark.parametrize("before", ["0", "19s"])
def test_lock_timeout_setting_is_restored_after_a_wait_that_succeeded(
    connection: sa.Connection, other: sa.Connection, group_id: UUID, before: str
) -> None:
    acquire(connection, group_id)
    other.exec_driver_sql(f"SET LOCAL lock_timeout = '{before}'")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(acquire, other, group_id, LONG_ENOUGH)
        with other.engine.connect() as observer:
            until_waiting(observer, group_id, 1)
        connection.rollback()
        assert waiting.result(timeout=LONG_ENOUGH).outcome == "waited"
    assert lock_timeout(other) == before


@pytest.mark.parametrize("limit_ms", [200, 1500])
def test_wait_ends_before_statement_timeout_cancels_it(
    connection: sa.Connection, other: sa.Connection, group_id: UUID, limit_ms: int
) -> None:
    """It ends with an ordinary timeout, after which the transaction continues."""
    acquire(connection, group_id)
    other.exec_driver_sql(f"SET LOCAL statement_timeout = {limit_ms}")
    late = acquire(other, group_id, LONG_ENOUGH)
    assert late.outcome == "timeout"
    assert 0.4 * limit_ms < late.waited_ms < limit_ms
    assert late.holder_pid == backend_pid(connection)
    assert lock_timeout(other) == "0"


def test_wait_for_several_keys_ends_before_statement_timeout_cancels_it(
    engine: sa.Engine, other: sa.Connection
) -> None:
    """One bound applies to all keys: the first wait reduces the time that the second may take."""
    first, second = sorted(plan_group_lock_key(uuid4()) for _ in range(2))
    one = sa.text("SELECT pg_advisory_xact_lock(:key)")
    many = "SELECT outcome FROM studyplan.acquire_plan_locks(ARRAY[%s, %s]::bigint[], %s)"
    with engine.connect() as early, engine.connect() as late, engine.connect() as observer:
        early.execute(one, {"key": first})
        late.execute(one, {"key": second})
        other.exec_driver_sql("SET LOCAL statement_timeout = '1s'")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(other.exec_driver_sql, many, (first, second, LONG_ENOUGH))
            until_key_waiting(observer, first)
            early.rollback()
            assert waiting.result(timeout=LONG_ENOUGH).scalar_one() == "timeout"


def test_statement_timeout_longer_than_the_wait_has_no_effect(
    connection: sa.Connection, other: sa.Connection, group_id: UUID
) -> None:
    acquire(connection, group_id)
    other.exec_driver_sql("SET LOCAL statement_timeout = '1min'")
    late = acquire(other, group_id, SHORT)
    assert (late.outcome, late.waited_ms) == ("timeout", SHORT)


def test_wait_that_is_cancelled_is_not_a_timeout(
    connection: sa.Connection, other: sa.Connection, group_id: UUID
) -> None:
    acquire(connection, group_id)
    pid = backend_pid(other)
    with ThreadPoolExecutor(1) as pool, other.engine.connect() as observer:
        waiting = pool.submit(acquire, other, group_id, LONG_ENOUGH)
        until_waiting(observer, group_id, 1)
        observer.execute(sa.text("SELECT pg_cancel_backend(:pid)"), {"pid": pid})
        with pytest.raises(sa.exc.OperationalError) as cancelled:
            waiting.result(timeout=LONG_ENOUGH)
    assert sqlstate(cancelled.value) == "57014"


def test_check_names_the_holder_and_counts_waiting_requests(
    engine: sa.Engine, connection: sa.Connection, other: sa.Connection, group_id: UUID
) -> None:
    free = check(other, group_id)
    key = plan_group_lock_key(group_id)
    assert free == (False, False, key, None, None, None, None, None, 0)
    other.rollback()
    acquire(connection, group_id)
    mine, theirs = check(connection, group_id), check(other, group_id)
    assert (mine.held, mine.held_by_me) == (True, True)
    assert (theirs.held, theirs.held_by_me) == (True, False)
    assert mine.holder_pid == theirs.holder_pid == backend_pid(connection)
    other.rollback()

    def wait_and_release() -> None:
        with engine.connect() as waiter:
            acquire(waiter, group_id, LONG_ENOUGH)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(wait_and_release)
        until_waiting(other, group_id, 1)
        second = pool.submit(wait_and_release)
        until_waiting(other, group_id, 2)
        connection.rollback()
        first.result(timeout=LONG_ENOUGH)
        second.result(timeout=LONG_ENOUGH)
    assert check(other, group_id) == free


def test_check_acquires_nothing(connection: sa.Connection, group_id: UUID) -> None:
    check(connection, group_id)
    assert locks_held(connection) == 0


def test_check_ignores_similar_locks(
    connection: sa.Connection, maintenance: sa.Connection, other: sa.Connection
) -> None:
    """A lock of two integers has the same halves; a lock in another database has the same key."""
    group_id = UUID(int=1)
    key = plan_group_lock_key(group_id)
    high, low = key >> 32, key & 0xFFFFFFFF
    pair = {"high": high, "low": low - (1 << 32) if low >= 1 << 31 else low}
    other.execute(
        sa.text("SELECT pg_advisory_xact_lock(CAST(:high AS int), CAST(:low AS int))"), pair
    )
    maintenance.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": key})
    try:
        assert not check(connection, group_id).held
    finally:
        maintenance.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": key})
    assert acquire(connection, group_id).acquired
