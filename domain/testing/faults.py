"""Faults at a named step of a generation or an undo, and a gate that blocks commits.

The package runs as it does in production. Only the cursors of a watched connection are replaced:
their class recognizes the steps by the statements that are executed.
"""

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import Enum
from itertools import count
from select import select
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakKeyDictionary

import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from domain.locking.statements import ACQUIRING
from domain.models import PlanGeneration
from domain.testing.contention import TIMEOUT, Where, backends_at_key, eventually

Action = Callable[[int], None]
"""What to do at the step. The argument is the process id of the generation's backend."""

_Driver = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]
_POLL: Final = 0.005
_GATE_KEY: Final = 0x5354_5544_5950_4C4E
_GATE: Final = "studyplan_commit_gate"
_FUNCTION: Final = f"studyplan.{_GATE}"
_TABLE: Final = f"studyplan.{PlanGeneration.__tablename__}"
_DROP: Final = (
    f"DROP TRIGGER IF EXISTS {_GATE} ON {_TABLE}",
    f"DROP FUNCTION IF EXISTS {_FUNCTION}",
)
# The trigger acquires a shared lock, so commits do not wait for each other when the gate is open.
_CREATE: Final = (
    f"""CREATE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared({_GATE_KEY}); RETURN NULL; END $$""",
    f"""CREATE CONSTRAINT TRIGGER {_GATE} AFTER INSERT ON {_TABLE}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {_FUNCTION}()""",
)


class Step(Enum):
    """The steps of a generation, in order."""

    BEFORE_THE_LOCK = "before the lock"
    """The connection is open; the statement that acquires the lock has not been sent."""
    AFTER_THE_LOCK = "after the lock"
    """The first lock is held; nothing has been read."""
    AFTER_THE_READ = "after the read"
    """The first statement after the locks has returned its rows; nothing has been written."""
    IN_THE_WRITE = "in the middle of the write"
    """Between two rows of the COPY. It is not reached if no plan is added, as by an undo."""
    BEFORE_COMMIT = "before the commit"
    """All rows have been written; COMMIT has not been sent."""
    DURING_COMMIT = "during the commit"
    """The backend executes COMMIT, and the client waits for the result."""


