"""Events that report the outcomes of lock requests and generations to listeners and ``logging``.

The loggers are ``studyplan.lock`` and ``studyplan.generation``. The field ``event`` of a log record
and its other extra fields are stable; the message is not. If the application's records already have
a field with one of these names, the extra fields are passed as a dictionary in the single field
``studyplan``. Without listeners and with the level DEBUG disabled, the event of a free lock costs
two comparisons.

A lock request is reported when the server has answered. A generation is reported when its unit of
work has ended, because only then is it known whether the generation is stored.

Neither a listener nor logging changes the outcome of a request. Exceptions in the application's
record factory, loggers, filters, handlers and formatters are written to ``sys.stderr`` if
``logging.raiseExceptions`` is true, as ``logging`` does with the errors of a handler.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from domain.errors import DomainError, LockHolder

LOCK_LOG: Final = logging.getLogger("studyplan.lock")
GENERATION_LOG: Final = logging.getLogger("studyplan.generation")
SLOW_WAIT_MS: Final = 1000
"""The milliseconds above which a wait for a lock is logged as a warning."""


@dataclass(frozen=True, slots=True)
class LockEvent:
    """The outcome of a lock request.

    ``group_id`` is the group that was busy, or the only requested group; it is ``None`` if several
    locks were acquired. ``waited_ms`` is reported by the server, and is 0 if the server could not
    answer. ``error_type`` is the code of a refusal, the SQLSTATE, or the exception's class.
    """

    outcome: Literal["acquired", "waited", "busy", "timeout", "error"]
    scope: Literal["group", "student"]
    group_id: UUID | None = None
    student_id: UUID | None = None
    group_ids: frozenset[UUID] = frozenset()
    shared: bool = False
    waited_ms: int = 0
    holder: LockHolder | None = None
    error_type: str | None = None

    @property
    def name(self) -> str:
        """The event's stable name, such as ``plan_group_lock.busy``."""
        return f"{'plan_group' if self.scope == 'group' else 'student'}_lock.{self.outcome}"


Operation: TypeAlias = Literal["generate", "reschedule", "undo", "redo"]
GenerationOutcome: TypeAlias = Literal[
    "generated", "rescheduled", "undone", "repeated", "refused", "failed", "rolled_back", "unknown"
]
OUTCOMES: Final[Mapping[Operation, GenerationOutcome]] = {
    "generate": "generated",
    "reschedule": "rescheduled",
    "undo": "undone",
    "redo": "undone",
}
"""The outcome of each operation if it is written and committed."""


@dataclass(frozen=True, slots=True)
class GenerationEvent:
    """The outcome of a run: a generation, a reschedule or an undo.

    It is reported once, when the unit of work has ended. ``generated``, ``rescheduled``, ``undone``
    and ``repeated`` (the result was read from the record of the idempotency key) are committed.
    ``rolled_back`` means that the plans were computed and written, but the unit of work ended
    without a commit; ``unknown`` means that the connection was lost, or the wait was interrupted,
    before the commit was answered. ``refused`` means that the operation itself raised a
    ``DomainError`` and ``failed`` that it raised any other exception, regardless of how the unit of
    work ended.

    ``seconds`` is the duration of the operation, which ended at ``ended_at``; the commit is later.
    ``rows`` is the number of plans of the schedule, or of plans that an undo has made live again.
    ``error_type`` is the code, the SQLSTATE or the class of the error that caused the outcome.
    """

    outcome: GenerationOutcome
    group_id: UUID
    seconds: float
    operation: Operation = "generate"
    generation: int | None = None
    rows: int = 0
    unplaced: int = 0
    error_type: str | None = None
    ended_at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)

    @property
    def name(self) -> str:
        """The event's stable name, such as ``plan_generation.refused``."""
        return f"plan_generation.{self.outcome}"


Event: TypeAlias = LockEvent | GenerationEvent
Listener: TypeAlias = Callable[[Event], object]


_subscribing = threading.Lock()
# The tuple is never changed but replaced, so that ``emit`` can iterate over it without a lock. Each
# listener is stored with a unique object, because the same listener may subscribe several times.
_listeners: tuple[tuple[object, Listener], ...] = ()


def subscribe(listener: Listener) -> Callable[[], None]:
    """Call ``listener`` with each event from now on; return a function that unsubscribes it.

    The listener is called in the thread of the request: for a lock while the lock is held, for a
    generation after the transaction has ended. It should only count the event and return. An
    exception that it raises is logged and does not affect the request.
    """
    global _listeners  # noqa: PLW0603 - one list per process
    subscription = object()
    with _subscribing:
        _listeners = (*_listeners, (subscription, listener))

    def unsubscribe() -> None:
        global _listeners  # noqa: PLW0603 - as above
        with _subscribing:
            _listeners = tuple(entry for entry in _listeners if entry[0] is not subscription)

    return unsubscribe


