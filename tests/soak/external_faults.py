"""Faults from outside the workers: in backends of the load and in its network."""

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

# Includes idle backends, so that a pool hands out a dead connection to a later request.
BACKEND = """
SELECT {function}(pid) FROM pg_stat_activity
WHERE application_name = %s AND datname = current_database() ORDER BY random() LIMIT 1
"""


class FaultInjector(threading.Thread):
    """Terminates backends, cancels statements and cuts the network at random until stopped."""

    def __init__(
        self, conninfo: str, rng: random.Random, interval: float, proxy: CuttingProxy | None
    ) -> None:
        super().__init__(name="fault injector", daemon=True)
        self.counts: Counter[str] = Counter()
        self._conninfo = conninfo
        self._rng = rng
        self._interval = interval
        self._proxy = proxy
        self._stopped = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            cuts = _cuts(self._proxy) if self._proxy is not None else {}
            while not self._stopped.wait(self._rng.uniform(0, 2 * self._interval)):
                fault = self._rng.choice([*SIGNALS, *cuts])
                if fault in cuts:
                    cuts[fault]()
                    self.counts[fault] += 1
                else:
                    query = BACKEND.format(function=fault).encode()
                    self.counts[fault] += connection.execute(query, [APPLICATION]).rowcount

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def _cuts(proxy: CuttingProxy) -> dict[str, Callable[[], None]]:
    return {
        "network cut": proxy.cut,
        "cut before a commit": lambda: proxy.cut_before(COMMIT),
        "cut before a commit's answer": lambda: proxy.cut_after(COMMIT),
    }


@contextmanager
def inject_external_faults(
    conninfo: str, *, seed: int, interval: float | None, proxy: CuttingProxy | None
) -> Iterator[Counter[str]]:
    """Inject a fault every ``interval`` seconds on average during the block; yield their counts."""
    if interval is None:
        yield Counter()
        return
    rng = random.Random(seed)  # noqa: S311 - not for cryptography
    injector = FaultInjector(conninfo, rng, interval, proxy)
    injector.start()
    try:
        yield injector.counts
    finally:
        injector.stop()
