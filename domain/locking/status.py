"""Reports the state of locks, for monitoring, messages, and checks at start-up."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from domain.arguments import as_session
from domain.database_errors import During, translated
from domain.errors import InvalidInputError, LockHolder, PlanGroupNotFoundError
from domain.locking import statements
from domain.models import PlanGroup

FUNCTIONS_VERSION: Final = 1
"""The version of the SQL functions that this package calls."""


@dataclass(frozen=True, slots=True)
class LockStatus:
    """The state of a group's lock, for monitoring and messages.

    It may be outdated when it arrives, so do not use it to decide whether to write. ``held`` does
    not depend on what is known about the holder. If several transactions share the lock,
    ``holder`` is the caller's if it is among them, otherwise the oldest. ``waiting`` is the number
    of requests in the queue.
    """

    held: bool
    held_by_me: bool
    holder: LockHolder | None
    waiting: int


def lock_status(bind: Session | Connection, tenant_id: UUID, group_id: UUID) -> LockStatus:
    """Return who holds the group's lock, since when, and how many requests wait.

    Acquires nothing. Executes one statement in the caller's transaction, which the caller ends;
    the transaction may be read-only, and the server a standby. If the holder has another role,
    the database reports only its process and application name, unless the caller's role may read
    ``pg_stat_activity`` (``pg_read_all_stats``).

    Raises ``PlanGroupNotFoundError`` if the tenant has no such group, unless the caller itself
    holds its lock in order to create it; in that case other requests are not reported. Also raises
    ``SchemaError`` and ``DatabaseBusyError``, and ``WrongSessionError`` for another ``bind``.
    """
    InvalidInputError.require_uuids(tenant_id=tenant_id, group_id=group_id)
    with translated(during=During.CHECKOUT):
        connection = (
            bind
            if isinstance(bind, Connection)
            else as_session(bind).connection(bind_arguments={"mapper": PlanGroup})
        )
    found, rows = _checked(connection, tenant_id, group_id)
    if not rows and not found["held_by_me"]:
        raise PlanGroupNotFoundError(group_id=group_id)
    return LockStatus(
        held=found["held"],
        held_by_me=found["held_by_me"],
        holder=statements.holder_in(found),
        waiting=found["waiting"] if rows else 0,
    )


def is_held(connection: Connection, tenant_id: UUID, group_id: UUID) -> bool:
    """Return whether the lock of a group, stored or not, is held. Raises ``SchemaError``."""
    found, _ = _checked(connection, tenant_id, group_id)
    return bool(found["held"])


def functions_version(connection: Connection) -> int:
    """Return the version of the database's lock functions; it must be ``FUNCTIONS_VERSION``.

    Raises ``SchemaError`` if there are none or the role may not execute them.
    """
    row = statements.fetch_row(connection, statements.VERSION, ())
    return int(row[0])


def keys_in_sql(connection: Connection, tenant_id: UUID, id_: UUID) -> tuple[int, int]:
    """Return the keys that the database derives from an id, as a group's and as a student's."""
    group, student = statements.fetch_row(connection, statements.KEYS, (id_, tenant_id, id_))
    return group, student


def _checked(
    connection: Connection, tenant_id: UUID, group_id: UUID
) -> tuple[Mapping[str, Any], int]:
    """Return the record of the lock, and how many rows the tenant has with the group's id."""
    text, rows = statements.fetch_row(connection, statements.CHECK, (group_id, tenant_id, group_id))
    return json.loads(text), rows
