"""The time limits of a transaction that holds a lock, set by the statement that takes it."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from weakref import WeakKeyDictionary

from sqlalchemy import Pool

from domain.events import LOCK_LOG, is_logged, log
from domain.locking.policy import Limits

_MILLISECOND: Final = timedelta(milliseconds=1)
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))

_told: "WeakKeyDictionary[Pool, set[str]]" = WeakKeyDictionary()


def milliseconds(limits: Limits) -> tuple[int, int, int]:
    """The limits in the order of the SQL function's arguments."""
    return (
        limits.idle // _MILLISECOND,
        limits.transaction // _MILLISECOND,
        limits.row_lock // _MILLISECOND,
    )


def tell_kept(pool: Pool, limits: Limits, kept: Mapping[str, str]) -> None:
    """Log, once for a pool and a setting, that a limit of the session's own stays in force.

    Whoever set it knows the server. It could not be lowered in a running transaction anyhow.
    """
    asked = {
        "idle_in_transaction_session_timeout": _shown(limits.idle),
        "transaction_timeout": _shown(limits.transaction),
        "lock_timeout": _shown(limits.row_lock),
    }
    told = _told.setdefault(pool, set())
    for name, in_force in kept.items():
        if in_force == asked[name] or name in told or not is_logged(LOCK_LOG, logging.INFO):
            continue
        told.add(name)
        extra = {"event": "plan_group_lock.limit_kept", "setting": name, "kept": in_force}
        fields = {**extra, "asked": asked[name]}
        log(LOCK_LOG, logging.INFO, "%s stays at %s", name, in_force, fields=fields)


def _shown(limit: timedelta) -> str:
    """A limit as PostgreSQL writes it: in the largest unit that divides it."""
    ms = limit // _MILLISECOND
    return next((f"{ms // size}{unit}" for unit, size in _UNITS if ms % size == 0), f"{ms}ms")
