"""What the database says of a write, and of a commit."""

from uuid import UUID

from domain.errors.base import DomainError


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
