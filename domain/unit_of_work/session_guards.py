"""What a Session refuses while a unit of work is open on it.

Listening costs more than the lock's own round trip if it is done for each Session. So it is
done once for a class of Sessions that a unit of work's factory has for itself.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import ORMExecuteState, Session, sessionmaker

_INFO_KEY: Final = "studyplan.unit_of_work"
_guarded: "WeakSet[type[Session]]" = WeakSet()
_classes: Final[dict[type[Session], type[Session]]] = {}


class Warden(Protocol):
    """Who is asked before a Session writes and commits."""

    def require_held(self) -> None:
        """Raise unless the lock is held."""

    def refuse_commit_from_outside(self) -> None:
        """Raise unless it is the warden who commits."""


def guard(factory: Callable[[], Session], session: Session) -> None:
    """Listen to the session's flushes, writes and commits."""
    if type(session) in _guarded:
        return
    # A sessionmaker has a class of its own; other factories may give anybody's Session.
    if isinstance(factory, sessionmaker):
        _listen(type(session))
        _guarded.add(type(session))
    else:
        _listen(session)


def ask(session: Session, warden: Warden) -> None:
    """Ask ``warden`` before each of them from now on."""
    session.info[_INFO_KEY] = warden


def close(session: Session) -> None:
    """Ask nobody any more, and give the connection back; a broken one leaves the pool."""
    session.info.pop(_INFO_KEY, None)
    try:
        session.close()
    except DBAPIError:
        # The rollback failed, so the server rolls back for itself. An error that is on its
        # way out of the block must not be replaced by this one.
        session.invalidate()


def guarded_class(base: type[Session]) -> type[Session]:
    """A class of Sessions like ``base`` that is listened to already; one for each base."""
    if base not in _classes:
        found: type[Session] = type(base.__name__, (base,), {"__module__": base.__module__})
        _listen(found)
        _guarded.add(found)
        _classes[base] = found
    return _classes[base]


def _listen(target: Any) -> None:
    event.listen(target, "before_flush", _before_flush)
    event.listen(target, "before_commit", _before_commit)
    event.listen(target, "do_orm_execute", _before_execute)


def _before_flush(session: Session, *_: Any) -> None:
    warden: Warden | None = session.info.get(_INFO_KEY)
    if warden is not None:
        warden.require_held()


def _before_execute(state: ORMExecuteState) -> None:
    warden: Warden | None = state.session.info.get(_INFO_KEY)
    if warden is not None and not state.is_select:
        warden.require_held()


def _before_commit(session: Session) -> None:
    warden: Warden | None = session.info.get(_INFO_KEY)
    if warden is not None and not session.in_nested_transaction():
        warden.refuse_commit_from_outside()
