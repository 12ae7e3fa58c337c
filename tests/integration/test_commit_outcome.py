"""A connection that dies in the commit has a name; every other end of a commit keeps its own."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.database_errors import commit_translated
from domain.errors import CommitOutcomeUnknownError
from domain.retrying import worth_retrying
from domain.testing import terminate_backend
from tests.integration.asking import backend_pid


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
    with doomed() as session, pytest.raises(CommitOutcomeUnknownError), commit_translated():
        session.commit()


def test_a_refused_commit_keeps_its_own_error(engine: sa.Engine) -> None:
    with Session(engine) as session:
        session.execute(
            sa.text(
                "CREATE TEMP TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP"
            )
        )
        session.execute(sa.text("INSERT INTO late VALUES (1), (1)"))
        with pytest.raises(sa.exc.IntegrityError), commit_translated():
            session.commit()


def test_a_lost_connection_before_the_commit_is_no_unknown_outcome(
    doomed: Callable[[], Session],
) -> None:
    with doomed() as session, pytest.raises(sa.exc.OperationalError) as lost:
        session.execute(sa.select(1))
    assert lost.value.connection_invalidated
    assert worth_retrying(lost.value)
