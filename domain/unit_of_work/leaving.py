"""How a Session and its connection are left: nothing lost silently, nothing dirty in the pool."""

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction

from domain.driver import cancel, transaction_status
from domain.errors import LockNotHeldError, UncommittedChangesError
from domain.locking import identity as identities
from domain.unit_of_work.states import LockState


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
        return identities.rolled_back_work(other, None, node)
    if connection.invalidated:
        return False
    match LockState.of(connection):
        case LockState.HELD:
            return identities.rolled_back_work(connection, identity, node)
        case LockState.LOST if session.is_active:
            # After an error of its own the Session would be waiting for a rollback.
            raise LockNotHeldError(identities.ENDED)
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
