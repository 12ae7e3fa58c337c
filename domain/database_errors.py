"""Errors of the database as the package's own: by constraint name and by SQLSTATE."""

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
"""The oldest major version of PostgreSQL that the package runs on."""
MIGRATE: Final = (
    "Migrate with this version of the package: `python -m domain upgrade`, or the application's "
    "own migrations (README, 'Schema')."
)
"""What to do about a schema that is missing, incomplete or of another version."""


# Shut down, crashed, starting, database dropped, idle or transaction limit: the server says
# why, and ends the session.
_SESSION_ENDED: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"})
# Row-level security refuses with the SQLSTATE of a missing privilege. These are names in the
# server's source, the same in every language: where it checks a new row, and where it would
# filter rows although row_security is off.
_ROW_SECURITY: Final = frozenset({"ExecWithCheckOptions", "check_enable_rls"})
TRANSACTION_ENDED: Final = (
    "The transaction that took the lock was ended inside the block, past the unit of work (a "
    "COMMIT or ROLLBACK in a statement, or by the driver). What it had written before a COMMIT "
    "is stored; nothing that came later is."
)

Error: TypeAlias = psycopg.Error | DBAPIError


class During(Enum):
    """What was going on when the database failed; an SQLSTATE may mean something else in each."""

    CHECKOUT = auto()
    """Only a connection was taken from the pool, listeners of the application included."""
    LOCKING = auto()
    STATEMENT = auto()
    COMMIT = auto()
    """A COMMIT with nothing left to flush."""
    MIGRATION = auto()


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed statement, and what the error that it means should name."""

    error: Error
    connection: Connection | None = None
    group_id: UUID | None = None
    student_id: UUID | None = None
    idempotency_key: str | None = None

    @property
    def words(self) -> str:
        """The server's own sentence."""
        return words(self.error)


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
    """Raise the package's error for what fails in the block; other errors pass as they are.

    Around the package's statements. ``during`` decides what an SQLSTATE means. ``connection`` is
    the one that writes: without it a write that a read-only server refuses is not translated.
    The ids are for the errors that name them.
    """
    try:
        yield
    except StaleDataError as error:
        if during is not During.STATEMENT:  # of a listener of the application's
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
    """The package's error for a failed statement; the error itself if there is none."""
    return _meaning(_Failure(error, connection), during) or error


def _meaning(failure: _Failure, during: During) -> Exception | None:
    """By constraint where rows are written, then by SQLSTATE."""
    error = failure.error
    if during is During.COMMIT and (connection_lost(error) or sqlstate(error) == "XX000"):
        # Only the answer may have been lost. By an internal error Citus reports a lost node.
        return errors.CommitOutcomeUnknownError()
    if during is During.STATEMENT:
        by_constraint = _CONSTRAINTS.get(_diagnosis(error, "constraint_name") or "")
        if by_constraint is not None:
            return by_constraint(failure)
        if _is_unknown_student(error):
            return errors.InvalidInputError.of(
                "student_id", "is not a student of the application's"
            )
    by_state = _STATES[during].get(sqlstate(error) or "")
    return None if by_state is None else by_state(failure)


def _is_unknown_student(error: Error) -> bool:
    """Whether a foreign key of the application's, from ``plan_groups``, found no student."""
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
    "ex_student_plans_overlap": lambda it: errors.StudentPlansOverlapError(
        student_id=it.student_id
    ),
    # The snapshot's content is gone, or a content to remove has got plans.
    "fk_student_plans_contents": _generated_meanwhile,
    "pk_plan_groups": lambda _: errors.InvalidInputError.of("id", "is that of a stored group"),
    "pk_plan_generations": _generated_meanwhile,
    "uq_plan_generations_tenant_id_idempotency_key": lambda it: errors.IdempotencyMismatchError(
        idempotency_key=it.idempotency_key or ""
    ),
    "uq_plan_groups_active_student": lambda it: errors.EditedMeanwhileError(group_id=it.group_id),
    "uq_student_plans_tenant_id_group_id_generation_sequence": _generated_meanwhile,
}


def _privilege(failure: _Failure) -> Exception | None:
    if _diagnosis(failure.error, "source_function") in _ROW_SECURITY:
        return None
    return errors.SchemaError(
        f"The database refused a privilege to the role: {failure.words}. "
        "`python -m domain upgrade --grant-to ROLE` grants what the package needs."
    )


def _no_such_object(failure: _Failure) -> Exception:
    return errors.SchemaError(
        f"The database lacks what this package needs: {failure.words}. {MIGRATE}"
    )


