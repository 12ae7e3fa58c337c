"""Something goes wrong at a named step of a generation."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

from domain.testing.commit_gate import CommitGate
from domain.testing.steps import Step, watched

Action = Callable[[int], None]
"""What happens at the step; it is given the process id of the generation's backend."""

_Driver = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]
_POLL: Final = 0.005


class FaultAt:
    """Runs ``action`` once, at the first generation that comes to ``step`` in the block.

    ::

        with FaultAt(engine, Step.AFTER_THE_READ, lambda pid: terminate_backend(aside, pid)):
            with pytest.raises(OperationalError):
                generate_plans(...)

    An exception that the action raises comes up in the generation at that step. During the
    commit the client waits in the driver, so the action runs in a thread of its own while
    a ``CommitGate`` keeps the backend from going on; when it is done the gate opens, and
    what it raised comes up at the block's end. An action that interrupts the client must wait
    until the client has cancelled its commit (``wait_until_commit_ended``).

    The end of the block raises ``AssertionError`` if nothing came to the step.

    :param engine: whose generations are meant; the ``sync_engine`` of an async one.
    :param rows: how many rows the write is in when it counts as its middle. Rows reach the
        server in blocks of some 32 kB.
    :param aside: for ``DURING_COMMIT``, an engine on the same database that the action
        leaves alone (see ``CommitGate``); by default ``engine``.
    """

    def __init__(
        self,
        engine: sa.Engine,
        step: Step,
        action: Action,
        *,
        rows: int = 1,
        aside: sa.Engine | None = None,
    ) -> None:
        self.step = step
        self.rows = rows
        self.fired = False
        """Whether the action has begun."""
        self._engine = engine
        self._action = action
        self._once = threading.Lock()
        self._passed: WeakKeyDictionary[_Driver, set[Step]] = WeakKeyDictionary()
        self._factories: WeakKeyDictionary[_Driver, Any] = WeakKeyDictionary()
        self._gate = CommitGate(aside or engine) if step is Step.DURING_COMMIT else None
        self._over = threading.Event()
        self._attendant = threading.Thread(target=self._attend, name="fault during the commit")
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        if self._gate is not None:
            self._gate.__enter__()
            self._attendant.start()
        event.listen(self._engine, "begin", self._begun)
        event.listen(self._engine, "commit", self._committing)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        event.remove(self._engine, "begin", self._begun)
        event.remove(self._engine, "commit", self._committing)
        for driver, factory in list(self._factories.items()):
            driver.cursor_factory = factory
        if self._gate is not None:
            self._over.set()
            self._attendant.join()
            self._gate.__exit__(kind, error, trace)
        if self._failure is not None:
            raise self._failure
        if kind is None and not self.fired:
            raise AssertionError(f"no generation came to the step {self.step.value!r}")

    def reached(self, step: Step, driver: _Driver) -> None:
        """Of the watched cursors: a generation on ``driver`` is at ``step``."""
        passed = self._passed.get(driver)
        if passed is None or step in passed:
            return
        passed.add(step)
        if step is self.step and self._first():
            self._action(driver.info.backend_pid)

    def passed(self, step: Step, driver: _Driver) -> bool:
        """Of the watched cursors: whether the transaction on ``driver`` was at ``step``."""
        return step in self._passed.get(driver, ())

    def _begun(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if driver not in self._factories:
            self._factories[driver] = driver.cursor_factory
            driver.cursor_factory = watched(driver.cursor_factory, self)
        self._passed[driver] = set()

    def _committing(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if self.passed(Step.AFTER_THE_LOCK, driver):
            self.reached(Step.BEFORE_COMMIT, driver)

    def _first(self) -> bool:
        with self._once:
            first, self.fired = not self.fired, True
        return first

    def _attend(self) -> None:
        if self._gate is None:
            return
        try:
            while (pid := self._gate.arrived()) is None:
                if self._over.wait(_POLL):
                    return
            self._first()
            self._action(pid)
        except BaseException as failure:  # noqa: BLE001 - it is raised again where the block ends
            self._failure = failure
        finally:
            self._gate.open()
