"""Every exception of the package. Imports nothing of it.

Two families. ``DomainError`` is what can happen to a correct program: it has a stable
``code``, an HTTP status, says whether trying again can help, and speaks Korean and
English. ``MisuseError`` is a mistake in the calling code; it derives from
``RuntimeError``, so ``except DomainError`` never hides a bug.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self
from uuid import UUID


class DomainError(Exception):
    """A refusal with its data as attributes; the sentences are built from them.

    Every keyword given to the constructor is an attribute, a field of ``to_problem()``
    and a name that the sentences ``ko`` and ``en`` may use.
    """

    code: ClassVar[str]
    http_status: ClassVar[int]
    retryable: ClassVar[bool] = False
    ko: ClassVar[str]
    en: ClassVar[str]

    def __init__(self, **data: Any) -> None:
        self.data: Mapping[str, Any] = MappingProxyType(data)
        super().__init__(self.message("en"))

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), dict(self.data))

    def message(self, language: Literal["ko", "en"] = "ko") -> str:
        """The sentence for the user, in Korean unless asked otherwise."""
        return (self.ko if language == "ko" else self.en).format(**self.data)

    def to_problem(self, language: Literal["ko", "en"] = "ko") -> dict[str, Any]:
        """The fields of an RFC 9457 problem document, ready for ``json.dumps``."""
        return {
            "type": f"urn:studyplan:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.http_status,
            "detail": self.message(language),
            "code": self.code,
            "retryable": self.retryable,
            **{name: _plain(value) for name, value in self.data.items()},
        }


class MisuseError(RuntimeError):
    """The calling code broke a rule of the package; the text says which, and the way out."""


# --- not found, wrong state ---------------------------------------------------------


class NotFoundError(DomainError):
    """There is no such row, or it belongs to another tenant, which is told the same way."""

    http_status = 404


class PlanGroupNotFoundError(NotFoundError):
    code = "plan_group_not_found"
    ko = "플랜 그룹을 찾을 수 없습니다."
    en = "The plan group was not found."

    def __init__(self, *, group_id: UUID) -> None:
        super().__init__(group_id=group_id)


class WrongStateError(DomainError):
    """The group's state does not allow the request."""

    http_status = 409


class PlanGroupNotGeneratableError(WrongStateError):
    code = "plan_group_not_generatable"
    ko = "플랜 그룹이 저장되거나 활성화된 상태에서만 플랜을 생성할 수 있습니다."
    en = (
        "Plans can be generated only while the plan group is saved or active; it is {group_status}."
    )

    def __init__(self, *, group_id: UUID, group_status: str) -> None:
        super().__init__(group_id=group_id, group_status=group_status)


class TransitionNotAllowedError(WrongStateError):
    code = "transition_not_allowed"
    ko = "{from_status} 상태에서 {to_status} 상태로 전이할 수 없습니다."
    en = "A plan group cannot go from {from_status} to {to_status}."
    _KOREAN: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "draft": "초안",
            "saved": "저장됨",
            "active": "활성",
            "paused": "일시정지",
            "cancelled": "취소됨",
            "completed": "완료",
        }
    )

    def __init__(self, *, group_id: UUID, from_status: str, to_status: str) -> None:
        super().__init__(group_id=group_id, from_status=from_status, to_status=to_status)

    def message(self, language: Literal["ko", "en"] = "ko") -> str:
        """The sentence, with the states in its own language."""
        if language == "en":
            return super().message(language)
        words = {name: self._KOREAN[self.data[name]] for name in ("from_status", "to_status")}
        return self.ko.format(**words)


class PlanGroupNotEditableError(WrongStateError):
    code = "plan_group_not_editable"
    ko = "완료되거나 취소된 플랜 그룹은 수정할 수 없습니다."
    en = "A completed or cancelled plan group cannot be edited; it is {group_status}."

    def __init__(self, *, group_id: UUID, group_status: str) -> None:
        super().__init__(group_id=group_id, group_status=group_status)


