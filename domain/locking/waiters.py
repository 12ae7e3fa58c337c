"""How many requests of this process may wait for a lock at once.

A waiter occupies a connection: three waiters on a pool of three leave none for anybody
else. At most half of a pool may wait; who finds no slot is refused at once instead.
"""

import threading
from typing import Self
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Engine, Pool, QueuePool


class WaitingSlot:
    """One of the engine's slots, for the block; ``taken`` tells whether there was one."""

    def __init__(self, engine: Engine, *, wanted: bool) -> None:
        self._pool, self._wanted = engine.pool, wanted
        self.taken = False

    def __enter__(self) -> Self:
        if self._wanted:
            most = most_waiters(self._pool)
            with _guard:
                slots = _waiting.setdefault(self._pool, WeakSet())
                if most is None or len(slots) < most:
                    slots.add(self)
                    self.taken = True
        return self

    def __exit__(self, *_: object) -> None:
        if self.taken:
            with _guard:
                _waiting[self._pool].discard(self)


# Weak, and no count: an exception out of a signal's handler may come between taking a slot
# and the block, or before giving it back. Then the slot is free as soon as its object is.
_waiting: "WeakKeyDictionary[Pool, WeakSet[WaitingSlot]]" = WeakKeyDictionary()
_guard = threading.Lock()


def most_waiters(pool: Pool) -> int | None:
    """Half of what the pool may open; ``None`` for a pool without bounds."""
    if not isinstance(pool, QueuePool) or pool._max_overflow < 0:  # noqa: SLF001 - no accessor
        return None
    return (pool.size() + pool._max_overflow) // 2  # noqa: SLF001 - SQLAlchemy has no accessor
