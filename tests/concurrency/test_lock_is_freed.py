"""Whatever ends the transaction frees the lock."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import CommitOutcomeUnknownError
from domain.testing.contention import advisory_locks
from tests.integration.storing import generate, live, traces


class Deliberate(Exception):  # noqa: N818 - it is not an error of anything
    """Raised by a test in the middle of a unit of work."""


@pytest.fixture
def entered(
    engine: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> Callable[[], UnitOfWork]:
    def enter() -> UnitOfWork:
        uow = UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)).__enter__()
        assert advisory_locks(engine) == 1, "the lock is held from the entry on"
        return uow

    return enter


def test_after_commit(
    engine: sa.Engine,
    session_factory: sessionmaker[Session],
    group: PlanGroup,
    entered: Callable[[], UnitOfWork],
) -> None:
    uow = entered()
    uow.commit()
    assert advisory_locks(engine) == 0, "free at the commit, not only at the block's end"
    uow.__exit__(None, None, None)
    assert generate(session_factory, group).generation == 1


def test_after_rollback(
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


def test_after_an_exception(
    engine: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    before = traces(engine, group.id)

    def fail() -> None:
        assert advisory_locks(engine) == 2, "the group's and its student's"
        raise Deliberate

    with pytest.raises(Deliberate):
        generate(session_factory, group, hold=fail)
    assert advisory_locks(engine) == 0
    assert traces(engine, group.id) == before
    assert generate(session_factory, group).generation == 1


def test_after_the_connection_is_killed_in_the_middle(
    engine: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    before = traces(engine, group.id)

    def kill_the_holder() -> None:
        with engine.connect() as other:
            killed = other.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid, 10000) FROM (SELECT DISTINCT pid FROM "
                    "pg_locks WHERE locktype = 'advisory' AND granted AND database = "
                    "(SELECT oid FROM pg_database WHERE datname = current_database())) holders"
                )
            ).scalars()
            assert list(killed) == [True]

    with pytest.raises(CommitOutcomeUnknownError):
        generate(session_factory, group, hold=kill_the_holder)
    assert advisory_locks(engine) == 0
    assert traces(engine, group.id) == before
    assert generate(session_factory, group).generation == 1, "and the pool has recovered"


def test_leaving_without_writing_frees_it(
    engine: sa.Engine, session_factory: sessionmaker[Session], group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.groups.get(group.id)
        assert advisory_locks(engine) == 1
    assert advisory_locks(engine) == 0
    assert live(session_factory, group) == []
