"""The lock functions in SQL: their keys, the calls they refuse, and their declarations."""

from datetime import datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.locking import plan_group_lock_key
from domain.locking.policy import student_lock_key
from tests.integration.asking import acquire, check, locks_held, sqlstate

# Published keys. If the derivation of keys changed, services with the old and the new one would
# not exclude each other.
VECTORS = [
    ("00000000-0000-0000-0000-000000000000", 3_951_135_822_935_051_754),
    ("ffffffff-ffff-ffff-ffff-ffffffffffff", 335_632_020_308_948_449),
    ("00000000-0000-0000-0000-000000000001", 5_927_402_120_003_673_213),
    ("11111111-1111-1111-1111-111111111111", -8_180_545_681_339_190_070),
    ("123e4567-e89b-12d3-a456-426614174000", -3_852_737_189_570_708_137),
    ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", -7_244_312_793_212_684_281),
    ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", -8_696_344_223_247_781_398),
    ("01890a5d-ac96-774b-bcce-b302099a8057", 8_630_377_851_017_503_824),
]
STUDENT_VECTORS = [
    (
        "00000000-0000-0000-0000-000000000000",
        "00000000-0000-0000-0000-000000000000",
        -3_991_203_207_290_700_637,
    ),
    (
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        -1_853_585_416_829_952_347,
    ),
    (
        "11111111-1111-1111-1111-111111111111",
        "22222222-2222-2222-2222-222222222222",
        -8_501_538_908_312_568_586,
    ),
    (
        "22222222-2222-2222-2222-222222222222",
        "11111111-1111-1111-1111-111111111111",
        -8_233_748_130_283_488_133,
    ),
    (
        "123e4567-e89b-12d3-a456-426614174000",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        173_562_602_634_421_363,
    ),
]
KEYS = sa.text(
    "SELECT studyplan.plan_group_lock_key(id), studyplan.student_lock_key(tenant, id) "
    "FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[])) WITH ORDINALITY "
    "AS given (tenant, id, place) ORDER BY place"
)
ENTER = "studyplan.acquire_plan_locks_with_limits"
WITH_LIMITS = f"SELECT {ENTER}"
NULL_CALLS = [
    "SELECT studyplan.plan_group_lock_key(NULL)",
    "SELECT public.acquire_plan_group_lock(NULL)",
    f"{WITH_LIMITS}(NULL, 0, false, NULL, 'i', '1s', '1s', '1s')",
    f"{WITH_LIMITS}('{{NULL}}', 10, false, NULL, 'i', '1s', '1s', '1s')",
    "SELECT public.acquire_plan_group_lock(NULL, 10)",
    "SELECT public.check_plan_group_lock(NULL)",
    "SELECT studyplan.student_lock_key(NULL, gen_random_uuid())",
    "SELECT studyplan.student_lock_key(gen_random_uuid(), NULL)",
    "SELECT studyplan.acquire_plan_locks(ARRAY[1], 0, NULL)",
    f"{WITH_LIMITS}('{{1}}', 0, NULL, 0, 'i', '1s', '1s', '1s')",
    "SELECT studyplan.acquire_student_locks(NULL, 0, 'i', 'j')",
    "SELECT studyplan.acquire_plan_group_lock(NULL)",
    "SELECT studyplan.check_plan_group_lock(NULL)",
    "SELECT studyplan.acquire_plan_locks(NULL)",
    "SELECT studyplan.acquire_plan_locks(ARRAY[1, NULL, 2])",
]
FUNCTIONS = [
    "acquire_plan_group_lock",
    "acquire_plan_locks",
    "check_plan_group_lock",
    "acquire_plan_locks_with_limits",
]
IMMUTABLE_FUNCTIONS = ["plan_group_lock_key", "student_lock_key", "plan_lock_version"]
PROPERTIES = sa.text(
    "SELECT provolatile, proparallel, prosecdef, proconfig FROM pg_proc "
    "WHERE proname = :name AND pronamespace = 'studyplan'::regnamespace"
)
# Functions that a plain wrapper would call under the caller's search_path.
HOSTILE = """
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.pg_try_advisory_xact_lock(bigint) RETURNS boolean
  LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION hostile.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE FUNCTION hostile.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$SELECT ''::bytea$$;
CREATE FUNCTION hostile.uuid_send(uuid) RETURNS bytea LANGUAGE sql AS $$SELECT ''::bytea$$;
CREATE FUNCTION hostile.pg_backend_pid() RETURNS integer LANGUAGE sql AS 'SELECT 0';
CREATE FUNCTION hostile.plan_group_lock_key(uuid) RETURNS bigint LANGUAGE sql
  AS 'SELECT 1::bigint';
CREATE FUNCTION hostile.current_setting(text) RETURNS text LANGUAGE sql
  AS $$SELECT 'read committed'$$;
CREATE VIEW hostile.pg_locks AS SELECT * FROM pg_catalog.pg_locks WHERE false;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
GRANT SELECT ON hostile.pg_locks TO PUBLIC;
"""
HOSTILE_PATH = "SET LOCAL search_path = hostile, pg_catalog, public"


