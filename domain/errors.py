"""All exceptions of the package. This module imports no other module of the package.

There are two families. A ``DomainError`` can occur in a correct program: it has a stable
``code``, an HTTP status, a flag that says whether a retry can help, and messages in Korean and
English. A ``MisuseError`` reports a bug in the calling code; it derives from ``RuntimeError``, so
that ``except DomainError`` never hides one.

Each ``DomainError`` is a dataclass whose fields are its data. The fields are declared with their
types, so that a type checker reports a name that does not exist.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias
from uuid import UUID

Language: TypeAlias = Literal["ko", "en"]

RETRY_AFTER: Final = 1
"""The seconds until a client may retry if a lock is held or the database is busy.

The value is a constant. A lock is usually held for milliseconds, and the age of its holder's
transaction does not predict how much longer the lock is held, because the age includes the time
for which the holder itself waited. ``domain.retrying`` adds increasing pauses.
"""

# The metadata key for the name of a field in the problem document; the value None omits the field.
_MEMBER: Final = "problem member"


# --- base classes ------------------------------------------------------------------------


# The dataclass is not frozen because contextlib assigns ``__traceback__``. ``eq=False`` keeps the
# comparison by identity, which is usual for exceptions.
@dataclass(eq=False, repr=False, kw_only=True)
class DomainError(Exception):
    """A refused request, with its data as fields, from which its two messages are formatted.

    The constructor accepts the fields as keyword arguments. ``str()`` returns the English message.
    An error can be pickled and copied, including its notes.
    """

    code: ClassVar[str]
    http_status: ClassVar[int]
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed if it is repeated."""
    ko: ClassVar[str]
    en: ClassVar[str]

    retry_after: int | None = dataclasses.field(default=None, init=False)
    """The value of the ``Retry-After`` header in seconds, or ``None`` for no such header."""

    def __post_init__(self) -> None:
        super().__init__(self.message("en"))

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is rebuilt by calling its class with ``args``, which is only the
        # message; the constructors here require the fields instead.
        return _new_without_init, (type(self), self.args), vars(self)

    @property
    def data(self) -> Mapping[str, Any]:
        """The fields that were passed to the constructor, by name; read-only."""
        names = (item.name for item in _data_fields(self))
        return MappingProxyType({name: getattr(self, name) for name in names})

    def message(self, language: Language = "ko") -> str:
        """Return the message for the user in the given language, Korean by default."""
        return (self.ko if language == "ko" else self.en).format(**self.data)

    def to_problem(self, language: Language = "ko") -> dict[str, Any]:
        """Return the members of an RFC 9457 problem document, ready for ``json.dumps``.

        The members include the data, except for fields that are only meant for the application,
        such as the ``holder`` of a lock.
        """
        members = {item.metadata.get(_MEMBER, item.name): item.name for item in _data_fields(self)}
        return {
            "type": f"urn:studyplan:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.http_status,
            "detail": self.message(language),
            "code": self.code,
            "retryable": self.retryable,
            **{member: _to_json(getattr(self, name)) for member, name in members.items() if member},
        }


class MisuseError(RuntimeError):
    """The calling code violated a rule of the package.

    The message names the rule and says what to do instead.
    """


