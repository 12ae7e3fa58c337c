"""Every statement names its schema: no search path changes what is read or written.

The search path begins with a schema of the application. That schema and ``pg_temp`` have tables
with the names of the package's tables, and the schema has functions with the names of functions
of PostgreSQL and of the package.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import sessionmaker

from domain import Base, schema
from domain.probe import probe
from tests.integration.editing import Factory, World, everything, new_world
from tests.integration.operations import OPERATIONS
from tests.integration.storing import book_group, generate, live

TABLES = [table.name for table in Base.metadata.sorted_tables]
FUNCTIONS = [
    "acquire_plan_group_lock(uuid, integer)",
    "count(anyelement)",
    "current_setting(text, boolean)",
    "is_plan_transaction(uuid, text)",
    "json_build_array(text, smallint, smallint, smallint)",  # the signature for a block
    "min(integer)",
    "plans_are_copyable()",
    "require_plan_transaction(text)",
    "set_config(text, text, boolean)",
    "to_jsonb(anyelement)",
]
PATHS = [
    "app",
    "app, public",
    "app, pg_catalog, public, studyplan",
    "pg_temp, app, pg_catalog",
    "''",
]


@pytest.fixture(scope="module")
def foreign_schema(owner_engine: sa.Engine) -> None:
    """Create a schema of the application with tables and functions of the package's names."""
    with owner_engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA app")
        for table in TABLES:
            connection.exec_driver_sql(f"CREATE TABLE app.{table} (id int, tenant_id int)")
        for function in FUNCTIONS:
            connection.exec_driver_sql(
                f"CREATE FUNCTION app.{function} RETURNS text LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'the wrong function'; END $$"
            )
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA app TO PUBLIC")
        connection.exec_driver_sql("GRANT ALL ON ALL TABLES IN SCHEMA app TO PUBLIC")


@pytest.fixture(params=PATHS)
def foreign_path(
    request: pytest.FixtureRequest, database_url: sa.URL, foreign_schema: None
) -> Iterator[sa.Engine]:
    """Return an engine with the search path, and with temporary tables of the package's names."""
    engine = sa.create_engine(database_url, pool_size=3)

    @event.listens_for(engine, "connect")
    def set_search_path(connection: Any, _: object) -> None:
        for table in TABLES:
            connection.execute(f"CREATE TEMPORARY TABLE {table} (id int, tenant_id int)")
        connection.execute(f"SET search_path = {request.param}")
        connection.commit()

    yield engine
    engine.dispose()


def test_operations_work_under_a_foreign_search_path(
    session_factory: Factory, foreign_path: sa.Engine
) -> None:
    world = new_world(session_factory)
    for operation in OPERATIONS.values():
        operation(sessionmaker(foreign_path), world)
    assert foreign_rows(foreign_path) == 0


def test_generation_under_a_foreign_search_path_writes_the_same_plans(
    session_factory: Factory, foreign_path: sa.Engine
) -> None:
    expected, group = book_group(session_factory), book_group(session_factory)
    generate(session_factory, expected)
    generate(sessionmaker(foreign_path), group)
    spans = [
        [(plan.date, plan.start_minute, plan.first_unit) for plan in live(session_factory, one)]
        for one in (expected, group)
    ]
    assert spans[0] == spans[1] != []
    assert foreign_rows(foreign_path) == 0


def test_probe_and_schema_check_work_under_a_foreign_search_path(foreign_path: sa.Engine) -> None:
    probe(foreign_path)
    with foreign_path.connect() as connection:
        assert schema.is_current(connection)


def test_foreign_rows_are_counted(engine: sa.Engine, foreign_path: sa.Engine) -> None:
    with foreign_path.begin() as connection:
        connection.exec_driver_sql("INSERT INTO app.blocks (id) VALUES (1)")
    assert foreign_rows(foreign_path) == 1
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM app.blocks")


def test_schema_named_like_the_role_is_not_used(
    owner_engine: sa.Engine, engine: sa.Engine, session_factory: Factory, world: World
) -> None:
    before = everything(session_factory)
    with engine.connect() as connection:
        role = connection.exec_driver_sql("SELECT quote_ident(current_user)").scalar_one()
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {role}")
        connection.exec_driver_sql(f"GRANT ALL ON SCHEMA {role} TO PUBLIC")
        for table in TABLES:
            connection.exec_driver_sql(f"CREATE TABLE {role}.{table} (id int)")
    engine.dispose()  # open connections may have cached the schemas of the path
    try:
        for operation in OPERATIONS.values():
            operation(session_factory, world)
        assert everything(session_factory) == before
    finally:
        with owner_engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {role} CASCADE")


def foreign_rows(engine: sa.Engine) -> int:
    """Count the rows of the tables that only have the names of the package's tables."""
    with engine.connect() as connection:
        return sum(
            connection.exec_driver_sql(f"SELECT count(*) FROM {schema_name}.{table}").scalar_one()  # noqa: S608 - fixed names
            for schema_name in ("app", "pg_temp")
            for table in TABLES
        )
