"""Locks that are not granted, and who holds them."""

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from domain.errors.base import PROBLEM_MEMBER, RETRY_AFTER, DomainError


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
    holder: LockHolder | None = dataclasses.field(default=None, metadata={PROBLEM_MEMBER: None})
    retry_after: int | None = RETRY_AFTER
    _of_student: ClassVar[tuple[str, str]] = (
        "이 학생의 플랜이나 일정을 다른 요청이 변경하고 있습니다. 잠시 후 다시 시도해주세요.",
        (
            "Another request is changing the plans or the study time of this student. "
            "Please try again in a moment."
        ),
    )

    def _texts(self) -> tuple[str, str]:
        # The other request may concern another group of the student, or none.
        return self._of_student if self.scope == "student" else super()._texts()


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
    _of_row: ClassVar[tuple[str, str]] = (
        "다른 요청이 같은 데이터를 변경하고 있습니다. 잠시 후 다시 시도해주세요.",
        "Another request is changing the same rows. Please try again in a moment.",
    )

    waited_ms: int | None = None

    def _texts(self) -> tuple[str, str]:
        # The transaction that holds the row need not be a generation.
        return self._of_row if self.scope == "row" else super()._texts()