def _row_lock(failure: _Failure) -> Exception:
    return errors.LockTimeoutError(group_id=failure.group_id, scope="row")


def _read_only(failure: _Failure) -> Exception | None:
    """Whether it was the server that refused to write, or a setting of the transaction."""
    connection = failure.connection
    if connection is None:
        return None
    if is_standby(connection):
        replace_pooled(connection)
        return errors.DatabaseReadOnlyError()
    return errors.WrongTransactionError(
        "The transaction is read-only on a server that accepts writes: "
        "default_transaction_read_only or the engine's option postgresql_readonly is set, or SET "
        "TRANSACTION READ ONLY was executed. Give the unit of work transactions that may write."
    )


def _migration(sentence: str) -> Meaning:
    """The error of a run of the revisions, which changes nothing then."""

    def meaning(failure: _Failure) -> Exception:
        detail = "; ".join((_diagnosis(failure.error, "message_detail") or "").splitlines())
        said = sentence.format(words=failure.words, detail=detail)
        return errors.SchemaError(f"{said} Nothing was changed.")

    return meaning


_EXISTS: Final = _migration(
    "The database has something of this name already: {words}. This package did not make it: "
    "rename it, move it to another schema, or drop it."
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
    "40P01": _row_lock,  # a deadlock: with rows that others lock in another order
}
_STATES: Final[Mapping[During, Mapping[str, Meaning]]] = {
    During.CHECKOUT: {"53300": _STATEMENTS["53300"]},
    During.LOCKING: {
        **_STATEMENTS,
        "25001": lambda _: errors.WrongTransactionError(
            "The lock needs READ COMMITTED: a snapshot older than the lock does not see "
            "what its last holder wrote."
        ),
        "SP002": lambda _: errors.WrongTransactionError(
            "The transaction holds a shared lock, so it cannot take an exclusive one: two "
            "such transactions would wait for each other. Commit, and take the exclusive "
            "lock in a unit of work of its own."
        ),
    },
    During.STATEMENT: _STATEMENTS,
    During.COMMIT: {"SP001": lambda _: errors.LockNotHeldError(TRANSACTION_ENDED)},
    During.MIGRATION: {
        "42501": _migration(
            "The role may not migrate the schema: {words}. It needs CREATE on the database (or a "
            "schema studyplan that it owns, and the extension btree_gist installed) and CREATE on "
            "the schema public; later runs need the owner."
        ),
        "42P07": _EXISTS,
        "42723": _EXISTS,
        "42710": _EXISTS,
        "2BP01": _migration(
            "{words}: {detail}. Drop what depends on the package's objects first: of the "
            "application's tables, the foreign keys."
        ),
        "3F000": _migration(
            "The database lacks a schema that the revisions need: {words}. Two functions of the "
            "package are in the schema public: create it first."
        ),
        "55000": _migration("{words}."),
    },
}


def require_supported_server(connection: Connection) -> None:
    """Raise ``SchemaError`` on a server that is older than the package supports."""
    version = connection.dialect.server_version_info
    if version is not None and version < (OLDEST_SERVER,):
        raise errors.SchemaError(
            f"The server is PostgreSQL {'.'.join(map(str, version))}; this package needs "
            f"{OLDEST_SERVER} or later."
        )


def replace_pooled(connection: Connection) -> None:
    """Let the pool connect anew instead of handing out what is connected now."""
    if not connection.closed and not connection.invalidated:
        pool, pooled = connection.engine.pool, connection.connection
        pool._invalidate(pooled, _checkin=False)  # noqa: SLF001 - no public way but dispose()


def connection_lost(error: BaseException) -> bool:
    """Whether the connection could not be made, or is gone; decided by type and SQLSTATE.

    An ``OperationalError`` without a SQLSTATE is libpq's own: no server answered.
    """
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = _cause(error)
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:
        return isinstance(cause, psycopg.OperationalError)
    return cause.sqlstate.startswith("08") or cause.sqlstate in _SESSION_ENDED


def sqlstate(error: BaseException) -> str | None:
    """The five-character SQLSTATE of a driver's error, wrapped or not; else ``None``."""
    cause = _cause(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def words(error: Error) -> str:
    """The server's own sentence."""
    return _diagnosis(error, "message_primary") or str(_cause(error))


def _diagnosis(error: BaseException, field: str) -> str | None:
    value: str | None = getattr(getattr(_cause(error), "diag", None), field, None)
    return value


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error
