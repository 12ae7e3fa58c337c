"""A fault before any statement of a request, or before its commit, leaves nothing of it behind.

Each test injects its fault before the first statement of the request, then before the second one,
and so on, until the request ends before the fault is reached. So it covers every statement,
whatever their number, and the last attempt is the retry that succeeds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import sessionmaker

from domain import PlanGroup
from domain.testing import Step
from domain.testing.contention import terminate_backend
from tests.faults.operations import REQUESTS, live, plans_of
from tests.faults.stage import BROKEN, DeliberateError, Stage
from tests.integration.storing import traces
from tests.soak.violation import Rule

LOST: Final = (*BROKEN, DeliberateError)
MAX_STATEMENTS: Final = 30
"""More statements than any request executes."""


def _raise(_: Stage, __: int) -> None:
    raise DeliberateError


def _crash(stage: Stage, _: int) -> None:
    stage.server.restart(immediate=True)


FAULTS: Final[dict[str, Callable[[Stage, int], None]]] = {
    "exception": _raise,
    "pg_terminate_backend": lambda stage, pid: terminate_backend(stage.direct, pid),
    "network cut": lambda stage, _: stage.proxy.cut(),
}


class FaultBefore:
    """Injects a fault before a statement of the first transaction in its block.

    The commit counts as a statement, and as the one that is meant if ``number`` is ``None``.
    """

    def __init__(
        self, engine: sa.Engine, number: int | None, action: Callable[[int], None]
    ) -> None:
        self.fired = False
        self.statements = 0
        self._number = number
        self._action = action
        self._engine = engine
        self._drivers: list[psycopg.Connection[Any]] = []

    @contextmanager
    def armed(self) -> Iterator[None]:
        event.listen(self._engine, "begin", self._begun)
        event.listen(self._engine, "commit", self._committing)
        try:
            yield
        finally:
            event.remove(self._engine, "begin", self._begun)
            event.remove(self._engine, "commit", self._committing)
            for driver in self._drivers:
                driver.cursor_factory = psycopg.Cursor

    def reached(self, driver: Any, *, is_commit: bool = False) -> None:
        self.statements += 1
        meant = is_commit if self._number is None else self.statements == self._number
        if meant and not self.fired:
            self.fired = True
            self._action(driver.info.backend_pid)

    def _begun(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.cursor_factory = _watched(self)
        self._drivers.append(driver)

    def _committing(self, connection: sa.Connection) -> None:
        self.reached(connection.connection.driver_connection, is_commit=True)


def _watched(fault: FaultBefore) -> type[psycopg.Cursor[Any]]:
    class Watched(psycopg.Cursor[Any]):
        def execute(self, *arguments: Any, **options: Any) -> Any:
            fault.reached(self.connection)
            return super().execute(*arguments, **options)

        def copy(self, *arguments: Any, **options: Any) -> Any:
            fault.reached(self.connection)
            return super().copy(*arguments, **options)

    return Watched


def _group(stage: Stage, request: str) -> PlanGroup:
    group = stage.planned_group(Step.AFTER_THE_READ)
    for step in REQUESTS[request].before:
        step(sessionmaker(stage.direct), group)
    return group


def _attempt(
    stage: Stage,
    request: str,
    group: PlanGroup,
    action: Callable[[Stage, int], None],
    number: int | None,
) -> int | None:
    """Run the request with the action before a statement.

    Return the number of statements that were reached if the request failed, and ``None`` if it
    ended before that statement.
    """
    injected = FaultBefore(stage.engine, number, lambda pid: action(stage, pid))
    first = live(plans_of(stage.direct, group))[0]
    failed = True
    with injected.armed(), suppress(*LOST):
        REQUESTS[request].run(stage.factory, group, first)
        failed = False
    assert failed is injected.fired, f"statement {number} of {injected.statements}"
    return injected.statements if failed else None


def _assert_nothing_is_left(stage: Stage, group: PlanGroup, before: tuple[Any, ...]) -> None:
    stage.assert_locks_are_free(group)
    assert traces(stage.direct, group.id) == before
    stage.assert_pool_is_complete()


def _assert_done(stage: Stage, request: str, group: PlanGroup, before: Any) -> None:
    assert REQUESTS[request].check(before, plans_of(stage.direct, group))
    # The checker knows no operations here, so it takes every change by hand for an unknown one.
    rules = {violation.rule for violation in stage.violations(group)} - {Rule.TRACE}
    assert rules <= ({Rule.LIVE} if request in {"move", "missed"} else set())
    stage.assert_locks_are_free(group)
    stage.assert_pool_is_complete()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", REQUESTS)
def test_fault_before_any_statement_leaves_nothing_and_the_retry_succeeds(
    stage: Stage, name: str, fault: str
) -> None:
    group = _group(stage, name)
    before, plans = traces(stage.direct, group.id), plans_of(stage.direct, group)
    for number in range(1, MAX_STATEMENTS):
        if _attempt(stage, name, group, FAULTS[fault], number) is None:
            break
        _assert_nothing_is_left(stage, group, before)
    else:
        pytest.fail("the request never succeeded")
    assert number > 4, "the lock, a read, a write and the commit have failed"
    _assert_done(stage, name, group, plans)


@pytest.mark.parametrize("name", REQUESTS)
def test_crash_before_the_commit_leaves_nothing_and_the_retry_succeeds(
    stage: Stage, name: str
) -> None:
    group = _group(stage, name)
    before, plans = traces(stage.direct, group.id), plans_of(stage.direct, group)
    assert _attempt(stage, name, group, _crash, None)
    _assert_nothing_is_left(stage, group, before)
    assert _attempt(stage, name, group, _crash, MAX_STATEMENTS) is None
    _assert_done(stage, name, group, plans)