def is_enabled(log: logging.Logger, level: int) -> bool:
    """Whether an event is passed to a listener or logged.

    Frequently executed code calls this first, to avoid the cost of constructing an event.
    """
    return bool(_listeners) or is_logged(log, level)


def emit(event: Event) -> None:
    """Log the event, then call all current listeners; never raise an ``Exception``."""
    logger, level = _log_of(event), _level(event)
    if is_logged(logger, level):
        log(logger, level, "%s", event.name, fields={"event": event.name, **_fields(event)})
    for _, listener in _listeners:
        try:
            listener(event)
        except Exception as error:  # noqa: BLE001 - a listener must not affect the request
            fields = {"event": "listener.failed"}
            log(logger, logging.ERROR, "listener failed", fields=fields, error=error)


def is_logged(logger: logging.Logger, level: int) -> bool:
    """Return ``logger.isEnabledFor(level)``, or ``False`` if that raises an exception."""
    try:
        return logger.isEnabledFor(level)
    except Exception:  # noqa: BLE001 - the application's logger must not affect the request
        _print_exception()
        return False


def log(
    logger: logging.Logger,
    level: int,
    message: str,
    *args: object,
    fields: Mapping[str, Any],
    error: BaseException | None = None,
) -> None:
    """Log a record of the package; never raise an ``Exception``.

    ``fields`` become extra fields of the record, or a dictionary in its field ``studyplan``. All
    records of the package are logged by this function.
    """
    extra: Mapping[str, Any] | None = fields
    try:
        try:
            logger.log(level, message, *args, extra=extra, exc_info=error, stacklevel=2)
        except KeyError:
            # ``logging`` raises KeyError, before it calls any handler, if the record already has a
            # field of the same name. If no name conflicts, the error came from code of the
            # application and is not retried, because a handler may have run already.
            if (extra := _extra(logger, level, fields)) is fields:
                raise
            logger.log(level, message, *args, extra=extra, exc_info=error, stacklevel=2)
    except Exception:  # noqa: BLE001 - the application's logging must not affect the request
        _print_exception()


def error_type(error: BaseException) -> str:
    """Return an identifier of low cardinality for an error: its code, SQLSTATE, or class."""
    if isinstance(error, DomainError):
        return error.code
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
    return str(sqlstate or type(error).__name__)


def _extra(
    logger: logging.Logger, level: int, fields: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return the extra fields in a form that does not conflict with the application's records.

    The result is ``fields`` without a conflict, else a dictionary with the field ``studyplan``, or
    ``None`` if that name conflicts too.
    """
    existing = vars(logger.makeRecord(logger.name, level, "", 0, "", (), None)).keys()
    if existing.isdisjoint(fields):
        return fields
    return {"studyplan": fields} if "studyplan" not in existing else None


def _print_exception() -> None:
    """Print the current exception to ``sys.stderr``, as ``logging.Handler.handleError`` does."""
    if logging.raiseExceptions and sys.stderr:
        with suppress(Exception):
            sys.stderr.write("--- Logging error ---\n")
            traceback.print_exc(file=sys.stderr)


def _log_of(event: Event) -> logging.Logger:
    return LOCK_LOG if isinstance(event, LockEvent) else GENERATION_LOG


def _level(event: Event) -> int:
    if isinstance(event, LockEvent) and event.waited_ms > SLOW_WAIT_MS:
        return logging.WARNING
    match event.outcome:
        case "acquired" | "waited":
            return logging.DEBUG
        case "error":
            return logging.WARNING
        case "rolled_back" if event.error_type is not None:
            return logging.WARNING
        case "failed" | "unknown":
            return logging.ERROR
        case _:
            return logging.INFO


def _fields(event: Event) -> dict[str, Any]:
    """Return the extra fields of a log record, with values that a JSON formatter accepts."""
    common = {
        "outcome": event.outcome,
        "group_id": _text(event.group_id),
        "error_type": event.error_type,
    }
    if isinstance(event, GenerationEvent):
        return {
            **common,
            "operation": event.operation,
            "generation": event.generation,
            "rows": event.rows,
            "unplaced": event.unplaced,
            "seconds": event.seconds,
        }
    holder = event.holder or LockHolder(None, None, None, None)
    return {
        **common,
        "scope": event.scope,
        "student_id": _text(event.student_id),
        "group_ids": sorted(map(str, event.group_ids)),
        "shared": event.shared,
        "waited_ms": event.waited_ms,
        "holder_pid": holder.pid,
        "holder_held_ms": holder.held_ms,
        "holder_application": holder.application_name,
        "holder_gid": holder.gid,
    }


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)
