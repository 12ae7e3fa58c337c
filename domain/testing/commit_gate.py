"""A gate in front of the commit: a backend that commits a generation waits behind it.

A deferred trigger of the test database asks for an advisory lock, so the backend stands
inside its COMMIT, everything written and checked, nothing committed yet.
"""

from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from domain.models import PlanGeneration
from domain.testing.watching import PATIENCE, Where, backends_at_key, eventually

KEY: Final = 0x5354_5544_5950_4C4E
_NAME: Final = "studyplan_commit_gate"
_FUNCTION: Final = f"studyplan.{_NAME}"
_TABLE: Final = f"studyplan.{PlanGeneration.__tablename__}"
_DROP: Final = (
    f"DROP TRIGGER IF EXISTS {_NAME} ON {_TABLE}",
    f"DROP FUNCTION IF EXISTS {_FUNCTION}",
)
# Shared, so that commits do not wait for each other once the gate is open.
_CREATE: Final = (
    f"""CREATE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared({KEY}); RETURN NULL; END $$""",
    f"""CREATE CONSTRAINT TRIGGER {_NAME} AFTER INSERT ON {_TABLE}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {_FUNCTION}()""",
)


class CommitGate:
    """Closed from the block's start until ``open()`` or the block's end.

    For test databases: the trigger is created at the start and dropped in the end, by a
    role that may. Should the process be killed in between, the trigger stays and holds
    nobody; the next gate replaces it.

    :param engine: one that the fault leaves alone. If the server goes down meanwhile, it
        must ping its pool's connections or not pool them.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._closed: sa.Connection | None = None

    def __enter__(self) -> Self:
        self._run(*_DROP, *_CREATE)
        self._closed = self._engine.connect()
        self._closed.execute(sa.select(sa.func.pg_advisory_xact_lock(KEY)))
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
        return next(iter(backends_at_key(self._engine, KEY, granted=False)), None)

    def open(self) -> None:
        """Let all commits pass, from now on; repeating it is harmless."""
        connection, self._closed = self._closed, None
        if connection is not None:
            with suppress(DBAPIError):  # a server that went down has opened it already
                connection.rollback()
            connection.close()

    def _run(self, *statements: str) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{PATIENCE}s'")
            connection.exec_driver_sql("SET LOCAL client_min_messages = warning")
            for statement in statements:
                connection.exec_driver_sql(statement)


def wait_until_commit_ended(where: Where, pid: int, seconds: float = PATIENCE) -> None:
    """Return once a backend stands behind the gate no more.

    While the gate is closed that means that its commit was cancelled, or its session ended. For
    actions after which the client itself cancels the commit: were the gate opened before that
    arrives, either could come first, and the plans would be the old or the new ones by chance.

    Raises ``AssertionError`` when the time has run out.
    """
    eventually(
        lambda: pid not in backends_at_key(where, KEY, granted=False),
        f"backend {pid} is in its commit no more",
        seconds,
    )