class FaultAt:
    """Runs ``action`` once, for the first generation or undo that reaches ``step`` in the block.

    ::

        with FaultAt(engine, Step.AFTER_THE_READ, lambda pid: terminate_backend(other_engine, pid)):
            with pytest.raises(OperationalError):
                generate_plans(...)

    An exception that the action raises is raised in the generation at that step.

    At ``DURING_COMMIT`` the client waits in the driver, so the action runs in a separate thread
    while a ``CommitGate`` blocks the backend. After the action the gate is opened, and an
    exception of the action is raised at the end of the block. An action that interrupts the client
    must wait until the client has cancelled its commit (``wait_until_commit_ended``).

    The end of the block raises ``AssertionError`` if no generation reached the step.

    :param engine: the engine whose generations are watched; of an async engine its
        ``sync_engine``.
    :param rows: how many rows are written before ``IN_THE_WRITE``. Rows are sent to the server
        in blocks of about 32 kB.
    :param gate_engine: for ``DURING_COMMIT``, an engine on the same database that the action does
        not affect (see ``CommitGate``); by default ``engine``.
    """

    def __init__(
        self,
        engine: sa.Engine,
        step: Step,
        action: Action,
        *,
        rows: int = 1,
        gate_engine: sa.Engine | None = None,
    ) -> None:
        self.step = step
        self.rows = rows
        self.fired = False
        """Whether the action has been started."""
        self._engine = engine
        self._action = action
        self._once = threading.Lock()
        self._passed: WeakKeyDictionary[_Driver, set[Step]] = WeakKeyDictionary()
        self._factories: WeakKeyDictionary[_Driver, Any] = WeakKeyDictionary()
        self._gate = CommitGate(gate_engine or engine) if step is Step.DURING_COMMIT else None
        self._over = threading.Event()
        self._attendant = threading.Thread(target=self._attend, name="fault during the commit")
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        if event.contains(self._engine, "begin", self._begun):
            return self  # a ``with`` on what the fixture ``fault_at`` returns
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
        if not event.contains(self._engine, "begin", self._begun):
            return
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
            raise AssertionError(f"no generation reached the step {self.step.value!r}")

    def reached(self, step: Step, driver: _Driver) -> None:
        """Record that the transaction on ``driver`` is at ``step``. Called by watched cursors."""
        passed = self._passed.get(driver)
        if passed is None or step in passed:
            return
        passed.add(step)
        if step is self.step and self._first():
            self._action(driver.info.backend_pid)

    def passed(self, step: Step, driver: _Driver) -> bool:
        """Whether the transaction on ``driver`` has been at ``step``. Called by watched cursors."""
        return step in self._passed.get(driver, ())

    def _begun(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if driver not in self._factories:
            self._factories[driver] = driver.cursor_factory
            driver.cursor_factory = _watching(driver.cursor_factory, self)
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
        except BaseException as failure:  # noqa: BLE001 - raised again at the end of the block
            self._failure = failure
        finally:
            self._gate.open()


class CommitGate:
    """Blocks all commits of generations and undos from the start of the block until ``open()``.

    The end of the block opens it, too.

    It is for test databases: a trigger is created at the start and dropped at the end, which the
    role must be allowed to do. If the process is killed in between, the trigger remains but does
    not block commits; the next gate replaces it.

    :param engine: an engine that the fault does not affect. If the server goes down in the block,
        the engine must use ``pool_pre_ping`` or not pool its connections.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._closed: sa.Connection | None = None

    def __enter__(self) -> Self:
        self._run(*_DROP, *_CREATE)
        self._closed = self._engine.connect()
        self._closed.execute(sa.select(sa.func.pg_advisory_xact_lock(_GATE_KEY)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open()
        self._run(*_DROP)

    def arrived(self) -> int | None:
        """Return the process id of a backend whose commit is blocked, or ``None``."""
        return next(iter(backends_at_key(self._engine, _GATE_KEY, granted=False)), None)

    def open(self) -> None:
        """Stop blocking commits. Further calls have no effect."""
        connection, self._closed = self._closed, None
        if connection is not None:
            with suppress(DBAPIError):  # if the server went down, the lock is already released
                connection.rollback()
            connection.close()

    def _run(self, *statements: str) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{TIMEOUT}s'")
            connection.exec_driver_sql("SET LOCAL client_min_messages = warning")
            for statement in statements:
                connection.exec_driver_sql(statement)


def wait_until_commit_ended(where: Where, pid: int, seconds: float = TIMEOUT) -> None:
    """Return as soon as the commit of a backend is no longer blocked by the gate.

    While the gate is closed, that means that the commit was cancelled or that the session ended.
    Use it in actions after which the client cancels the commit. If the gate were opened before the
    cancellation arrives, it would be undefined whether the commit succeeds.

    Raises ``AssertionError`` after ``seconds``.
    """
    eventually(
        lambda: pid not in backends_at_key(where, _GATE_KEY, granted=False),
        f"backend {pid} is no longer in its commit",
        seconds,
    )


def _watching(factory: type[Any], fault: FaultAt) -> type[Any]:
    """Return a subclass of ``factory`` whose cursors report the steps up to the write."""
    methods = _async_methods if issubclass(factory, psycopg.AsyncCursor) else _methods
    return type(f"Watched{factory.__name__}", (factory,), methods(factory, fault))


def _methods(factory: type[Any], fault: FaultAt) -> dict[str, Any]:
    def execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        _before(fault, query, self.connection)
        done = factory.execute(self, query, *arguments, **options)
        _after(fault, query, self.connection)
        return done

    @contextmanager
    def copy(self: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        with factory.copy(self, *arguments, **options) as copying:
            write, numbers = copying.write_row, count()

            def write_row(row: Sequence[Any]) -> None:
                _between_rows(fault, next(numbers), self.connection)
                write(row)

            copying.write_row = write_row
            yield copying

    return {"execute": execute, "copy": copy}


def _async_methods(factory: type[Any], fault: FaultAt) -> dict[str, Any]:
    async def execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        _before(fault, query, self.connection)
        done = await factory.execute(self, query, *arguments, **options)
        _after(fault, query, self.connection)
        return done

    @asynccontextmanager
    async def copy(self: Any, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        async with factory.copy(self, *arguments, **options) as copying:
            write, numbers = copying.write_row, count()

            async def write_row(row: Sequence[Any]) -> None:
                _between_rows(fault, next(numbers), self.connection)
                await write(row)

            copying.write_row = write_row
            yield copying

    return {"execute": execute, "copy": copy}


def _before(fault: FaultAt, query: object, driver: Any) -> None:
    if ACQUIRING in str(query):
        fault.reached(Step.BEFORE_THE_LOCK, driver)


def _after(fault: FaultAt, query: object, driver: Any) -> None:
    if ACQUIRING in str(query):
        fault.reached(Step.AFTER_THE_LOCK, driver)
    elif fault.passed(Step.AFTER_THE_LOCK, driver):
        fault.reached(Step.AFTER_THE_READ, driver)


def _between_rows(fault: FaultAt, written: int, driver: Any) -> None:
    if written != fault.rows:
        return
    # libpq buffers what the socket does not accept immediately. Without flushing the buffer, the
    # server would not receive these rows while the action runs.
    while driver.pgconn.flush():
        select([], [driver.pgconn.socket], [])
    fault.reached(Step.IN_THE_WRITE, driver)
