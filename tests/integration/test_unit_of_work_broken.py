"""Leaving a unit of work whose connection broke: nothing stays behind, nothing is hidden."""

from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, UnitOfWork


def terminated(engine: sa.Engine, uow: UnitOfWork) -> None:
    """End the server's side of a unit of work; the client does not know yet."""
    pid = uow.session.connection().connection.driver_connection
    assert isinstance(pid, psycopg.Connection)
    with engine.connect() as other:
        ended = sa.text("SELECT pg_terminate_backend(:pid, 10000)")
        assert other.scalar(ended, {"pid": pid.info.backend_pid})


def checked_out(engine: sa.Engine) -> int:
    pool = engine.pool
    assert isinstance(pool, sa.QueuePool)
    return pool.checkedout()


def test_leaving_cleanly_after_the_backend_was_killed_gives_the_connection_back(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    uow = UnitOfWork(session_factory, lock=PlanGroupLock(uuid4()))
    with pytest.raises(psycopg.OperationalError), uow:
        terminated(engine, uow)
    assert checked_out(engine) == 0


def test_a_broken_connection_does_not_replace_the_callers_own_exception(
    engine: sa.Engine,
    session_factory: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: Session) -> None:
        raise sa.exc.OperationalError("ROLLBACK", None, psycopg.OperationalError("lost"))

    def fail_on_a_broken_connection() -> None:
        with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4())) as uow:
            monkeypatch.setattr(type(uow.session), "close", broken)
            raise KeyError

    with pytest.raises(KeyError):
        fail_on_a_broken_connection()
    assert checked_out(engine) == 0


def test_leaving_after_the_connection_was_invalidated_is_no_misuse(
    engine: sa.Engine, session_factory: sessionmaker[Session]
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4())) as uow:
        uow.session.connection().invalidate()
    assert checked_out(engine) == 0
