"""``probe`` passes if the locks work, and otherwise reports what is wrong."""

import asyncio
import re
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import sessionmaker

from domain.errors import MisuseError, SchemaError, WrongTransactionError
from domain.locking import status
from domain.locking.statements import FUNCTIONS
from domain.probe import probe
from domain.testing.contention import eventually

ACQUIRE = (
    "studyplan.acquire_plan_locks_with_limits(p_keys bigint[], p_wait_ms integer, "
    "p_shared boolean, p_behind_shared_ms integer, p_identity text, p_idle_timeout text, "
    "p_transaction_timeout text, p_lock_timeout text) RETURNS jsonb"
)
ALWAYS_ACQUIRED = "SELECT NULL::jsonb"
TRY_LOCK = (
    "SELECT CASE WHEN bool_and({0}) THEN NULL ELSE jsonb_build_object('acquired', false, "
    "'outcome', 'busy', 'lock_key', p_keys[1], 'waited_ms', 0) END FROM unnest(p_keys) key"
)
SESSION_LEVEL = TRY_LOCK.format("pg_try_advisory_lock(key)")
OTHER_KEY = TRY_LOCK.format("pg_try_advisory_xact_lock(key # 1)")


@pytest.fixture
def separate_engine(template: str, new_database: Callable[[str], sa.URL]) -> Iterator[sa.Engine]:
    """Return an engine of a separate database, whose functions the tests replace."""
    engine = sa.create_engine(new_database(template), pool_size=2, max_overflow=0)
    yield engine
    engine.dispose()


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def replaced(function: str, body: str) -> str:
    return f"CREATE OR REPLACE FUNCTION {function} LANGUAGE sql AS $$ {body} $$"


def leftovers(engine: sa.Engine) -> list[object]:
    """Count advisory locks of this database, open transactions of other backends, and groups."""
    statements = [
        (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL "
            "AND backend_type = 'client backend'"
        ),
        "SELECT count(*) FROM studyplan.plan_groups",
    ]
    with engine.connect() as connection:
        return [connection.scalar(sa.text(statement)) for statement in statements]


def test_probe_passes_on_a_migrated_database_and_leaves_nothing_behind(
    separate_engine: sa.Engine,
) -> None:
    before = leftovers(separate_engine)
    for _ in range(3):
        probe(separate_engine)
    assert leftovers(separate_engine) == before == [0, 0, 0]
    assert isinstance(separate_engine.pool, sa.QueuePool)
    assert separate_engine.pool.checkedout() == 0


def test_probe_passes_without_a_pool(database_url: sa.URL) -> None:
    probe(sa.create_engine(database_url, poolclass=sa.NullPool))


def test_probe_reports_how_to_migrate_a_database_without_the_schema(
    empty_engine: sa.Engine,
) -> None:
    with pytest.raises(SchemaError, match=r"lacks schema studyplan\. Migrate with this version"):
        probe(empty_engine)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_probe_reports_a_missing_function(separate_engine: sa.Engine, function: str) -> None:
    run(separate_engine, f"DROP FUNCTION {function}")
    with pytest.raises(SchemaError, match=f"lacks {re.escape(function)}. Migrate with"):
        probe(separate_engine)


def test_probe_reports_both_versions_if_they_differ(
    separate_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(separate_engine, replaced("studyplan.plan_lock_version() RETURNS integer", "SELECT 7"))
    with pytest.raises(SchemaError, match="have version 7, but this package needs 1"):
        probe(separate_engine)
    monkeypatch.setattr(status, "FUNCTIONS_VERSION", 7)
    probe(separate_engine)


def test_probe_detects_a_function_that_grants_every_lock(separate_engine: sa.Engine) -> None:
    run(separate_engine, replaced(ACQUIRE, ALWAYS_ACQUIRED))
    with pytest.raises(SchemaError, match="Two connections acquired the same lock"):
        probe(separate_engine)


def test_probe_detects_and_releases_a_lock_that_outlives_its_transaction(
    separate_engine: sa.Engine,
) -> None:
    run(separate_engine, replaced(ACQUIRE, SESSION_LEVEL))
    with pytest.raises(SchemaError, match="still held after its transaction"):
        probe(separate_engine)
    eventually(lambda: leftovers(separate_engine)[0] == 0, "the advisory locks are released")


def test_probe_detects_a_function_that_locks_another_key(separate_engine: sa.Engine) -> None:
    run(separate_engine, replaced(ACQUIRE, OTHER_KEY))
    with pytest.raises(SchemaError, match="does not report a lock that is held"):
        probe(separate_engine)


@pytest.mark.parametrize(
    "function",
    [
        "plan_group_lock_key(p_group_id uuid)",
        "student_lock_key(p_tenant_id uuid, p_student_id uuid)",
    ],
)
def test_probe_detects_keys_that_differ_from_those_of_the_package(
    separate_engine: sa.Engine, function: str
) -> None:
    run(separate_engine, replaced(f"studyplan.{function} RETURNS bigint", "SELECT 1::bigint"))
    with pytest.raises(SchemaError, match="derives different lock keys"):
        probe(separate_engine)


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "REPEATABLE READ", "SERIALIZABLE"])
def test_probe_refuses_isolation_levels_other_than_read_committed(
    database_url: sa.URL, level: str
) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool, isolation_level=level)
    with pytest.raises(WrongTransactionError):
        probe(engine)


def test_probe_refuses_a_pool_of_one_connection_immediately(database_url: sa.URL) -> None:
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    with pytest.raises(MisuseError, match="two connections"):
        probe(engine)
    engine.dispose()


def test_probe_refuses_objects_that_are_not_an_engine_and_says_what_to_pass(
    database_url: sa.URL,
) -> None:
    untyped: Callable[..., None] = probe
    asynchronous = create_async_engine(database_url)
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        advice: dict[str, list[object]] = {
            "await asyncio.to_thread(probe, create_engine(url)), with a separate engine": [
                asynchronous,
                asynchronous.sync_engine,
                asynchronous.connect(),
            ],
            "not Connection. For example: probe(connection.engine)": [connection],
            "not None. For example: probe(create_engine(url))": [None],
            "not sessionmaker. For example: probe(create_engine(url))": [sessionmaker(engine)],
        }
        for message, wrong in advice.items():
            for value in wrong:
                with pytest.raises(MisuseError) as refused:
                    untyped(value)
                assert message in str(refused.value)


def test_probe_of_an_asyncio_application_runs_in_a_thread(database_url: sa.URL) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    asyncio.run(asyncio.wait_for(asyncio.to_thread(probe, engine), 60))


@pytest.mark.parametrize("version", [(14, 11), (9, 6, 24)])
def test_probe_refuses_a_server_that_is_too_old(
    separate_engine: sa.Engine, version: tuple[int, ...]
) -> None:
    with separate_engine.connect():
        pass  # the first connection reads the real version
    separate_engine.dialect.server_version_info = version
    shown = ".".join(map(str, version))
    with pytest.raises(SchemaError, match=f"PostgreSQL {shown}; this package needs 15 or later"):
        probe(separate_engine)
    separate_engine.dialect.server_version_info = (15, 0)
    probe(separate_engine)
