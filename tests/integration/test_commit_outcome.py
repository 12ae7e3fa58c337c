"""A connection lost during a commit is an unknown outcome; other errors stay as they are."""

from collections.abc import Callable

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
    StudentLock,
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
def make_lost_session(engine: sa.Engine) -> Callable[[], Session]:
    """A function that makes a session with work to commit, whose backend was terminated."""

    def make() -> Session:
        session = Session(engine)
        pid = backend_pid(session.connection())
        terminate_backend(engine, pid)
        return session

    return make


def test_commit_on_a_connection_that_was_already_lost_has_an_unknown_outcome(
    make_lost_session: Callable[[], Session],
) -> None:
    with (
        make_lost_session() as session,
        pytest.raises(CommitOutcomeUnknownError),
        translated(during=During.COMMIT),
    ):
        session.commit()


def test_commit_during_which_a_node_is_lost_has_an_unknown_outcome(engine: sa.Engine) -> None:
    """Citus reports a lost node with XX000, whether or not that node has committed."""
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


def test_commit_that_is_refused_raises_its_own_error(engine: sa.Engine) -> None:
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
    """Rows that the database refuses because they conflict with stored rows."""
    active = stored_group(session_factory, status=GroupStatus.ACTIVE)
    ids = {"tenant_id": active.tenant_id, "student_id": active.student_id}
    store(session_factory, AcademyScheduleFactory.build(**ids))
    return {
        "a second active group": PlanGroupFactory.build(status=GroupStatus.ACTIVE, **ids),
        "an overlapping class": AcademyScheduleFactory.build(**ids),
    }


@pytest.mark.parametrize(
    ("row", "expected"),
    [("a second active group", EditedMeanwhileError), ("an overlapping class", InvalidInputError)],
)
def test_commit_that_flushes_a_conflict_raises_the_error_of_a_service(
    session_factory: sessionmaker[Session],
    conflicting: dict[str, PlanGroup | AcademySchedule],
    row: str,
    expected: type[DomainError],
) -> None:
    added = conflicting[row]
    lock: PlanGroupLock | StudentLock = StudentLock(added.tenant_id, added.student_id)
    if isinstance(added, PlanGroup):
        lock = PlanGroupLock(added.tenant_id, added.id)
    with UnitOfWork(session_factory, lock=lock) as uow:
        uow.session.add(added)
        with pytest.raises(expected) as refused:
            uow.commit()
    assert not is_retryable(refused.value)


def test_statement_on_a_lost_connection_is_not_an_unknown_outcome(
    make_lost_session: Callable[[], Session],
) -> None:
    with make_lost_session() as session, pytest.raises(sa.exc.OperationalError) as lost:
        session.execute(sa.select(1))
    assert lost.value.connection_invalidated
    assert is_retryable(lost.value)
