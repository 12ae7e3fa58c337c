"""Properties of PostgreSQL and SQLAlchemy that the package relies on, shown without its code."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup
from domain.locking import plan_group_lock_key
from domain.testing.contention import TIMEOUT, wait_until_waiting
from tests.factories import PlanGroupFactory

LOCK = sa.text("SELECT pg_advisory_xact_lock(:key)")
READ = sa.text("SELECT generation FROM studyplan.plan_groups WHERE id = :id")
LOCK_AND_READ = sa.text(
    "SELECT g.generation FROM pg_advisory_xact_lock(:key), studyplan.plan_groups g WHERE g.id = :id"
)


@pytest.fixture
def group(session_factory: sessionmaker[Session]) -> PlanGroup:
    group = PlanGroupFactory.build()
    with session_factory(expire_on_commit=False) as session, session.begin():
        session.add(group)
    return group


@pytest.fixture
def holder(engine: sa.Engine, group: PlanGroup) -> Iterator[sa.Connection]:
    """A connection that holds the group's lock and has an uncommitted update of its generation."""
    with engine.connect() as connection:
        connection.execute(LOCK, _parameters(group.id))
        update = "UPDATE studyplan.plan_groups SET generation = 1 WHERE id = :id"
        connection.execute(sa.text(update), {"id": group.id})
        yield connection


def test_separate_statement_reads_what_the_last_holder_committed(
    engine: sa.Engine, holder: sa.Connection, group: PlanGroup
) -> None:
    assert _read_after_waiting(engine, holder, group, LOCK, READ) == 1


def test_statement_that_locks_and_reads_returns_stale_rows_after_a_wait(
    engine: sa.Engine, holder: sa.Connection, group: PlanGroup
) -> None:
    assert _read_after_waiting(engine, holder, group, LOCK_AND_READ) == 0


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_waiter_above_read_committed_reads_the_state_before_the_holders_commit(
    engine: sa.Engine, holder: sa.Connection, group: PlanGroup, level: str
) -> None:
    other = engine.execution_options(isolation_level=level)
    assert _read_after_waiting(other, holder, group, LOCK, READ) == 0


def test_loaded_instance_is_not_refreshed_by_a_later_query(
    session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    with session_factory() as early, session_factory() as late:
        key = (group.tenant_id, group.id)
        loaded = early.get_one(PlanGroup, key)
        late.get_one(PlanGroup, key).name = "renamed"
        late.commit()
        again = early.scalars(sa.select(PlanGroup).where(PlanGroup.id == group.id)).one()
        assert again is loaded
        assert again.name != "renamed"
        assert early.scalar(sa.select(PlanGroup.name).where(PlanGroup.id == group.id)) == "renamed"


def test_savepoint_flushes_first(session: Session) -> None:
    group = PlanGroupFactory.build()
    session.add(group)
    assert group in session.new
    session.begin_nested()
    assert group not in session.new


def test_session_fires_after_commit_for_savepoints_and_ends_its_root_transaction_once(
    session_factory: sessionmaker[Session],
) -> None:
    fired: list[str] = []
    with session_factory() as session:
        event.listen(session, "after_commit", lambda _: fired.append("commit"))

        @event.listens_for(session, "after_transaction_end")
        def ended(_: Session, transaction: sa.orm.SessionTransaction) -> None:
            if transaction.parent is None:
                fired.append("root")

        session.begin_nested().commit()
        assert fired == ["commit"]
        session.commit()
    assert fired == ["commit", "commit", "root"]


def _read_after_waiting(
    engine: sa.Engine, holder: sa.Connection, group: PlanGroup, *statements: sa.TextClause
) -> int | None:
    """Return the result of the last statement if the holder commits while the first one waits."""

    def run() -> int | None:
        with engine.connect() as connection:
            results = [
                connection.execute(statement, _parameters(group.id)).scalar()
                for statement in statements
            ]
        return results[-1]

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run)
        try:
            wait_until_waiting(engine, group)
        finally:
            holder.commit()
        return waiting.result(TIMEOUT)


def _parameters(group_id: UUID) -> dict[str, object]:
    return {"key": plan_group_lock_key(group_id), "id": group_id}
