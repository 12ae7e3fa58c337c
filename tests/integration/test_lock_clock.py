"""A clock that is changed during a wait: no function fails, and all values stay in their range.

A test cannot change the server's clock. Instead, the functions are created again in a separate
database, where they read a clock that moves by a fixed step at every reading.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, UnitOfWork, generate_plans, lock_status
from domain.errors import LockTimeoutError
from domain.locking import plan_group_lock_key
from tests.integration.asking import until_key_waiting
from tests.integration.lock_answers import (
    CHECK,
    GROUP,
    LONG_MS,
    MANY,
    SHORT_MS,
    WITH_LIMITS,
    Client,
    client,
)
from tests.integration.storing import FIRST, book_group

MAX_MS = 2**31 - 1
STEPS = ["-5 seconds", "5 seconds", "-30 days", "30 days", "-40 years", "40 years"]
each_step = pytest.mark.parametrize("step", STEPS)
CLOCK = """
CREATE SEQUENCE public.clock_reads;
CREATE FUNCTION public.stepping_clock() RETURNS timestamptz LANGUAGE sql VOLATILE
  SET search_path = pg_catalog, pg_temp AS $$
  SELECT clock_timestamp() + nextval('public.clock_reads')
    * coalesce(nullif(current_setting('test.step', true), ''), '0')::interval
