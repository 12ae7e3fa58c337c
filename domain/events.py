"""The outcomes of locks and generations, for listeners and for ``logging``.

Loggers ``studyplan.lock`` and ``studyplan.generation``. A record's ``event`` and its other
extra fields are stable; its message is not. Where the application's records have a field of
such a name already, ours are a dictionary in the one field ``studyplan``. Without listeners
and below DEBUG a lock that is free costs two comparisons.

A lock is reported when the server has answered. A generation is reported when its unit of work
has ended, because until then nobody knows whether it is stored.

Neither a listener nor logging changes the outcome of a request: what fails in the
application's record factory, loggers, filters, handlers and formatters is written to
``sys.stderr``, as ``logging`` does with a handler's errors, if ``logging.raiseExceptions``.
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
"""A wait for a lock that is longer than this is logged as a warning."""


@dataclass(frozen=True, slots=True)
class LockEvent:
    """One request for a lock was answered.

    ``group_id`` is the group that was busy, or the only one; ``None`` when several were
    taken. ``waited_ms`` is what the server reports, 0 where it could not answer.
    ``error_type`` is the code of a refusal, the SQLSTATE, or the exception's class.
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


@dataclass(frozen=True, slots=True)
class GenerationEvent:
    """One call of ``generate``, reported once, when its unit of work has ended.

    ``generated`` and ``repeated`` (answered again from the record of the idempotency key) are
    committed. ``rolled_back`` was computed and written, but the unit of work ended without a
    commit; ``unknown`` means that the connection was lost, or the wait was interrupted, before
    the answer to the commit. ``refused`` is a ``DomainError`` of ``generate`` itself and
    ``failed`` any other error of it, whatever became of the unit of work.

    ``seconds`` is the time that ``generate`` took, until ``ended_at``; the commit comes later.
    ``error_type`` is the code, the SQLSTATE or the class of the error that was the reason.
    """

    outcome: Literal["generated", "repeated", "refused", "failed", "rolled_back", "unknown"]
    group_id: UUID
    seconds: float
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


_changing = threading.Lock()
# Replaced as a whole, so that calling them needs no lock. Each has an object of its own, for a
# listener may subscribe several times.
_listeners: tuple[tuple[object, Listener], ...] = ()


def subscribe(listener: Listener) -> Callable[[], None]:
    """Call ``listener`` with every event from now on; returns a function that ends that.

    It is called in the thread of the request: for a lock while that is held, for a generation
    after the transaction. It should count, and return. What it raises is logged and does not
    disturb the request.
    """
    global _listeners  # noqa: PLW0603 - one list per process
    subscription = object()
    with _changing:
        _listeners = (*_listeners, (subscription, listener))

    def unsubscribe() -> None:
        global _listeners  # noqa: PLW0603 - as above
        with _changing:
            _listeners = tuple(one for one in _listeners if one[0] is not subscription)

    return unsubscribe


def is_enabled(log: logging.Logger, level: int) -> bool:
    """Whether a listener or the log takes an event: ask before building one on a busy path."""
    return bool(_listeners) or is_logged(log, level)


def emit(event: Event) -> None:
    """Log the event, then call every listener subscribed by then; raises no ``Exception``."""
    logger, level = _log_of(event), _level(event)
    if is_logged(logger, level):
        log(logger, level, "%s", event.name, fields={"event": event.name, **_fields(event)})
    for _, listener in _listeners:
        try:
            listener(event)
        except Exception as error:  # noqa: BLE001 - a listener never disturbs the request
            fields = {"event": "listener.failed"}
            log(logger, logging.ERROR, "a listener failed", fields=fields, error=error)


def is_logged(logger: logging.Logger, level: int) -> bool:
    """Return ``logger.isEnabledFor(level)``, and ``False`` if that fails."""
    try:
        return logger.isEnabledFor(level)
    except Exception:  # noqa: BLE001 - it is the application's, and logging changes no outcome
        _report()
        return False


def log(
    logger: logging.Logger,
    level: int,
    message: str,
    *args: object,
    fields: Mapping[str, Any],
    error: BaseException | None = None,
) -> None:
    """Every record of the package goes this way. Raises no ``Exception``.

    ``fields`` are the record's extra ones, or the dictionary in the field ``studyplan``.
    """
    extra: Mapping[str, Any] | None = fields
    try:
        try:
            logger.log(level, message, *args, extra=extra, exc_info=error, stacklevel=2)
        except KeyError:
            # Raised by logging for a field that the record has already, before any handler is
            # asked; or by something of the application's, for a reason of its own.
            if (extra := _extra(logger, level, fields)) is fields:
                raise
            logger.log(level, message, *args, extra=extra, exc_info=error, stacklevel=2)
    except Exception:  # noqa: BLE001 - it is the application's, and logging changes no outcome
        _report()


def error_type(error: BaseException) -> str:
    """A word of low cardinality for an error: its code, its SQLSTATE, or its class."""
    if isinstance(error, DomainError):
        return error.code
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
    return str(sqlstate or type(error).__name__)


def _extra(
    logger: logging.Logger, level: int, fields: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The fields as far as the application's records leave room for them."""
    taken = vars(logger.makeRecord(logger.name, level, "", 0, "", (), None)).keys()
    if taken.isdisjoint(fields):
        return fields
    return {"studyplan": fields} if "studyplan" not in taken else None


def _report() -> None:
    """What ``logging.Handler.handleError`` does."""
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
    """The extra fields of a log record: words and numbers, ready for a JSON formatter."""
    common = {
        "outcome": event.outcome,
        "group_id": _text(event.group_id),
        "error_type": event.error_type,
    }
    if isinstance(event, GenerationEvent):
        return {
            **common,
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
