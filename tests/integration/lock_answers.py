"""Hostile settings of a role, and what every lock function answers under them.

The answers are in a form that two sessions can compare.
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
    "zone of half an hour": {"TimeZone": "Asia/Kolkata"},
    "zone that had seconds": {"TimeZone": "Asia/Seoul"},
    "zone of minutes": {"TimeZone": "<XYZ>+11:59", "DateStyle": "German, DMY"},
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
    "limits of a day": {"statement_timeout": "1d", "IntervalStyle": "sql_standard"},
    "floats": {"extra_float_digits": "-15"},
    "nulls": {"array_nulls": "off", "transform_null_equals": "on"},
    "variables first": {"plpgsql.variable_conflict": "use_variable"},
    "columns first": {"plpgsql.variable_conflict": "use_column"},
    "checks of PL/pgSQL": {"plpgsql.extra_errors": "all", "plpgsql.extra_warnings": "all"},
    "generic plans": {"plan_cache_mode": "force_generic_plan"},
    "custom plans": {"plan_cache_mode": "force_custom_plan"},
    "row_security": {"row_security": "off"},
    "function bodies": {"check_function_bodies": "off"},
    "jit": {"jit": "on", "jit_above_cost": "0", "jit_optimize_above_cost": "0"},
    "READ UNCOMMITTED": {"default_transaction_isolation": "read uncommitted"},
    "deferrable": {"default_transaction_deferrable": "on"},
    "statistics once": {"stats_fetch_consistency": "snapshot"},
    "statistics cached": {"stats_fetch_consistency": "cache"},
    "no activities": {"track_activities": "off"},
    "no joins": {
        "enable_nestloop": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_sort": "off",
    },
    "no search_path": {"search_path": "''"},
    "pg_temp first": {"search_path": "pg_temp, pg_catalog"},
    "identifiers": {"quote_all_identifiers": "on", "lc_numeric": "C", "lc_messages": "C"},
}
"""Under each of these everything works."""

PARALLEL = {15: "force_parallel_mode"}
"""By the version of the server; ``debug_parallel_query`` since."""

WITHOUT_SQLALCHEMY: dict[str, Settings] = {
    # psycopg returns bytes for text, and SQLAlchemy fails on the version of the server.
    "SQL_ASCII": {"client_encoding": "SQL_ASCII"}
}
"""Under each of these the SQL functions work, but not the mapped classes."""

ALL: dict[str, Settings] = {**READ_BY_SQLALCHEMY, **WITHOUT_SQLALCHEMY}


@contextmanager
def role_settings(maintenance: sa.Connection, url: sa.URL, settings: Settings) -> Iterator[None]:
    """New sessions of the role in the database of ``url`` have these settings in the block."""
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
BEGUN = "SELECT extract(epoch FROM now())::text"


def client(url: sa.URL) -> Client:
    """A session by psycopg itself, which can be had under settings that SQLAlchemy refuses."""
    return psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))


def scalar(session: Client, statement: str) -> Any:
    row = session.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0].decode() if isinstance(row[0], bytes) else row[0]


def sqlstate_of(session: Client, statement: str) -> str | None:
    """The SQLSTATE of a statement that fails; the transaction is rolled back."""
    try:
        scalar(session, statement)
    except psycopg.Error as error:
        return error.sqlstate
    finally:
        session.rollback()
    return None


@dataclass(frozen=True)
class Scene:
    """The session that asks, another one that holds, and one that looks on."""

    asker: Client
    holder: Client
    observer: sa.Connection
    free: UUID
    held: UUID

    def record(self, statement: str) -> dict[str, Any] | None:
        """A function's record, with names for what no two sessions have in common."""
        text = scalar(self.asker, statement)
        if text is None:
            return None
        found: dict[str, Any] = json.loads(text)
        if found.pop("kept", None) and found == {"acquired": True, "outcome": "acquired"}:
            return None  # the same answer, with the limits that the session has of its own
        pids = {self.asker.info.backend_pid: "asker", self.holder.info.backend_pid: "holder"}
        keys = {plan_group_lock_key(self.free): "free", plan_group_lock_key(self.held): "held"}
        for field, names in (("holder_pid", pids), ("lock_key", keys)):
            found[field] = names.get(found.get(field) or 0)
        if found.get("holder_held_ms") is not None:
            assert 0 <= found["holder_held_ms"] < 600_000
            found["holder_held_ms"] = "some"
        if found.get("holder_since") is not None:
            who = self.asker if found["holder_pid"] == "asker" else self.holder
            since = datetime.fromisoformat(found["holder_since"]).timestamp()
            assert abs(since - float(scalar(who, BEGUN))) < 0.001
            found["holder_since"] = "the begin of its transaction"
        return found

    def waited(self, statement: str) -> dict[str, Any] | None:
        """The record of a request that waits until the holder ends its transaction."""
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.record, statement)
            until_key_waiting(self.observer, plan_group_lock_key(self.held))
            self.holder.rollback()
            found = asked.result(LONG_MS / 1000)
        assert found is not None
        assert 0 <= found.pop("waited_ms") <= LONG_MS
        self.asker.rollback()
        scalar(self.holder, GROUP.format(self.held, 0))
        return found


