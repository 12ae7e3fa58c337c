"""Whether the transaction at hand is the one that took the locks, asked of the server.

SQLAlchemy and psycopg know that there is a transaction, not which one: after a COMMIT in a
text statement the next statement begins another, without the lock. So the statement that
takes a lock gives the transaction an identity, a local setting, that ends exactly with it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from domain.database_errors import sqlstate
from domain.driver import CommitState, commit_after, roll_back_after
from domain.errors import LockNotHeldError
from domain.locking import statements

ENDED = (
    "The transaction that took the lock was ended inside the block, past the unit of work (a "
    "COMMIT or ROLLBACK in a statement, or by the driver). What it had written before a COMMIT "
    "is stored; nothing that came later is."
)


def new_identity() -> str:
    """An identity that no other transaction has; safe to write into a statement."""
    return uuid4().hex


@contextmanager
def committing_only(
    connection: Connection, identity: str, node: str, note: Callable[[CommitState], None]
) -> Iterator[None]:
    """Let COMMIT inside the block succeed only in the transaction with this identity.

    The server is asked in the same round trip, after which nothing more can be written.
    Raises ``LockNotHeldError`` in any other transaction, which is rolled back.

    :param node: what takes the question to where the lock is, see ``Acquired``.
    :param note: is called with each state that the COMMIT comes to.
    """
    try:
        with commit_after(connection, statements.require_identity(identity, node), note):
            yield
    except DBAPIError as error:
        if sqlstate(error) == statements.TRANSACTION_ENDED:
            raise LockNotHeldError(ENDED) from error
        raise


def rolled_back_work(connection: Connection, identity: str | None, node: str) -> bool:
    """Roll back, and return whether the transaction had written anything; one round trip.

    Raises ``LockNotHeldError`` if it was not the transaction with this identity; with
    ``None`` any transaction is meant.
    """
    question = statements.ask_what_was_written(identity or "", node)
    ended, wrote = roll_back_after(connection, question)
    if ended == "t" and identity is not None:
        raise LockNotHeldError(ENDED)
    return wrote == "t"
