"""The lock is held by somebody else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, Literal
from uuid import UUID

from domain.errors.base import DomainError


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
    """A lock was not granted; nothing is kept of what the transaction did."""

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
    """Somebody else held the lock for the whole of the bounded wait.

    ``scope`` is ``row`` for a row of a table, which somebody outside the package's locks is
    changing. Nobody measures that wait: ``waited_ms`` is ``None`` then, and so is ``holder``.
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
        retry_after: int | None = None,
    ) -> None:
        told = retry_after or (holder.retry_after if holder else None)
        super().__init__(
            group_id=group_id, waited_ms=waited_ms, scope=scope, holder=holder, retry_after=told
        )

    def message(self, language: Literal["ko", "en"] = "ko") -> str:
        """The sentence; one of its own for a row, which no generation need be changing."""
        return self._ROW[language] if self.scope == "row" else super().message(language)
