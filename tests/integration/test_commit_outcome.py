"""A connection that dies in the commit has a name; every other end of a commit keeps its own."""

from collections.abc import Callable
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    AcademySchedule,
    DomainError,
    GroupStatus,
    InvalidInputError,
    PlanGroup,
    PlanGroupLock,
    UnitOfWork,
)
from domain.database_errors import During, translated
from domain.errors import CommitOutcomeUnknownError, EditedMeanwhileError
from domain.retrying import is_retryable
from domain.testing.contention import terminate_backend
from tests.factories import AcademyScheduleFactory, PlanGroupFactory
from tests.integration.asking import backend_pid
from tests.integration.storing import store, stored_group


@pytest.fixture
def doomed(engine: sa.Engine) -> Callable[[], Session]:
    """A session with work to commit, on a backend that is gone."""

    def make() -> Session:
        session = Session(engine)
        pid = backend_pid(session.connection())
        terminate_backend(engine, pid)
        return session

    return make


def test_a_connection_that_died_before_the_commit_was_sent_is_unknown_too(
    doomed: Callable[[], Session],
) -> None:
    with (
        doomed() as session,
        pytest.raises(CommitOutcomeUnknownError),
        translated(during=During.COMMIT),
    ):
        session.commit()


def test_commit_that_a_node_was_lost_in_is_unknown_too(engine: sa.Engine) -> None:
    """Citus tells of a node that is gone by XX000, whatever became of the commit there."""
    with Session(engine) as session:
        session.execute(
            sa.text(
                "CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION USING ERRCODE = 'XX000'; END $$"
            )
        )
        session.execute(sa.text("CREATE TEMP TABLE late (n int) ON COMMIT DROP"))
        session.execute(
            sa.text(
                "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY "
                "DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.fail()"
            )
        )
        session.execute(sa.text("INSERT INTO late VALUES (1)"))
        with pytest.raises(CommitOutcomeUnknownError), translated(during=During.COMMIT):
            session.commit()


def test_a_refused_commit_keeps_its_own_error(engine: sa.Engine) -> None:
    with Session(engine) as session:
        session.execute(
            sa.text(
                "CREATE TEMP TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP"
            )
        )
        session.execute(sa.text("INSERT INTO late VALUES (1), (1)"))
        with pytest.raises(sa.exc.IntegrityError), translated(during=During.COMMIT):
            session.commit()


@pytest.fixture
def conflicting(session_factory: sessionmaker[Session]) -> dict[str, PlanGroup | AcademySchedule]:
    """Rows that the database refuses beside those that are stored."""
    active = stored_group(session_factory, status=GroupStatus.ACTIVE)
    whose = {"tenant_id": active.tenant_id, "student_id": active.student_id}
    store(session_factory, AcademyScheduleFactory.build(**whose))
    return {
        "a second active group": PlanGroupFactory.build(status=GroupStatus.ACTIVE, **whose),
        "an overlapping class": AcademyScheduleFactory.build(**whose),
    }


@pytest.mark.parametrize(
    ("row", "expected"),
    [("a second active group", EditedMeanwhileError), ("an overlapping class", InvalidInputError)],
)
def test_commit_that_flushes_a_conflict_means_what_a_service_would_say(
    session_factory: sessionmaker[Session],
    conflicting: dict[str, PlanGroup | AcademySchedule],
    row: str,
    expected: type[DomainError],
) -> None:
    tenant_id = conflicting[row].tenant_id
    with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, uuid4())) as uow:
        uow.session.add(conflicting[row])
        with pytest.raises(expected) as refused:
            uow.commit()
    assert not is_retryable(refused.value)


def test_a_lost_connection_before_the_commit_is_no_unknown_outcome(
    doomed: Callable[[], Session],
) -> None:
    with doomed() as session, pytest.raises(sa.exc.OperationalError) as lost:
        session.execute(sa.select(1))
    assert lost.value.connection_invalidated
    assert is_retryable(lost.value)
