"""Errors of the database in the words of the domain: by SQLSTATE and by constraint name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError

from domain.errors import EditedMeanwhileError, StudentPlansOverlapError

_CONSTRAINTS: dict[str, type[EditedMeanwhileError] | type[StudentPlansOverlapError]] = {
    "ex_student_plans_overlap": StudentPlansOverlapError,
    "pk_plan_generations": EditedMeanwhileError,
    "uq_student_plans_group_id_generation_sequence": EditedMeanwhileError,
}


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
        cause = error.orig if isinstance(error, DBAPIError) else error
        name = getattr(getattr(cause, "diag", None), "constraint_name", None)
        kind = _CONSTRAINTS.get(name or "")
        if kind is StudentPlansOverlapError:
            raise StudentPlansOverlapError(student_id=known.get("student_id")) from error
        if kind is EditedMeanwhileError:
            raise EditedMeanwhileError(group_id=known.get("group_id")) from error
        raise
