"""Requests that cannot be met: missing rows, states that forbid them, invalid input."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self
from uuid import UUID

from domain.errors.base import DomainError


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

    def _texts(self) -> tuple[str, str]:
        korean = self.ko.format(
            from_status=self._korean[self.from_status], to_status=self._korean[self.to_status]
        )
        return korean, self.en


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
