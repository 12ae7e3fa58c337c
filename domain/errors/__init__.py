"""Every exception of the package. Imports nothing of it.

Two families. ``DomainError`` is what can happen to a correct program: it has a stable
``code``, an HTTP status, says whether trying again can help, and speaks Korean and
English. ``MisuseError`` is a mistake in the calling code; it derives from
``RuntimeError``, so ``except DomainError`` never hides a bug.
"""

from domain.errors.base import DomainError, MisuseError
from domain.errors.database import DatabaseBusyError, DatabaseReadOnlyError
from domain.errors.groups import (
    ContentNotFoundError,
    NotFoundError,
    PlanGroupNotEditableError,
    PlanGroupNotFoundError,
    PlanGroupNotGeneratableError,
    StudentPlanNotFoundError,
    TimeEntryNotFoundError,
    TransitionNotAllowedError,
    WrongStateError,
)
from domain.errors.locks import LockError, LockHolder, LockTimeoutError, PlanGroupLockedError
from domain.errors.misuse import (
    LockNotHeldError,
    SchemaError,
    UncommittedChangesError,
    UnitOfWorkStateError,
    WrongSessionError,
    WrongTransactionError,
)
from domain.errors.planning import (
    DayWithoutPlan,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
    SchedulingError,
)
from domain.errors.validation import (
    Fault,
    IdempotencyMismatchError,
    InvalidInputError,
    ValidationError,
)
from domain.errors.writing import (
    CommitOutcomeUnknownError,
    EditedMeanwhileError,
    GeneratedMeanwhileError,
    StudentPlansOverlapError,
)

__all__ = [
    "CommitOutcomeUnknownError",
    "ContentNotFoundError",
    "DatabaseBusyError",
    "DatabaseReadOnlyError",
    "DayWithoutPlan",
    "DomainError",
    "EditedMeanwhileError",
    "Fault",
    "GeneratedMeanwhileError",
    "IdempotencyMismatchError",
    "InvalidInputError",
    "LockError",
    "LockHolder",
    "LockNotHeldError",
    "LockTimeoutError",
    "MisuseError",
    "NoBlocksError",
    "NoContentsError",
    "NoStudyDaysError",
    "NotFoundError",
    "NothingPlacedError",
    "PlanGroupLockedError",
    "PlanGroupNotEditableError",
    "PlanGroupNotFoundError",
    "PlanGroupNotGeneratableError",
    "SchedulingError",
    "SchemaError",
    "StudentPlanNotFoundError",
    "StudentPlansOverlapError",
    "TimeEntryNotFoundError",
    "TransitionNotAllowedError",
    "UncommittedChangesError",
    "UnitOfWorkStateError",
    "ValidationError",
    "WrongSessionError",
    "WrongStateError",
    "WrongTransactionError",
]
