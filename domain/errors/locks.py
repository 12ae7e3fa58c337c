"""The lock is held by somebody else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, Final, Literal
from uuid import UUID

from domain.errors.base import DomainError

RETRY_AFTER: Final = 1
"""Seconds after which a refused request may try again.

A constant, for a lock is usually held for milliseconds, and how long its holder's transaction
has lasted says nothing about how much longer it will: that includes the time which the holder
itself waited. ``domain.retrying`` adds pauses that grow.
"""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock, as far as the database tells: ``None`` where it does not.

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


class LockError(DomainError):
    """A lock was not granted; nothing is kept of what the transaction did.

    ``holder`` names processes and applications of the server, so it is not in the problem
    document.
    """

    http_status = 409
    retryable = True
    internal = frozenset({"holder"})


class PlanGroupLockedError(LockError):
    """Somebody else holds the lock, of the group or of its student, and no wait was possible.

    ``retry_after`` is in seconds.
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
        retry_after: int = RETRY_AFTER,
    ) -> None:
        super().__init__(group_id=group_id, scope=scope, holder=holder, retry_after=retry_after)


class LockTimeoutError(LockError):
    """Somebody else held the lock for the whole of the bounded wait.

    A ``statement_timeout`` or ``transaction_timeout`` that is shorter bounds the wait too.
    ``retry_after`` is in seconds. ``scope`` is ``row`` for a row of a table, which somebody
    outside the package's locks is changing. Nobody measures that wait: ``waited_ms`` is ``None``
    then, and so is ``holder``.
    """

    code = "plan_group_lock_timeout"
    ko = PlanGroupLockedError.ko
    en = PlanGroupLockedError.en
    _ROW: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "ko": "다른 요청이 같은 데이터를 변경하고 있습니다. 잠시 후 다시 시도해주세요.",
            "en": "Another request is changing the same rows. Please try again in a moment.",
        }
    )

    def __init__(
        self,
        *,
        group_id: UUID | None,
        waited_ms: int | None = None,
        scope: Literal["group", "student", "row"] = "group",
        holder: LockHolder | None = None,
        retry_after: int = RETRY_AFTER,
    ) -> None:
        super().__init__(
            group_id=group_id,
            waited_ms=waited_ms,
            scope=scope,
            holder=holder,
            retry_after=retry_after,
        )

    def message(self, language: Literal["ko", "en"] = "ko") -> str:
        """The sentence; one of its own for a row, which no generation need be changing."""
        return self._ROW[language] if self.scope == "row" else super().message(language)
