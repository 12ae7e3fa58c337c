"""The time limits of a transaction that holds a lock, set by the statement that takes it."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Pool

from domain.events import LOCK_LOG
from domain.lock_policy import Limits

_TRANSACTION_TIMEOUT_SINCE: Final = 170000
_SETTINGS: Final = ("idle_in_transaction_session_timeout", "transaction_timeout")
# A limit that the session has of its own stays: whoever set it knows the server. It could
# not be lowered in a running transaction anyhow. Before PostgreSQL 17 there is only the first.
_LIMIT: Final = (
    ", set_config('{0}', CASE current_setting('{0}') WHEN '0' THEN %s "
    "ELSE current_setting('{0}') END, true)"
)
_COLUMNS_15: Final = _LIMIT.format(_SETTINGS[0])
_COLUMNS_17: Final = _COLUMNS_15 + _LIMIT.format(_SETTINGS[1])
_MILLISECOND: Final = timedelta(milliseconds=1)
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000))

_told: "WeakKeyDictionary[Pool, set[str]]" = WeakKeyDictionary()


def columns(server_version: int) -> str:
    """The columns that set the limits; each gives the value then in force."""
    return _COLUMNS_15 if server_version < _TRANSACTION_TIMEOUT_SINCE else _COLUMNS_17


def values(server_version: int, limits: Limits) -> list[str]:
    """The parameters of the columns."""
    asked = [str(limits.idle // _MILLISECOND), str(limits.transaction // _MILLISECOND)]
    return asked[:1] if server_version < _TRANSACTION_TIMEOUT_SINCE else asked


def tell_kept(pool: Pool, limits: Limits, in_force: Sequence[Any]) -> None:
    """Log, once for a pool and a setting, that a limit of the session's own stays in force."""
    if (
        not LOCK_LOG.isEnabledFor(logging.INFO)
        or tuple(in_force) == _shown(limits)[: len(in_force)]
    ):
        return
    for name, asked, kept in zip(_SETTINGS, _shown(limits), in_force, strict=False):
        told = _told.setdefault(pool, set())
        if kept == asked or name in told:
            continue
        told.add(name)
        extra = {"event": "plan_group_lock.limit_kept", "setting": name, "kept": kept}
        LOCK_LOG.info("%s stays at %s", name, kept, extra={**extra, "asked": asked})


@lru_cache(maxsize=64)
def _shown(limits: Limits) -> tuple[str, ...]:
    """The limits as PostgreSQL writes them: in the largest unit that divides them."""
    return tuple(
        next(
            (f"{ms // size}{unit}" for unit, size in _UNITS if ms % size == 0),
            f"{ms}ms",
        )
        for ms in (limits.idle // _MILLISECOND, limits.transaction // _MILLISECOND)
    )