# --- locks ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The holder of a lock; a field is ``None`` if the database does not report it.

    PostgreSQL does not publish when a lock was granted. ``since`` is the start of the holder's
    transaction, so ``held_ms`` is an upper bound: it includes everything that the transaction did
    before it acquired the lock, in particular waiting for it. Both are ``None`` for a
    transaction of another role unless the current role may read ``pg_stat_activity``, for a holder
    with ``track_activities`` off, for a prepared transaction, and for a session-level lock (which
    the package never acquires) while its session is idle. While that session is in a transaction,
    both describe that transaction.

    ``gid`` is the identifier of a prepared transaction, which has no process: ``COMMIT
    PREPARED`` or ``ROLLBACK PREPARED`` releases its locks. Non-ASCII characters are shown as
    question marks.
    """

    pid: int | None
    since: datetime | None
    held_ms: int | None
    application_name: str | None
    gid: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class LockError(DomainError):
    """A lock was not granted; no changes of the transaction are stored.

    ``scope`` is the kind of the lock; only timeouts have the scope ``row``. ``holder`` names
    processes and applications of the server, so it is not part of the problem document.
    """

    http_status = 409
    retryable = True

    group_id: UUID | None
    scope: Literal["group", "student", "row"] = "group"
    holder: LockHolder | None = dataclasses.field(default=None, metadata={_MEMBER: None})
    retry_after: int | None = RETRY_AFTER


class PlanGroupLockedError(LockError):
    """Another request holds the lock of the group or of its student; this request did not wait."""

    code = "plan_group_locked"
    ko = "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."
    en = "Plans are already being generated for this group. Please try again in a moment."


@dataclass(eq=False, repr=False, kw_only=True)
class LockTimeoutError(LockError):
    """The lock was held by other transactions for the entire wait, which is limited.

    A shorter ``statement_timeout`` or ``transaction_timeout`` also limits the wait. ``scope`` is
    ``row`` if the wait was for a table row that is being changed by a transaction that does not
    use the package's locks. That wait is not measured, so ``waited_ms`` and ``holder`` are
    ``None``.
    """

    code = "plan_group_lock_timeout"
    ko = PlanGroupLockedError.ko
    en = PlanGroupLockedError.en
    _of_row: ClassVar[Mapping[Language, str]] = {
        "ko": "다른 요청이 같은 데이터를 변경하고 있습니다. 잠시 후 다시 시도해주세요.",
        "en": "Another request is changing the same rows. Please try again in a moment.",
    }

    waited_ms: int | None = None

    def message(self, language: Language = "ko") -> str:
        """Return the message; that of a row lock does not mention a generation.

        The transaction that holds the row need not be a generation.
        """
        return self._of_row[language] if self.scope == "row" else super().message(language)


# --- rows that do not exist -------------------------------------------------------------


class NotFoundError(DomainError):
    """The row does not exist, or it belongs to another tenant; the two are not distinguished."""

    http_status = 404


@dataclass(eq=False, repr=False, kw_only=True)
class PlanGroupNotFoundError(NotFoundError):
    """The tenant has no such plan group."""

    code = "plan_group_not_found"
    ko = "플랜 그룹을 찾을 수 없습니다."
    en = "The plan group was not found."

    group_id: UUID


@dataclass(eq=False, repr=False, kw_only=True)
class ContentNotFoundError(NotFoundError):
    """The group has no such content."""

    code = "content_not_found"
    ko = "콘텐츠를 찾을 수 없습니다."
    en = "The content was not found."

    content_id: UUID


@dataclass(eq=False, repr=False, kw_only=True)
class StudentPlanNotFoundError(NotFoundError):
    """The group has no such plan."""

    code = "student_plan_not_found"
    ko = "플랜을 찾을 수 없습니다."
    en = "The plan was not found."

    plan_id: UUID


@dataclass(eq=False, repr=False, kw_only=True)
class TimeEntryNotFoundError(NotFoundError):
    """The entry does not exist, or belongs to another group or student; ``kind`` is its table."""

    code = "time_entry_not_found"
    ko = "시간 항목을 찾을 수 없습니다."
    en = "The time entry was not found."

    entry_id: UUID
    kind: str


# --- requests that the group's state forbids --------------------------------------------


class WrongStateError(DomainError):
    """The group's state does not allow the request."""

    http_status = 409


@dataclass(eq=False, repr=False, kw_only=True)
class PlanGroupNotGeneratableError(WrongStateError):
    """The group is neither saved nor active."""

    code = "plan_group_not_generatable"
    ko = "플랜 그룹이 저장되거나 활성화된 상태에서만 플랜을 생성할 수 있습니다."
    en = (
        "Plans can be generated only while the plan group is saved or active; it is {group_status}."
    )

    group_id: UUID
    group_status: str


@dataclass(eq=False, repr=False, kw_only=True)
class PlanGroupNotEditableError(WrongStateError):
    """The group is completed or cancelled."""

    code = "plan_group_not_editable"
    ko = "완료되거나 취소된 플랜 그룹은 수정할 수 없습니다."
    en = "A completed or cancelled plan group cannot be edited; it is {group_status}."

    group_id: UUID
    group_status: str


@dataclass(eq=False, repr=False, kw_only=True)
class TransitionNotAllowedError(WrongStateError):
    """The group cannot change from ``from_status`` to ``to_status``."""

    code = "transition_not_allowed"
    ko = "{from_status} 상태에서 {to_status} 상태로 전이할 수 없습니다."
    en = "A plan group cannot change from {from_status} to {to_status}."
    _korean: ClassVar[Mapping[str, str]] = {
        "draft": "초안",
        "saved": "저장됨",
        "active": "활성",
        "paused": "일시정지",
        "cancelled": "취소됨",
        "completed": "완료",
    }

    group_id: UUID
    from_status: str
    to_status: str

    def message(self, language: Language = "ko") -> str:
        """Return the message, in which the states are named in the message's language."""
        if language == "en":
            return super().message(language)
        return self.ko.format(
            from_status=self._korean[self.from_status], to_status=self._korean[self.to_status]
        )


