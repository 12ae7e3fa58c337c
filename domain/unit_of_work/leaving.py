"""How a Session and its connection are left: nothing lost silently, nothing dirty in the pool."""

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction

from domain.driver import cancel, rolled_back_work, transaction_status
from domain.unit_of_work.states import LockState


def has_uncommitted_work(
    session: Session, connection: Connection, root: SessionTransaction | None
) -> bool:
    """Whether something was written, by whatever way, that no commit has stored.

    ``root`` is the transaction that took the lock. What the Session does not know is asked
    of the server, which rolls back in the same round trip.
    """
    if session.new or session.dirty or session.deleted:
        return True
    if session.get_transaction() is not root:
        # Somebody has rolled back in the block, and may have written to another transaction.
        if not session.in_transaction() or not session.is_active:
            return False
        connection = session.connection()
    return LockState.of(connection) is LockState.HELD and rolled_back_work(connection)


def close(session: Session, connection: Connection | None) -> None:
    """Roll back and give the connection back; one that is not in order leaves the pool.

    Raises no ``DBAPIError``: where a rollback fails the server rolls back for itself, and an
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


def _drop_if_stuck(connection: Connection) -> None:
    """Keep a connection out of the pool that would return in a transaction, lock and all.

    When a commit fails in the client, in somebody's listener or by a signal, SQLAlchemy
    takes the transaction for ended and does not roll back. When a signal's handler raises
    during a statement, the server works on, for a lock maybe, and must be told.
    """
    if connection.closed or connection.invalidated:
        return
    status = transaction_status(connection)
    if status is TransactionStatus.ACTIVE:
        cancel(connection)
        connection.invalidate()
    elif status is not TransactionStatus.IDLE and not connection.in_transaction():
        connection.invalidate()
