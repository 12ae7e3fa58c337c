"""Harm from outside: to backends of the load, to its network, and to whole worker processes."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from domain.testing import CuttingProxy

APPLICATION = "soak"
SIGNALS = ("pg_terminate_backend", "pg_cancel_backend")
COMMIT = b"COMMIT"

# Idle ones too: they are in a pool, and the next request meets a dead connection.
BACKEND = """
SELECT {function}(pid) FROM pg_stat_activity
WHERE application_name = %s AND datname = current_database() ORDER BY random() LIMIT 1
"""


class Harasser(threading.Thread):
    """Terminates backends, cancels statements and cuts the network, at random, to the end."""

    def __init__(
        self, conninfo: str, dice: random.Random, every: float, proxy: CuttingProxy | None
    ) -> None:
        super().__init__(name="harasser", daemon=True)
        self.done: Counter[str] = Counter()
        self._conninfo = conninfo
        self._dice = dice
        self._every = every
        self._proxy = proxy
        self._over = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            cuts = _cuts(self._proxy) if self._proxy is not None else {}
            while not self._over.wait(self._dice.uniform(0, 2 * self._every)):
                harm = self._dice.choice([*SIGNALS, *cuts])
                if harm in cuts:
                    cuts[harm]()
                    self.done[harm] += 1
                else:
                    query = BACKEND.format(function=harm).encode()
                    self.done[harm] += connection.execute(query, [APPLICATION]).rowcount

    def stop(self) -> None:
        self._over.set()
        self.join()


def _cuts(proxy: CuttingProxy) -> dict[str, Callable[[], None]]:
    return {
        "network cut": proxy.cut,
        "cut before a commit": lambda: proxy.cut_before(COMMIT),
        "cut before a commit's answer": lambda: proxy.cut_after(COMMIT),
    }


@contextmanager
def harassed(
    conninfo: str, *, seed: int, every: float | None, proxy: CuttingProxy | None
) -> Iterator[Counter[str]]:
    """Harm every so many seconds on average, during the block; what was done is counted."""
    if every is None:
        yield Counter()
        return
    dice = random.Random(seed)  # noqa: S311 - drawn, not secret
    harasser = Harasser(conninfo, dice, every, proxy)
    harasser.start()
    try:
        yield harasser.done
    finally:
        harasser.stop()
