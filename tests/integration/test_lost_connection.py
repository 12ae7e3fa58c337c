"""A server that is gone, or refuses: SQLAlchemy's errors, and a pool that recovers at once."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGenerationService, PlanGroup, PlanGroupLock
from domain.errors import CommitOutcomeUnknownError
from domain.retrying import is_retryable
from domain.scheduling.engine import schedule
from domain.unit_of_work import UnitOfWork
from tests.integration.storing import FIRST, generate

Factory = sessionmaker[Session]
Work = Callable[[UnitOfWork, PlanGroup, sa.Engine], object]
POOLED = 5


@pytest.fixture
def pooled(database_url: sa.URL) -> Iterator[sa.Engine]:
    """An engine whose pool has five idle connections and does not ping."""
    engine = sa.create_engine(database_url, pool_size=POOLED, max_overflow=0, pool_timeout=5)
    for connection in [engine.connect() for _ in range(POOLED)]:
        connection.close()
    yield engine
    engine.dispose()


def terminate(connection: sa.Connection, aside: sa.Engine) -> None:
    """End the server's side of a connection; the client does not know yet."""
    driver: Any = connection.connection.driver_connection
    ended = sa.text("SELECT pg_terminate_backend(:pid, 10000)")
    with aside.connect() as other:
        assert other.scalar(ended, {"pid": driver.info.backend_pid})


def terminate_all(pooled: sa.Engine, aside: sa.Engine) -> None:
    connections = [pooled.connect() for _ in range(POOLED)]
    for connection in connections:
        terminate(connection, aside)
        connection.close()  # psycopg has nothing to roll back, and so does not notice


def generated(uow: UnitOfWork) -> object:
    return PlanGenerationService(uow).generate(today=FIRST)


def read_and_lost(uow: UnitOfWork, group: PlanGroup, aside: sa.Engine) -> None:
    uow.groups.get(group.id)
    terminate(uow.connection, aside)


def lost_and_read(uow: UnitOfWork, group: PlanGroup, aside: sa.Engine) -> None:
    terminate(uow.connection, aside)
    uow.groups.get(group.id)


def lost_and_locked(uow: UnitOfWork, group: PlanGroup, aside: sa.Engine) -> None:
    terminate(uow.connection, aside)
    uow.lock_student(group.id)


def lost_and_generated(uow: UnitOfWork, group: PlanGroup, aside: sa.Engine) -> None:
    terminate(uow.connection, aside)
    generated(uow)


def lost_and_flushed(uow: UnitOfWork, group: PlanGroup, aside: sa.Engine) -> None:
    uow.groups.get(group.id).name = "after"
    terminate(uow.connection, aside)
    uow.session.flush()


def lost_and_copied(uow: UnitOfWork, group: PlanGroup, aside: sa.Engine) -> None:
    snapshot = uow.groups.snapshot(group.id)
    computed = schedule(snapshot.request(FIRST))
    terminate(uow.connection, aside)
    uow.plans.copy_plans(snapshot, computed)


def lost_and_committed(uow: UnitOfWork, group: PlanGroup, aside: sa.Engine) -> None:
    terminate(uow.connection, aside)
    uow.commit()


def changed_lost_and_committed(uow: UnitOfWork, group: PlanGroup, aside: sa.Engine) -> None:
    generated(uow)
    terminate(uow.connection, aside)
    uow.commit()


LOSSES: list[Work] = [
    read_and_lost,
    lost_and_read,
    lost_and_locked,
    lost_and_generated,
    lost_and_flushed,
    lost_and_copied,
]
LOST_IN_COMMIT: list[Work] = [lost_and_committed, changed_lost_and_committed]


