"""Errors of the database in the words of the domain: by SQLSTATE and by constraint name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError

from domain.errors import (
    CommitOutcomeUnknownError,
    EditedMeanwhileError,
    IdempotencyMismatchError,
    StudentPlansOverlapError,
)

_CONSTRAINTS: Final = {
    "ex_student_plans_overlap": StudentPlansOverlapError,
    "fk_student_plans_contents": EditedMeanwhileError,
    "pk_plan_generations": EditedMeanwhileError,
    "uq_plan_generations_tenant_id_idempotency_key": IdempotencyMismatchError,
    "uq_student_plans_group_id_generation_sequence": EditedMeanwhileError,
}
# Shut down, crashed, starting, database dropped, idle or transaction limit: the server says
# why, and ends the session.
_ENDED: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"})


@contextmanager
def translated(**known: Any) -> Iterator[None]:
    """Raise what a failed write means; what means nothing to the domain passes as it is.

    ``known`` are ids for the errors that have them.
    """
    try:
        yield
    except StaleDataError as error:
        raise EditedMeanwhileError(group_id=known.get("group_id")) from error
    except (psycopg.Error, DBAPIError) as error:
        name = getattr(getattr(_cause(error), "diag", None), "constraint_name", None)
        kind = _CONSTRAINTS.get(name or "")
        if kind is StudentPlansOverlapError:
            raise StudentPlansOverlapError(student_id=known.get("student_id")) from error
        if kind is EditedMeanwhileError:
            raise EditedMeanwhileError(group_id=known.get("group_id")) from error
        if kind is IdempotencyMismatchError:
            key = known.get("idempotency_key", "")
            raise IdempotencyMismatchError(idempotency_key=key) from error
        raise


@contextmanager
def commit_translated() -> Iterator[None]:
    """Around a commit that has nothing left to flush: its lost connection has a name.

    Raises ``CommitOutcomeUnknownError`` if the connection dies, for the answer alone may
    be what was lost. Any other error means that the server refused the commit; it passes.
    """
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        if connection_lost(error):
            raise CommitOutcomeUnknownError from error
        raise


def connection_lost(error: BaseException) -> bool:
    """Whether the connection could not be made, or is gone; told by type and SQLSTATE.

    An ``OperationalError`` without a SQLSTATE is libpq's own: no server answered.
    """
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = _cause(error)
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:
        return isinstance(cause, psycopg.OperationalError)
    return cause.sqlstate.startswith("08") or cause.sqlstate in _ENDED


def sqlstate(error: BaseException) -> str | None:
    """The five letters of a driver's error, wrapped or not; ``None`` for anything else."""
    cause = _cause(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error
