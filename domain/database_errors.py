"""Translates database errors into the package's own, by constraint name and by SQLSTATE."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias
from uuid import UUID

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

from domain import errors
from domain.driver import is_standby

OLDEST_SERVER: Final = 15
"""The oldest major version of PostgreSQL that the package supports."""
MIGRATE: Final = (
    "Migrate with this version of the package: `python -m domain upgrade`, or the application's "
    "own migrations (see alembic/README.md)."
)
"""The remedy for a schema that is missing, incomplete or of another version."""


# Server shut down, crashed or starting, database dropped, idle or transaction timeout: the server
# reports the reason and ends the session.
_SESSION_ENDED: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"})
# Row-level security reports the SQLSTATE of a missing privilege. These functions of the server's
# source identify it, independently of the language of messages: the check of a new row, and the
# check of row_security = off.
_ROW_SECURITY: Final = frozenset({"ExecWithCheckOptions", "check_enable_rls"})
TRANSACTION_ENDED: Final = (
    "The transaction that acquired the lock was ended inside the block without commit() (by a "
    "COMMIT or ROLLBACK in a statement, by the driver, or by closing the Session). Changes before "
    "a COMMIT are stored; others are not."
)

Error: TypeAlias = psycopg.Error | DBAPIError


class During(Enum):
    """The phase in which the database reported an error; SQLSTATEs are translated per phase."""

    CHECKOUT = auto()
    """A connection is checked out of the pool; includes event listeners of the application."""
    LOCKING = auto()
    STATEMENT = auto()
    COMMIT = auto()
    """The COMMIT itself, after the flush."""
    MIGRATION = auto()


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed statement, and the ids for the error that it is translated into."""

    error: Error
    connection: Connection | None = None
    group_id: UUID | None = None
    student_id: UUID | None = None
    idempotency_key: str | None = None

    @property
    def server_message(self) -> str:
        """The message of the server."""
        return server_message(self.error)


Meaning: TypeAlias = Callable[[_Failure], Exception | None]


@contextmanager
def translated(
    connection: Connection | None = None,
    *,
    during: During = During.STATEMENT,
    group_id: UUID | None = None,
    student_id: UUID | None = None,
    idempotency_key: str | None = None,
) -> Iterator[None]:
    """Translate database errors of the block into the package's own; raise others unchanged.

    For the package's own statements.

    :param connection: the connection that writes; without it an error of a read-only server is
        not translated.
    :param during: the phase, which determines the meaning of an SQLSTATE.
    :param group_id: is set on errors that have this field, as are the other ids.
    """
    try:
        yield
    except StaleDataError as error:
        if during is not During.STATEMENT:  # raised by an event listener of the application
            raise
        raise errors.EditedMeanwhileError(group_id=group_id) from error
    except PoolTimeoutError as error:
        raise errors.DatabaseBusyError from error
    except (psycopg.Error, DBAPIError) as error:
        failure = _Failure(error, connection, group_id, student_id, idempotency_key)
        meaning = _meaning(failure, during)
        if meaning is None:
            raise
        raise meaning from error


def translation(error: Error, during: During, connection: Connection) -> Exception:
    """Return the package's error for a failed statement, or the error itself if there is none."""
    return _meaning(_Failure(error, connection), during) or error


def _meaning(failure: _Failure, during: During) -> Exception | None:
    """Translate by constraint name where rows are written, otherwise by SQLSTATE."""
    error = failure.error
    if during is During.COMMIT and (connection_lost(error) or sqlstate(error) == "XX000"):
        # Possibly only the answer was lost. Citus reports a lost node as an internal error (XX000).
        return errors.CommitOutcomeUnknownError()
    if during is During.STATEMENT:
        by_constraint = _CONSTRAINTS.get(_diagnosis(error, "constraint_name") or "")
        if by_constraint is not None:
            return by_constraint(failure)
        if _is_unknown_student(error):
            return errors.InvalidInputError.of(
                "student_id", "does not exist in the application's table"
            )
    by_state = _STATES[during].get(sqlstate(error) or "")
    return None if by_state is None else by_state(failure)


def _is_unknown_student(error: Error) -> bool:
    """Whether a foreign key that the application added to ``plan_groups`` found no student."""
    return (
        sqlstate(error) == "23503"
        and _diagnosis(error, "table_name") == "plan_groups"
        and "student_id" in (_diagnosis(error, "message_detail") or "")
    )


def _generated_meanwhile(failure: _Failure) -> Exception:
    return errors.GeneratedMeanwhileError(group_id=failure.group_id)


_CONSTRAINTS: Final[Mapping[str, Meaning]] = {
    "ex_academy_schedules_overlap": lambda _: errors.InvalidInputError.of(
        "academy_schedules", "overlaps another class"
    ),
    "ex_student_plans_overlap": lambda failure: errors.StudentPlansOverlapError(
        student_id=failure.student_id
    ),
    "ex_student_plans_units": _generated_meanwhile,
    "uq_student_plans_lineage": _generated_meanwhile,
    # The content has been deleted since the snapshot, or now has plans that prevent its deletion.
    "fk_student_plans_contents": _generated_meanwhile,
    "pk_plan_groups": lambda _: errors.InvalidInputError.of("id", "already exists"),
    "pk_plan_generations": _generated_meanwhile,
    "uq_plan_generations_tenant_id_idempotency_key": lambda failure: (
        errors.IdempotencyMismatchError(idempotency_key=failure.idempotency_key or "")
    ),
    "uq_plan_groups_active_student": lambda failure: errors.EditedMeanwhileError(
        group_id=failure.group_id
    ),
    "uq_student_plans_tenant_id_group_id_generation_sequence": _generated_meanwhile,
}


