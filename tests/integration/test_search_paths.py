"""Nobody's search path decides what is read or written: every statement names the schema.

A role whose path begins with a schema of its own, tables of our names there or left in
``pg_temp`` on a pooled connection, functions of PostgreSQL's names in front of its own.
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
    "json_build_array(text, smallint, smallint, smallint)",  # a block
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
def trap(owner_engine: sa.Engine) -> None:
    """A schema of the application's, with tables and functions of all our names."""
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
def misled(request: pytest.FixtureRequest, database_url: sa.URL, trap: None) -> Iterator[sa.Engine]:
    """An engine whose sessions have the search path, and temporary tables of our names."""
    engine = sa.create_engine(database_url, pool_size=3)

    @event.listens_for(engine, "connect")
    def mislead(connection: Any, _: object) -> None:
        for table in TABLES:
            connection.execute(f"CREATE TEMPORARY TABLE {table} (id int, tenant_id int)")
        connection.execute(f"SET search_path = {request.param}")
        connection.commit()

    yield engine
    engine.dispose()


def test_every_operation_works_under_a_foreign_search_path(
    session_factory: Factory, misled: sa.Engine
) -> None:
    world = new_world(session_factory)
    for operation in OPERATIONS.values():
        operation(sessionmaker(misled), world)
    assert trapped(misled) == 0


def test_generation_under_a_foreign_search_path_writes_the_same_plans(
    session_factory: Factory, misled: sa.Engine
) -> None:
    expected, group = book_group(session_factory), book_group(session_factory)
    generate(session_factory, expected)
    generate(sessionmaker(misled), group)
    spans = [
        [(plan.date, plan.start_minute, plan.first_unit) for plan in live(session_factory, one)]
        for one in (expected, group)
    ]
    assert spans[0] == spans[1] != []
    assert trapped(misled) == 0


def test_probe_and_schema_see_ours_under_a_foreign_search_path(misled: sa.Engine) -> None:
    probe(misled)
    with misled.connect() as connection:
        assert schema.is_current(connection)


def test_rows_in_the_trap_are_noticed(engine: sa.Engine, misled: sa.Engine) -> None:
    with misled.begin() as connection:
        connection.exec_driver_sql("INSERT INTO app.blocks (id) VALUES (1)")
    assert trapped(misled) == 1
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM app.blocks")


def test_schema_named_like_the_role_is_left_alone(
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
    engine.dispose()  # for the search path's own cache of what is visible
    try:
        for operation in OPERATIONS.values():
            operation(session_factory, world)
        assert everything(session_factory) == before
    finally:
        with owner_engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {role} CASCADE")


def trapped(engine: sa.Engine) -> int:
    """How many rows the tables have that only look like ours."""
    with engine.connect() as connection:
        return sum(
            connection.exec_driver_sql(f"SELECT count(*) FROM {where}.{table}").scalar_one()  # noqa: S608 - our names
            for where in ("app", "pg_temp")
            for table in TABLES
        )
