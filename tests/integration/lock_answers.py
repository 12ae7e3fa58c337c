"""Unusual settings of a role, and the results of every lock function under them.

The results are in a form in which those of two sessions can be compared.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import sqlalchemy as sa

from domain.locking import plan_group_lock_key
from tests.integration.asking import until_key_waiting

Settings = Mapping[str, str]

READ_BY_SQLALCHEMY: dict[str, Settings] = {
    "strings with backslashes": {
        "standard_conforming_strings": "off",
        "escape_string_warning": "off",
        "backslash_quote": "on",
    },
    "dates SQL": {"DateStyle": "SQL, DMY"},
    "dates German": {"DateStyle": "German, DMY"},
    "dates Postgres": {"DateStyle": "Postgres, MDY"},
    "intervals SQL": {"IntervalStyle": "sql_standard"},
    "intervals ISO": {"IntervalStyle": "iso_8601"},
    "intervals verbose": {"IntervalStyle": "postgres_verbose"},
    "zone with a half-hour offset": {"TimeZone": "Asia/Kolkata"},
    "zone with a former offset in seconds": {"TimeZone": "Asia/Seoul"},
    "zone with an offset in minutes": {"TimeZone": "<XYZ>+11:59", "DateStyle": "German, DMY"},
    "zone unknown to Python": {"TimeZone": "FOO3BAR"},
    "bytea": {"bytea_output": "escape"},
    "LATIN1": {"client_encoding": "LATIN1"},
    "EUC_KR": {"client_encoding": "EUC_KR"},
    "lock_timeout": {"lock_timeout": "1ms"},
    "long limits": {
        "statement_timeout": "10min",
        "lock_timeout": "9min",
        "idle_in_transaction_session_timeout": "1h",
    },
    "limits of one day": {"statement_timeout": "1d", "IntervalStyle": "sql_standard"},
    "floats": {"extra_float_digits": "-15"},
    "nulls": {"array_nulls": "off", "transform_null_equals": "on"},
    "variables first": {"plpgsql.variable_conflict": "use_variable"},
    "columns first": {"plpgsql.variable_conflict": "use_column"},
    "PL/pgSQL checks": {"plpgsql.extra_errors": "all", "plpgsql.extra_warnings": "all"},
    "generic plans": {"plan_cache_mode": "force_generic_plan"},
    "custom plans": {"plan_cache_mode": "force_custom_plan"},
    "row_security": {"row_security": "off"},
    "function bodies": {"check_function_bodies": "off"},
    "jit": {"jit": "on", "jit_above_cost": "0", "jit_optimize_above_cost": "0"},
    "READ UNCOMMITTED": {"default_transaction_isolation": "read uncommitted"},
    "deferrable": {"default_transaction_deferrable": "on"},
    "statistics snapshot": {"stats_fetch_consistency": "snapshot"},
    "statistics cached": {"stats_fetch_consistency": "cache"},
    "track_activities": {"track_activities": "off"},
    "no joins": {
        "enable_nestloop": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_sort": "off",
    },
    "empty search_path": {"search_path": "''"},
    "pg_temp first": {"search_path": "pg_temp, pg_catalog"},
    "quoted identifiers": {"quote_all_identifiers": "on", "lc_numeric": "C", "lc_messages": "C"},
}
"""Settings under which the SQL functions and the mapped classes work."""

PARALLEL = {15: "force_parallel_mode"}
"""The setting's name by server version; later versions call it ``debug_parallel_query``."""

WITHOUT_SQLALCHEMY: dict[str, Settings] = {
    # psycopg returns text as bytes, and SQLAlchemy fails to parse the server version.
    "SQL_ASCII": {"client_encoding": "SQL_ASCII"}
}
"""Settings under which the SQL functions work, but not the mapped classes."""

ALL: dict[str, Settings] = {**READ_BY_SQLALCHEMY, **WITHOUT_SQLALCHEMY}


@contextmanager
def role_settings(maintenance: sa.Connection, url: sa.URL, settings: Settings) -> Iterator[None]:
    """Give new sessions of the role in the database of ``url`` these settings in the block."""
    name = f'"{url.username}"' if url.username else "CURRENT_USER"
    role = f'ALTER ROLE {name} IN DATABASE "{url.database}"'
    try:
        for setting, value in settings.items():
            literal = value if setting == "search_path" else f"'{value}'"
            maintenance.exec_driver_sql(f"{role} SET {setting} = {literal}")
        yield
    finally:
        maintenance.exec_driver_sql(f"{role} RESET ALL")


