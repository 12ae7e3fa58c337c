"""Asking about locks: for people, for messages, and at start-up."""

import json
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from domain.database_errors import checkout_translated
from domain.errors import InvalidInputError, LockHolder
from domain.locking import statements
from domain.models import PlanGroup

FUNCTIONS_VERSION: Final = 1
"""The version of the SQL functions that this package calls."""


@dataclass(frozen=True, slots=True)
class LockStatus:
    """What the database tells of a group's lock; for people and messages, never as a gate.

    ``held`` does not depend on what is known of the holder. Of several holders of a shared
    lock ``holder`` is the asker itself if it is among them, else the one whose transaction is
    the oldest. ``waiting`` counts the requests in the queue.
    """

    held: bool
    held_by_me: bool
    holder: LockHolder | None
    waiting: int


def lock_status(asker: Session | Connection, group_id: UUID) -> LockStatus:
    """Who holds the group's lock, since when, and how many wait. Takes nothing.

    One statement in the asker's transaction, which the asker ends; it may be read-only and
    on a standby. Of a holder under another role the database shows only the process and its
    application name unless the asking one may read ``pg_stat_activity``
    (``pg_read_all_stats``). Raises ``SchemaError`` and ``DatabaseBusyError``.
    """
    InvalidInputError.unless_uuids(group_id=group_id)
    with checkout_translated():
        connection = (
            asker.connection(bind_arguments={"mapper": PlanGroup})
            if isinstance(asker, Session)
            else asker
        )
    row = statements.asked(connection, statements.CHECK, (group_id,))
    found = json.loads(row[0])
    return LockStatus(
        held=found["held"],
        held_by_me=found["held_by_me"],
        holder=statements.holder_in(found),
        waiting=found["waiting"],
    )


def functions_version(connection: Connection) -> int:
    """The version of the database's lock functions; ``FUNCTIONS_VERSION`` is what fits.

    Raises ``SchemaError`` if there are none or the role may not execute them.
    """
    row = statements.asked(connection, statements.VERSION, ())
    return int(row[0])


def keys_in_sql(connection: Connection, id_: UUID) -> tuple[int, int]:
    """The keys that the database derives from an id, as a group's and as a student's."""
    row = statements.asked(connection, statements.KEYS, (id_, id_))
    group, student = row
    return group, student