class ContentNotFoundError(NotFoundError):
    code = "content_not_found"
    ko = "콘텐츠를 찾을 수 없습니다."
    en = "The content was not found."

    def __init__(self, *, content_id: UUID) -> None:
        super().__init__(content_id=content_id)


class StudentPlanNotFoundError(NotFoundError):
    code = "student_plan_not_found"
    ko = "플랜을 찾을 수 없습니다."
    en = "The plan was not found."

    def __init__(self, *, plan_id: UUID) -> None:
        super().__init__(plan_id=plan_id)


class TimeEntryNotFoundError(NotFoundError):
    """A block, a non-study block, an exclusion or a class; ``kind`` names its table."""

    code = "time_entry_not_found"
    ko = "시간 항목을 찾을 수 없습니다."
    en = "The time entry was not found."

    def __init__(self, *, entry_id: UUID, kind: str) -> None:
        super().__init__(entry_id=entry_id, kind=kind)


# --- the lock -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock, as far as the database tells: ``None`` where the role may not see."""

    pid: int | None
    since: datetime | None
    held_ms: int | None
    application_name: str | None

    @property
    def retry_after(self) -> int | None:
        """Seconds after which to try again: as long again as it has been held, 1 to 30."""
        return None if self.held_ms is None else min(30, max(1, -(-self.held_ms // 1000)))


class LockError(DomainError):
    """The lock was not taken; nothing was read and nothing was written."""

    http_status = 409
    retryable = True


class PlanGroupLockedError(LockError):
    """Somebody else holds the lock, of the group or of its student, and no wait was possible.

    ``retry_after`` is in seconds, ``None`` where the database does not tell about the holder.
    """

    code = "plan_group_locked"
    ko = "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."
    en = "Plans are already being generated for this group. Please try again in a moment."

    def __init__(
        self,
        *,
        group_id: UUID | None,
        scope: Literal["group", "student"] = "group",
        holder: LockHolder | None = None,
        retry_after: int | None = None,
    ) -> None:
        told = retry_after or (holder.retry_after if holder else None)
        super().__init__(group_id=group_id, scope=scope, holder=holder, retry_after=told)


class LockTimeoutError(LockError):
    """Somebody else held the lock for the whole of the bounded wait."""

    code = "plan_group_lock_timeout"
    ko = PlanGroupLockedError.ko
    en = PlanGroupLockedError.en

    def __init__(
        self,
        *,
        group_id: UUID | None,
        waited_ms: int,
        scope: Literal["group", "student"] = "group",
        holder: LockHolder | None = None,
        retry_after: int | None = None,
    ) -> None:
        told = retry_after or (holder.retry_after if holder else None)
        super().__init__(
            group_id=group_id, waited_ms=waited_ms, scope=scope, holder=holder, retry_after=told
        )


class EditedMeanwhileError(DomainError):
    """The rows changed under the caller: an old version, a lost lock, or a raised fence."""

    code = "edited_meanwhile"
    http_status = 409
    retryable = True
    ko = "플랜이 이미 수정되었습니다. 새로고침 후 다시 시도해주세요."
    en = "The plans were changed meanwhile. Please reload and try again."

    def __init__(self, *, group_id: UUID | None = None) -> None:
        super().__init__(group_id=group_id)


class StudentPlansOverlapError(DomainError):
    """The exclusion constraint refused a second live plan of the student at one time."""

    code = "student_plans_overlap"
    http_status = 409
    retryable = True
    ko = "학생의 다른 플랜과 시간이 겹칩니다. 다시 시도해주세요."
    en = "The time overlaps another plan of the student. Please try again."

    def __init__(self, *, student_id: UUID | None = None) -> None:
        super().__init__(student_id=student_id)


class CommitOutcomeUnknownError(DomainError):
    """The connection died during the commit: the work may be stored, or not.

    Trying again is safe only with an idempotency key, and so not ``retryable`` by itself.
    """

    code = "commit_outcome_unknown"
    http_status = 503
    ko = "저장 결과를 확인할 수 없습니다. 새로고침하여 확인해주세요."
    en = "It is not known whether the changes were stored. Please reload and check."


# --- scheduling ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DayWithoutPlan:
    """A date on which nothing could be placed: ``no_study_time`` or ``full``."""

    date: date
    reason: str


class SchedulingError(DomainError):
    """The request is impossible as it stands. A full calendar is no error."""

    http_status = 422


class NoContentsError(SchedulingError):
    code = "no_contents"
    ko = "플랜 콘텐츠가 없습니다."
    en = "The plan group has no contents."


class NoBlocksError(SchedulingError):
    code = "no_blocks"
    ko = "블록 세트가 설정되지 않았습니다."
    en = "The plan group has no study blocks."


class NoStudyDaysError(SchedulingError):
    code = "no_study_days"
    ko = "학습 가능한 날짜가 없습니다. 기간과 제외일을 확인해주세요."
    en = "There is no day to study on. Please check the period and the exclusions."


class NothingPlacedError(SchedulingError):
    """There was something to plan and no study row came of it; ``days`` tell why."""

    code = "nothing_placed"
    ko = "일정에 맞는 플랜을 생성할 수 없습니다. 기간과 콘텐츠 양을 확인해주세요."
    en = "No plan fits the schedule. Please check the period and the amount of content."

    def __init__(self, *, days: Iterable[DayWithoutPlan] = ()) -> None:
        super().__init__(days=tuple(days))


# --- validation ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one field, such as ``contents[0].range``."""

    field: str
    message: str


class ValidationError(DomainError):
    """The input was refused whole; nothing was written."""

    http_status = 422


class IdempotencyMismatchError(ValidationError):
    """The idempotency key was used before, for another group or another input."""

    code = "idempotency_mismatch"
    ko = "같은 요청 키가 다른 내용으로 사용되었습니다."
    en = "The same request key was used for different input."

    def __init__(self, *, idempotency_key: str) -> None:
        super().__init__(idempotency_key=idempotency_key)


class InvalidInputError(ValidationError):
    """One entry of ``faults`` for every field that is wrong."""

    code = "invalid_input"
    ko = "입력값이 올바르지 않습니다: {field}"
    en = "Invalid input: {field}"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        fields = dict.fromkeys(fault.field for fault in self.faults)
        super().__init__(field=", ".join(fields), errors=self.faults)

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        """The error for a single field."""
        return cls([Fault(field, message)])

    @classmethod
    def unless_uuids(cls, **ids: object) -> None:
        """Raise for every id that is none; callers without a type checker pass what a URL has."""
        wrong = [name for name, id_ in ids.items() if not isinstance(id_, UUID)]
        if wrong:
            raise cls(Fault(name, "must be a UUID") for name in wrong)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults,)

    def __str__(self) -> str:
        return "; ".join(f"{fault.field}: {fault.message}" for fault in self.faults)


# --- misuse -------------------------------------------------------------------------


class UnitOfWorkStateError(MisuseError):
    """The unit of work was entered twice, or used outside its block or after ``commit()``."""


class UncommittedChangesError(MisuseError):
    """The block ended without ``commit()`` or ``rollback()`` although something was written."""


class LockNotHeldError(MisuseError):
    """A write was about to leave a transaction that does not hold the group's lock."""


class WrongTransactionError(MisuseError):
    """The lock cannot protect this transaction: autocommit, isolation, or not the outermost."""


class SchemaError(MisuseError):
    """The database lacks the schema or the lock functions, or has another version of them."""


def _rebuilt(kind: type[DomainError], data: dict[str, Any]) -> DomainError:
    return kind(**data)


def _plain(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case date():
            return value.isoformat()
        case tuple() | list():
            return [_plain(item) for item in value]
        case LockHolder() | DayWithoutPlan() | Fault():
            return {name: _plain(item) for name, item in asdict(value).items()}
        case _:
            return value