$$;
"""
DEFINITIONS = sa.text(
    "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'studyplan'::regnamespace "
    "AND proname ~ '_plan_' AND prosrc ~ 'clock_timestamp'"
)


@pytest.fixture(scope="module")
def database_url(template: str, new_database: Callable[[str], sa.URL]) -> sa.URL:
    """A database whose lock functions read the stepping clock."""
    url = new_database(template)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as owner:
        owner.exec_driver_sql(CLOCK)
        definitions = owner.scalars(DEFINITIONS).all()
        assert len(definitions) == 3
        for definition in definitions:
            replaced = definition.replace("clock_timestamp()", "public.stepping_clock()")
            assert replaced != definition
            owner.execute(sa.text(replaced.replace(":", "\\:")))
    engine.dispose()
    return url


@pytest.fixture
def stepping(database_url: sa.URL, step: str, engine: sa.Engine) -> Iterator[Client]:
    """A session whose clock moves by ``step`` at each reading."""
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER SEQUENCE public.clock_reads RESTART")
    with client(database_url) as session:
        session.execute("SELECT set_config('test.step', %s, false)", (step,))
        session.commit()
        yield session


@pytest.fixture
def stepping_engine(database_url: sa.URL, step: str) -> Iterator[sa.Engine]:
    """An engine whose sessions have the same clock."""
    options = {"options": f"-c test.step={step.replace(' ', chr(92) + ' ')}"}
    engine = sa.create_engine(database_url, connect_args=options)
    yield engine
    engine.dispose()


def record(session: Client, statement: str) -> dict[str, Any]:
    """Return the record of a function, whose time held must be in its range."""
    row = session.execute(statement.replace("::text", "").encode()).fetchone()
    assert row is not None
    found: dict[str, Any] = row[0]
    assert 0 <= (found.get("holder_held_ms") or 0) <= MAX_MS
    return found


def hold(connection: sa.Connection, group_id: UUID) -> int:
    key = plan_group_lock_key(group_id)
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (key,))
    return key


@each_step
@pytest.mark.parametrize("wait_ms", [0, 1, SHORT_MS])
def test_refusal_has_values_in_their_range(
    stepping: Client, connection: sa.Connection, group_id: UUID, wait_ms: int
) -> None:
    key = hold(connection, group_id)
    for statement in (
        GROUP.format(group_id, wait_ms),
        MANY.format([key, key + 1, key - 1], wait_ms),
        WITH_LIMITS.format([key], wait_ms),
        WITH_LIMITS.format([key, key + 1], wait_ms),
    ):
        found = record(stepping, statement)
        assert found["outcome"] == ("timeout" if wait_ms else "busy")
        assert 0 <= found["waited_ms"] <= wait_ms
        assert found["holder_pid"] is not None
        stepping.rollback()


@each_step
def test_check_has_values_in_their_range(
    stepping: Client, connection: sa.Connection, group_id: UUID
) -> None:
    hold(connection, group_id)
    found = record(stepping, CHECK.format(group_id))
    assert (found["held"], found["held_by_me"]) == (True, False)
    assert found["holder_held_ms"] is not None


@each_step
@pytest.mark.parametrize("form", ["group", "many", "with limits"])
def test_wait_for_one_key_ends_with_the_lock(
    *, stepping: Client, connection: sa.Connection, other: sa.Connection, group_id: UUID, form: str
) -> None:
    key = hold(connection, group_id)
    statement = {
        "group": GROUP.format(group_id, LONG_MS),
        "many": MANY.format([key], LONG_MS),
        "with limits": WITH_LIMITS.format([key], LONG_MS),
    }[form]
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(record, stepping, statement)
        until_key_waiting(other, key)
        connection.rollback()
        found = future.result(LONG_MS / 1000)
    assert found["outcome"] == "waited"
    assert 0 <= found["waited_ms"] <= LONG_MS


@each_step
def test_wait_for_several_keys_ends_within_its_bound(
    stepping: Client, connection: sa.Connection, other: sa.Connection, group_id: UUID
) -> None:
    """The wait that remains for the second key is between a millisecond and the full wait."""
    key = hold(connection, group_id)
    with other.begin(), ThreadPoolExecutor(1) as pool:
        other.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (key + 1,))
        future = pool.submit(record, stepping, MANY.format([key, key + 1], 1000))
        with connection.engine.connect() as observer:
            until_key_waiting(observer, key)
        connection.rollback()
        found = future.result(LONG_MS / 1000)
    assert found["outcome"] == "timeout"
    assert 0 <= found["waited_ms"] <= 1000
    assert found["lock_key"] == key + 1


@each_step
@pytest.mark.parametrize("limit", ["statement_timeout", "transaction_timeout"])
def test_wait_under_a_limit_of_the_server_ends_as_a_timeout(
    stepping: Client, connection: sa.Connection, group_id: UUID, limit: str
) -> None:
    hold(connection, group_id)
    has_limit = stepping.execute("SELECT 1 FROM pg_settings WHERE name = %s", (limit,)).fetchone()
    if has_limit:
        stepping.execute(psycopg.sql.SQL("SET LOCAL {} = '500ms'").format(psycopg.sql.SQL(limit)))
    found = record(stepping, GROUP.format(group_id, LONG_MS if has_limit else SHORT_MS))
    assert found["outcome"] == "timeout"
    assert 0 <= found["waited_ms"] <= LONG_MS


@each_step
def test_generation_that_waited_is_stored(
    stepping_engine: sa.Engine, engine: sa.Engine, connection: sa.Connection, other: sa.Connection
) -> None:
    group = book_group(sessionmaker(engine))
    key = hold(connection, group.id)
    lock = PlanGroupLock(group.tenant_id, group.id, wait=timedelta(milliseconds=LONG_MS))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(generate_plans, sessionmaker(stepping_engine), lock, today=FIRST)
        until_key_waiting(other, key)
        connection.rollback()
        assert future.result(LONG_MS / 1000).generation == 1
    waited = other.scalar(
        sa.text("SELECT waited_ms FROM studyplan.plan_generations WHERE group_id = :id"),
        {"id": group.id},
    )
    assert waited is not None
    assert 0 <= waited <= LONG_MS


@each_step
def test_refusal_and_lock_status_of_the_package_have_values_in_their_range(
    stepping_engine: sa.Engine, connection: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    hold(connection, group_id)
    lock = PlanGroupLock(tenant_id, group_id, wait=timedelta(milliseconds=SHORT_MS))
    uow = UnitOfWork(sessionmaker(stepping_engine), lock=lock)
    with pytest.raises(LockTimeoutError) as late, uow:
        pass
    assert late.value.waited_ms is not None
    assert 0 <= late.value.waited_ms <= SHORT_MS
    with stepping_engine.connect() as requester:
        holder = lock_status(requester, tenant_id, group_id).holder
    for each in (holder, late.value.holder):
        assert each is not None
        assert each.held_ms is not None
        assert 0 <= each.held_ms <= MAX_MS
