"""New plans are written by COPY, or by one INSERT where the table is not for COPY."""

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
from domain.repositories.plan_rows import COPIED
from tests.integration.asking import counted
from tests.integration.storing import book_group, generate, live, plans

Write = Callable[..., None]
WORDS = ("study", """re'view \\ "{,}" NULL 복습""")
ALL = sa.text("SELECT t::text FROM new_plans t ORDER BY sequence")
COLUMNS_OF = ", ".join(f"{name} {kind}" for name, kind in COPIED.items())
TABLE = sa.Table("new_plans", sa.MetaData())
CREATE = f"CREATE TEMP TABLE {TABLE.name} ({COLUMNS_OF})"


def rows(count: int, cycle_day: Callable[[int], int | None] = lambda n: n % 7 or None) -> list[Any]:
    """As many rows, with nulls here and there and with the largest numbers of each type."""
    return [
        tuple(
            {
                "id": UUID(int=n),
                "tenant_id": UUID(int=1),
                "student_id": UUID(int=2),
                "group_id": UUID(int=3),
                "content_id": UUID(int=n % 9),
                "generation": 2**31 - 1,
                "sequence": n,
                "kind": WORDS[n % 2],
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


def written(connection: sa.Connection, write: Write, given: list[Any]) -> list[str]:
    connection.exec_driver_sql(CREATE)
    write(connection, TABLE, COPIED, iter(given))
    found = list(connection.scalars(ALL))
    connection.rollback()
    return found


@pytest.mark.parametrize("count", [0, 1, 10_000])
@pytest.mark.parametrize("way", ["threads", "tasks"])
def test_insert_writes_what_copy_writes(
    database_url: sa.URL, connection: sa.Connection, count: int, way: str
) -> None:
    async def main() -> list[str]:
        engine = create_async_engine(database_url, poolclass=sa.NullPool)
        async with engine.connect() as other:
            return await other.run_sync(written, insert_rows, given)

    given = rows(count)
    copied = written(connection, copy_rows, given)
    assert len(copied) == count
    inserted = asyncio.run(main()) if way == "tasks" else written(connection, insert_rows, given)
    assert inserted == copied


@pytest.mark.parametrize("cycle_day", [lambda _: None, lambda _: 1], ids=["all null", "no null"])
def test_insert_takes_a_column_of_nulls_alone_and_one_without(
    connection: sa.Connection, cycle_day: Callable[[int], int | None]
) -> None:
    given = rows(20, cycle_day)
    copied = written(connection, copy_rows, given)
    assert written(connection, insert_rows, given) == copied


@pytest.mark.parametrize("count", [1, 10_000])
def test_insert_costs_one_round_trip(database_url: sa.URL, count: int) -> None:
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    with engine.connect() as connection:  # for its temporary table alone
        connection.exec_driver_sql(CREATE)
        connection.commit()
    with counted(engine) as trips, engine.connect() as connection, connection.begin():
        insert_rows(connection, TABLE, COPIED, rows(count))
    engine.dispose()
    assert trips.count == 3  # BEGIN, the INSERT, COMMIT


def test_insert_that_is_refused_is_sqlalchemys_error(connection: sa.Connection) -> None:
    connection.exec_driver_sql(CREATE)
    with pytest.raises(DBAPIError):
        insert_rows(connection, TABLE, {**COPIED, "week": "int4", "kind": "date"}, rows(2))
    connection.rollback()


# What a host makes of the table; each notes the rows that are written, in its own way.
TRIGGER = """
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO noted SELECT NEW.id; RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT ON studyplan.student_plans FOR EACH ROW EXECUTE FUNCTION note()
"""
STATEMENT_TRIGGER = """
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO noted SELECT id FROM made; RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT ON studyplan.student_plans REFERENCING NEW TABLE AS made
FOR EACH STATEMENT EXECUTE FUNCTION note()
"""
RULE = """
CREATE RULE note AS ON INSERT TO studyplan.student_plans
DO ALSO INSERT INTO noted VALUES (NEW.id)
"""
PARTITIONED = """
ALTER TABLE studyplan.student_plans RENAME TO whole;
CREATE TABLE studyplan.student_plans (LIKE studyplan.whole INCLUDING DEFAULTS)
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
ALTER TABLE studyplan.student_plans RENAME TO whole;
CREATE VIEW studyplan.student_plans AS SELECT * FROM studyplan.whole;
ALTER VIEW studyplan.student_plans ALTER version SET DEFAULT 1, ALTER state SET DEFAULT 'planned',
  ALTER pinned SET DEFAULT false, ALTER live SET DEFAULT true;
"""
OF_WHOLE = TRIGGER.replace("student_plans", "whole")
HOSTS = {
    "row trigger": TRIGGER,
    "statement trigger": STATEMENT_TRIGGER,
    "rule": RULE,
    "partitions": PARTITIONED + TRIGGER,
    "columns of its own": OWN_COLUMNS + TRIGGER,
    "view": VIEW + OF_WHOLE,
}


@contextmanager
def changed(new_database: Callable[[str], sa.URL], template: str, host: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(new_database(template), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE noted (id uuid)")
        connection.exec_driver_sql(HOSTS[host])
    yield engine
    engine.dispose()


@pytest.mark.parametrize("host", HOSTS)
def test_what_a_host_made_of_the_table_is_respected(
    new_database: Callable[[str], sa.URL], template: str, host: str
) -> None:
    with changed(new_database, template, host) as engine:
        factory = sessionmaker(engine)
        group = book_group(factory)
        results = [generate(factory, group), generate(factory, group)]
        assert [row.id for row in live(factory, group)] == list(results[1].plan_ids)
        assert [row.id for row in plans(factory, group)] == [
            plan_id for result in results for plan_id in result.plan_ids
        ]
        with engine.connect() as connection:
            noted = list(connection.scalars(sa.text("SELECT id FROM noted")))
        assert sorted(noted) == sorted(plan_id for result in results for plan_id in result.plan_ids)


def test_copy_is_chosen_unless_something_is_against_it(
    session_factory: sessionmaker[Session], new_database: Callable[[str], sa.URL], template: str
) -> None:
    assert _copyable(session_factory)
    for host, expected in [("row trigger", True), ("partitions", True), ("rule", False)]:
        with changed(new_database, template, host) as engine:
            assert _copyable(sessionmaker(engine)) is expected


def _copyable(factory: sessionmaker[Session]) -> bool:
    group = book_group(factory)
    with factory() as session:
        return PlanGroupRepository(session, group.tenant_id).snapshot(group.id).copyable
