"""Requests that a concurrent or an earlier change stands in the way of."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal, TypeAlias
from uuid import UUID

from domain.errors.base import DomainError


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
    "nothing_to_undo", "nothing_to_redo", "history_removed", "plans_changed", "time_occupied"
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

    ``reason`` says what stands in the way: no run is left that changed a plan, or no undo, its
    history was removed, its ``plans`` were marked, moved or retired since or other ``plans`` were
    marked with their units, or ``plans`` of the student occupy the time of those that would become
    live again.
    """

    code = "undo_not_possible"
    http_status = 409
    ko = "이후에 변경된 내용이 있어 되돌릴 수 없습니다."
    en = "The last change of the plans cannot be undone, because something has changed since."
    _nothing: ClassVar[tuple[str, str]] = (
        "되돌릴 변경 내용이 없습니다.",
        "There is no change of the plans to undo.",
    )
    _nothing_undone: ClassVar[tuple[str, str]] = (
        "다시 적용할 변경 내용이 없습니다.",
        "There is no undone change of the plans to redo.",
    )

    group_id: UUID
    reason: UndoReason
    generation: int | None = None
    """The number of the run that would have been taken back."""
    plans: tuple[PlanInTheWay, ...] = ()

    def _texts(self) -> tuple[str, str]:
        if self.reason == "nothing_to_redo":
            return self._nothing_undone
        nothing = self.reason in {"nothing_to_undo", "history_removed"}
        return self._nothing if nothing else super()._texts()


@dataclass(eq=False, repr=False, kw_only=True)
class StudentPlansOverlapError(DomainError):
    """The exclusion constraint rejected a plan that overlaps another live plan of the student."""

    code = "student_plans_overlap"
    http_status = 409
    retryable = True
    ko = "학생의 다른 플랜과 시간이 겹칩니다. 다시 시도해주세요."
    en = "The plans overlap other plans of the student. Please try again."

    student_id: UUID | None = None
