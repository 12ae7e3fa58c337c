"""What the database says of a write, and of a commit."""

from uuid import UUID

from domain.errors.base import DomainError


class EditedMeanwhileError(DomainError):
    """The rows are not in the state that the caller saw; the same request would fail again."""

    code = "edited_meanwhile"
    http_status = 409
    ko = "플랜이 이미 수정되었습니다. 새로고침 후 다시 시도해주세요."
    en = "The plans were changed meanwhile. Please reload and try again."

    def __init__(self, *, group_id: UUID | None = None) -> None:
        super().__init__(group_id=group_id)


class GeneratedMeanwhileError(DomainError):
    """The fence moved, the lock was lost, or the rows to replace are not those that were read.

    A new attempt reads the group again.
    """

    code = "generated_meanwhile"
    http_status = 409
    retryable = True
    ko = "다른 요청이 먼저 플랜을 생성했습니다. 새로고침 후 다시 시도해주세요."
    en = "Another request generated the plans first. Please reload and try again."

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