def answers(url: sa.URL, holder_url: sa.URL, observer: sa.Connection) -> dict[str, Any]:
    """The answers of all functions to a session at ``url``, holder at ``holder_url``."""
    with ExitStack() as stack:
        asker, holder = (stack.enter_context(client(each)) for each in (url, holder_url))
        # Of several keys an answer names the last one in their order.
        free, held = sorted((uuid4(), uuid4()), key=plan_group_lock_key)
        scene = Scene(asker, holder, observer, free, held)
        scalar(holder, GROUP.format(scene.held, 0))
        return {
            "version": scalar(asker, "SELECT studyplan.plan_lock_version()"),
            **_of_free_locks(scene),
            **_of_held_locks(scene),
            **_of_waits(scene),
            **_of_identity(scene),
        }


def _of_free_locks(scene: Scene) -> dict[str, Any]:
    asker, free = scene.asker, scene.free
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
        found[f"{name}, locks"] = scalar(asker, OWN_LOCKS)
        asker.rollback()
        found[f"{name}, released"] = scene.record(CHECK.format(free))
        asker.rollback()
    return found


def _of_held_locks(scene: Scene) -> dict[str, Any]:
    asker, held = scene.asker, scene.held
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
            found[f"{name}, refused, {wait_ms}, locks"] = scalar(asker, OWN_LOCKS)
            asker.rollback()
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
    asker = scene.asker
    taken = WITH_LIMITS.format([plan_group_lock_key(scene.free)], 0)
    scalar(asker, taken)
    found = {"identity": scalar(asker, REQUIRE.format("one"))}
    found["is it"] = scalar(asker, IS_TRANSACTION.format("one"))
    found["is it another"] = scalar(asker, IS_TRANSACTION.format("other"))
    key = plan_group_lock_key(scene.free)
    scalar(asker, STUDENTS.format([key], 0))
    found["renewed"] = scalar(asker, IS_TRANSACTION.format("two"))
    found["another identity"] = sqlstate_of(asker, REQUIRE.format("other"))
    found["has no identity"] = scalar(asker, IS_TRANSACTION.format("one"))
    scalar(asker, SHARED.format([key], 0))
    found["exclusive after shared"] = sqlstate_of(asker, MANY.format([key], 0))
    scalar(asker, SHARED.format([key], 0))
    found["exclusive with limits after shared"] = sqlstate_of(asker, WITH_LIMITS.format([key], 0))
    scalar(asker, taken)
    asker.commit()
    found["ended"] = sqlstate_of(asker, REQUIRE.format("one"))
    return found
