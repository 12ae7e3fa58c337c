"""Errors of the database in the words of the domain: by SQLSTATE and by constraint name."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError

from domain.driver import is_standby
from domain.errors import (
    CommitOutcomeUnknownError,
    DatabaseBusyError,
    DatabaseReadOnlyError,
    DomainError,
    EditedMeanwhileError,
    GeneratedMeanwhileError,
    IdempotencyMismatchError,
    InvalidInputError,
    LockTimeoutError,
    MisuseError,
    SchemaError,
    StudentPlansOverlapError,
    WrongTransactionError,
)

OLDEST_SERVER: Final = 15
"""The oldest major version of PostgreSQL that the package runs on."""
MIGRATE: Final = (
    "Migrate with this version of the package: `python -m domain upgrade`, or the application's "
    "own migrations (README, 'Schema')."
)
"""What to do about a schema that is missing, incomplete or of another version."""


@dataclass(frozen=True, slots=True)
class _Known:
    group_id: UUID | None = None
    student_id: UUID | None = None
    idempotency_key: str | None = None


_CONSTRAINTS: Final[Mapping[str, Callable[[_Known], DomainError]]] = {
    "ex_academy_schedules_overlap": lambda _: InvalidInputError.of(
        "academy_schedules", "overlaps another class"
    ),
    "ex_student_plans_overlap": lambda known: StudentPlansOverlapError(student_id=known.student_id),
    # The snapshot's content is gone, or a content to remove has got plans.
    "fk_student_plans_contents": lambda known: GeneratedMeanwhileError(group_id=known.group_id),
    "pk_plan_groups": lambda _: InvalidInputError.of("id", "is that of a stored group"),
    "pk_plan_generations": lambda known: GeneratedMeanwhileError(group_id=known.group_id),
    "uq_plan_generations_tenant_id_idempotency_key": lambda known: IdempotencyMismatchError(
        idempotency_key=known.idempotency_key or ""
    ),
    "uq_plan_groups_active_student": lambda known: EditedMeanwhileError(group_id=known.group_id),
    "uq_student_plans_tenant_id_group_id_generation_sequence": lambda known: (
        GeneratedMeanwhileError(group_id=known.group_id)
    ),
}
# Shut down, crashed, starting, database dropped, idle or transaction limit: the server says
# why, and ends the session.
_ENDED: Final = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"})
# Row-level security refuses with the SQLSTATE of a missing privilege. These are names in the
# server's source, the same in every language: where it checks a new row, and where it would
# filter rows although row_security is off.
_ROW_SECURITY: Final = frozenset({"ExecWithCheckOptions", "check_enable_rls"})


@contextmanager
def translated(
    connection: Connection | None = None,
    *,
    group_id: UUID | None = None,
    student_id: UUID | None = None,
    idempotency_key: str | None = None,
) -> Iterator[None]:
    """Raise what a failed statement means; what means nothing to the domain passes as it is.

    Around every statement of the package. ``connection`` is the one that writes: without it
    a write that a read-only server refuses has no name. The rest is for the errors that say
    what they are about.
    """
    known = _Known(group_id, student_id, idempotency_key)
    try:
        yield
    except StaleDataError as error:
        raise EditedMeanwhileError(group_id=group_id) from error
    except PoolTimeoutError as error:
        raise DatabaseBusyError from error
    except (psycopg.Error, DBAPIError) as error:
        meaning = _refusal(error, known) or meaning_of(error, connection, group_id)
        if meaning is None:
            raise
        raise meaning from error


@contextmanager
def checkout_translated() -> Iterator[None]:
    """Around what only takes a connection from the pool, other people's hooks included.

    Raises ``DatabaseBusyError`` if none becomes free in the pool, or the server says that it
    has none; everything else passes.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseBusyError from error
    except (psycopg.Error, DBAPIError) as error:
        if sqlstate(error) != "53300":
            raise
        raise DatabaseBusyError from error


