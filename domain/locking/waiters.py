"""How many requests of this process may wait for a lock at once.

A waiter occupies a connection: three waiters on a pool of three leave none for anybody
else. At most half of a pool may wait; who finds no slot is refused at once instead.
"""

import threading
from typing import Self
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, Pool, QueuePool

_counts: "WeakKeyDictionary[Pool, int]" = WeakKeyDictionary()
_guard = threading.Lock()


class WaitingSlot:
    """One of the engine's slots, for the block; ``taken`` tells whether there was one."""

    def __init__(self, engine: Engine, *, wanted: bool) -> None:
        self._pool, self._wanted = engine.pool, wanted
        self.taken = False

    def __enter__(self) -> Self:
        self.taken = self._wanted and _taken(self._pool)
        return self

    def __exit__(self, *_: object) -> None:
        if self.taken:
            with _guard:
                _counts[self._pool] -= 1


def most_waiters(pool: Pool) -> int | None:
    """Half of what the pool may open; ``None`` for a pool without bounds."""
    if not isinstance(pool, QueuePool) or pool._max_overflow < 0:  # noqa: SLF001 - no accessor
        return None
    return (pool.size() + pool._max_overflow) // 2  # noqa: SLF001 - SQLAlchemy has no accessor


def _taken(pool: Pool) -> bool:
    most = most_waiters(pool)
    with _guard:
        waiting = _counts.get(pool, 0)
        if most is not None and waiting >= most:
            return False
        _counts[pool] = waiting + 1
        return True
