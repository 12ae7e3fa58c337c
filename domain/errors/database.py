"""A database that cannot answer at the moment."""

from dataclasses import dataclass

from domain.errors.base import RETRY_AFTER, DomainError


class CommitOutcomeUnknownError(DomainError):
    """The connection was lost during the commit, so the changes may or may not be stored.

    A retry is safe only with an idempotency key, so the error itself is not ``retryable``.
    """

    code = "commit_outcome_unknown"
    http_status = 503
    ko = "저장 결과를 확인할 수 없습니다. 새로고침하여 확인해주세요."
    en = "It is unknown whether the changes were stored. Please reload and check."


@dataclass(eq=False, repr=False, kw_only=True)
class DatabaseBusyError(DomainError):
    """No connection was available, in the pool or on the server; nothing was executed."""

    code = "database_busy"
    http_status = 503
    retryable = True
    ko = "요청이 많아 잠시 처리할 수 없습니다. 잠시 후 다시 시도해주세요."
    en = "There are too many requests at the moment. Please try again shortly."

    retry_after: int | None = RETRY_AFTER


class DatabaseReadOnlyError(DomainError):
    """The server is a hot standby, for example because the primary was demoted after a failover.

    Nothing was written. The pool replaces its connections, so that the next attempt can
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
