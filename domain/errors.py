"""Every exception of the package. Imports nothing of it.

There are two families. A ``DomainError`` can happen to a correct program: it has a stable
``code``, an HTTP status, says whether a retry can help, and has its text in Korean and English.
A ``MisuseError`` is a bug in the calling code; it derives from ``RuntimeError``, so that
``except DomainError`` never hides one.

Each ``DomainError`` is a dataclass whose fields are its data. They are declared with their
types, so a type checker refuses a name that does not exist.
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
"""Seconds after which a client may repeat a request that met a lock or a busy database.

It is a constant: a lock is usually held for milliseconds, and how long its holder's transaction
has lasted says nothing about how much longer it will, since that includes the time for which the
holder itself waited. ``domain.retrying`` adds growing pauses.
"""

# The key of a field's metadata for its name in the problem document; None leaves it out.
_MEMBER: Final = "problem member"


# --- the two families -------------------------------------------------------------------


# Not frozen: contextlib assigns ``__traceback__``. Compared by identity, as exceptions are.
@dataclass(eq=False, repr=False, kw_only=True)
class DomainError(Exception):
    """A refusal with its data as fields, from which its two texts are built.

    The constructor takes the fields by keyword. ``str()`` is the English text. An error can be
    pickled and copied, its notes included.
    """

    code: ClassVar[str]
    http_status: ClassVar[int]
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed when it is repeated."""
    ko: ClassVar[str]
    en: ClassVar[str]

    retry_after: int | None = dataclasses.field(default=None, init=False)
    """The seconds of a ``Retry-After`` header; ``None`` for an error that has none."""

    def __post_init__(self) -> None:
        super().__init__(self.message("en"))

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is otherwise rebuilt by calling its class with ``args``, the text.
        return _without_constructor, (type(self), self.args), vars(self)

    @property
    def data(self) -> Mapping[str, Any]:
        """The fields that the error was made with, by name; read-only."""
        return MappingProxyType({one.name: getattr(self, one.name) for one in _given(self)})

    def message(self, language: Language = "ko") -> str:
        """Return the text for the user, in Korean unless asked otherwise."""
        return (self.ko if language == "ko" else self.en).format(**self.data)

    def to_problem(self, language: Language = "ko") -> dict[str, Any]:
        """Return the members of an RFC 9457 problem document, ready for ``json.dumps``.

        They include the data, except what is for the application only, such as the ``holder``
        of a lock.
        """
        members = {one.metadata.get(_MEMBER, one.name): one.name for one in _given(self)}
        return {
            "type": f"urn:studyplan:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.http_status,
            "detail": self.message(language),
            "code": self.code,
            "retryable": self.retryable,
            **{member: _plain(getattr(self, name)) for member, name in members.items() if member},
        }


class MisuseError(RuntimeError):
    """The calling code broke a rule of the package; the text says which, and the way out."""


# --- locks ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock, as far as the database reports it; other fields are ``None``.

    PostgreSQL does not publish when a lock was granted. ``since`` is when the holder's
    transaction began, and so ``held_ms`` is an upper bound: it includes what that
    transaction did before, waiting for this lock above all. Both are ``None`` for another
    role's transaction unless the asking role may read ``pg_stat_activity``, for a holder with
    ``track_activities`` off, for a prepared transaction, and for a session-level lock (which
    the package never takes) while its session is idle; while it is in a transaction, they are
    that transaction's.

    ``gid`` is the identifier of a prepared transaction, which has no process: ``COMMIT
    PREPARED`` or ``ROLLBACK PREPARED`` frees its locks. Characters outside ASCII are shown as
    question marks.
    """

    pid: int | None
    since: datetime | None
    held_ms: int | None
    application_name: str | None
    gid: str | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class LockError(DomainError):
    """A lock was not granted; nothing is kept of what the transaction did.

    ``scope`` is whose lock it was; ``row`` only of a timeout. ``holder`` names processes and
    applications of the server, so it is not in the problem document.
    """

    http_status = 409
    retryable = True

    group_id: UUID | None
    scope: Literal["group", "student", "row"] = "group"
    holder: LockHolder | None = dataclasses.field(default=None, metadata={_MEMBER: None})
    retry_after: int | None = RETRY_AFTER


class PlanGroupLockedError(LockError):
    """The lock, of the group or of its student, is held by another request; there was no wait."""

    code = "plan_group_locked"
    ko = "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."
    en = "Plans are already being generated for this group. Please try again in a moment."


@dataclass(eq=False, repr=False, kw_only=True)
class LockTimeoutError(LockError):
    """The lock was held by others for the whole of the bounded wait.

    A ``statement_timeout`` or ``transaction_timeout`` that is shorter bounds the wait too.
    ``scope`` is ``row`` for a row of a table, which a transaction outside the package's locks
    is changing. That wait is not measured: ``waited_ms`` is ``None`` then, and so is ``holder``.
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
        """Return the text; a row has its own, for no generation need be changing it."""
        return self._of_row[language] if self.scope == "row" else super().message(language)


