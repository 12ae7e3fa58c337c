"""An operation has failed, and not crashed, if a fault of the load can have caused its error."""

from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from tests.soak.attempts import recorded
from tests.soak.history import Journal, Kind, Operation, Outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (psycopg.OperationalError("the connection is lost"), Outcome.FAILED),
        (psycopg.InterfaceError("the connection is closed"), Outcome.FAILED),
        (psycopg.InternalError("received 2 results from command 'BEGIN'"), Outcome.FAILED),
        (errors.QueryCanceled(), Outcome.FAILED),
        (errors.AdminShutdown(), Outcome.FAILED),
        (psycopg.ProgrammingError("the query has 2 placeholders"), Outcome.CRASHED),
        (psycopg.DataError("cannot be adapted"), Outcome.CRASHED),
        (psycopg.NotSupportedError(), Outcome.CRASHED),
        (errors.UndefinedTable(), Outcome.CRASHED),
        (errors.InFailedSqlTransaction(), Outcome.CRASHED),
        (KeyError("a defect"), Outcome.CRASHED),
    ],
)
def test_outcome_of_an_error_before_the_commit(
    tmp_path: Path, error: Exception, outcome: Outcome
) -> None:
    def fail() -> None:
        raise error

    operation = Operation("o", Kind.GENERATE, ["g"], "s", started=1.0)
    journal = Journal(tmp_path / "worker.jsonl")
    with recorded(journal, operation):
        fail()
    journal.close()
    assert operation.outcome is outcome
