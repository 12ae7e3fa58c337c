"""``SchemaError`` is raised for revisions that the package does not know."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from domain import schema
from domain.errors import SchemaError

Operation = Callable[[sa.Connection], object]


@pytest.fixture
def migrated(connection: sa.Connection) -> sa.Connection:
    schema.upgrade(connection)
    return connection


def stamp(connection: sa.Connection, *revisions: str) -> None:
    """Mark the database as a newer version's environment and its revisions would."""
    connection.exec_driver_sql("DELETE FROM studyplan.alembic_version")
    for revision in revisions:
        insert = "INSERT INTO studyplan.alembic_version VALUES (%s)"
        connection.exec_driver_sql(insert, (revision,))
        comment = f"COMMENT ON SCHEMA studyplan IS 'studyplan-domain, revision {revision}'"
        connection.exec_driver_sql(comment)
    connection.commit()


@pytest.mark.parametrize("operation", [schema.upgrade, schema.downgrade])
def test_revision_that_the_package_does_not_know_raises_schema_error(
    migrated: sa.Connection, operation: Operation
) -> None:
    stamp(migrated, "zz_9")
    with pytest.raises(SchemaError, match=r"has revision zz_9, .* newer"):
        operation(migrated)
    migrated.rollback()
    assert schema.current_revision(migrated) == "zz_9"
    assert not schema.is_current(migrated)
    with pytest.raises(SchemaError, match=r"has revision zz_9, .* newer one .* Install that"):
        schema.require_current(migrated)


@pytest.mark.parametrize("operation", [schema.upgrade, schema.downgrade])
def test_database_with_several_revisions_raises_schema_error(
    migrated: sa.Connection, operation: Operation
) -> None:
    stamp(migrated, "zz_8", "zz_9")
    with pytest.raises(SchemaError, match="has revision zz_"):
        operation(migrated)


def test_upgrade_to_a_revision_that_does_not_exist_raises_schema_error(
    migrated: sa.Connection,
) -> None:
    with pytest.raises(SchemaError, match="nope"):
        schema.upgrade(migrated, "nope")
    migrated.rollback()
    assert schema.is_current(migrated)