@pytest.mark.parametrize(("group_id", "key"), VECTORS)
def test_group_lock_key_matches_the_published_vectors_in_python_and_sql(
    connection: sa.Connection, group_id: str, key: int
) -> None:
    assert plan_group_lock_key(UUID(group_id)) == key
    assert connection.execute(KEYS, {"tenants": [group_id], "ids": [group_id]}).one()[0] == key


@pytest.mark.parametrize(("tenant_id", "student_id", "key"), STUDENT_VECTORS)
def test_student_lock_key_matches_the_published_vectors_in_python_and_sql(
    connection: sa.Connection, tenant_id: str, student_id: str, key: int
) -> None:
    assert student_lock_key(UUID(tenant_id), UUID(student_id)) == key
    given = {"tenants": [tenant_id], "ids": [student_id]}
    assert connection.execute(KEYS, given).one()[1] == key


@given(ids=st.lists(st.tuples(st.uuids(), st.uuids()), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_lock_keys_are_equal_in_sql_and_python(
    engine: sa.Engine, ids: list[tuple[UUID, UUID]]
) -> None:
    tenants, own = map(list, zip(*ids, strict=True))
    with engine.connect() as connection:
        found = connection.execute(KEYS, {"tenants": tenants, "ids": own}).all()
    assert found == [
        (plan_group_lock_key(id_), student_lock_key(tenant, id_)) for tenant, id_ in ids
    ]


@pytest.mark.parametrize("call", NULL_CALLS)
def test_null_argument_is_refused_and_nothing_is_locked(
    connection: sa.Connection, call: str
) -> None:
    savepoint = connection.begin_nested()
    with pytest.raises(sa.exc.DBAPIError, match="must not be null") as refused:
        connection.exec_driver_sql(call)
    assert sqlstate(refused.value) == "22004"
    savepoint.rollback()
    assert locks_held(connection) == 0


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("p_wait_ms", "public.acquire_plan_group_lock(gen_random_uuid(), -1)"),
        ("p_wait_ms", "public.acquire_plan_group_lock(gen_random_uuid(), NULL)"),
        ("p_behind_shared_ms", "studyplan.acquire_plan_locks(ARRAY[1], 0, false, -1)"),
        ("p_behind_shared_ms", f"{ENTER}('{{1}}', 0, false, -1, 'i', '1s', '1s', '1s')"),
    ],
)
def test_wait_that_is_negative_or_null_is_refused(
    connection: sa.Connection, name: str, call: str
) -> None:
    with pytest.raises(sa.exc.DBAPIError, match=f"{name} must be 0 or more") as refused:
        connection.exec_driver_sql(f"SELECT {call}")
    assert sqlstate(refused.value) == "22023"


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("wait_ms", [0, 10])
def test_isolation_above_read_committed_is_refused(
    connection: sa.Connection, level: str, wait_ms: int
) -> None:
    connection.exec_driver_sql(f"SET TRANSACTION ISOLATION LEVEL {level}")
    with pytest.raises(sa.exc.DBAPIError, match=f"the transaction is {level}") as refused:
        acquire(connection, uuid4(), wait_ms)
    assert sqlstate(refused.value) == "25001"


@pytest.mark.parametrize("level", ["READ COMMITTED", "READ UNCOMMITTED"])
def test_isolation_with_a_snapshot_per_statement_is_accepted(
    connection: sa.Connection, level: str
) -> None:
    connection.exec_driver_sql(f"SET TRANSACTION ISOLATION LEVEL {level}")
    assert acquire(connection, uuid4()).acquired


@pytest.mark.parametrize("name", FUNCTIONS)
def test_lock_function_is_volatile_parallel_unsafe_and_security_invoker(
    connection: sa.Connection, name: str
) -> None:
    path = ["search_path=pg_catalog, pg_temp"]
    assert connection.execute(PROPERTIES, {"name": name}).all() == [("v", "u", False, path)]


@pytest.mark.parametrize("name", IMMUTABLE_FUNCTIONS)
def test_key_function_is_immutable_parallel_safe_and_security_invoker(
    connection: sa.Connection, name: str
) -> None:
    (found,) = connection.execute(PROPERTIES, {"name": name}).all()
    assert found == ("i", "s", False, ["search_path=pg_catalog, pg_temp"])


