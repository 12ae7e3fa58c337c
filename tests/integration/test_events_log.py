"""Log messages of locks and generations: their names, fields, and levels."""

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, PlanGroupLockedError, events
from domain.errors import LockTimeoutError
from domain.locking import Limits
from tests.integration.asking import acquire, backend_pid
from tests.integration.storing import book_group, enter, generate

Factory = sessionmaker[Session]
SHORT = timedelta(milliseconds=30)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return vars(record)


def test_free_lock_is_logged_at_level_debug(
    session_factory: Factory, tenant_id: UUID, group_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "studyplan.lock")
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("studyplan.lock", logging.DEBUG)
    assert fields(record)["event"] == record.getMessage() == "plan_group_lock.acquired"
    assert fields(record)["group_id"] == str(group_id)


def test_refusal_is_logged_with_the_holder(
    session_factory: Factory,
    connection: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "studyplan.lock")
    connection.exec_driver_sql("SET LOCAL application_name = 'first'")
    acquire(connection, group_id)
    with pytest.raises(PlanGroupLockedError):
        enter(session_factory, PlanGroupLock(tenant_id, group_id))
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    found = fields(record)
    assert (found["event"], found["outcome"]) == ("plan_group_lock.busy", "busy")
    assert (found["scope"], found["waited_ms"]) == ("group", 0)
    assert (found["holder_pid"], found["holder_application"]) == (backend_pid(connection), "first")
    assert found["holder_held_ms"] >= 0


@pytest.mark.parametrize(("threshold", "level"), [(5, logging.WARNING), (60_000, logging.INFO)])
def test_wait_longer_than_the_threshold_is_logged_as_a_warning(
    *,
    session_factory: Factory,
    connection: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    threshold: int,
    level: int,
) -> None:
    caplog.set_level(logging.DEBUG, "studyplan.lock")
    monkeypatch.setattr(events, "SLOW_WAIT_MS", threshold)
    acquire(connection, group_id)
    with pytest.raises(LockTimeoutError):
        enter(session_factory, PlanGroupLock(tenant_id, group_id, wait=SHORT))
    (record,) = caplog.records
    assert record.levelno == level
    assert fields(record)["waited_ms"] >= 30


def test_generation_is_logged_with_its_number_and_rows(
    session_factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "studyplan.generation")
    group = book_group(session_factory)
    result = generate(session_factory, group)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("studyplan.generation", logging.INFO)
    found = fields(record)
    assert (found["event"], found["group_id"]) == ("plan_generation.generated", str(group.id))
    assert (found["generation"], found["rows"]) == (1, len(result.plans))


# --- limits that the session sets -------------------------------------------------------


def with_options(database_url: sa.URL, options: str) -> sa.Engine:
    return sa.create_engine(database_url, pool_size=2, connect_args={"options": options})


@pytest.mark.parametrize(
    ("setting", "own", "shown"),
    [
        ("idle_in_transaction_session_timeout", "7000", "7s"),
        ("transaction_timeout", "1500", "1500ms"),
    ],
)
def test_session_limit_that_is_kept_is_logged_once(
    *,
    database_url: sa.URL,
    session_factory: Factory,
    caplog: pytest.LogCaptureFixture,
    setting: str,
    own: str,
    shown: str,
) -> None:
    with session_factory() as session:
        name = {"name": setting}
        known = session.scalar(sa.text("SELECT current_setting(:name, true)"), name) is not None
    caplog.set_level(logging.INFO, "studyplan.lock")
    engine = with_options(database_url, f"-c {setting}={own}")
    if not known:  # transaction_timeout exists since PostgreSQL 17
        with pytest.raises(sa.exc.OperationalError, match="unrecognized configuration parameter"):
            engine.connect()
        return
    for _ in range(3):
        enter(sessionmaker(engine), PlanGroupLock(uuid4(), uuid4()))
    engine.dispose()
    (record,) = caplog.records
    found = fields(record)
    assert found["event"] == "plan_group_lock.limit_kept"
    assert (found["setting"], found["kept"]) == (setting, shown)
    assert found["asked"] == {"idle_in_transaction_session_timeout": "30s"}.get(setting, "5min")


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(timedelta(milliseconds=30_001), timedelta(days=2)),
        Limits(timedelta(milliseconds=1001), timedelta(hours=25)),
        Limits(timedelta(seconds=90), timedelta(minutes=90)),
        Limits(timedelta(seconds=3600), timedelta(seconds=86400)),
    ],
)
def test_limits_that_the_package_sets_are_not_logged(
    session_factory: Factory, caplog: pytest.LogCaptureFixture, limits: Limits
) -> None:
    caplog.set_level(logging.INFO, "studyplan.lock")
    enter(session_factory, PlanGroupLock(uuid4(), uuid4(), limits=limits))
    assert not caplog.records
