"""Which errors are retried, decided by type and SQLSTATE, with errors of a real server."""

from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    DomainError,
    GenerationResult,
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    UnitOfWork,
    generate_plans,
)
from domain.errors import (
    CommitOutcomeUnknownError,
    DatabaseBusyError,
    DatabaseReadOnlyError,
    EditedMeanwhileError,
    GeneratedMeanwhileError,
    IdempotencyMismatchError,
    LockNotHeldError,
    LockTimeoutError,
    NoContentsError,
    StudentPlansOverlapError,
)
from domain.retrying import is_retryable, retrying
from domain.testing.contention import terminate_backend
from tests.integration.asking import acquire, backend_pid
from tests.integration.storing import FIRST, dump

Factory = sessionmaker[Session]
GROUP = uuid4()
pytestmark = pytest.mark.usefixtures("pauses")


class Work:
    """A complete request, which counts its attempts."""

    def __init__(self, factory: Factory, group: PlanGroup) -> None:
        self.factory = factory
        self.group = group
        self.attempts = 0

    def __call__(self, idempotency_key: str | None = None) -> GenerationResult:
        self.attempts += 1
        return generate_plans(
            self.factory,
            PlanGroupLock(self.group.tenant_id, self.group.id),
            today=FIRST,
            idempotency_key=idempotency_key,
        )


@pytest.fixture
def work(session_factory: Factory, group: PlanGroup) -> Work:
    return Work(session_factory, group)


def lose_next_commit(monkeypatch: pytest.MonkeyPatch, engine: sa.Engine, *, stored: bool) -> None:
    """Close the connection of the next commit: after the server has stored it, or before."""
    dialect: Any = engine.dialect
    commit = dialect.do_commit

    def fail(connection: Any) -> None:
        monkeypatch.setattr(dialect, "do_commit", commit)
        if stored:
            commit(connection)
        connection.driver_connection.close()
        raise psycopg.OperationalError("consuming input failed")

    monkeypatch.setattr(dialect, "do_commit", fail)


# --- complete requests ------------------------------------------------------------------


def test_busy_lock_is_retried_until_it_is_free(
    work: Work, connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire(connection, work.group.id)

    class Time:
        sleep = staticmethod(lambda _: connection.rollback())

    monkeypatch.setattr("tenacity.nap.time", Time)
    assert retrying(work).generation == 1
    assert work.attempts == 2


def test_connection_lost_before_the_commit_is_retried(
    session_factory: Factory, engine: sa.Engine, work: Work
) -> None:
    def lose_connection_once() -> GenerationResult:
        if work.attempts == 0:
            work.attempts += 1
            lock = PlanGroupLock(work.group.tenant_id, work.group.id)
            with UnitOfWork(session_factory, lock=lock) as uow:
                terminate_backend(engine, backend_pid(uow.session.connection()))
                uow.session.execute(sa.select(1))
        return work()

    assert retrying(lose_connection_once).generation == 1
    assert work.attempts == 2


def test_commit_of_unknown_outcome_is_not_retried_without_a_key(
    session_factory: Factory, engine: sa.Engine, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_next_commit(monkeypatch, engine, stored=True)
    with pytest.raises(CommitOutcomeUnknownError) as unknown:
        retrying(work)
    assert work.attempts == 1
    assert isinstance(unknown.value.__cause__, DBAPIError)
    assert len(dump(session_factory, work.group.id)["plan_generations"]) == 1


@pytest.mark.parametrize("stored", [True, False])
def test_commit_of_unknown_outcome_is_retried_with_a_key_and_stored_once(
    session_factory: Factory,
    engine: sa.Engine,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
    *,
    stored: bool,
) -> None:
    lose_next_commit(monkeypatch, engine, stored=stored)
    result = retrying(work, idempotency_key="k")
    assert (result.generation, result.repeated, work.attempts) == (1, stored, 2)
    assert len(dump(session_factory, work.group.id)["plan_generations"]) == 1


def test_idempotency_key_is_passed_to_the_work(session_factory: Factory, group: PlanGroup) -> None:
    lock = PlanGroupLock(group.tenant_id, group.id)
    work = partial(generate_plans, session_factory, lock, today=FIRST)
    first = retrying(work, idempotency_key="k")
    assert retrying(work, idempotency_key="k") == first
    assert retrying(work).generation == 2


# --- classification of errors -----------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        PlanGroupLockedError(group_id=GROUP),
        LockTimeoutError(group_id=GROUP, waited_ms=1),
        StudentPlansOverlapError(),
        GeneratedMeanwhileError(group_id=GROUP),
        DatabaseBusyError(),
        DatabaseReadOnlyError(),
        LockTimeoutError(group_id=GROUP, scope="row"),
        psycopg.errors.SerializationFailure(),
        psycopg.errors.DeadlockDetected(),
        psycopg.errors.LockNotAvailable(),
        psycopg.errors.AdminShutdown(),
        psycopg.errors.IdleInTransactionSessionTimeout(),
        psycopg.errors.ConnectionFailure(),
        psycopg.OperationalError("server closed the connection unexpectedly"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_temporary_error_is_retryable_wrapped_or_not(error: Exception) -> None:
    assert is_retryable(error)
    if not isinstance(error, DomainError):
        assert is_retryable(DBAPIError("SELECT 1", None, error))


@pytest.mark.parametrize(
    "error",
    [
        NoContentsError(),
        EditedMeanwhileError(group_id=GROUP),
        IdempotencyMismatchError(idempotency_key="k"),
        CommitOutcomeUnknownError(),
        LockNotHeldError("the lock is lost; please try again"),
        psycopg.errors.UniqueViolation("deadlock detected"),
        psycopg.errors.QueryCanceled("could not obtain lock"),
        psycopg.errors.UndefinedTable("40001"),
        psycopg.ProgrammingError("server closed the connection unexpectedly"),
        RuntimeError("deadlock detected 40P01"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_permanent_error_is_not_retryable_regardless_of_its_text(error: BaseException) -> None:
    assert not is_retryable(error)
    if isinstance(error, psycopg.Error):
        assert not is_retryable(DBAPIError("SELECT 1", None, error))


def test_connection_to_an_unreachable_server_is_retryable() -> None:
    unreachable = sa.create_engine("postgresql+psycopg://127.0.0.1:1/none", poolclass=sa.NullPool)
    with pytest.raises(sa.exc.OperationalError) as failed:
        unreachable.connect()
    assert is_retryable(failed.value)


def test_deadlock_reported_by_the_server_is_retryable(engine: sa.Engine) -> None:
    with pytest.raises(DBAPIError) as failed, engine.connect() as connection:
        connection.exec_driver_sql(
            "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"
        )
    assert is_retryable(failed.value)
