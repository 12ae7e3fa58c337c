"""What a unit of work is, and what is known of its lock."""

from enum import Enum

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection

from domain.driver import transaction_status


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
