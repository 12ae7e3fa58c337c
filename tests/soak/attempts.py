"""One request through the package, for both kinds of worker, and what is recorded of it."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from uuid import UUID

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from domain import (
    EditedMeanwhileError,
    GenerationResult,
    Limits,
    LockTimeoutError,
    PlanGenerationService,
    PlanGroupLock,
    PlanGroupLockedError,
    PlanGroupRepository,
    PlanState,
    StudentPlanRepository,
    StudentPlansOverlapError,
    UnitOfWork,
)
from domain.errors import CommitOutcomeUnknownError, LockNotHeldError
from tests.soak.faults import Deliberate, Fault, injected, service_for
from tests.soak.history import Journal, Kind, Operation, Outcome, digest

FIRST_DAY = date(2025, 1, 6)
DAYS_OF_TODAY = 6
IDLE = Limits(idle=timedelta(milliseconds=150))


@dataclass(frozen=True, slots=True)
class Target:
    """A group of the load."""

    tenant_id: UUID
    student_id: UUID
    group_id: UUID


@dataclass
class Attempt:
    """What one operation is to do, drawn beforehand, and its record."""

    operation: Operation
    target: Target
    lock: PlanGroupLock
    today: date
    fault: Fault
    dwell: float
    patience: float | None = None
    """After how many seconds an asynchronous caller gives up."""
    result: GenerationResult | None = field(default=None, init=False)

    def entered(self) -> None:
        """The unit of work was entered: its lock is held."""
        self.operation.entered = time.monotonic()

    def work(self, uow: UnitOfWork) -> float:
        """Generate, come to harm if so drawn; how long to stay before the end."""
        self.result = service_for(self.fault, PlanGenerationService).generate(
            uow,
            tenant_id=self.target.tenant_id,
            group_id=self.target.group_id,
            today=self.today,
            requested_by=self.operation.id,
        )
        self.operation.planned = time.monotonic()
        return self.dwell + injected(self.fault, uow)

    def leave(self) -> None:
        """The commit is about to be sent."""
        self.operation.leaving = time.monotonic()

    def leave_alive(self, uow: UnitOfWork) -> None:
        """A rollback is about to be sent, in a transaction that answered after this time."""
        leaving = time.monotonic()
        uow.session.execute(sa.text("SELECT 1"))
        self.operation.leaving = leaving

    def committed(self) -> None:
        """The commit was answered."""
        assert self.result is not None
        self.operation.ended = time.monotonic()
        self.operation.outcome = Outcome.GENERATED
        self.operation.number = self.result.generation
        self.operation.rows = len(self.result.plan_ids)
        self.operation.digest = digest(self.result.plan_ids)

    def rolled_back(self) -> None:
        """The rollback was answered."""
        self.operation.ended = time.monotonic()
        self.operation.outcome = Outcome.ROLLED_BACK

    def read(self, session: Session) -> None:
        """The generation and its plans by the repositories, in one snapshot."""
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        target, operation = self.target, self.operation
        group = PlanGroupRepository(session).get(target.tenant_id, target.group_id)
        plans = StudentPlanRepository(session).live(target.tenant_id, target.group_id)
        mine = [plan.id for plan in plans if plan.generation == group.generation]
        operation.number = group.generation
        operation.rows, operation.digest = len(mine), digest(mine)
        operation.foreign = sum(
            plan.generation != group.generation
            and not plan.pinned
            and plan.state is PlanState.PLANNED
            for plan in plans
        )
        session.rollback()
        operation.ended = time.monotonic()
        operation.outcome = Outcome.READ


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
            operation.error += f": {error}"[:300]
    finally:
        operation.ended = operation.ended or time.monotonic()
        journal.write(operation)


def draw(
    dice: random.Random, name: str, target: Target, *, faults: float, contention: bool
) -> Attempt:
    """The next operation of a worker."""
    kinds = (Kind.GENERATE, Kind.ROLL_BACK, Kind.READ)
    (kind,) = dice.choices(kinds, weights=(90, 5, 5) if contention else (70, 15, 15))
    harmful = dice.random() < faults and kind is Kind.GENERATE
    fault = dice.choice(list(Fault)) if harmful else Fault.NONE
    wait = timedelta(milliseconds=dice.choice((0, dice.randint(20, 400))))
    lock = PlanGroupLock(target.group_id, wait)
    if fault is Fault.IDLE:
        lock = PlanGroupLock(target.group_id, wait, IDLE)
    return Attempt(
        Operation(
            name, kind, str(target.group_id), str(target.student_id), started=time.monotonic()
        ),
        target,
        lock,
        FIRST_DAY + timedelta(days=dice.randrange(DAYS_OF_TODAY)),
        fault,
        dwell=dice.choice((0.0, dice.uniform(0, 0.006))),
        patience=dice.uniform(0.005, 0.1) if dice.random() < faults else None,
    )


def _outcome(  # noqa: PLR0911 - one return for each way in which an attempt may end
    operation: Operation, error: Exception
) -> Outcome:
    match error:
        case PlanGroupLockedError():
            return Outcome.BUSY
        case LockTimeoutError():
            return Outcome.TIMEOUT
        case EditedMeanwhileError() | StudentPlansOverlapError():
            return Outcome.COLLIDED
        case Deliberate() | LockNotHeldError():
            return Outcome.FAILED
        case CommitOutcomeUnknownError():
            return Outcome.UNKNOWN
        case DBAPIError() | psycopg.Error() | TimeoutError():
            asked_to_commit = operation.leaving is not None and operation.kind is Kind.GENERATE
            return Outcome.UNKNOWN if asked_to_commit else Outcome.FAILED
    return Outcome.CRASHED


def _name(error: Exception) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    with suppress(AttributeError):
        if state := original.sqlstate:  # type: ignore[union-attr]
            return f"{type(original).__name__} {state}"
    return type(original).__name__
