"""Settings that a role may have in a database, hostile to whoever reads or writes text."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa

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
    "SQL_ASCII": {"client_encoding": "SQL_ASCII"},
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
