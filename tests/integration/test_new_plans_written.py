"""New plans are written by COPY, or by one INSERT if COPY cannot write to the table."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from domain.driver import copy_rows, insert_rows
from domain.repositories import PlanGroupRepository
from domain.repositories.plan_writing import COPIED
from tests.integration.asking import counted
from tests.integration.storing import FIRST, book_group, generate, live, plans

Write = Callable[..., None]
KINDS = ("study", """re'view \\ "{,}" NULL 복습""")
ALL_ROWS = sa.text("SELECT t::text FROM new_plans t ORDER BY sequence")
COLUMNS = ", ".join(f"{name} {kind}" for name, kind in COPIED.items())
TABLE = sa.Table("new_plans", sa.MetaData())
CREATE = f"CREATE TEMP TABLE {TABLE.name} ({COLUMNS})"


def rows(count: int, cycle_day: Callable[[int], int | None] = lambda n: n % 7 or None) -> list[Any]:
    """Return ``count`` rows, some of them with nulls, with the largest numbers of each type."""
    return [
        tuple(
            {
                "id": UUID(int=n),
                "tenant_id": UUID(int=1),
                "student_id": UUID(int=2),
                "group_id": UUID(int=3),
                "content_id": UUID(int=n % 9),
                "lineage": UUID(int=n // 2),
                "generation": 2**31 - 1,
                "sequence": n,
                "kind": KINDS[n % 2],
                "date": date(2025, 1, 6) + timedelta(days=n),
                "start_minute": n % 1440,
                "end_minute": 2**15 - 1,
                "first_unit": 1,
                "last_unit": 2**31 - 1 - n,
                "part": 1,
                "parts": 2,
                "wrap_up_minutes": 0,
                "reserve": n % 3 == 0,
                "week": 1,
                "cycle": 1,
                "cycle_day": cycle_day(n),
            }[name]
            for name in COPIED
        )
        for n in range(count)
    ]


def write_and_read(connection: sa.Connection, write: Write, new_rows: list[Any]) -> list[str]:
    connection.exec_driver_sql(CREATE)
    write(connection, TABLE, COPIED, iter(new_rows))
    found = list(connection.scalars(ALL_ROWS))
    connection.rollback()
    return found


@pytest.mark.parametrize("count", [0, 1, 10_000])
@pytest.mark.parametrize("api", ["sync", "async"])
def test_insert_and_copy_write_the_same_rows(
    database_url: sa.URL, connection: sa.Connection, count: int, api: str
) -> None:
    async def main() -> list[str]:
        engine = create_async_engine(database_url, poolclass=sa.NullPool)
        async with engine.connect() as other:
            return await other.run_sync(write_and_read, insert_rows, new_rows)

    new_rows = rows(count)
    copied = write_and_read(connection, copy_rows, new_rows)
    assert len(copied) == count
    inserted = (
        asyncio.run(main()) if api == "async" else write_and_read(connection, insert_rows, new_rows)
    )
    assert inserted == copied


@pytest.mark.parametrize("cycle_day", [lambda _: None, lambda _: 1], ids=["all null", "no null"])
def test_insert_accepts_a_column_of_only_nulls_and_a_column_without_nulls(
    connection: sa.Connection, cycle_day: Callable[[int], int | None]
) -> None:
    new_rows = rows(20, cycle_day)
    copied = write_and_read(connection, copy_rows, new_rows)
    assert write_and_read(connection, insert_rows, new_rows) == copied


@pytest.mark.parametrize("count", [1, 10_000])
def test_insert_needs_one_round_trip(database_url: sa.URL, count: int) -> None:
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    # The pool has one connection, which keeps the temporary table for the counted block.
    with engine.connect() as connection:
        connection.exec_driver_sql(CREATE)
        connection.commit()
    with counted(engine) as trips, engine.connect() as connection, connection.begin():
        insert_rows(connection, TABLE, COPIED, rows(count))
    engine.dispose()
    assert trips.count == 3  # BEGIN, the INSERT, COMMIT


def test_insert_that_is_refused_raises_an_error_of_sqlalchemy(connection: sa.Connection) -> None:
    connection.exec_driver_sql(CREATE)
    with pytest.raises(DBAPIError):
        insert_rows(connection, TABLE, {**COPIED, "week": "int4", "kind": "date"}, rows(2))
    connection.rollback()


# Changes that a host application may make to the table. With each of them, the ids of the rows
# that are written are recorded in the table recorded_ids.
TRIGGER = """
CREATE FUNCTION record_id() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO recorded_ids SELECT NEW.id; RETURN NEW; END $$;
CREATE TRIGGER record_id BEFORE INSERT ON studyplan.student_plans
FOR EACH ROW EXECUTE FUNCTION record_id()
"""
STATEMENT_TRIGGER = """
CREATE FUNCTION record_id() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO recorded_ids SELECT id FROM inserted; RETURN NULL; END $$;
CREATE TRIGGER record_id AFTER INSERT ON studyplan.student_plans REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION record_id()
"""
RULE = """
CREATE RULE record_id AS ON INSERT TO studyplan.student_plans
DO ALSO INSERT INTO recorded_ids VALUES (NEW.id)
"""
PARTITIONED = """
ALTER TABLE studyplan.student_plans RENAME TO original;
CREATE TABLE studyplan.student_plans (LIKE studyplan.original INCLUDING DEFAULTS)
  PARTITION BY HASH (student_id);
CREATE TABLE even PARTITION OF studyplan.student_plans
  FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE odd PARTITION OF studyplan.student_plans
  FOR VALUES WITH (MODULUS 2, REMAINDER 1);
"""
OWN_COLUMNS = """
ALTER TABLE studyplan.student_plans ADD COLUMN room text NOT NULL DEFAULT 'library';
ALTER TABLE studyplan.student_plans ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;
ALTER TABLE studyplan.student_plans ADD COLUMN length int
  GENERATED ALWAYS AS (end_minute - start_minute) STORED;
"""
VIEW = """
ALTER TABLE studyplan.student_plans RENAME TO original;
CREATE VIEW studyplan.student_plans AS SELECT * FROM studyplan.original;
ALTER VIEW studyplan.student_plans ALTER version SET DEFAULT 1, ALTER state SET DEFAULT 'planned',
  ALTER pinned SET DEFAULT false, ALTER live SET DEFAULT true;
"""
VIEW_TRIGGER = TRIGGER.replace("student_plans", "original")
HOST_CHANGES = {
    "row trigger": TRIGGER,
    "statement trigger": STATEMENT_TRIGGER,
    "rule": RULE,
    "partitions": PARTITIONED + TRIGGER,
    "additional columns": OWN_COLUMNS + TRIGGER,
    "view": VIEW + VIEW_TRIGGER,
}


@contextmanager
def changed_database(
    new_database: Callable[[str], sa.URL], template: str, change: str
) -> Iterator[sa.Engine]:
    engine = sa.create_engine(new_database(template), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE recorded_ids (id uuid)")
        connection.exec_driver_sql(HOST_CHANGES[change])
    yield engine
    engine.dispose()


@pytest.mark.parametrize("change", HOST_CHANGES)
def test_generation_works_with_changes_that_a_host_makes_to_the_table(
    new_database: Callable[[str], sa.URL], template: str, change: str
) -> None:
    with changed_database(new_database, template, change) as engine:
        factory = sessionmaker(engine)
        group = book_group(factory)
        results = [generate(factory, group), generate(factory, group, FIRST + timedelta(days=1))]
        assert set(results[0].plan_ids).isdisjoint(results[1].plan_ids)
        assert [row.id for row in live(factory, group)] == list(results[1].plan_ids)
        assert [row.id for row in plans(factory, group)] == [
            plan_id for result in results for plan_id in result.plan_ids
        ]
        with engine.connect() as connection:
            recorded = list(connection.scalars(sa.text("SELECT id FROM recorded_ids")))
        assert sorted(recorded) == sorted(
            plan_id for result in results for plan_id in result.plan_ids
        )


def test_copy_is_used_unless_the_table_has_a_rule(
    session_factory: sessionmaker[Session], new_database: Callable[[str], sa.URL], template: str
) -> None:
    assert _copyable(session_factory)
    for change, expected in [("row trigger", True), ("partitions", True), ("rule", False)]:
        with changed_database(new_database, template, change) as engine:
            assert _copyable(sessionmaker(engine)) is expected


def _copyable(factory: sessionmaker[Session]) -> bool:
    group = book_group(factory)
    with factory() as session:
        return PlanGroupRepository(session, group.tenant_id).snapshot(group.id).copyable
