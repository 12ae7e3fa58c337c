"""The extra fields of log records beside those that the application gives its own records."""

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
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "studyplan.lock")


def with_fields(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    """The application's records have fields of their own."""
    make = logging.getLogRecordFactory()

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = make(*args, **kwargs)
        vars(made).update(fields)
        return made

    monkeypatch.setattr(logging, "_logRecordFactory", record)


@pytest.mark.parametrize("taken", ["student_id", "group_id", "event", "outcome", "scope"])
def test_record_whose_fields_are_taken_has_them_in_one_dictionary(
    *,
    session_factory: Factory,
    connection: sa.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    taken: str,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    acquire(connection, group_id)
    with_fields(monkeypatch, **{taken: "the application's"})
    with pytest.raises(PlanGroupLockedError):
        enter(session_factory, PlanGroupLock(tenant_id, group_id))
    (record,) = caplog.records
    assert vars(record)[taken] == "the application's"
    assert vars(record)["studyplan"]["event"] == "plan_group_lock.busy"
    assert vars(record)["studyplan"]["group_id"] == str(group_id)
    assert record.getMessage() == "plan_group_lock.busy"
    assert capsys.readouterr().err == ""


def test_record_that_leaves_no_room_has_its_message(
    session_factory: Factory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    with_fields(monkeypatch, group_id=1, studyplan=1)
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    assert [record.getMessage() for record in caplog.records] == ["plan_group_lock.acquired"]


def test_other_fields_of_the_application_leave_ours_as_they_are(
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
