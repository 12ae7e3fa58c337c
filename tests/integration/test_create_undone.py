"""A creation that fails after the group was inserted leaves nothing, even if the caller commits."""

import json
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, PlanGroupService, UnitOfWork
from domain.errors import WrongTransactionError
from tests.integration.editing import everything
from tests.unit.documents.documents import EXAMPLE

Factory = sessionmaker[Session]
FIELDS: dict[str, Any] = json.loads(EXAMPLE)
"""A document with a class, for which the student's lock is acquired."""


def test_create_in_a_savepoint_stores_nothing_without_the_students_lock(
    session_factory: Factory,
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        with uow.session.begin_nested(), pytest.raises(WrongTransactionError):
            PlanGroupService(uow).create(FIELDS, student_id=uuid4())
        assert list(uow.session) == []
        uow.commit()
    assert everything(session_factory) == before


def test_create_can_be_repeated_outside_the_savepoint(session_factory: Factory) -> None:
    lock, student_id = PlanGroupLock(uuid4(), uuid4()), uuid4()
    with UnitOfWork(session_factory, lock=lock) as uow:
        with uow.session.begin_nested(), pytest.raises(WrongTransactionError):
            PlanGroupService(uow).create(FIELDS, student_id=student_id)
        created = PlanGroupService(uow).create(FIELDS, student_id=student_id)
        uow.commit()
    assert len(created.contents) == 4


def test_create_that_a_listener_of_the_application_interrupts_stores_nothing(
    session_factory: Factory,
) -> None:
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:

        def interrupt(session: Session, *_: object) -> None:
            if session.new:
                raise RuntimeError("interrupted")

        sa.event.listen(uow.session, "before_flush", interrupt)
        with pytest.raises(RuntimeError, match="interrupted"):
            PlanGroupService(uow).create(FIELDS, student_id=uuid4())
        sa.event.remove(uow.session, "before_flush", interrupt)
        uow.commit()
    assert everything(session_factory) == before
