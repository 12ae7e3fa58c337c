"""Mistakes in the calling code. The text is the help, and stands where it is raised."""

from domain.errors.base import MisuseError


class UnitOfWorkStateError(MisuseError):
    """The unit of work was entered twice, or used outside its block or after ``commit()``."""


class UncommittedChangesError(MisuseError):
    """The block ended without ``commit()`` or ``rollback()`` although something was written."""


class LockNotHeldError(MisuseError):
    """A write was about to leave a transaction that does not hold the group's lock."""


class WrongTransactionError(MisuseError):
    """The lock cannot protect this transaction: autocommit, isolation, or not the outermost."""


class WrongSessionError(MisuseError):
    """The session factory gives no Session that can hold a lock; what it gave is unchanged."""


class SchemaError(MisuseError):
    """The database lacks the schema or the lock functions, or has another version of them."""
