"""Faults at a named step of a generation, and the gate that holds a commit.

The package runs as it does in production: the cursors of a watched connection are of a class
that recognizes the steps by the statements, and nothing else is put in its way.
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
"""What happens at the step; it is given the process id of the generation's backend."""

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
# Shared, so that commits do not wait for each other once the gate is open.
_CREATE: Final = (
    f"""CREATE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared({_GATE_KEY}); RETURN NULL; END $$""",
    f"""CREATE CONSTRAINT TRIGGER {_GATE} AFTER INSERT ON {_TABLE}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {_FUNCTION}()""",
)


class Step(Enum):
    """Where a generation is, in the order in which it comes along."""

    BEFORE_THE_LOCK = "before the lock"
    """Connected; the statement that takes the lock is not sent yet."""
    AFTER_THE_LOCK = "after the lock"
    """The first lock is held, nothing is read."""
    AFTER_THE_READ = "after the read"
    """The first statement after the locks has its rows, nothing is written."""
    IN_THE_WRITE = "in the middle of the write"
    """Between two rows of the COPY."""
    BEFORE_COMMIT = "before the commit"
    """Everything is written, COMMIT is not sent yet."""
    DURING_COMMIT = "during the commit"
    """The backend is at work on COMMIT, and the client waits for its answer."""


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
        does not touch (see ``CommitGate``); by default ``engine``.
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
        except BaseException as failure:  # noqa: BLE001 - it is raised again where the block ends
            self._failure = failure
        finally:
            self._gate.open()


class CommitGate:
    """Closed from the block's start until ``open()`` or the block's end.

    For test databases: the trigger is created at the start and dropped in the end, by a
    role that may. Should the process be killed in between, the trigger stays and blocks
    nothing; the next gate replaces it.

    :param engine: one that the fault does not touch. If the server goes down meanwhile, it
        must ping its pool's connections or not pool them.
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
        """The process id of a backend that stands in its commit; ``None`` if there is none."""
        return next(iter(backends_at_key(self._engine, _GATE_KEY, granted=False)), None)

    def open(self) -> None:
        """Let all commits pass, from now on; repeating it is harmless."""
        connection, self._closed = self._closed, None
        if connection is not None:
            with suppress(DBAPIError):  # a server that went down has opened it already
                connection.rollback()
            connection.close()

    def _run(self, *statements: str) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{TIMEOUT}s'")
            connection.exec_driver_sql("SET LOCAL client_min_messages = warning")
            for statement in statements:
                connection.exec_driver_sql(statement)


def wait_until_commit_ended(where: Where, pid: int, seconds: float = TIMEOUT) -> None:
    """Return once a backend stands behind the gate no more.

    While the gate is closed that means that its commit was cancelled, or its session ended. For
    actions after which the client itself cancels the commit: were the gate opened before that
    arrives, either could come first, and the plans would be the old or the new ones by chance.

    Raises ``AssertionError`` when the time has run out.
    """
    eventually(
        lambda: pid not in backends_at_key(where, _GATE_KEY, granted=False),
        f"backend {pid} is in its commit no more",
        seconds,
    )


def _watching(factory: type[Any], fault: FaultAt) -> type[Any]:
    """A cursor class like ``factory`` that reports to ``fault`` the steps up to the write."""
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
    # libpq keeps what the socket does not take at once, and would for as long as we stop here.
    while driver.pgconn.flush():
        select([], [driver.pgconn.socket], [])
    fault.reached(Step.IN_THE_WRITE, driver)
