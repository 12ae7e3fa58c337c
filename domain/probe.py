"""A check at start-up that the locks work on this server and that the role has its privileges."""

from typing import Final
from uuid import uuid4

from sqlalchemy import Connection, Engine

from domain import errors, privileges
from domain.arguments import as_engine
from domain.database_errors import (
    MIGRATE,
    During,
    replace_pooled,
    require_supported_server,
    translated,
)
from domain.locking import acquiring, status
from domain.locking.policy import (
    PlanGroupLock,
    StudentLock,
    max_waiters,
    plan_group_lock_key,
    student_lock_key,
)

_STATE: Final = (
    "SELECT pg_catalog.pg_is_in_recovery(), "
    "pg_catalog.current_setting('transaction_read_only')::boolean"
)


def probe(engine: Engine) -> None:
    """Check with two connections that a lock held by one is refused to the other until the commit.

    First the catalog is queried for every privilege that the package needs. Then each lock
    function is called as the package calls it, with newly created ids: for a single group, for
    several groups, and for a student. The probe writes no rows and leaves no locks behind; its
    lock requests are reported to ``domain.events`` like all others. It does not check whether
    the tables are up to date: ``domain.schema.require_current`` does.

    The engine's pool must provide two connections at the same time. In an asyncio application,
    pass a separate engine: ``await asyncio.to_thread(probe, create_engine(url))``.

    Raises ``SchemaError`` if the server is too old, if tables, functions or privileges are missing
    (the message names each), or if the functions have another version or do not lock;
    ``DatabaseReadOnlyError`` on a standby; ``WrongTransactionError`` if the engine's
    transactions cannot write or cannot hold a lock (read-only, autocommit, isolation level);
    ``DatabaseBusyError`` if the pool does not have two free connections; and ``MisuseError`` if
    the pool opens only one, or if the argument is not an ``Engine``.
    """
    as_engine(engine, "probe")
    if max_waiters(engine.pool) == 0:
        raise errors.MisuseError(
            "The probe needs two connections at the same time, but the engine's pool opens only "
            "one. Pass an engine whose pool opens at least two."
        )
    with translated(during=During.CHECKOUT):
        holder = engine.connect()
    with holder:
        require_supported_server(holder)
        _require_writable(holder)
        _require_privileges(holder)
        with translated(during=During.CHECKOUT):
            other = engine.connect()
        with other:
            _require_working_locks(holder, other)


def _require_working_locks(holder: Connection, other: Connection) -> None:
    try:
        _require_functions(holder)
        _require_exclusion(holder, other)
    except errors.SchemaError:
        # A function that is not the package's may have acquired a session-level lock, which a
        # rollback does not release. Both connections are closed instead of returned to the pool.
        holder.invalidate()
        other.invalidate()
        raise


def _require_writable(connection: Connection) -> None:
    with connection.begin():
        standby, read_only = connection.exec_driver_sql(_STATE).one()
    if standby:
        replace_pooled(connection)
        raise errors.DatabaseReadOnlyError
    if read_only:
        raise errors.WrongTransactionError(
            "The engine's transactions are read-only although the server accepts writes: check "
            "default_transaction_read_only of the role, of the database and in the URL, and the "
            "engine's option postgresql_readonly."
        )


def _require_privileges(connection: Connection) -> None:
    with connection.begin(), translated():
        missing, lacking = privileges.missing_privileges(connection)
        role = connection.exec_driver_sql("SELECT current_user").scalar_one()
    if missing:
        raise errors.SchemaError(f"The database lacks {', '.join(missing)}. {MIGRATE}")
    if lacking:
        raise errors.SchemaError(
            f"The role {role} lacks {', '.join(lacking)}. The owner of the schema grants it with "
            "`python -m domain upgrade --grant-to ROLE`."
        )


def _require_functions(connection: Connection) -> None:
    tenant_id, id_ = uuid4(), uuid4()
    with connection.begin():
        found, needed = status.functions_version(connection), status.FUNCTIONS_VERSION
        if found != needed:
            raise errors.SchemaError(
                f"The lock functions have version {found}, but this package needs {needed}. "
                f"{MIGRATE}"
            )
        keys = plan_group_lock_key(id_), student_lock_key(tenant_id, id_)
        if status.keys_in_sql(connection, tenant_id, id_) != keys:
            raise errors.SchemaError(
                "The database derives different lock keys than this package, so that their locks "
                f"would not exclude each other. {MIGRATE}"
            )


def _require_exclusion(holder: Connection, other: Connection) -> None:
    single, several, student = (
        PlanGroupLock(uuid4(), uuid4()),
        PlanGroupLock.of(uuid4(), [uuid4(), uuid4()]),
        StudentLock(uuid4(), uuid4()),
    )
    for lock in (single, several, student):
        with holder.begin():
            acquiring.acquire(holder, lock)
            if not _is_refused(other, lock):
                raise errors.SchemaError(
                    "Two connections acquired the same lock: the lock functions of this database "
                    f"do not lock. {MIGRATE}"
                )
            _require_reported(other, lock)
        if _is_refused(other, lock):
            raise errors.SchemaError(
                "A lock was still held after its transaction had ended: the lock functions of "
                f"this database are not those of this package. {MIGRATE}"
            )


def _require_reported(connection: Connection, lock: PlanGroupLock | StudentLock) -> None:
    """Raise ``SchemaError`` unless the database reports the groups' locks as held."""
    for group_id in lock.group_ids:
        with connection.begin():
            if not status.is_held(connection, lock.tenant_id, group_id):
                raise errors.SchemaError(
                    f"The database does not report a lock that is held. {MIGRATE}"
                )


def _is_refused(connection: Connection, lock: PlanGroupLock | StudentLock) -> bool:
    with connection.begin():
        try:
            acquiring.acquire(connection, lock)
        except (errors.PlanGroupLockedError, errors.PlanGroupNotFoundError):
            # A refused request for a group that does not exist raises the second error, and the
            # probe's ids do not exist.
            return True
        return False
