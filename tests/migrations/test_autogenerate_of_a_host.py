"""Autogenerate in an application ignores the package's tables and compares the application's."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.runtime.environment import (
    IncludeNameFn,
    IncludeObjectFn,
    NameFilterParentNames,
    NameFilterType,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from domain import Base, PlanGroup, schema

PLUGINS = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"]
Filters = dict[str, Callable[..., bool]]
# mypy compares the filters with the types that Alembic declares.
INCLUDE_NAME: IncludeNameFn = schema.include_name
INCLUDE_OBJECT: IncludeObjectFn = schema.include_object
BY_NAME: Filters = {"include_name": INCLUDE_NAME}
BY_OBJECT: Filters = {"include_object": INCLUDE_OBJECT}
SETTINGS = [
    *product([BY_OBJECT, BY_NAME | BY_OBJECT], [False, True], [False, True]),
    # ``include_name`` filters only what is in the database, so the package's tables must not be in
    # ``target_metadata``.
    (BY_NAME, True, False),
    (BY_NAME, False, False),
    ({}, False, False),
]
settings = pytest.mark.parametrize(
    ("filters", "include_schemas", "with_package_metadata"),
    SETTINGS,
    ids=[
        f"{'+'.join(filters) or 'none'}{'-all schemas' * every}{'-both metadata' * both}"
        for filters, every, both in SETTINGS
    ],
)


def host_metadata(*, later: bool = False) -> sa.MetaData:
    """Return an application's tables; ``later`` adds changes that no revision has made yet."""
    metadata = sa.MetaData()
    students = sa.Table(
        "students",
        metadata,
        sa.Column("tenant_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("age", sa.Integer, nullable=False),
    )
    homework = sa.Table(
        "homework",
        metadata,
        sa.Column("tenant_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("group_id", sa.Uuid, index=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "group_id"], [PlanGroup.tenant_id, PlanGroup.id], name="fk_homework_group"
        ),
    )
    sa.Table("reports", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="other")
    if later:
        students.append_column(sa.Column("name", sa.Text))
        students.append_constraint(sa.CheckConstraint("age > 3", name="ck_students_age"))
        homework.append_constraint(
            sa.ForeignKeyConstraint(
                ["tenant_id", "id"], [PlanGroup.tenant_id, PlanGroup.id], name="fk_homework_other"
            )
        )
        sa.Table("rooms", metadata, sa.Column("id", sa.Integer, primary_key=True))
    return metadata


@pytest.fixture
def migrated(connection: sa.Connection) -> sa.Connection:
    """Return a connection to a database with the tables of the package and of the host.

    Foreign keys exist in both directions, and the host has added an index and a constraint to
    the package's tables.
    """
    schema.upgrade(connection)
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA other")
        for table in host_metadata().sorted_tables:
            connection.execute(CreateTable(table))
            for index in table.indexes:
                connection.execute(CreateIndex(index))
        connection.exec_driver_sql(
            "ALTER TABLE studyplan.plan_groups ADD CONSTRAINT fk_plan_groups_students "
            "FOREIGN KEY (tenant_id, student_id) REFERENCES public.students (tenant_id, id)"
        )
        connection.exec_driver_sql("CREATE INDEX of_host ON studyplan.plan_groups (name)")
        connection.exec_driver_sql(
            "ALTER TABLE studyplan.blocks ADD CONSTRAINT ck_host CHECK (true)"
        )
    return connection


def proposed(
    connection: sa.Connection, metadata: list[sa.MetaData], **options: Any
) -> list[tuple[Any, ...]]:
    """Return the kind and the name of each operation that autogenerate proposes."""
    opts = {"autogenerate_plugins": PLUGINS, "target_metadata": metadata, **options}
    context = MigrationContext.configure(connection, opts=opts)
    # Alembic accepts a list, as in env.py, but annotates the parameter with a single MetaData.
    untyped: Any = metadata
    found = compare_metadata(context, untyped)
    return sorted((kind, getattr(one[-1], "name", one)) for kind, *one in found)


def targets(*, later: bool, with_package_metadata: bool) -> list[sa.MetaData]:
    return [host_metadata(later=later), *([Base.metadata] if with_package_metadata else [])]


@settings
def test_autogenerate_proposes_nothing_for_the_package(
    *, migrated: sa.Connection, filters: Filters, include_schemas: bool, with_package_metadata: bool
) -> None:
    wanted = targets(later=False, with_package_metadata=with_package_metadata)
    if not include_schemas:
        wanted[0].remove(wanted[0].tables["other.reports"])
    assert proposed(migrated, wanted, include_schemas=include_schemas, **filters) == []


@settings
def test_autogenerate_proposes_the_hosts_own_changes(
    *, migrated: sa.Connection, filters: Filters, include_schemas: bool, with_package_metadata: bool
) -> None:
    with migrated.begin():
        migrated.exec_driver_sql("CREATE TABLE public.obsolete ()")
    wanted = targets(later=True, with_package_metadata=with_package_metadata)
    if not include_schemas:
        wanted[0].remove(wanted[0].tables["other.reports"])
    assert proposed(migrated, wanted, include_schemas=include_schemas, **filters) == [
        ("add_column", "name"),
        ("add_constraint", "ck_students_age"),
        ("add_fk", "fk_homework_other"),
        ("add_table", "rooms"),
        ("remove_table", "obsolete"),
    ]


@settings
def test_autogenerate_of_a_new_host_does_not_create_the_packages_tables(
    *,
    connection: sa.Connection,
    filters: Filters,
    include_schemas: bool,
    with_package_metadata: bool,
) -> None:
    with connection.begin():
        connection.exec_driver_sql("CREATE SCHEMA other")
    wanted = targets(later=False, with_package_metadata=with_package_metadata)
    found = proposed(connection, wanted, include_schemas=include_schemas, **filters)
    assert {kind for kind, _ in found} == {"add_table", "add_index"}
    assert {name for kind, name in found if kind == "add_table"} == {
        "students",
        "homework",
        "reports",
    }


def test_filters_can_be_combined_with_filters_of_the_host(migrated: sa.Connection) -> None:
    def include_name(
        name: str | None, type_: NameFilterType, parents: NameFilterParentNames
    ) -> bool:
        return schema.include_name(name, type_, parents) and name != "obsolete"

    with migrated.begin():
        migrated.exec_driver_sql("CREATE TABLE public.obsolete ()")
    found = proposed(
        migrated, [host_metadata()], include_schemas=True, include_name=include_name, **BY_OBJECT
    )
    assert found == []


def test_autogenerate_without_filters_proposes_to_drop_the_packages_tables(
    migrated: sa.Connection,
) -> None:
    """The filters exist for this reason."""
    found = proposed(migrated, [host_metadata()], include_schemas=True)
    assert ("remove_table", "plan_groups") in found


def test_include_name_excludes_the_schema_and_its_tables() -> None:
    """The schema is excluded too, so that Alembic does not reflect its tables."""
    assert not schema.include_name("studyplan", "schema", {})
    assert not schema.include_name("blocks", "table", {"schema_name": "studyplan"})
    assert schema.include_name(None, "schema", {})
    assert schema.include_name("blocks", "table", {"schema_name": None})
    assert schema.include_name("studyplan", "table", {"schema_name": "public"})
