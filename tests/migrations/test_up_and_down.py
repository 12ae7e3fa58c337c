"""Upgrades of an empty database, downgrades to an empty one, and repeated upgrades."""

from typing import Any

import pytest
import sqlalchemy as sa

from domain import schema
from domain.errors import SchemaError
from domain.models import Base
from tests.migrations.catalog import VERSION_TABLE, catalog
from tests.migrations.test_grants import FUNCTIONS as GRANTED

FUNCTIONS = {name.partition("(")[0] for name in GRANTED}


def test_upgrade_of_an_empty_database_creates_every_table_and_function(
    connection: sa.Connection,
) -> None:
    schema.upgrade(connection)
    inspector = sa.inspect(connection)
    tables = {table.name for table in Base.metadata.sorted_tables}
    assert set(inspector.get_table_names(schema="studyplan")) == {*tables, VERSION_TABLE}
    assert inspector.get_table_names(schema="public") == []
    functions = connection.scalars(
        sa.text(
            "SELECT oid::regproc::text FROM pg_proc p "
            "WHERE pronamespace IN ('studyplan'::regnamespace, 'public'::regnamespace) AND "
            "NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
        )
    )
    assert set(functions) == FUNCTIONS


def test_downgrade_to_base_leaves_nothing(connection: sa.Connection) -> None:
    before = catalog(connection)
    schema.upgrade(connection)
    schema.downgrade(connection)
    assert catalog(connection) == before


def test_upgrade_after_a_downgrade_gives_the_same_catalog(connection: sa.Connection) -> None:
    schema.upgrade(connection)
    first = catalog(connection)
    schema.downgrade(connection)
    schema.upgrade(connection)
    assert catalog(connection) == first


def test_downgrade_by_one_revision_restores_the_previous_catalog(connection: sa.Connection) -> None:
    schema.upgrade(connection, "sp_0001")
    first_revision = catalog(connection)
    schema.upgrade(connection, "sp_0002")
    assert catalog(connection) != first_revision
    schema.downgrade(connection, "sp_0001")
    assert catalog(connection) == first_revision


def test_second_upgrade_changes_nothing(connection: sa.Connection) -> None:
    schema.upgrade(connection)
    first = catalog(connection)
    schema.upgrade(connection)
    assert catalog(connection) == first


def test_upgrade_is_part_of_the_transaction_that_the_caller_began(
    connection: sa.Connection,
) -> None:
    before = catalog(connection)
    with connection.begin() as transaction:
        schema.upgrade(connection)
        assert schema.is_current(connection)
        transaction.rollback()
    assert catalog(connection) == before


def test_failed_upgrade_changes_nothing_and_releases_the_migration_lock(
    connection: sa.Connection,
) -> None:
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA studyplan")
        connection.exec_driver_sql(
            "CREATE FUNCTION studyplan.plan_group_lock_key(uuid)"
            " RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'"
        )
    before = catalog(connection)
    with pytest.raises(SchemaError, match=r"this package did not create: .* already exists"):
        schema.upgrade(connection)
    assert catalog(connection) == before
    assert (
        connection.scalar(
            sa.text(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                " AND pid = pg_backend_pid()"
            )
        )
        == 0
    )


def test_schema_is_current_only_at_the_head_revision(connection: sa.Connection) -> None:
    assert schema.current_revision(connection) is None
    assert not schema.is_current(connection)
    with pytest.raises(SchemaError, match="does not have the schema of this package"):
        schema.require_current(connection)
    connection.rollback()
    schema.upgrade(connection, "sp_0001")
    with pytest.raises(
        SchemaError, match=r"has revision sp_0001 .*`python -m domain upgrade`, or the"
    ):
        schema.require_current(connection)
    connection.rollback()
    schema.upgrade(connection)
    assert schema.current_revision(connection) == schema.head_revision()
    assert schema.is_current(connection)
    schema.require_current(connection)


def test_upgrade_after_is_current_is_committed(engine: sa.Engine) -> None:
    """``is_current`` leaves no transaction open, so the upgrade that follows commits."""
    with engine.connect() as connection:
        if not schema.is_current(connection):
            schema.upgrade(connection)
    with engine.connect() as connection:
        assert schema.is_current(connection)


@pytest.mark.parametrize("option", [{"stream_results": True}, {"yield_per": 2}], ids=str)
def test_run_works_with_options_for_large_results_and_keeps_them(
    engine: sa.Engine, option: dict[str, Any]
) -> None:
    with engine.execution_options(**option).connect() as connection:
        schema.upgrade(connection)
        schema.require_current(connection)
        with connection.begin():
            schema.downgrade(connection)
        assert not schema.is_current(connection)
        options = connection.get_execution_options()
        assert {name: options[name] for name in option} == option


def test_search_path_of_the_caller_is_restored_after_the_upgrade(connection: sa.Connection) -> None:
    with connection.begin():
        connection.exec_driver_sql("SET LOCAL search_path = pg_catalog")
        schema.upgrade(connection)
        assert connection.scalar(sa.text("SHOW search_path")) == "pg_catalog"