Client = psycopg.Connection[Any]
LONG_MS = 20_000
SHORT_MS = 30
GROUP = "SELECT to_jsonb(l)::text FROM public.acquire_plan_group_lock('{}', {}) l"
MANY = "SELECT to_jsonb(l)::text FROM studyplan.acquire_plan_locks(ARRAY{}::bigint[], {}) l"
WITH_LIMITS = (
    "SELECT studyplan.acquire_plan_locks_with_limits(ARRAY{}::bigint[], {}, false, NULL, 'one', "
    "'600000', '600000', '600000')::text"
)
SHARED = "SELECT to_jsonb(l)::text FROM studyplan.acquire_plan_locks(ARRAY{}::bigint[], {}, true) l"
BEHIND_SHARED = (
    "SELECT to_jsonb(l)::text FROM studyplan.acquire_plan_locks(ARRAY{}::bigint[], 0, false, {}) l"
)
STUDENTS = "SELECT studyplan.acquire_student_locks(ARRAY{}::bigint[], {}, 'one', 'two')::text"
IS_TRANSACTION = "SELECT studyplan.is_plan_transaction(gen_random_uuid(), '{}')::text"
REQUIRE = "SELECT studyplan.require_plan_transaction('{}')::text"
CHECK = "SELECT to_jsonb(l)::text FROM public.check_plan_group_lock('{}') l"
OWN_LOCKS = (
    "SELECT count(*)::int FROM pg_catalog.pg_locks WHERE locktype = 'advisory' "
    "AND pid = pg_catalog.pg_backend_pid()"
)
STARTED_AT = "SELECT extract(epoch FROM now())::text"


def client(url: sa.URL) -> Client:
    """Connect with psycopg, which also works under settings that SQLAlchemy does not support."""
    return psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))


def scalar(session: Client, statement: str) -> Any:
    row = session.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0].decode() if isinstance(row[0], bytes) else row[0]


def sqlstate_of(session: Client, statement: str) -> str | None:
    """Return the SQLSTATE of a statement's error, if any; the transaction is rolled back."""
    try:
        scalar(session, statement)
    except psycopg.Error as error:
        return error.sqlstate
    finally:
        session.rollback()
    return None


