"""What a Session refuses: writes without the lock, and commits that are not the unit of work's.

The listeners are of the class ``Session``, once for the process: to listen to each Session
costs more than the lock's own round trip. Sessions without a unit of work notice nothing
of them.
"""

from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.orm import Session

from domain.errors import LockNotHeldError

_INFO_KEY: Final = "studyplan.unit_of_work"


class Warden(Protocol):
    """Who is asked before a Session writes and commits."""

    def require_held(self) -> None:
        """Raise unless the lock is held."""

    def require_lock(self, group_id: UUID) -> None:
        """Raise unless the group's lock is held."""

    def refuse_commit_from_outside(self) -> None:
        """Raise unless it is the warden who commits."""


def ask(session: Session, warden: Warden) -> None:
    """Ask ``warden`` before each flush and each commit from now on."""
    session.info[_INFO_KEY] = warden


def require_lock(session: Session, group_id: UUID) -> None:
    """For whoever writes past the flush: raise ``LockNotHeldError`` unless the lock is held."""
    warden: Warden | None = session.info.get(_INFO_KEY)
    if warden is None:
        raise LockNotHeldError(
            f"Group {group_id} is written only inside a unit of work that holds its lock; this "
            "Session is in none. Reading needs no lock."
        )
    warden.require_lock(group_id)


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
