"""A proof, at start-up, that the locks are real on this server, and that the role may work."""

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
    """Prove with two connections that what one holds the other is refused, until the commit.

    Every lock function is called the way the package calls it, on ids made for it: one
    group, several, a student. Before that the catalog is asked whether the role has every
    privilege that the package needs. Writes no row and leaves nothing behind; its requests
    are reported to ``domain.events`` like any others. Whether the tables are current is
    ``domain.schema.require_current``'s to say.

    The engine's pool must give two connections at once. In an asyncio application, give it an
    engine made for it: ``await asyncio.to_thread(probe, create_engine(url))``.

    Raises ``SchemaError`` if the server is too old, if tables or functions are missing or
    not granted, naming each, or if the functions are of another version or do not lock;
    ``DatabaseReadOnlyError`` on a standby; ``WrongTransactionError`` if the engine's
    transactions cannot write or cannot hold a lock (read-only, autocommit, isolation);
    ``DatabaseBusyError`` if its pool has no two connections free, and ``MisuseError`` if it
    opens only one, or for what is no Engine, saying what to pass.
    """
    as_engine(engine, "probe")
    if max_waiters(engine.pool) == 0:
        raise errors.MisuseError(
            "The probe needs two connections at once and the pool opens only one. "
            "Give it an engine with a pool of two or more."
        )
    with translated(during=During.CHECKOUT):
        holder = engine.connect()
    with holder:
        require_supported_server(holder)
        _require_writable(holder)
        _require_privileges(holder)
        with translated(during=During.CHECKOUT):
            rival = engine.connect()
        with rival:
            _prove(holder, rival)


def _prove(holder: Connection, rival: Connection) -> None:
    try:
        _require_functions(holder)
        _require_exclusion(holder, rival)
    except errors.SchemaError:
        # A function that is not ours may have left a lock with the session.
        holder.invalidate()
        rival.invalidate()
        raise


def _require_writable(connection: Connection) -> None:
    with connection.begin():
        standby, read_only = connection.exec_driver_sql(_STATE).one()
    if standby:
        replace_pooled(connection)
        raise errors.DatabaseReadOnlyError
    if read_only:
        raise errors.WrongTransactionError(
            "The engine's transactions are read-only although the server accepts writes: see "
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
                f"The lock functions have version {found}, this package needs {needed}. {MIGRATE}"
            )
        keys = plan_group_lock_key(id_), student_lock_key(tenant_id, id_)
        if status.keys_in_sql(connection, tenant_id, id_) != keys:
            raise errors.SchemaError(
                "The database derives other keys than this package: the two would not exclude "
                f"each other. {MIGRATE}"
            )


def _require_exclusion(holder: Connection, rival: Connection) -> None:
    one, several, student = (
        PlanGroupLock(uuid4(), uuid4()),
        PlanGroupLock.of(uuid4(), [uuid4(), uuid4()]),
        StudentLock(uuid4(), uuid4()),
    )
    for lock in (one, several, student):
        with holder.begin():
            acquiring.acquire(holder, lock)
            if not _refused(rival, lock):
                raise errors.SchemaError(
                    "Two connections were given one lock: the lock functions of this database "
                    f"do not lock. {MIGRATE}"
                )
            _require_seen(rival, lock)
        if _refused(rival, lock):
            raise errors.SchemaError(
                "A lock was still held after its transaction: the lock functions of this "
                f"database are not the package's. {MIGRATE}"
            )


def _require_seen(rival: Connection, lock: PlanGroupLock | StudentLock) -> None:
    for group_id in lock.group_ids:
        with rival.begin():
            if not status.is_held(rival, lock.tenant_id, group_id):
                raise errors.SchemaError(f"The lock that is held is not shown. {MIGRATE}")


def _refused(connection: Connection, lock: PlanGroupLock | StudentLock) -> bool:
    with connection.begin():
        try:
            acquiring.acquire(connection, lock)
        except (errors.PlanGroupLockedError, errors.PlanGroupNotFoundError):
            return True  # no tenant has the ids, which is what the second error says
        return False