def _privilege(failure: _Failure) -> Exception | None:
    if _diagnosis(failure.error, "source_function") in _ROW_SECURITY:
        return None
    return errors.SchemaError(
        f"The role lacks a privilege: {failure.server_message}. "
        "Grant it with `python -m domain upgrade --grant-to ROLE`."
    )


def _no_such_object(failure: _Failure) -> Exception:
    return errors.SchemaError(
        f"The schema is missing or not current: {failure.server_message}. {MIGRATE}"
    )


def _row_lock(failure: _Failure) -> Exception:
    return errors.LockTimeoutError(group_id=failure.group_id, scope="row")


def _read_only(failure: _Failure) -> Exception | None:
    """Distinguish a server that does not accept writes from a read-only transaction."""
    connection = failure.connection
    if connection is None:
        return None
    if is_standby(connection):
        replace_pooled(connection)
        return errors.DatabaseReadOnlyError()
    return errors.WrongTransactionError(
        "The transaction is read-only on a server that accepts writes: "
        "default_transaction_read_only or the engine's option postgresql_readonly is set, or SET "
        "TRANSACTION READ ONLY was executed. The unit of work needs read-write transactions."
    )


def _migration(sentence: str) -> Meaning:
    """Return the translation of an error of a migration, which was rolled back."""

    def meaning(failure: _Failure) -> Exception:
        detail = "; ".join((_diagnosis(failure.error, "message_detail") or "").splitlines())
        message = sentence.format(message=failure.server_message, detail=detail)
        return errors.SchemaError(f"{message} Nothing was changed.")

    return meaning


_EXISTS: Final = _migration(
    "The database already has an object of this name that this package did not create: "
    "{message}. Rename it, move it to another schema, or drop it."
)
_STATEMENTS: Final[Mapping[str, Meaning]] = {
    "42501": _privilege,
    "42883": _no_such_object,
    "42P01": _no_such_object,
    "42703": _no_such_object,
    "3F000": _no_such_object,
    "25006": _read_only,
    "53300": lambda _: errors.DatabaseBusyError(),
    "55P03": _row_lock,
    "40P01": _row_lock,  # a deadlock with transactions that lock the rows in another order
}
_STATES: Final[Mapping[During, Mapping[str, Meaning]]] = {
    During.CHECKOUT: {"53300": _STATEMENTS["53300"]},
    During.LOCKING: {
        **_STATEMENTS,
        "25001": lambda _: errors.WrongTransactionError(
            "The lock needs READ COMMITTED: a snapshot that is older than the lock does not "
            "contain what its previous holder wrote."
        ),
        "SP002": lambda _: errors.WrongTransactionError(
            "The transaction holds a shared lock, so it cannot acquire an exclusive one: two "
            "such transactions would wait for each other. Commit, and acquire the exclusive "
            "lock in a separate unit of work."
        ),
    },
    During.STATEMENT: _STATEMENTS,
    During.COMMIT: {"SP001": lambda _: errors.LockNotHeldError(TRANSACTION_ENDED)},
    During.MIGRATION: {
        "42501": _migration(
            "The role may not migrate the schema: {message}. It needs CREATE on the database (or "
            "must own a schema studyplan, with the extension btree_gist installed) and CREATE on "
            "the schema public. Later migrations must be run by the owner."
        ),
        "42P07": _EXISTS,
        "42723": _EXISTS,
        "42710": _EXISTS,
        "2BP01": _migration(
            "{message}: {detail}. First drop what depends on the package's objects, such as the "
            "foreign keys of the application's tables."
        ),
        "3F000": _migration(
            "The revisions need a schema that the database does not have: {message}. Two functions "
            "of the package are in the schema public. Create it first."
        ),
        "55000": _migration("{message}."),
    },
}


def require_supported_server(connection: Connection) -> None:
    """Raise ``SchemaError`` if the server is older than ``OLDEST_SERVER``."""
    version = connection.dialect.server_version_info
    if version is not None and version < (OLDEST_SERVER,):
        raise errors.SchemaError(
            f"The server is PostgreSQL {'.'.join(map(str, version))}; this package needs "
            f"{OLDEST_SERVER} or later."
        )


def replace_pooled(connection: Connection) -> None:
    """Make the pool replace its current connections before it hands them out again."""
    if not connection.closed and not connection.invalidated:
        pool, pooled = connection.engine.pool, connection.connection
        pool._invalidate(pooled, _checkin=False)  # noqa: SLF001 - dispose() is the public method


def connection_lost(error: BaseException) -> bool:
    """Whether the connection failed or was lost; decided by type and SQLSTATE.

    An ``OperationalError`` without a SQLSTATE is raised by libpq: no server answered. An
    ``InternalError`` without one is raised by psycopg for an answer that it cannot interpret, such
    as the two errors with which a pooler reports the loss of a backend.
    """
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = _cause(error)
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:
        return isinstance(cause, psycopg.OperationalError | psycopg.InternalError)
    return cause.sqlstate.startswith("08") or cause.sqlstate in _SESSION_ENDED


def sqlstate(error: BaseException) -> str | None:
    """Return the five-character SQLSTATE of a database error, otherwise ``None``."""
    cause = _cause(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def server_message(error: Error) -> str:
    """Return the message of the server."""
    return _diagnosis(error, "message_primary") or str(_cause(error))


def _diagnosis(error: BaseException, field: str) -> str | None:
    value: str | None = getattr(getattr(_cause(error), "diag", None), field, None)
    return value


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error