def test_acquire_function_returns_acquired_in_the_first_column(connection: sa.Connection) -> None:
    statement = "SELECT * FROM public.acquire_plan_group_lock(gen_random_uuid())"
    keys = list(connection.exec_driver_sql(statement).keys())
    assert keys == [
        "acquired",
        "outcome",
        "lock_key",
        "waited_ms",
        "holder_pid",
        "holder_since",
        "holder_held_ms",
        "holder_application",
        "holder_gid",
    ]


def test_lock_functions_ignore_a_hostile_search_path_unlike_a_plain_wrapper(
    owner_engine: sa.Engine, engine: sa.Engine, connection: sa.Connection
) -> None:
    group_id = uuid4()
    with owner_engine.begin() as setup:
        setup.exec_driver_sql(HOSTILE)
    connection.exec_driver_sql(HOSTILE_PATH)
    assert connection.scalar(sa.text("SELECT pg_try_advisory_xact_lock(1)")) is True
    assert locks_held(connection) == 0, "the hostile function was called"
    result = acquire(connection, group_id)
    assert (result.acquired, result.lock_key) == (True, plan_group_lock_key(group_id))
    assert locks_held(connection) == 1
    assert check(connection, group_id).held_by_me
    with engine.connect() as other:
        other.exec_driver_sql(HOSTILE_PATH)
        assert acquire(other, group_id).outcome == "busy"
        assert acquire(other, group_id, 20).outcome == "timeout"
        assert locks_held(other) == 0
        other.rollback()
        other.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.exec_driver_sql(HOSTILE_PATH)
        with pytest.raises(sa.exc.DBAPIError, match="needs READ COMMITTED"):
            acquire(other, group_id)
    with engine.connect() as other:
        other.exec_driver_sql(HOSTILE_PATH)
        own = (
            "SELECT studyplan.acquire_plan_locks_with_limits("
            "ARRAY[%s]::bigint[], 0, false, NULL, 'i', '1s', '1s', '1s') ->> 'outcome'"
        )
        assert other.exec_driver_sql(own, (result.lock_key,)).scalar_one() == "busy"
        assert other.exec_driver_sql(own, (1,)).scalar_one() is None
        assert locks_held(other) == 1


@pytest.mark.parametrize("wait_ms", [0, 20])
def test_transaction_identity_is_not_set_without_the_lock(
    engine: sa.Engine, connection: sa.Connection, group_id: UUID, wait_ms: int
) -> None:
    key = plan_group_lock_key(group_id)
    enter = (
        "SELECT studyplan.acquire_plan_locks_with_limits("
        "ARRAY[%s]::bigint[], %s, false, NULL, 'i', '1min', '1min', '1min')"
    )
    identity = sa.text("SELECT coalesce(current_setting('studyplan.transaction', true), '')")
    acquire(connection, group_id)
    with engine.connect() as other:
        assert not other.exec_driver_sql(enter, (key, wait_ms)).scalar_one()["acquired"]
        assert other.scalar(identity) == ""
        connection.rollback()
        other.rollback()
        assert other.exec_driver_sql(enter, (key, wait_ms)).scalar_one() is None
        assert other.scalar(identity) == "i"


def test_internal_function_returns_the_result_of_the_public_one(
    engine: sa.Engine, connection: sa.Connection
) -> None:
    group_id = uuid4()
    own = (
        "SELECT studyplan.acquire_plan_locks_with_limits("
        "ARRAY[%s]::bigint[], %s, false, NULL, 'i', '1min', '1min', '1min')"
    )
    key = plan_group_lock_key(group_id)
    assert connection.exec_driver_sql(own, (key, 0)).scalar_one() is None
    assert locks_held(connection) == 1
    assert check(connection, group_id).held_by_me
    with engine.connect() as other:
        for wait_ms in (0, 20):
            public = acquire(other, group_id, wait_ms)._asdict()
            mine = other.exec_driver_sql(own, (key, wait_ms)).scalar_one()
            assert mine.pop("behind_shared", False) is False
            assert mine.keys() == public.keys()
            same = ("acquired", "outcome", "lock_key", "holder_pid", "holder_application")
            assert [mine[name] for name in same] == [public[name] for name in same]
            assert datetime.fromisoformat(mine["holder_since"]) == public["holder_since"]


def test_check_function_ignores_a_temporary_table_named_pg_locks(
    engine: sa.Engine, connection: sa.Connection
) -> None:
    group_id = uuid4()
    acquire(connection, group_id)
    with engine.connect() as other:
        other.exec_driver_sql("CREATE TEMP TABLE pg_locks (LIKE pg_catalog.pg_locks)")
        other.exec_driver_sql("SET LOCAL search_path = pg_temp, public")
        assert check(other, group_id).held
        other.rollback()
