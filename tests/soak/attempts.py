"""One operation through the package, for both kinds of worker, and what is recorded of it."""

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from domain import PlanGroupLockedError, UnitOfWork
from domain.errors import (
    CommitOutcomeUnknownError,
    EditedMeanwhileError,
    GeneratedMeanwhileError,
    IdempotencyMismatchError,
    LockNotHeldError,
    LockTimeoutError,
    PlanGroupNotGeneratableError,
    SchedulingError,
    StudentPlansOverlapError,
    TransitionNotAllowedError,
)
from tests.soak import jobs
from tests.soak.draws import Draw
from tests.soak.faults import Deliberate, Fault, Interrupted, injected
from tests.soak.history import Journal, Operation, Outcome

ENDS: Final[dict[type[Exception], Outcome]] = {
    PlanGroupLockedError: Outcome.BUSY,
    LockTimeoutError: Outcome.TIMEOUT,
    PlanGroupNotGeneratableError: Outcome.DECLINED,
    TransitionNotAllowedError: Outcome.DECLINED,
    SchedulingError: Outcome.DECLINED,
    EditedMeanwhileError: Outcome.COLLIDED,
    GeneratedMeanwhileError: Outcome.COLLIDED,
    StudentPlansOverlapError: Outcome.COLLIDED,
    IdempotencyMismatchError: Outcome.COLLIDED,
    CommitOutcomeUnknownError: Outcome.UNKNOWN,
    LockNotHeldError: Outcome.FAILED,
    Deliberate: Outcome.FAILED,
}
FRAMES: Final = 8
HARMED: Final = frozenset({None, "57014", "57P01", "25P03", "08P01"})
"""SQLSTATEs of what the load does: lost, cancelled, terminated, idle for too long, and what
a pooler tells of a server connection that it lost."""

LOOK: Final = sa.text(
    "SELECT id::text, generation, version FROM studyplan.plan_groups "
    "WHERE id = ANY(CAST(:ids AS uuid[]))"
)


@dataclass
class Attempt:
    """One operation on its way, written down at every step."""

    draw: Draw
    operation: Operation
    journal: Journal
    stores: bool = field(default=True, init=False)
    """Whether there is something to commit."""

    def entered(self) -> None:
        """The unit of work was entered: its lock is held."""
        self.operation.entered = time.monotonic()
        self.journal.write(self.operation)

    def work(self, uow: UnitOfWork) -> float:
        """Look, do the job, come to harm if so drawn; how long to stay before the end."""
        self._look(uow)
        self.stores = jobs.JOBS[self.draw.kind](uow, self.draw, self.operation)
        self.operation.planned = time.monotonic()
        return self.draw.dwell + injected(self.draw.fault, uow)

    def leave(self) -> None:
        """The commit is about to be sent."""
        self.operation.leaving = time.monotonic()
        self.journal.write(self.operation)

    def committed(self) -> None:
        """The commit was answered."""
        self._end(Outcome.REPEATED if self.operation.repeated else Outcome.DONE)

    def leave_alive(self, uow: UnitOfWork) -> None:
        """A rollback is about to be sent, in a transaction that answers."""
        self._look(uow)

    def rolled_back(self) -> None:
        """The rollback was answered."""
        self._end(Outcome.ROLLED_BACK)

    def read(self, session: Session) -> None:
        """The whole of a reading operation."""
        jobs.read(session, self.draw, self.operation)
        self._end(Outcome.DONE)

    def _look(self, uow: UnitOfWork) -> None:
        now = time.monotonic()
        found = uow.session.execute(LOOK, {"ids": self.operation.groups}).all()
        self.operation.seen = self.operation.seen or {row[0]: [row[1], row[2]] for row in found}
        self.operation.alive = now

    def _end(self, outcome: Outcome) -> None:
        self.operation.ended = time.monotonic()
        self.operation.outcome = outcome


@contextmanager
def recorded(journal: Journal, operation: Operation) -> Iterator[None]:
    """Write the operation down before and after; its errors end here."""
    journal.write(operation)
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the checker judges it
        if operation.outcome is Outcome.UNKNOWN:
            operation.outcome = _outcome(operation, error)
        operation.error = _name(error)
        if operation.outcome is Outcome.CRASHED:
            operation.error += f": {' '.join(str(error).split())[:150]}, {_where(error)}"
    finally:
        operation.ended = operation.ended or time.monotonic()
        journal.write(operation)


def _outcome(operation: Operation, error: Exception) -> Outcome:
    if _harmed(error, operation.fault):
        return Outcome.FAILED if operation.leaving is None else Outcome.UNKNOWN
    if operation.shared and isinstance(error, EditedMeanwhileError):
        return Outcome.OVERTAKEN
    known = (outcome for kind, outcome in ENDS.items() if isinstance(error, kind))
    return next(known, Outcome.CRASHED)


def _harmed(error: Exception, fault: str) -> bool:
    """Whether it is what the faults of the load come to, perhaps in the commit."""
    original = _original(error)
    if not isinstance(original, psycopg.Error):
        return isinstance(original, TimeoutError | Interrupted)
    aborted = original.sqlstate == "25P02" and fault == Fault.CANCEL_AND_GO_ON.value
    return aborted or original.sqlstate in HARMED


def _name(error: Exception) -> str:
    original = _original(error)
    state = original.sqlstate if isinstance(original, psycopg.Error) else None
    return type(original).__name__ + (f" {state}" if state else "")


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(frames))


def _original(error: Exception) -> BaseException:
    return (error.orig or error) if isinstance(error, StatementError) else error
