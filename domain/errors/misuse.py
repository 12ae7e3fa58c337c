"""Bugs in the calling code. The message says what to do, and is written where it is raised."""


class MisuseError(RuntimeError):
    """The calling code violated a rule of the package.

    The message names the rule and says what to do instead.
    """


class UnitOfWorkStateError(MisuseError):
    """The unit of work was entered twice, or used outside its block or after ``commit()``."""


class UncommittedChangesError(MisuseError):
    """The block ended with uncommitted changes and without ``commit()`` or ``rollback()``."""


class LockNotHeldError(MisuseError):
    """A write was attempted in a transaction that does not hold the group's lock."""


class WrongTransactionError(MisuseError):
    """The lock cannot protect this transaction.

    It is in autocommit mode, is read-only, is not the outermost transaction, has an isolation level
    above READ COMMITTED, or already holds a shared lock.
    """


class WrongSessionError(MisuseError):
    """An argument, or what the session factory returned, is not a Session that can be used.

    What was given is left unchanged.
    """


class SchemaError(MisuseError):
    """The server, schema, lock functions or privileges do not meet the package's requirements."""