@dataclass(frozen=True)
class Scene:
    """The session that requests a lock, the session that holds one, and an observer."""

    requester: Client
    holder: Client
    observer: sa.Connection
    free: UUID
    held: UUID

    def record(self, statement: str) -> dict[str, Any] | None:
        """Return a function's record, with names for values that differ between sessions."""
        text = scalar(self.requester, statement)
        if text is None:
            return None
        found: dict[str, Any] = json.loads(text)
        if found.pop("kept", None) and found == {"acquired": True, "outcome": "acquired"}:
            return None  # acquired; a record is only returned for limits that the session keeps
        pids = {
            self.requester.info.backend_pid: "requester",
            self.holder.info.backend_pid: "holder",
        }
        keys = {plan_group_lock_key(self.free): "free", plan_group_lock_key(self.held): "held"}
        for field, names in (("holder_pid", pids), ("lock_key", keys)):
            found[field] = names.get(found.get(field) or 0)
        if found.get("holder_held_ms") is not None:
            assert 0 <= found["holder_held_ms"] < 600_000
            found["holder_held_ms"] = "some"
        if found.get("holder_since") is not None:
            who = self.requester if found["holder_pid"] == "requester" else self.holder
            since = datetime.fromisoformat(found["holder_since"]).timestamp()
            assert abs(since - float(scalar(who, STARTED_AT))) < 0.001
            found["holder_since"] = "the start of its transaction"
        return found

    def waited(self, statement: str) -> dict[str, Any] | None:
        """Return the record of a request that waits until the holder ends its transaction."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(self.record, statement)
            until_key_waiting(self.observer, plan_group_lock_key(self.held))
            self.holder.rollback()
            found = future.result(LONG_MS / 1000)
        assert found is not None
        assert 0 <= found.pop("waited_ms") <= LONG_MS
        self.requester.rollback()
        scalar(self.holder, GROUP.format(self.held, 0))
        return found


def answers(url: sa.URL, holder_url: sa.URL, observer: sa.Connection) -> dict[str, Any]:
    """Return the results of all functions for a session at ``url``, with a holder."""
    with ExitStack() as stack:
        requester, holder = (stack.enter_context(client(each)) for each in (url, holder_url))
        # Of several keys, a refusal names the last one in key order, which must be the held one.
        free, held = sorted((uuid4(), uuid4()), key=plan_group_lock_key)
        scene = Scene(requester, holder, observer, free, held)
        scalar(holder, GROUP.format(scene.held, 0))
        return {
            "version": scalar(requester, "SELECT studyplan.plan_lock_version()"),
            **_of_free_locks(scene),
            **_of_held_locks(scene),
            **_of_waits(scene),
            **_of_identity(scene),
        }


def _of_free_locks(scene: Scene) -> dict[str, Any]:
    requester, free = scene.requester, scene.free
    found: dict[str, Any] = {"check, free": scene.record(CHECK.format(free))}
    keys = [plan_group_lock_key(free)]
    for name, statement in (
        ("group", GROUP.format(free, 0)),
        ("many", MANY.format(keys * 2, 0)),
        ("shared", SHARED.format(keys, 0)),
        ("behind shared", BEHIND_SHARED.format(keys, LONG_MS)),
        ("students", STUDENTS.format(keys, 0)),
        ("with limits", WITH_LIMITS.format(keys, 0)),
        ("with limits, wait", WITH_LIMITS.format(keys, LONG_MS)),
    ):
        found[f"{name}, free"] = scene.record(statement)
        found[f"{name}, mine"] = scene.record(CHECK.format(free))
        found[f"{name}, locks"] = scalar(requester, OWN_LOCKS)
        requester.rollback()
        found[f"{name}, released"] = scene.record(CHECK.format(free))
        requester.rollback()
    return found


def _of_held_locks(scene: Scene) -> dict[str, Any]:
    requester, held = scene.requester, scene.held
    key, free = plan_group_lock_key(held), plan_group_lock_key(scene.free)
    found: dict[str, Any] = {"check, held": scene.record(CHECK.format(held))}
    for wait_ms in (0, SHORT_MS):
        for name, statement in (
            ("group", GROUP.format(held, wait_ms)),
            ("all or none", MANY.format([free, key], wait_ms)),
            ("shared", SHARED.format([free, key], wait_ms)),
            ("behind shared", BEHIND_SHARED.format([key], wait_ms)),
            ("students", STUDENTS.format([key], wait_ms)),
            ("with limits", WITH_LIMITS.format([key], wait_ms)),
            ("with limits, all or none", WITH_LIMITS.format([key, free], wait_ms)),
        ):
            found[f"{name}, refused, {wait_ms}"] = scene.record(statement)
            found[f"{name}, refused, {wait_ms}, locks"] = scalar(requester, OWN_LOCKS)
            requester.rollback()
    return found


def _of_waits(scene: Scene) -> dict[str, Any]:
    key, free = plan_group_lock_key(scene.held), plan_group_lock_key(scene.free)
    return {
        f"{name}, waited": scene.waited(statement)
        for name, statement in (
            ("group", GROUP.format(scene.held, LONG_MS)),
            ("many", MANY.format([key, free], LONG_MS)),
            ("shared", SHARED.format([key, free], LONG_MS)),
            ("students", STUDENTS.format([key, free], LONG_MS)),
            ("with limits", WITH_LIMITS.format([key], LONG_MS)),
        )
    }


def _of_identity(scene: Scene) -> dict[str, Any]:
    requester = scene.requester
    acquire = WITH_LIMITS.format([plan_group_lock_key(scene.free)], 0)
    scalar(requester, acquire)
    found = {"identity": scalar(requester, REQUIRE.format("one"))}
    found["is the transaction"] = scalar(requester, IS_TRANSACTION.format("one"))
    found["is another transaction"] = scalar(requester, IS_TRANSACTION.format("other"))
    key = plan_group_lock_key(scene.free)
    scalar(requester, STUDENTS.format([key], 0))
    found["has the new identity"] = scalar(requester, IS_TRANSACTION.format("two"))
    found["requires another transaction"] = sqlstate_of(requester, REQUIRE.format("other"))
    found["is the transaction after a rollback"] = scalar(requester, IS_TRANSACTION.format("one"))
    scalar(requester, SHARED.format([key], 0))
    found["exclusive after shared"] = sqlstate_of(requester, MANY.format([key], 0))
    scalar(requester, SHARED.format([key], 0))
    found["exclusive with limits after shared"] = sqlstate_of(
        requester, WITH_LIMITS.format([key], 0)
    )
    scalar(requester, acquire)
    requester.commit()
    found["requires an ended transaction"] = sqlstate_of(requester, REQUIRE.format("one"))
    return found
