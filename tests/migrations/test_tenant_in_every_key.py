"""Every key begins with ``tenant_id``, as Citus requires of tables distributed by that column."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from domain import Base, schema

# The columns of constraints and indexes in key order. An expression of an index has no name.
KEYS = """
SELECT c.conname AS name, c.contype::text AS kind, c.conrelid::regclass::text AS table,
  ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
    LEFT JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number
    ORDER BY place) AS columns,
  ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number
    ORDER BY place) AS referred
FROM pg_constraint c
WHERE c.connamespace = 'studyplan'::regnamespace AND c.contype IN ('p', 'u', 'x', 'f')
  AND c.conrelid <> 'studyplan.alembic_version'::regclass
UNION ALL
SELECT i.indexrelid::regclass::text, 'index', i.indrelid::regclass::text,
  ARRAY(SELECT coalesce(a.attname::text, '') FROM unnest(i.indkey::int2[])
    WITH ORDINALITY AS k (number, place)
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    ORDER BY place),
  '{}'
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'studyplan'::regnamespace
  AND i.indrelid <> 'studyplan.alembic_version'::regclass
"""
NULLABLE = """
SELECT count(*) FROM pg_class c LEFT JOIN pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnotnull
WHERE c.relnamespace = 'studyplan'::regnamespace AND c.relkind = 'r'
  AND c.relname <> 'alembic_version' AND a.attname IS NULL
"""


@pytest.fixture
def migrated(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        schema.upgrade(connection)
        yield connection


def test_keys_and_indexes_begin_with_the_tenant(migrated: sa.Connection) -> None:
    keys = migrated.execute(sa.text(KEYS)).all()
    assert {key.kind for key in keys} == {"p", "u", "x", "f", "index"}
    assert len({key.table for key in keys}) == len(Base.metadata.tables)
    wrong = [
        (key.name, key.columns, key.referred)
        for key in keys
        if key.columns[0] != "tenant_id" or (key.referred or ["tenant_id"])[0] != "tenant_id"
    ]
    assert wrong == []


def test_tables_have_a_tenant_that_is_not_null(migrated: sa.Connection) -> None:
    assert migrated.scalar(sa.text(NULLABLE)) == 0


def test_primary_keys_of_mappers_begin_with_the_tenant() -> None:
    keys = {mapper.class_.__name__: mapper.primary_key for mapper in Base.registry.mappers}
    assert len(keys) == len(Base.metadata.tables)
    assert {name for name, key in keys.items() if key[0].name != "tenant_id"} == set()
