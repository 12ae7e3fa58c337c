"""The end of a unit of work: its stages, its callbacks, and the state of its connection."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction

from domain import events
from domain.database_errors import TRANSACTION_ENDED
from domain.driver import CommitState, cancel, transaction_status
from domain.errors import CommitOutcomeUnknownError, LockNotHeldError, UncommittedChangesError
from domain.locking import statements
from domain.unit_of_work.sessions import restore

Callback: TypeAlias = "Callable[[Ending], object]"
_LOG: Final = logging.getLogger("studyplan.unit_of_work")


class Stage(Enum):
    """The stage of a unit of work; the values are used in error messages."""

    NEW = "not entered yet"
    ENTERING = "being entered"
    FAILED = "not open, because entering it failed"
    OPEN = "open"
    FINISHED = "already committed or rolled back"
    CLOSED = "already exited"


class LockState(Enum):
    """The state of the lock as far as it is known without a round trip."""

    HELD = "held"
    LOST = "lost"
    UNKNOWN = "unknown"
    """The connection is broken or executing a statement, or the transaction has failed."""

    @classmethod
    def of(cls, connection: Connection) -> "LockState":
        """Return the state of a lock that was the first statement of the transaction.

        The caller must know that the transaction is still the same: the driver reports that a
        transaction is open, but not which one.
        """
        if connection.invalidated:
            return cls.LOST
        match transaction_status(connection):
            case TransactionStatus.INTRANS:
                return cls.HELD
            case TransactionStatus.IDLE:
                return cls.LOST
            case _:
                return cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class Ending:
    """How the transaction of a unit of work ended.

    ``unknown`` means that the COMMIT was sent and no answer was received: the connection was
    lost, or the wait was interrupted. ``error_type`` is the code, the SQLSTATE or the class of
    the error that ended the transaction, or ``None``.
    """

    outcome: Literal["committed", "rolled_back", "unknown"]
    error_type: str | None = None


class EndCallbacks:
    """The callbacks of one unit of work, and the outcome of its commit.

    Errors are stored as text: an exception refers to stack frames and thereby to the unit of work,
    which must be garbage-collected as soon as it is dropped.
    """

    def __init__(self) -> None:
        self._callbacks: list[Callback] = []
        self._commit = CommitState.NOT_SENT
        self._commit_ending: Ending | None = None
        self.is_committing = False
        """Whether ``commit()`` is running."""
        self.awaits_report = False
        """Whether the commit or rollback has failed, so that only the exit frees the lock."""

    def add(self, callback: Callback, session: Session | None) -> None:
        """Call the callback at the end, after those that were added before.

        :param session: the Session of the open transaction; ``None`` if it has ended.
        """
        self._callbacks.append(
            callback if session is None else _unless_rolled_back(callback, session)
        )
        if session is None and not self.awaits_report:
            self.report(self._commit_ending or Ending("rolled_back"))

    @contextmanager
    def committing(self) -> Iterator[Callable[[CommitState], None]]:
        """A context for the commit; yields a function that records the progress of the COMMIT.

        If the commit fails, ``leaving`` reports how the transaction ended, because on the server it
        may last until the connection is returned.
        """
        self.is_committing = True
        try:
            yield self._note
        except BaseException as error:
            self._commit_ending = self._ending_of_failed_commit(error)
            raise
        else:
            self._commit_ending = Ending("committed")
        finally:
            self.is_committing = False

    @contextmanager
    def leaving(self, error: BaseException | None) -> Iterator[None]:
        """A context for the exit; reports how the transaction ended, unless already reported.

        :param error: the exception that ended the block, if any.
        """
        reason = None if error is None else events.error_type(error)
        try:
            yield
        except BaseException as raised:
            reason = reason or events.error_type(raised)
            raise
        finally:
            self.report(self._commit_ending or Ending("rolled_back", reason))

    def report(self, ending: Ending) -> None:
        """Call each callback once; never raises an ``Exception``."""
        self.awaits_report = False
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback(ending)
            except Exception as error:  # noqa: BLE001 - it cannot change the outcome
                fields = {"event": "callback.failed"}
                events.log(_LOG, logging.ERROR, "a callback failed", fields=fields, error=error)

    def _note(self, state: CommitState) -> None:
        self._commit = state

    def _ending_of_failed_commit(self, error: BaseException) -> Ending:
        if self._commit is CommitState.DONE:  # an event listener failed after the server's answer
            return Ending("committed")
        lost = isinstance(error, CommitOutcomeUnknownError) or self._commit is CommitState.SENT
        return Ending("unknown" if lost else "rolled_back", events.error_type(error))


def refuse_unfinished(
    session: Session,
    connection: Connection,
    root: SessionTransaction | None,
    identity: str,
    node: str,
    *,
    is_rolled_back: bool,
) -> None:
    """Raise if the block ended with uncommitted work.

    In the round trip of the ROLLBACK the server reports whether anything was written that the
    Session does not know about. Raises ``UncommittedChangesError``, and ``LockNotHeldError`` if
    the transaction that acquired the lock was ended other than by a rollback of the Session: then
    it is not known what was written in it.

    :param root: the transaction that acquired the lock.
    :param node: routes the query to the node that has the lock.
    :param is_rolled_back: whether the Session has rolled the transaction back.
    """
    if session.get_transaction() is not root and not is_rolled_back:
        raise LockNotHeldError(TRANSACTION_ENDED)
    if (
        session.new
        or session.deleted
        or any(session.is_modified(row) for row in session.dirty)
        or _wrote(session, connection, root, identity, node)
    ):
        raise UncommittedChangesError(
            "The block ended with uncommitted changes, which were rolled back. "
            "Call commit() to store them, or rollback() to discard them explicitly."
        )


def close(session: Session, connection: Connection | None) -> None:
    """Roll back and return the connection to the pool; invalidate it if it is not clean.

    Never raises ``DBAPIError``: if a rollback fails the server rolls back by itself, and the
    exception that ended the block must not be replaced.
    """
    try:
        if connection is not None:
            _invalidate_if_unclean(connection)
        session.close()
    except DBAPIError:
        session.invalidate()
        if connection is not None and not connection.closed:
            connection.invalidate()
            connection.close()
    finally:
        restore(session)


def _unless_rolled_back(callback: Callback, session: Session) -> Callback:
    """Return the callback; it receives a rollback if a currently open savepoint is rolled back."""
    savepoints: set[SessionTransaction] = set()
    innermost = session.get_nested_transaction()
    while innermost is not None:
        savepoints.add(innermost)
        innermost = innermost.parent
    rolled_back = False

    def note(_: Session, transaction: SessionTransaction) -> None:
        nonlocal rolled_back
        rolled_back = rolled_back or transaction in savepoints

    if not savepoints:
        return callback
    event.listen(session, "after_soft_rollback", note)
    return lambda ending: callback(Ending("rolled_back") if rolled_back else ending)


def _wrote(
    session: Session,
    connection: Connection,
    root: SessionTransaction | None,
    identity: str,
    node: str,
) -> bool:
    if session.get_transaction() is not root:
        # Session.rollback() was called in the block; another transaction may have begun.
        if not session.in_transaction() or not session.is_active:
            return False
        other = session.connection(bind_arguments={"bind": connection.engine})
        return statements.roll_back_reporting_writes(other, None, node)
    if connection.invalidated:
        return False
    match LockState.of(connection):
        case LockState.HELD:
            return statements.roll_back_reporting_writes(connection, identity, node)
        case LockState.LOST if session.is_active:
            # After a failed flush the Session is not active, and its error has been raised.
            raise LockNotHeldError(TRANSACTION_ENDED)
        case _:
            return False


def _invalidate_if_unclean(connection: Connection) -> None:
    """Invalidate a connection that would return to the pool with an open transaction and lock.

    When a commit fails in the client, by a listener or a signal, SQLAlchemy regards the
    transaction as ended and does not roll back. When a signal handler raises during a statement,
    the server continues to execute it, possibly waiting for a lock, so it is cancelled.
    """
    if connection.closed or connection.invalidated:
        return
    status = transaction_status(connection)
    if status is TransactionStatus.ACTIVE:
        cancel(connection)
        connection.invalidate()
    elif status is not TransactionStatus.IDLE and not connection.in_transaction():
        connection.invalidate()
