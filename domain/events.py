"""What became of locks and generations, told to listeners and to ``logging``.

Loggers ``studyplan.lock`` and ``studyplan.generation``. A record's ``event`` and its other
extra fields are stable; its sentence is not. Where the application's records have a field of
such a name already, ours are a dictionary in the one field ``studyplan``. Without listeners
and below DEBUG a lock that is free costs two comparisons.

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
from dataclasses import dataclass
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
    taken. ``waited_ms`` is what the server tells, 0 where it could not answer.
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
    """A generation was computed and written, answered again from its record, or neither.

    It is told before the commit, which is the caller's: ``generated`` counts once the unit
    of work commits. A ``DomainError`` is ``refused``, everything else ``failed``.
    """

    outcome: Literal["generated", "repeated", "refused", "failed"]
    group_id: UUID
    seconds: float
    generation: int | None = None
    rows: int = 0
    unplaced: int = 0
    error_type: str | None = None

    @property
    def name(self) -> str:
        """The event's stable name, such as ``plan_generation.refused``."""
        return f"plan_generation.{self.outcome}"


Event: TypeAlias = LockEvent | GenerationEvent
Listener: TypeAlias = Callable[[Event], object]


class _Audience:
    """The listeners; replaced as a whole, so that telling them needs no lock."""

    entries: tuple[tuple[object, Listener], ...] = ()
    changing = threading.Lock()


def subscribe(listener: Listener) -> Callable[[], None]:
    """Call ``listener`` with every event from now on; returns what ends that.

    It runs in the thread of the request, mostly while the lock is held: count, and return.
    What it raises is logged and never disturbs the request.
    """
    ticket = object()
    with _Audience.changing:
        _Audience.entries = (*_Audience.entries, (ticket, listener))

    def unsubscribe() -> None:
        with _Audience.changing:
            _Audience.entries = tuple(one for one in _Audience.entries if one[0] is not ticket)

    return unsubscribe


def heard(log: logging.Logger, level: int) -> bool:
    """Whether anybody would notice an event: ask before building one on a busy path."""
    return bool(_Audience.entries) or is_enabled(log, level)


def emit(event: Event) -> None:
    """Log the event, then call every listener subscribed by then; raises no ``Exception``."""
    logger, level = _log_of(event), _level(event)
    if is_enabled(logger, level):
        log(logger, level, "%s", event.name, fields={"event": event.name, **_fields(event)})
    for _, listener in _Audience.entries:
        try:
            listener(event)
        except Exception as error:  # noqa: BLE001 - a listener never disturbs the request
            fields = {"event": "listener.failed"}
            log(logger, logging.ERROR, "a listener failed", fields=fields, error=error)


def is_enabled(logger: logging.Logger, level: int) -> bool:
    """``Logger.isEnabledFor``; no if that fails."""
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
        case "failed":
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