def attempt(pooled: sa.Engine, group: PlanGroup, work: Work, aside: sa.Engine) -> None:
    with UnitOfWork(sessionmaker(pooled), lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        work(uow, group, aside)


@pytest.mark.parametrize("work", LOSSES)
def test_lost_connection_is_an_error_of_sqlalchemy_and_worth_retrying(
    engine: sa.Engine, pooled: sa.Engine, group: PlanGroup, work: Work
) -> None:
    with pytest.raises(DBAPIError) as lost:
        attempt(pooled, group, work, engine)
    assert lost.value.connection_invalidated
    assert isinstance(lost.value.orig, psycopg.OperationalError)
    assert is_retryable(lost.value)


@pytest.mark.parametrize("work", LOST_IN_COMMIT)
def test_connection_lost_in_the_commit_leaves_the_outcome_unknown(
    engine: sa.Engine, pooled: sa.Engine, group: PlanGroup, work: Work
) -> None:
    with pytest.raises(CommitOutcomeUnknownError) as lost:
        attempt(pooled, group, work, engine)
    assert isinstance(lost.value.__cause__, DBAPIError)
    assert not is_retryable(lost.value)
    assert is_retryable(lost.value, with_key=True)


@pytest.mark.parametrize("work", [*LOSSES, *LOST_IN_COMMIT])
def test_pool_of_dead_connections_costs_one_request(
    engine: sa.Engine, pooled: sa.Engine, group: PlanGroup, work: Work
) -> None:
    """The first loss that is noticed, wherever, invalidates what is pooled."""

    def lost_with_the_pool(uow: UnitOfWork, group: PlanGroup, aside: sa.Engine) -> None:
        others = [pooled.connect() for _ in range(POOLED - 1)]
        for connection in others:
            terminate(connection, aside)
            connection.close()
        work(uow, group, aside)

    with pytest.raises((DBAPIError, CommitOutcomeUnknownError)):
        attempt(pooled, group, lost_with_the_pool, engine)
    for number in range(1, POOLED + 1):
        assert generate(sessionmaker(pooled), group).generation == number


def test_pool_of_dead_connections_costs_one_request_that_enters(
    engine: sa.Engine, pooled: sa.Engine, group: PlanGroup
) -> None:
    terminate_all(pooled, engine)
    with pytest.raises(DBAPIError) as lost:
        generate(sessionmaker(pooled), group)
    assert lost.value.connection_invalidated
    for number in range(1, POOLED + 1):
        assert generate(sessionmaker(pooled), group).generation == number


def test_handle_error_listeners_see_what_goes_past_sqlalchemy(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    seen: list[str | None] = []
    noticing = sa.create_engine(database_url, pool_size=1)

    @sa.event.listens_for(noticing, "handle_error")
    def handle(context: sa.engine.ExceptionContext) -> None:
        seen.append(context.statement)

    for work, text in (
        (lost_and_copied, "COPY"),
        (read_and_lost, "current_setting"),
        (lost_and_committed, None),
    ):
        with pytest.raises((DBAPIError, CommitOutcomeUnknownError)):
            attempt(noticing, group, work, engine)
        assert len(seen) == 1
        assert (seen[0] is None) if text is None else (text in (seen[0] or ""))
        seen.clear()
    noticing.dispose()


def test_refusal_by_a_trigger_of_the_application_is_an_error_of_sqlalchemy(
    owner_engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    function = (
        "CREATE FUNCTION quota() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'quota' USING ERRCODE = 'P0001'; END $$"
    )
    trigger = (
        "CREATE TRIGGER quota BEFORE INSERT ON studyplan.student_plans "
        "FOR EACH ROW EXECUTE FUNCTION quota()"
    )
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(function)
        connection.exec_driver_sql(trigger)
    try:
        with pytest.raises(DBAPIError, match="quota") as refused:
            generate(session_factory, group)
        assert isinstance(refused.value.orig, psycopg.errors.RaiseException)
        assert not refused.value.connection_invalidated
    finally:
        with owner_engine.begin() as connection:
            connection.exec_driver_sql("DROP FUNCTION quota CASCADE")
    assert generate(session_factory, group).generation == 1
