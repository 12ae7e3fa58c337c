"""What every Session refuses while a unit of work is open on it.

The listeners are of the class ``Session``, once for the process: to listen to each Session
costs more than the lock's own round trip. Sessions without a unit of work notice nothing.
"""

from typing import Any, Final, Protocol

from sqlalchemy import event
from sqlalchemy.orm import Session

_INFO_KEY: Final = "studyplan.unit_of_work"


class Warden(Protocol):
    """Who is asked before a Session writes and commits."""

    def require_held(self) -> None:
        """Raise unless the lock is held."""

    def refuse_commit_from_outside(self) -> None:
        """Raise unless it is the warden who commits."""


def ask(session: Session, warden: Warden) -> None:
    """Ask ``warden`` before each flush and each commit from now on."""
    session.info[_INFO_KEY] = warden


def release(session: Session) -> None:
    """Ask nobody any more."""
    session.info.pop(_INFO_KEY, None)


@event.listens_for(Session, "before_flush")
def _before_flush(session: Session, *_: Any) -> None:
    warden: Warden | None = session.info.get(_INFO_KEY)
    if warden is not None:
        warden.require_held()


@event.listens_for(Session, "before_commit")
def _before_commit(session: Session) -> None:
    warden: Warden | None = session.info.get(_INFO_KEY)
    if warden is not None and not session.in_nested_transaction():
        warden.refuse_commit_from_outside()
