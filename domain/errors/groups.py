"""What is not there, and what the state of a group does not allow."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal
from uuid import UUID

from domain.errors.base import DomainError


class NotFoundError(DomainError):
    """There is no such row, or it belongs to another tenant, which is told the same way."""

    http_status = 404


class WrongStateError(DomainError):
    """The group's state does not allow the request."""

    http_status = 409


class PlanGroupNotFoundError(NotFoundError):
    code = "plan_group_not_found"
    ko = "플랜 그룹을 찾을 수 없습니다."
    en = "The plan group was not found."

    def __init__(self, *, group_id: UUID) -> None:
        super().__init__(group_id=group_id)


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
