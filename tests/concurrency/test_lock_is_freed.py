"""The lock is released by the end of the transaction, for whatever reason it ends."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import CommitOutcomeUnknownError
from domain.testing.contention import advisory_locks
from tests.integration.storing import generate, live, traces


class DeliberateError(Exception):
    """Raised by a test in the middle of a unit of work."""


@pytest.fixture
def entered(
    engine: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> Callable[[], UnitOfWork]:
    def enter() -> UnitOfWork:
        uow = UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)).__enter__()
        assert advisory_locks(engine) == 1, "the lock is held once the unit of work is entered"
        return uow

    return enter


def test_lock_is_released_by_commit(
    engine: sa.Engine,
    session_factory: sessionmaker[Session],
    group: PlanGroup,
    entered: Callable[[], UnitOfWork],
) -> None:
    uow = entered()
    uow.commit()
    assert advisory_locks(engine) == 0, "released by the commit, not by the end of the block"
    uow.__exit__(None, None, None)
    assert generate(session_factory, group).generation == 1


def test_lock_is_released_by_rollback(
    engine: sa.Engine,
    session_factory: sessionmaker[Session],
    group: PlanGroup,
    entered: Callable[[], UnitOfWork],
) -> None:
    uow = entered()
    uow.rollback()
    assert advisory_locks(engine) == 0
    uow.__exit__(None, None, None)
    assert generate(session_factory, group).generation == 1


def test_lock_is_released_by_an_exception(
    engine: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    before = traces(engine, group.id)

    def fail() -> None:
        assert advisory_locks(engine) == 2, "the lock of the group and that of its student"
        raise DeliberateError

    with pytest.raises(DeliberateError):
        generate(session_factory, group, hold=fail)
    assert advisory_locks(engine) == 0
    assert traces(engine, group.id) == before
    assert generate(session_factory, group).generation == 1


def test_lock_is_released_when_the_backend_is_terminated(
    engine: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    before = traces(engine, group.id)

    def terminate_the_holder() -> None:
        with engine.connect() as other:
            terminated = other.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid, 10000) FROM (SELECT DISTINCT pid FROM "
                    "pg_locks WHERE locktype = 'advisory' AND granted AND database = "
                    "(SELECT oid FROM pg_database WHERE datname = current_database())) holders"
                )
            ).scalars()
            assert list(terminated) == [True]

    with pytest.raises(CommitOutcomeUnknownError):
        generate(session_factory, group, hold=terminate_the_holder)
    assert advisory_locks(engine) == 0
    assert traces(engine, group.id) == before
    assert generate(session_factory, group).generation == 1, "the pool has recovered"


def test_lock_is_released_on_exit_without_writes(
    engine: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.groups.get(group.id)
        assert advisory_locks(engine) == 1
    assert advisory_locks(engine) == 0
    assert live(session_factory, group) == []
