"""Places where a request waits in the server for as long as a test wants it to."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import sqlalchemy as sa

from domain import PlanGroup, PlanGroupLock
from domain.locking import acquiring

_KEY: Final = 0x424C_4F43_4B41_4445
_ROW: Final = 1000
"""The row of a COPY that is held up: rows before it are stored, rows after it on their way."""

_GATE: Final = (
    f"""CREATE OR REPLACE FUNCTION blockade() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared({_KEY}); RETURN NEW; END $$""",
    f"""CREATE TRIGGER blockade BEFORE INSERT ON studyplan.student_plans FOR EACH ROW
    WHEN (NEW.sequence = {_ROW}) EXECUTE FUNCTION blockade()""",
)

Blockade = Callable[[sa.Engine, PlanGroup], AbstractContextManager[object]]


@contextmanager
def waiting_for_the_lock(engine: sa.Engine, group: PlanGroup) -> Iterator[None]:
    """Somebody else has the group's lock."""
    with engine.connect() as connection, connection.begin():
        acquiring.acquire(connection, PlanGroupLock(group.tenant_id, group.id))
        yield


@contextmanager
def reading_the_snapshot(engine: sa.Engine, _: PlanGroup) -> Iterator[None]:
    """Somebody else changes a table that the snapshot reads, and nothing before it."""
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("LOCK TABLE studyplan.contents IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def copying_the_plans(engine: sa.Engine, _: PlanGroup) -> Iterator[None]:
    """A trigger holds up the thousandth row."""
    with engine.begin() as connection:
        for statement in _GATE:
            connection.exec_driver_sql(statement)
    try:
        with engine.connect() as connection, connection.begin():
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_KEY)))
            yield
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TRIGGER blockade ON studyplan.student_plans")


BEFORE_THE_COMMIT: Final[dict[str, Blockade]] = {
    "waiting for the lock": waiting_for_the_lock,
    "reading the snapshot": reading_the_snapshot,
    "copying the plans": copying_the_plans,
}
