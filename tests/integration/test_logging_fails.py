"""A failure in logging never changes an outcome, whichever part of logging fails."""

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanGroupLockedError, StudentLock, events
from domain.errors import LockTimeoutError, NoContentsError
from domain.events import Event, subscribe
from domain.retrying import RetryPolicy, retrying
from tests.factories import PlanGroupFactory
from tests.integration.asking import acquire
from tests.integration.storing import enter, generate, store

Factory = sessionmaker[Session]
LOGGERS = ["studyplan.lock", "studyplan.generation", "studyplan.retry"]
Break = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def everything_is_logged() -> Iterator[None]:
    parent = logging.getLogger("studyplan")
    before = parent.level
    parent.setLevel(logging.DEBUG)
    yield
    parent.setLevel(before)


class BrokenError(Exception):
    """The error that is raised in the application's logging."""


def fail(*_: object, **__: object) -> Any:
    raise BrokenError


# --- parts that may fail ----------------------------------------------------------------------


def record_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "_logRecordFactory", fail)


def logger_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "filters", [fail])


def key_error_in_a_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error that logging itself raises for a field name that a record already has."""

    def missing(_: logging.LogRecord) -> bool:
        raise KeyError("Attempt to overwrite 'group_id' in LogRecord")

    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "filters", [missing])


def _with_handler(monkeypatch: pytest.MonkeyPatch, handler: logging.Handler) -> None:
    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "handlers", [handler])


def handler_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.StreamHandler()
    handler.addFilter(fail)
    _with_handler(monkeypatch, handler)


def handler_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", fail)
    _with_handler(monkeypatch, handler)


def formatter_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.StreamHandler()
    formatter = logging.Formatter()
    monkeypatch.setattr(formatter, "format", fail)
    handler.setFormatter(formatter)
    monkeypatch.setattr(handler, "handleError", fail)
    _with_handler(monkeypatch, handler)


def logger_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logger class of the application, as ``logging.setLoggerClass`` sets it."""

    class Own(logging.Logger):
        _log = fail

    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "__class__", Own)


def is_enabled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(logging.Logger):
        isEnabledFor = fail  # noqa: N815 - logging's name

    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "__class__", Own)


def adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(logging.LoggerAdapter[logging.Logger]):
        process = fail

    for name in ("LOCK_LOG", "GENERATION_LOG"):
        monkeypatch.setattr(events, name, Own(getattr(events, name), {}))
    for name in ("domain.locking.acquiring.LOCK_LOG", "domain.retrying._LOG"):
        monkeypatch.setattr(name, Own(events.LOCK_LOG, {}))


BREAKS: list[Break] = [
    record_factory,
    logger_filter,
    key_error_in_a_filter,
    handler_filter,
    handler_that_raises,
    formatter_that_raises,
    logger_class,
    is_enabled_for,
    adapter,
]
each_break = pytest.mark.parametrize("break_", BREAKS)


# --- outcomes ---------------------------------------------------------------------------


def stored_without_logging(factory: Factory, **fields: Any) -> PlanGroup:
    """Return a group that was stored without a lock, so that only later steps are logged."""
    group = PlanGroupFactory.build(**fields)
    store(factory, group)
    return group


def free_lock(factory: Factory, _: sa.Connection) -> None:
    enter(factory, PlanGroupLock(uuid4(), uuid4()))
    enter(factory, StudentLock(uuid4(), uuid4()))


def busy_lock(factory: Factory, holder: sa.Connection) -> None:
    group = stored_without_logging(factory)
    acquire(holder, group.id)
    with pytest.raises(PlanGroupLockedError) as refused:
        enter(factory, PlanGroupLock(group.tenant_id, group.id))
    assert refused.value.group_id == group.id


def lock_timeout(factory: Factory, holder: sa.Connection) -> None:
    group = stored_without_logging(factory)
    acquire(holder, group.id)
    lock = PlanGroupLock(group.tenant_id, group.id, wait=timedelta(milliseconds=20))
    with pytest.raises(LockTimeoutError):
        enter(factory, lock)


def generation(factory: Factory, _: sa.Connection) -> None:
    group = stored_without_logging(factory)
    assert generate(factory, group).generation == 1
    assert generate(factory, group).generation == 2


def refused_generation(factory: Factory, _: sa.Connection) -> None:
    group = stored_without_logging(factory, contents=[])
    with pytest.raises(NoContentsError):
        generate(factory, group)


def kept_limit(factory: Factory, _: sa.Connection) -> None:
    options = {"options": "-c idle_in_transaction_session_timeout=7000"}
    engine = sa.create_engine(factory.kw["bind"].url, connect_args=options)
    enter(sessionmaker(engine), PlanGroupLock(uuid4(), uuid4()))
    engine.dispose()


def retry(_: Factory, __: sa.Connection) -> None:
    attempts = list[None]()

    def work() -> int:
        attempts.append(None)
        if len(attempts) < 3:
            raise PlanGroupLockedError(group_id=None)
        return len(attempts)

    assert retrying(work, policy=RetryPolicy(first_pause=timedelta(0))) == 3


def failing_listener(factory: Factory, holder: sa.Connection) -> None:
    after: list[Event] = []
    ends = [subscribe(fail), subscribe(after.append)]
    try:
        busy_lock(factory, holder)
    finally:
        for end in ends:
            end()
    assert [event.outcome for event in after] == ["busy"]


OUTCOMES = [
    free_lock,
    busy_lock,
    lock_timeout,
    generation,
    refused_generation,
    kept_limit,
    retry,
    failing_listener,
]


@each_break
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_failure_in_logging_changes_no_outcome(
    *,
    session_factory: Factory,
    connection: sa.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    break_: Break,
    outcome: Callable[[Factory, sa.Connection], None],
) -> None:
    with monkeypatch.context() as patched:
        break_(patched)
        outcome(session_factory, connection)
    shown = capsys.readouterr().err
    assert "--- Logging error ---" in shown
    assert "BrokenError" in shown or "Attempt to overwrite" in shown


@each_break
def test_failure_in_logging_is_not_shown_if_raise_exceptions_is_off(
    *,
    session_factory: Factory,
    connection: sa.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    break_: Break,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with monkeypatch.context() as patched:
        break_(patched)
        busy_lock(session_factory, connection)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_failure_in_logging_without_a_stderr_changes_no_outcome(
    *,
    session_factory: Factory,
    connection: sa.Connection,
    monkeypatch: pytest.MonkeyPatch,
    stderr: str | None,
) -> None:
    class Closed:
        write = fail

    with monkeypatch.context() as patched:
        logger_filter(patched)
        patched.setattr("sys.stderr", stderr and Closed())
        busy_lock(session_factory, connection)


# --- errors that propagate ------------------------------------------------------------------------


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupt_in_logging_propagates(
    session_factory: Factory,
    monkeypatch: pytest.MonkeyPatch,
    engine: sa.Engine,
    interrupt: type[BaseException],
) -> None:
    def interrupted(_: logging.LogRecord) -> bool:
        raise interrupt

    monkeypatch.setattr(logging.getLogger("studyplan.lock"), "filters", [interrupted])
    with pytest.raises(interrupt):
        enter(session_factory, PlanGroupLock(uuid4(), uuid4()))
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.checkedout() == 0


def test_interrupt_in_a_listener_propagates(session_factory: Factory) -> None:
    def interrupted(_: Event) -> None:
        raise KeyboardInterrupt

    end = subscribe(interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            enter(session_factory, PlanGroupLock(uuid4(), uuid4()))
    finally:
        end()
