"""The database cannot serve the request at the moment."""

from domain.errors.base import DomainError


class DatabaseBusyError(DomainError):
    """No connection became free, in the pool or on the server; nothing was done.

    ``retry_after`` is in seconds.
    """

    code = "database_busy"
    http_status = 503
    retryable = True
    ko = "요청이 많아 잠시 처리할 수 없습니다. 잠시 후 다시 시도해주세요."
    en = "There are too many requests at the moment. Please try again shortly."

    def __init__(self, *, retry_after: int = 1) -> None:
        super().__init__(retry_after=retry_after)


class DatabaseReadOnlyError(DomainError):
    """The server is a hot standby: a pool still points to a primary that was demoted.

    Nothing was written. The pool replaces its connections, so that the next attempt may
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
