"""Log records carry their fields even if the application adds fields to every record."""

import logging
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, PlanGroupLockedError
from tests.integration.asking import acquire
from tests.integration.storing import enter

Factory = sessionmaker[Session]


@pytest.fixture(autouse=True)
def debug_logging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "studyplan.lock")


def with_fields(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    """Make the application add these fields to every record."""
    original = logging.getLogRecordFactory()

    def make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = original(*args, **kwargs)
        vars(record).update(fields)
        return record

    monkeypatch.setattr(logging, "_logRecordFactory", make_record)


@pytest.mark.parametrize("field", ["student_id", "group_id", "event", "outcome", "scope"])
def test_record_nests_its_fields_if_the_application_uses_one_of_the_names(
    *,
    session_factory: Factory,
    connection: sa.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    field: str,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    acquire(connection, group_id)
    with_fields(monkeypatch, **{field: "the application's"})
    with pytest.raises(PlanGroupLockedError):
        enter(session_factory, PlanGroupLock(tenant_id, group_id))
    (record,) = caplog.records
    assert vars(record)[field] == "the application's"
    assert vars(record)["studyplan"]["event"] == "plan_group_lock.busy"
    assert vars(record)["studyplan"]["group_id"] == str(group_id)
    assert record.getMessage() == "plan_group_lock.busy"
    assert capsys.readouterr().err == ""


def test_record_has_only_its_message_if_the_nested_name_is_used_too(
    session_factory: Factory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    with_fields(monkeypatch, group_id=1, studyplan=1)
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    assert [record.getMessage() for record in caplog.records] == ["plan_group_lock.acquired"]


def test_record_keeps_its_fields_if_the_application_uses_other_names(
    session_factory: Factory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    with_fields(monkeypatch, request_id="r-1")
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    (record,) = caplog.records
    assert vars(record)["group_id"] == str(group_id)
    assert not hasattr(record, "studyplan")