@contextmanager
def commit_translated() -> Iterator[None]:
    """Around a commit that has nothing left to flush: its lost connection has a name.

    Raises ``CommitOutcomeUnknownError`` if the connection dies, for the answer alone may
    be what was lost, and for an internal error, by which Citus reports a node that it lost. Any
    other error means that the server refused the commit; it passes.
    """
    try:
        yield
    except (psycopg.Error, DBAPIError) as error:
        if connection_lost(error) or sqlstate(error) == "XX000":
            raise CommitOutcomeUnknownError from error
        raise


def meaning_of(
    error: psycopg.Error | DBAPIError,
    connection: Connection | None = None,
    group_id: UUID | None = None,
) -> DomainError | MisuseError | None:
    """What the SQLSTATE of a statement of the package means; ``None`` if nothing."""
    match sqlstate(error):
        case "42501" if _diagnosis(error, "source_function") not in _ROW_SECURITY:
            return SchemaError(
                "The database refused a privilege to the role: "
                f"{words(error)}. `python -m domain upgrade --grant-to ROLE` grants what the "
                "package needs."
            )
        case "42883" | "42P01" | "42703" | "3F000":
            return SchemaError(
                f"The database lacks what this package needs: {words(error)}. {MIGRATE}"
            )
        case "25006" if connection is not None:
            return _read_only(connection)
        case "53300":
            return DatabaseBusyError()
        case "55P03" | "40P01":  # a deadlock: with rows that others lock in another order
            return LockTimeoutError(group_id=group_id, scope="row")
        case _:
            return None


def require_supported_server(connection: Connection) -> None:
    """Raise ``SchemaError`` on a server that is older than the package supports."""
    version = connection.dialect.server_version_info
    if version is not None and version < (OLDEST_SERVER,):
        raise SchemaError(
            f"The server is PostgreSQL {'.'.join(map(str, version))}; this package needs "
            f"{OLDEST_SERVER} or later."
        )


def replace_pooled(connection: Connection) -> None:
    """Let the pool connect anew instead of handing out what is connected now."""
    if not connection.closed and not connection.invalidated:
        pool, pooled = connection.engine.pool, connection.connection
        pool._invalidate(pooled, _checkin=False)  # noqa: SLF001 - no public way but dispose()


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
    """The five-character SQLSTATE of a driver's error, wrapped or not; else ``None``."""
    cause = _cause(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def words(error: psycopg.Error | DBAPIError) -> str:
    """The server's own sentence."""
    return _diagnosis(error, "message_primary") or str(_cause(error))


def detail(error: psycopg.Error | DBAPIError) -> str:
    """The server's details, in one line."""
    return "; ".join((_diagnosis(error, "message_detail") or "").splitlines())


def _refusal(error: psycopg.Error | DBAPIError, known: _Known) -> DomainError | None:
    kind = _CONSTRAINTS.get(_diagnosis(error, "constraint_name") or "")
    if kind is None and _is_unknown_student(error):
        return InvalidInputError.of("student_id", "is not a student of the application's")
    return kind and kind(known)


def _is_unknown_student(error: BaseException) -> bool:
    """Whether a foreign key of the application's, from ``plan_groups``, found no student."""
    return (
        sqlstate(error) == "23503"
        and _diagnosis(error, "table_name") == "plan_groups"
        and "student_id" in (_diagnosis(error, "message_detail") or "")
    )


def _read_only(connection: Connection) -> DatabaseReadOnlyError | WrongTransactionError:
    """Whether it was the server that refused to write, or a setting of the transaction."""
    if is_standby(connection):
        replace_pooled(connection)
        return DatabaseReadOnlyError()
    return WrongTransactionError(
        "The transaction is read-only on a server that accepts writes: somebody has set "
        "default_transaction_read_only, SET TRANSACTION READ ONLY or the engine's option "
        "postgresql_readonly. Give the unit of work transactions that may write."
    )


def _diagnosis(error: BaseException, field: str) -> str | None:
    value: str | None = getattr(getattr(_cause(error), "diag", None), field, None)
    return value


def _cause(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error