# --- input ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one field, such as ``contents[0].range``."""

    field: str
    message: str


class ValidationError(DomainError):
    """The input is invalid; nothing was written."""

    http_status = 422


@dataclass(eq=False, repr=False, init=False)
class InvalidInputError(ValidationError):
    """One or more fields are invalid; ``errors`` has one entry per problem.

    ``field`` lists the names of the fields without repetition. ``str()`` returns all errors with
    their messages.
    """

    code = "invalid_input"
    ko = "입력값이 올바르지 않습니다: {field}"
    en = "Invalid input: {field}"

    errors: tuple[FieldError, ...]
    field: str

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        self.field = ", ".join(dict.fromkeys(error.field for error in self.errors))
        self.__post_init__()

    def __str__(self) -> str:
        return "; ".join(f"{error.field}: {error.message}" for error in self.errors)

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        """Return an error for a single field."""
        return cls([FieldError(field, message)])

    @classmethod
    def raise_if_any(cls, errors: Iterable[FieldError]) -> None:
        """Raise this error with ``errors`` unless they are empty."""
        if found := tuple(errors):
            raise cls(found)

    @classmethod
    def require_uuids(cls, **ids: object) -> None:
        """Raise this error if any id is not a UUID; it names each of them.

        The check is for callers that do not use a type checker.
        """
        cls.raise_if_any(
            FieldError(name, "must be a UUID")
            for name, id_ in ids.items()
            if not isinstance(id_, UUID)
        )


@dataclass(eq=False, repr=False, kw_only=True)
class IdempotencyMismatchError(ValidationError):
    """The idempotency key was already used for another group or another input."""

    code = "idempotency_mismatch"
    ko = "같은 요청 키가 다른 내용으로 사용되었습니다."
    en = "The same request key was used for different input."

    idempotency_key: str


# --- planning ---------------------------------------------------------------------------


DayReason: TypeAlias = Literal["excluded", "no_study_time", "full", "unused"]


@dataclass(frozen=True, slots=True)
class DayWithoutPlan:
    """A date without a plan, and the reason."""

    date: date
    reason: DayReason


class SchedulingError(DomainError):
    """The group cannot be planned as requested. A full calendar is not an error."""

    http_status = 422


class NoContentsError(SchedulingError):
    """The group has no contents."""

    code = "no_contents"
    ko = "플랜 콘텐츠가 없습니다."
    en = "The plan group has no contents."


class NoBlocksError(SchedulingError):
    """The group has no weekly study time."""

    code = "no_blocks"
    ko = "블록 세트가 설정되지 않았습니다."
    en = "The plan group has no study blocks."


class NoStudyDaysError(SchedulingError):
    """All remaining dates of the period are excluded."""

    code = "no_study_days"
    ko = "학습 가능한 날짜가 없습니다. 기간과 제외일을 확인해주세요."
    en = "The period has no day available for study. Please check the period and the exclusions."


@dataclass(eq=False, repr=False, kw_only=True)
class NothingPlacedError(SchedulingError):
    """There were units to plan, but no study plan could be placed; ``days`` has the reasons."""

    code = "nothing_placed"
    ko = "일정에 맞는 플랜을 생성할 수 없습니다. 기간과 콘텐츠 양을 확인해주세요."
    en = "No plan fits the schedule. Please check the period and the amount of content."

    days: tuple[DayWithoutPlan, ...] = ()


# --- concurrent changes -----------------------------------------------------------------


@dataclass(eq=False, repr=False, kw_only=True)
class EditedMeanwhileError(DomainError):
    """The rows have changed since the caller read them; the same request would fail again."""

    code = "edited_meanwhile"
    http_status = 409
    ko = "플랜이 이미 수정되었습니다. 새로고침 후 다시 시도해주세요."
    en = "The plans have been changed in the meantime. Please reload and try again."

    group_id: UUID | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class GeneratedMeanwhileError(DomainError):
    """The group's generation or state changed, the lock was lost, or the plans to replace changed.

    A new attempt reads the group again.
    """

    code = "generated_meanwhile"
    http_status = 409
    retryable = True
    ko = "다른 요청이 먼저 플랜을 생성했습니다. 새로고침 후 다시 시도해주세요."
    en = "Another request generated the plans first. Please reload and try again."

    group_id: UUID | None = None


UndoReason: TypeAlias = Literal[
    "nothing_to_undo", "history_removed", "plans_changed", "time_occupied"
]


@dataclass(frozen=True, slots=True)
class PlanInTheWay:
    """A live plan that prevents an undo; its time is in minutes of the day."""

    plan_id: UUID
    group_id: UUID
    date: date
    start_minute: int
    end_minute: int


