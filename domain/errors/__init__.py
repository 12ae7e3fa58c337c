"""All exceptions of the package. The modules here import no other module of the package.

There are two families. A ``DomainError`` can occur in a correct program: it has a stable
``code``, an HTTP status, a flag that says whether a retry can help, and messages in Korean and
English. A ``MisuseError`` reports a bug in the calling code; it derives from ``RuntimeError``, so
that ``except DomainError`` never hides one.

Each ``DomainError`` is a dataclass whose fields are its data. The fields are declared with their
types, so that a type checker reports a name that does not exist.
"""

from domain.errors.base import RETRY_AFTER, DomainError, Language
from domain.errors.conflicts import (
    EditedMeanwhileError,
    GeneratedMeanwhileError,
    PlanInTheWay,
    StudentPlansOverlapError,
    UndoNotPossibleError,
    UndoReason,
)
from domain.errors.database import (
    CommitOutcomeUnknownError,
    DatabaseBusyError,
    DatabaseReadOnlyError,
)
from domain.errors.locks import LockError, LockHolder, LockTimeoutError, PlanGroupLockedError
from domain.errors.misuse import (
    LockNotHeldError,
    MisuseError,
    SchemaError,
    UncommittedChangesError,
    UnitOfWorkStateError,
    WrongSessionError,
    WrongTransactionError,
)
from domain.errors.planning import (
    DayReason,
    DayWithoutPlan,
    NoBlocksError,
    NoContentsError,
    NoStudyDaysError,
    NothingPlacedError,
    SchedulingError,
)
from domain.errors.requests import (
    ContentNotFoundError,
    FieldError,
    IdempotencyMismatchError,
    InvalidInputError,
    NotFoundError,
    PlanGroupNotEditableError,
    PlanGroupNotFoundError,
    PlanGroupNotGeneratableError,
    StudentPlanNotFoundError,
    TimeEntryNotFoundError,
    TransitionNotAllowedError,
    ValidationError,
    WrongStateError,
)

__all__ = [
    "RETRY_AFTER",
    "CommitOutcomeUnknownError",
    "ContentNotFoundError",
    "DatabaseBusyError",
    "DatabaseReadOnlyError",
    "DayReason",
    "DayWithoutPlan",
    "DomainError",
    "EditedMeanwhileError",
    "FieldError",
    "GeneratedMeanwhileError",
    "IdempotencyMismatchError",
    "InvalidInputError",
    "Language",
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
    "PlanInTheWay",
    "SchedulingError",
    "SchemaError",
    "StudentPlanNotFoundError",
    "StudentPlansOverlapError",
    "TimeEntryNotFoundError",
    "TransitionNotAllowedError",
    "UncommittedChangesError",
    "UndoNotPossibleError",
    "UndoReason",
    "UnitOfWorkStateError",
    "ValidationError",
    "WrongSessionError",
    "WrongStateError",
    "WrongTransactionError",
]
