"""One operation of a synchronous or asynchronous worker, and the record of its progress."""

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import PendingRollbackError, StatementError
from sqlalchemy.orm import Session

from domain import PlanGroupLockedError, UnitOfWork
from domain.errors import (
    CommitOutcomeUnknownError,
    EditedMeanwhileError,
    GeneratedMeanwhileError,
    IdempotencyMismatchError,
    InvalidInputError,
    LockNotHeldError,
    LockTimeoutError,
    PlanGroupNotGeneratableError,
    SchedulingError,
    StudentPlansOverlapError,
    TransitionNotAllowedError,
    UndoNotPossibleError,
)
from tests.soak import jobs
from tests.soak.draws import Draw
from tests.soak.faults import DeliberateError, Fault, InterruptionError, inject
from tests.soak.history import Journal, Kind, Operation, Outcome

ENDS: Final[dict[type[Exception], Outcome]] = {
    PlanGroupLockedError: Outcome.BUSY,
    LockTimeoutError: Outcome.TIMEOUT,
    PlanGroupNotGeneratableError: Outcome.DECLINED,
    TransitionNotAllowedError: Outcome.DECLINED,
    UndoNotPossibleError: Outcome.DECLINED,
    SchedulingError: Outcome.DECLINED,
    EditedMeanwhileError: Outcome.COLLIDED,
    GeneratedMeanwhileError: Outcome.COLLIDED,
    StudentPlansOverlapError: Outcome.COLLIDED,
    IdempotencyMismatchError: Outcome.COLLIDED,
    CommitOutcomeUnknownError: Outcome.UNKNOWN,
    LockNotHeldError: Outcome.FAILED,
    DeliberateError: Outcome.FAILED,
}
# A mark is declined if it would include units that have been planned again, and a move if the time
# is not free.
DECLINED_FIELDS: Final = {
    Kind.MARK: ("state",),
    Kind.MARK_ALL: ("state",),
    Kind.MOVE: ("date", "start_minute"),
}
FRAMES: Final = 8
FAULT_SQLSTATES: Final = frozenset({"57014", "57P01", "25P03", "08P01"})
"""The SQLSTATEs that the faults of the load cause.

In this order: cancelled, terminated, idle for too long, and the error of a pooler that lost its
server connection. A lost connection has none.
"""
LOST_CONNECTION: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,  # a pooler reports the loss twice
)

READ_GROUPS: Final = sa.text(
    "SELECT id::text, generation, version FROM studyplan.plan_groups "
    "WHERE id = ANY(CAST(:ids AS uuid[]))"
)


@dataclass
class Attempt:
    """One operation in progress, recorded in the journal at each step."""

    draw: Draw
    operation: Operation
    journal: Journal
    has_changes: bool = field(default=True, init=False)
    """Whether the operation has changes to commit."""

    def entered(self) -> None:
        """Record that the unit of work was entered: its lock is held."""
        self.operation.entered = time.monotonic()
        self.journal.write(self.operation)

    def work(self, uow: UnitOfWork) -> float:
        """Read the groups, do the job and inject the fault.

        Return the seconds to wait before the commit or rollback.
        """
        self._read_groups(uow)
        self.has_changes = jobs.JOBS[self.draw.kind](uow, self.draw, self.operation)
        if self.has_changes or self.draw.kind is Kind.ROLL_BACK:
            self.operation.planned = time.monotonic()
        return self.draw.dwell + inject(self.draw.fault, uow)

    def before_commit(self) -> None:
        """Record that the commit is about to be sent."""
        self.operation.committing = time.monotonic()
        self.journal.write(self.operation)

    def committed(self) -> None:
        """Record that the commit succeeded."""
        self._end(Outcome.REPEATED if self.operation.repeated else Outcome.DONE)

    def before_rollback(self, uow: UnitOfWork) -> None:
        """Record that the transaction still answers; a rollback is about to be sent."""
        self._read_groups(uow)

    def rolled_back(self) -> None:
        """Record that the rollback succeeded."""
        self._end(Outcome.ROLLED_BACK)

    def read(self, session: Session) -> None:
        """Do a complete read operation."""
        jobs.read(session, self.draw, self.operation)
        self._end(Outcome.DONE)

    def _read_groups(self, uow: UnitOfWork) -> None:
        now = time.monotonic()
        found = uow.session.execute(READ_GROUPS, {"ids": self.operation.groups}).all()
        self.operation.seen = self.operation.seen or {row[0]: [row[1], row[2]] for row in found}
        self.operation.alive = now

    def _end(self, outcome: Outcome) -> None:
        self.operation.ended = time.monotonic()
        self.operation.outcome = outcome


@contextmanager
def recorded(journal: Journal, operation: Operation) -> Iterator[None]:
    """Record the operation before and after the block; suppress the errors of the block."""
    journal.write(operation)
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the checker judges every error
        if operation.outcome is Outcome.UNKNOWN:
            operation.outcome = _outcome(operation, error)
        if isinstance(error, UndoNotPossibleError):
            operation.reason = error.reason
            operation.in_the_way = [str(plan.plan_id) for plan in error.plans]
        operation.error = _name(error)
        if operation.outcome is Outcome.CRASHED:
            operation.error += f": {' '.join(str(error).split())[:150]}, {_where(error)}"
    finally:
        operation.ended = operation.ended or time.monotonic()
        journal.write(operation)


def _outcome(operation: Operation, error: Exception) -> Outcome:
    if _caused_by_fault(error, operation.fault):
        return Outcome.FAILED if operation.committing is None else Outcome.UNKNOWN
    if operation.shared and isinstance(error, EditedMeanwhileError):
        return Outcome.OVERTAKEN
    if operation.key and isinstance(error, EditedMeanwhileError):
        return Outcome.UNDONE
    if isinstance(error, InvalidInputError):
        return Outcome.DECLINED if _is_declined(operation, error) else Outcome.CRASHED
    known = (outcome for kind, outcome in ENDS.items() if isinstance(error, kind))
    return next(known, Outcome.CRASHED)


def _caused_by_fault(error: Exception, fault: str) -> bool:
    """Whether a fault of the load can have caused the error."""
    original = _original(error)
    if isinstance(original, PendingRollbackError):
        # The connection was lost during the statement whose error this fault suppresses.
        return fault == Fault.CANCEL_AND_COMMIT.value
    if not isinstance(original, psycopg.Error):
        return isinstance(original, TimeoutError | InterruptionError)
    aborted = original.sqlstate == "25P02" and fault == Fault.CANCEL_AND_COMMIT.value
    if original.sqlstate is None:
        return isinstance(original, LOST_CONNECTION)
    return aborted or original.sqlstate in FAULT_SQLSTATES


def _is_declined(operation: Operation, error: InvalidInputError) -> bool:
    fields = DECLINED_FIELDS.get(operation.kind, ())
    return all(one.field.rpartition(".")[2] in fields for one in error.errors)


def _name(error: Exception) -> str:
    original = _original(error)
    state = original.sqlstate if isinstance(original, psycopg.Error) else None
    return type(original).__name__ + (f" {state}" if state else "")


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))


def _original(error: Exception) -> BaseException:
    return (error.orig or error) if isinstance(error, StatementError) else error
