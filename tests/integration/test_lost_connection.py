"""Lost connections and errors of triggers raise SQLAlchemy's errors, and the pool recovers."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGenerationService, PlanGroup, PlanGroupLock
from domain.errors import CommitOutcomeUnknownError
from domain.repositories.plan_writing import insert_plans
from domain.retrying import is_retryable
from domain.scheduling.schedule import schedule
from domain.unit_of_work import UnitOfWork
from tests.integration.storing import FIRST, generate, new_plans

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


def terminate(connection: sa.Connection, admin: sa.Engine) -> None:
    """Terminate the backend of a connection; the client notices only when it sends something."""
    driver: Any = connection.connection.driver_connection
    statement = sa.text("SELECT pg_terminate_backend(:pid, 10000)")
    with admin.connect() as other:
        assert other.scalar(statement, {"pid": driver.info.backend_pid})


def terminate_all(pooled: sa.Engine, admin: sa.Engine) -> None:
    connections = [pooled.connect() for _ in range(POOLED)]
    for connection in connections:
        terminate(connection, admin)
        # No transaction is open, so psycopg sends no ROLLBACK and does not notice the loss.
        connection.close()


def run_generation(uow: UnitOfWork) -> object:
    return PlanGenerationService(uow).generate(today=FIRST)


def read_then_lose(uow: UnitOfWork, group: PlanGroup, admin: sa.Engine) -> None:
    uow.groups.get(group.id)
    terminate(uow.connection, admin)


def lose_then_read(uow: UnitOfWork, group: PlanGroup, admin: sa.Engine) -> None:
    terminate(uow.connection, admin)
    uow.groups.get(group.id)


def lose_then_lock(uow: UnitOfWork, group: PlanGroup, admin: sa.Engine) -> None:
    terminate(uow.connection, admin)
    uow.lock_student(group.id)


def lose_then_generate(uow: UnitOfWork, group: PlanGroup, admin: sa.Engine) -> None:
    terminate(uow.connection, admin)
    run_generation(uow)


def lose_then_flush(uow: UnitOfWork, group: PlanGroup, admin: sa.Engine) -> None:
    uow.groups.get(group.id).name = "after"
    terminate(uow.connection, admin)
    uow.session.flush()


def lose_then_copy(uow: UnitOfWork, group: PlanGroup, admin: sa.Engine) -> None:
    snapshot = uow.groups.snapshot(group.id)
    computed = schedule(snapshot.request(FIRST))
    terminate(uow.connection, admin)
    plans = new_plans(snapshot, computed)
    insert_plans(uow.connection, snapshot.fence, plans, copyable=True)


def lose_then_commit(uow: UnitOfWork, group: PlanGroup, admin: sa.Engine) -> None:
    terminate(uow.connection, admin)
    uow.commit()


def generate_lose_then_commit(uow: UnitOfWork, group: PlanGroup, admin: sa.Engine) -> None:
    run_generation(uow)
    terminate(uow.connection, admin)
    uow.commit()


LOSSES: list[Work] = [
    read_then_lose,
    lose_then_read,
    lose_then_lock,
    lose_then_generate,
    lose_then_flush,
    lose_then_copy,
]
LOSSES_IN_COMMIT: list[Work] = [lose_then_commit, generate_lose_then_commit]


def attempt(pooled: sa.Engine, group: PlanGroup, work: Work, admin: sa.Engine) -> None:
    with UnitOfWork(sessionmaker(pooled), lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        work(uow, group, admin)


@pytest.mark.parametrize("work", LOSSES)
def test_lost_connection_raises_a_retryable_error_of_sqlalchemy(
    engine: sa.Engine, pooled: sa.Engine, group: PlanGroup, work: Work
) -> None:
    with pytest.raises(DBAPIError) as lost:
        attempt(pooled, group, work, engine)
    assert lost.value.connection_invalidated
    assert isinstance(lost.value.orig, psycopg.OperationalError)
    assert is_retryable(lost.value)


@pytest.mark.parametrize("work", LOSSES_IN_COMMIT)
def test_connection_lost_in_the_commit_leaves_the_outcome_unknown(
    engine: sa.Engine, pooled: sa.Engine, group: PlanGroup, work: Work
) -> None:
    with pytest.raises(CommitOutcomeUnknownError) as lost:
        attempt(pooled, group, work, engine)
    assert isinstance(lost.value.__cause__, DBAPIError)
    assert not is_retryable(lost.value)
    assert is_retryable(lost.value, with_key=True)


@pytest.mark.parametrize("work", [*LOSSES, *LOSSES_IN_COMMIT])
def test_pool_of_lost_connections_recovers_after_one_failed_request(
    engine: sa.Engine, pooled: sa.Engine, group: PlanGroup, work: Work
) -> None:
    """The first loss that is noticed, in any step, invalidates the pooled connections."""

    def lose_with_the_pool(uow: UnitOfWork, group: PlanGroup, admin: sa.Engine) -> None:
        others = [pooled.connect() for _ in range(POOLED - 1)]
        for connection in others:
            terminate(connection, admin)
            connection.close()
        work(uow, group, admin)

    with pytest.raises((DBAPIError, CommitOutcomeUnknownError)):
        attempt(pooled, group, lose_with_the_pool, engine)
    for number in range(1, POOLED + 1):
        assert generate(sessionmaker(pooled), group).generation == number


def test_pool_of_lost_connections_recovers_after_one_request_that_fails_on_entry(
    engine: sa.Engine, pooled: sa.Engine, group: PlanGroup
) -> None:
    terminate_all(pooled, engine)
    with pytest.raises(DBAPIError) as lost:
        generate(sessionmaker(pooled), group)
    assert lost.value.connection_invalidated
    for number in range(1, POOLED + 1):
        assert generate(sessionmaker(pooled), group).generation == number


def test_handle_error_listeners_receive_errors_of_statements_sent_without_sqlalchemy(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    statements: list[str | None] = []
    observed = sa.create_engine(database_url, pool_size=1)

    @sa.event.listens_for(observed, "handle_error")
    def handle(context: sa.engine.ExceptionContext) -> None:
        statements.append(context.statement)

    for work, text in (
        (lose_then_copy, "COPY"),
        (read_then_lose, "current_setting"),
        (lose_then_commit, None),
    ):
        with pytest.raises((DBAPIError, CommitOutcomeUnknownError)):
            attempt(observed, group, work, engine)
        assert len(statements) == 1
        assert (statements[0] is None) if text is None else (text in (statements[0] or ""))
        statements.clear()
    observed.dispose()


def test_trigger_of_the_application_that_raises_causes_an_error_of_sqlalchemy(
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