@dataclass(eq=False, repr=False, kw_only=True)
class UndoNotPossibleError(DomainError):
    """The last run cannot be taken back; nothing was changed.

    ``reason`` says what stands in the way: no run is left that changed a plan, its history was
    removed, its ``plans`` were marked, moved or retired since or other ``plans`` were marked with
    their units, or ``plans`` of the student occupy the time of those that would become live again.
    """

    code = "undo_not_possible"
    http_status = 409
    ko = "이후에 변경된 내용이 있어 되돌릴 수 없습니다."
    en = "The last change of the plans cannot be undone, because something has changed since."
    _nothing: ClassVar[Mapping[Language, str]] = {
        "ko": "되돌릴 변경 내용이 없습니다.",
        "en": "There is no change of the plans to undo.",
    }

    group_id: UUID
    reason: UndoReason
    generation: int | None = None
    """The number of the run that would have been taken back."""
    plans: tuple[PlanInTheWay, ...] = ()

    def message(self, language: Language = "ko") -> str:
        """Return the message, which differs if there is nothing to undo."""
        if self.reason in {"nothing_to_undo", "history_removed"}:
            return self._nothing[language]
        return super().message(language)


@dataclass(eq=False, repr=False, kw_only=True)
class StudentPlansOverlapError(DomainError):
    """The exclusion constraint rejected a plan that overlaps another live plan of the student."""

    code = "student_plans_overlap"
    http_status = 409
    retryable = True
    ko = "학생의 다른 플랜과 시간이 겹칩니다. 다시 시도해주세요."
    en = "The plans overlap other plans of the student. Please try again."

    student_id: UUID | None = None


# --- the database -----------------------------------------------------------------------


class CommitOutcomeUnknownError(DomainError):
    """The connection was lost during the commit, so the changes may or may not be stored.

    A retry is safe only with an idempotency key, so the error itself is not ``retryable``.
    """

    code = "commit_outcome_unknown"
    http_status = 503
    ko = "저장 결과를 확인할 수 없습니다. 새로고침하여 확인해주세요."
    en = "It is unknown whether the changes were stored. Please reload and check."


@dataclass(eq=False, repr=False, kw_only=True)
class DatabaseBusyError(DomainError):
    """No connection was available, in the pool or on the server; nothing was executed."""

    code = "database_busy"
    http_status = 503
    retryable = True
    ko = "요청이 많아 잠시 처리할 수 없습니다. 잠시 후 다시 시도해주세요."
    en = "There are too many requests at the moment. Please try again shortly."

    retry_after: int | None = RETRY_AFTER


class DatabaseReadOnlyError(DomainError):
    """The server is a hot standby, for example because the primary was demoted after a failover.

    Nothing was written. The pool replaces its connections, so that the next attempt can
    reach the new primary.
    """

    code = "database_read_only"
    http_status = 503
    retryable = True
    ko = "지금은 변경 내용을 저장할 수 없습니다. 잠시 후 다시 시도해주세요."
    en = (
        "The database server is a standby and accepts no writes at the moment. "
        "Please try again shortly."
    )


# --- misuse: the message says what to do, and is written where the error is raised -------


class UnitOfWorkStateError(MisuseError):
    """The unit of work was entered twice, or used outside its block or after ``commit()``."""


class UncommittedChangesError(MisuseError):
    """The block ended with uncommitted changes and without ``commit()`` or ``rollback()``."""


class LockNotHeldError(MisuseError):
    """A write was attempted in a transaction that does not hold the group's lock."""


class WrongTransactionError(MisuseError):
    """The lock cannot protect this transaction.

    It is in autocommit mode, is read-only, is not the outermost transaction, has an isolation level
    above READ COMMITTED, or already holds a shared lock.
    """


class WrongSessionError(MisuseError):
    """The session factory returned an object that is not a Session that can hold a lock.

    The returned object is left unchanged.
    """


class SchemaError(MisuseError):
    """The server, schema, lock functions or privileges do not meet the package's requirements."""


# ----------------------------------------------------------------------------------------


def _data_fields(error: DomainError) -> list[dataclasses.Field[Any]]:
    return [item for item in dataclasses.fields(error) if item.init]


def _new_without_init(kind: type[DomainError], args: tuple[Any, ...]) -> DomainError:
    return kind.__new__(kind, *args)


def _to_json(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case date():
            return value.isoformat()
        case tuple() | list():
            return list(map(_to_json, value))
        case _ if is_dataclass(value) and not isinstance(value, type):
            items = dataclasses.fields(value)
            return {item.name: _to_json(getattr(value, item.name)) for item in items}
        case _:
            return value