# --- what does not exist ----------------------------------------------------------------


class NotFoundError(DomainError):
    """There is no such row, or it belongs to another tenant; the two are not distinguished."""

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
    """There is no such block, non-study block, exclusion or class; ``kind`` names its table."""

    code = "time_entry_not_found"
    ko = "시간 항목을 찾을 수 없습니다."
    en = "The time entry was not found."

    entry_id: UUID
    kind: str


# --- what the group's state does not allow ----------------------------------------------


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
    """The one state does not follow the other."""

    code = "transition_not_allowed"
    ko = "{from_status} 상태에서 {to_status} 상태로 전이할 수 없습니다."
    en = "A plan group cannot go from {from_status} to {to_status}."
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
        """Return the text, with the states in its own language."""
        if language == "en":
            return super().message(language)
        return self.ko.format(
            from_status=self._korean[self.from_status], to_status=self._korean[self.to_status]
        )


# --- input ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field, such as ``contents[0].range``."""

    field: str
    message: str


class ValidationError(DomainError):
    """The input was refused as a whole; nothing was written."""

    http_status = 422


@dataclass(eq=False, repr=False, init=False)
class InvalidInputError(ValidationError):
    """One or more fields are invalid; ``errors`` has one entry per problem.

    ``field`` names the fields, each once. ``str()`` has the errors with their messages.
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
        """Return the error for a single field."""
        return cls([FieldError(field, message)])

    @classmethod
    def raise_if_any(cls, errors: Iterable[FieldError]) -> None:
        """Raise the error unless ``errors`` is empty."""
        if found := tuple(errors):
            raise cls(found)

    @classmethod
    def require_uuids(cls, **ids: object) -> None:
        """Raise the error for every id that is not a UUID, for callers without a type checker."""
        cls.raise_if_any(
            FieldError(name, "must be a UUID")
            for name, id_ in ids.items()
            if not isinstance(id_, UUID)
        )


@dataclass(eq=False, repr=False, kw_only=True)
class IdempotencyMismatchError(ValidationError):
    """The idempotency key was used before, for another group or another input."""

    code = "idempotency_mismatch"
    ko = "같은 요청 키가 다른 내용으로 사용되었습니다."
    en = "The same request key was used for different input."

    idempotency_key: str


# --- planning ---------------------------------------------------------------------------


DayReason: TypeAlias = Literal["excluded", "no_study_time", "full", "unused"]


@dataclass(frozen=True, slots=True)
class DayWithoutPlan:
    """A date on which nothing was placed, and why."""

    date: date
    reason: DayReason


class SchedulingError(DomainError):
    """The request is impossible as it stands. A full calendar is not an error."""

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
    """Every remaining date of the period is excluded."""

    code = "no_study_days"
    ko = "학습 가능한 날짜가 없습니다. 기간과 제외일을 확인해주세요."
    en = "There is no day to study on. Please check the period and the exclusions."


@dataclass(eq=False, repr=False, kw_only=True)
class NothingPlacedError(SchedulingError):
    """There was something to plan, and no study row resulted; ``days`` give the reasons."""

    code = "nothing_placed"
    ko = "일정에 맞는 플랜을 생성할 수 없습니다. 기간과 콘텐츠 양을 확인해주세요."
    en = "No plan fits the schedule. Please check the period and the amount of content."

    days: tuple[DayWithoutPlan, ...] = ()


# --- concurrent changes -----------------------------------------------------------------


@dataclass(eq=False, repr=False, kw_only=True)
class EditedMeanwhileError(DomainError):
    """The rows are not in the state that the caller saw; the same request would fail again."""

    code = "edited_meanwhile"
    http_status = 409
    ko = "플랜이 이미 수정되었습니다. 새로고침 후 다시 시도해주세요."
    en = "The plans were changed meanwhile. Please reload and try again."

    group_id: UUID | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class GeneratedMeanwhileError(DomainError):
    """The fence moved, the lock was lost, or the rows to replace are not those that were read.

    A new attempt reads the group again.
    """

    code = "generated_meanwhile"
    http_status = 409
    retryable = True
    ko = "다른 요청이 먼저 플랜을 생성했습니다. 새로고침 후 다시 시도해주세요."
    en = "Another request generated the plans first. Please reload and try again."

    group_id: UUID | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class StudentPlansOverlapError(DomainError):
    """The exclusion constraint refused a second live plan of the student at one time."""

    code = "student_plans_overlap"
    http_status = 409
    retryable = True
    ko = "학생의 다른 플랜과 시간이 겹칩니다. 다시 시도해주세요."
    en = "The time overlaps another plan of the student. Please try again."

    student_id: UUID | None = None


# --- the database -----------------------------------------------------------------------


class CommitOutcomeUnknownError(DomainError):
    """The connection was lost during the commit: the work may be stored, or not.

    A retry is safe only with an idempotency key, so the error by itself is not ``retryable``.
    """

    code = "commit_outcome_unknown"
    http_status = 503
    ko = "저장 결과를 확인할 수 없습니다. 새로고침하여 확인해주세요."
    en = "It is not known whether the changes were stored. Please reload and check."


@dataclass(eq=False, repr=False, kw_only=True)
class DatabaseBusyError(DomainError):
    """No connection became free, in the pool or on the server; nothing was done."""

    code = "database_busy"
    http_status = 503
    retryable = True
    ko = "요청이 많아 잠시 처리할 수 없습니다. 잠시 후 다시 시도해주세요."
    en = "There are too many requests at the moment. Please try again shortly."

    retry_after: int | None = RETRY_AFTER


class DatabaseReadOnlyError(DomainError):
    """The server is a hot standby: a pool still points to a primary that was demoted.

    Nothing was written. The pool replaces its connections, so that the next attempt may
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


# --- misuse: the text is the help, and is written where the error is raised --------------


class UnitOfWorkStateError(MisuseError):
    """The unit of work was entered twice, or used outside its block or after ``commit()``."""


class UncommittedChangesError(MisuseError):
    """The block ended without ``commit()`` or ``rollback()`` although something was written."""


class LockNotHeldError(MisuseError):
    """A write was about to leave a transaction that does not hold the group's lock."""


class WrongTransactionError(MisuseError):
    """The lock cannot protect this transaction: autocommit, isolation, or not the outermost."""


class WrongSessionError(MisuseError):
    """The session factory gives no Session that can hold a lock; what it gave is unchanged."""


class SchemaError(MisuseError):
    """The database lacks the schema or the lock functions, or has another version of them."""


# ----------------------------------------------------------------------------------------


def _given(error: DomainError) -> list[dataclasses.Field[Any]]:
    return [one for one in dataclasses.fields(error) if one.init]


def _without_constructor(kind: type[DomainError], args: tuple[Any, ...]) -> DomainError:
    return kind.__new__(kind, *args)


def _plain(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case date():
            return value.isoformat()
        case tuple() | list():
            return list(map(_plain, value))
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
        case _:
            return value
