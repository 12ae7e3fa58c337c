"""How a unit of work ends: its states, the callbacks, and how its connection is left."""

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

Callback: TypeAlias = "Callable[[Ending], object]"
_LOG: Final = logging.getLogger("studyplan.unit_of_work")


class Stage(Enum):
    """How far a unit of work has come; the values are the words of its errors."""

    NEW = "not entered yet"
    OPEN = "open"
    FINISHED = "committed or rolled back already"
    CLOSED = "left already"


class LockState(Enum):
    """What is known of the lock without asking the server."""

    HELD = "held"
    LOST = "lost"
    UNKNOWN = "unknown"
    """The connection is broken or in the middle of a statement, or the transaction failed."""

    @classmethod
    def of(cls, connection: Connection) -> "LockState":
        """The state of a lock that the connection's transaction took as its first statement.

        That the transaction is still the same one is for the caller to know: the driver
        tells of a transaction, not of which.
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

    ``unknown`` means that the COMMIT was sent and its answer never arrived: the connection was
    lost, or the wait for it was interrupted. ``error_type`` is the code, the SQLSTATE or the
    class of the error that ended the transaction, and ``None`` if no error did.
    """

    outcome: Literal["committed", "rolled_back", "unknown"]
    error_type: str | None = None


class AtEnd:
    """The callbacks of one unit of work, and how its commit ended.

    Errors are kept as words: an error refers to the frames that it passed, and so to the unit
    of work, which must be collected as soon as it is dropped.
    """

    def __init__(self) -> None:
        self._callbacks: list[Callback] = []
        self._commit = CommitState.NOT_SENT
        self._of_commit: Ending | None = None
        self.is_committing = False
        """Whether ``commit()`` is running."""

    def add(self, callback: Callback, session: Session | None) -> None:
        """Call it at the end, after those that were added before.

        :param session: the one of the transaction; without it, the end has come.
        """
        if session is None:
            self._callbacks.append(callback)
            self.report(self._of_commit or Ending("rolled_back"))
        else:
            self._callbacks.append(_unless_undone(callback, session))

    @contextmanager
    def committing(self) -> Iterator[Callable[[CommitState], None]]:
        """Around the commit, with a function that records how far the COMMIT has come.

        If the commit fails, ``leaving`` reports how the transaction ended: on the server it
        may last until the connection is given back.
        """
        self.is_committing = True
        try:
            yield self._note
        except BaseException as error:
            self._of_commit = self._ending_of_failed_commit(error)
            raise
        else:
            self._of_commit = Ending("committed")
        finally:
            self.is_committing = False

    @contextmanager
    def leaving(self, error: BaseException | None) -> Iterator[None]:
        """Around leaving the block: reports how the transaction ended, unless that is done.

        :param error: what ended the block.
        """
        reason = None if error is None else events.error_type(error)
        try:
            yield
        except BaseException as raised:
            reason = reason or events.error_type(raised)
            raise
        finally:
            self.report(self._of_commit or Ending("rolled_back", reason))

    def report(self, ending: Ending) -> None:
        """Call the callbacks, each once; raises no ``Exception``."""
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback(ending)
            except Exception as error:  # noqa: BLE001 - the transaction has ended as it has
                fields = {"event": "callback.failed"}
                events.log(_LOG, logging.ERROR, "a callback failed", fields=fields, error=error)

    def _note(self, state: CommitState) -> None:
        self._commit = state

    def _ending_of_failed_commit(self, error: BaseException) -> Ending:
        if self._commit is CommitState.DONE:  # a listener failed after the server's answer
            return Ending("committed")
        lost = isinstance(error, CommitOutcomeUnknownError) or self._commit is CommitState.SENT
        return Ending("unknown" if lost else "rolled_back", events.error_type(error))


def refuse_unfinished(
    session: Session,
    connection: Connection,
    root: SessionTransaction | None,
    identity: str,
    node: str,
) -> None:
    """Roll back, and raise if the block did anything that no commit of its own has stored.

    What the Session does not know is asked of the server, in the same round trip. Raises
    ``UncommittedChangesError``, and ``LockNotHeldError`` if the transaction that took the
    lock was ended past SQLAlchemy.

    :param root: the transaction that took the lock.
    :param node: what takes the question to where the lock is.
    """
    if (
        session.new
        or session.dirty
        or session.deleted
        or _wrote(session, connection, root, identity, node)
    ):
        raise UncommittedChangesError(
            "The block wrote something and ended without commit(); it was rolled back. "
            "Call commit() to keep it, or rollback() to say that this is meant."
        )


def close(session: Session, connection: Connection | None) -> None:
    """Roll back and give the connection back; one that is not in order leaves the pool.

    Raises no ``DBAPIError``: where a rollback fails the server rolls back by itself, and an
    error that is on its way out of the block must not be replaced.
    """
    try:
        if connection is not None:
            _drop_if_stuck(connection)
        session.close()
    except DBAPIError:
        session.invalidate()
        if connection is not None and not connection.closed:
            connection.invalidate()
            connection.close()


def _unless_undone(callback: Callback, session: Session) -> Callback:
    """The callback; it is given a rollback if a savepoint that is open now is rolled back."""
    savepoints: set[SessionTransaction] = set()
    innermost = session.get_nested_transaction()
    while innermost is not None:
        savepoints.add(innermost)
        innermost = innermost.parent
    undone = False

    def note(_: Session, transaction: SessionTransaction) -> None:
        nonlocal undone
        undone = undone or transaction in savepoints

    if not savepoints:
        return callback
    event.listen(session, "after_soft_rollback", note)
    return lambda ending: callback(Ending("rolled_back") if undone else ending)


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
        return statements.rolled_back_work(other, None, node)
    if connection.invalidated:
        return False
    match LockState.of(connection):
        case LockState.HELD:
            return statements.rolled_back_work(connection, identity, node)
        case LockState.LOST if session.is_active:
            # After an error of its own the Session would be waiting for a rollback.
            raise LockNotHeldError(TRANSACTION_ENDED)
        case _:
            return False


def _drop_if_stuck(connection: Connection) -> None:
    """Keep a connection out of the pool that would return in a transaction, lock and all.

    When a commit fails in the client, in a listener or by a signal, SQLAlchemy considers the
    transaction ended and does not roll back. When a signal's handler raises during a
    statement, the server continues, possibly waiting for a lock, and must be stopped.
    """
    if connection.closed or connection.invalidated:
        return
    status = transaction_status(connection)
    if status is TransactionStatus.ACTIVE:
        cancel(connection)
        connection.invalidate()
    elif status is not TransactionStatus.IDLE and not connection.in_transaction():
        connection.invalidate()
