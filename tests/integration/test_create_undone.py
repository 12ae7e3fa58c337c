"""A creation that fails after the group was inserted leaves nothing, even if the caller commits."""

import json
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, PlanGroupService, UnitOfWork
from domain.errors import WrongTransactionError
from domain.repositories import PlanGroupRepository, StudentTimeRepository
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


def test_create_can_be_repeated_after_its_savepoint_was_rolled_back(
    session_factory: Factory,
) -> None:
    """The Session must not regard the group as stored, with the key of the second one."""
    lock, fields = PlanGroupLock(uuid4(), uuid4()), {**FIELDS, "academy_schedules": []}
    with UnitOfWork(session_factory, lock=lock) as uow:
        savepoint = uow.session.begin_nested()
        undone = PlanGroupService(uow).create(fields, student_id=uuid4())
        savepoint.rollback()
        assert undone not in uow.session
        assert list(uow.session) == []
        created = PlanGroupService(uow).create(fields, student_id=uuid4())
        created.name = "다시"
        uow.commit()
    with session_factory() as session:
        stored = PlanGroupRepository(session, lock.tenant_id).get(lock.group_id)
        assert (stored.name, stored.student_id) == ("다시", created.student_id)
        assert (
            len(StudentTimeRepository(session, lock.tenant_id).exclusions_of_group(stored.id)) > 0
        )


def test_create_in_a_savepoint_that_is_released_stores_what_it_stores_without_one(
    session_factory: Factory,
) -> None:
    lock, fields = PlanGroupLock(uuid4(), uuid4()), {**FIELDS, "academy_schedules": []}
    with UnitOfWork(session_factory, lock=lock) as uow:
        with uow.session.begin_nested():
            created = PlanGroupService(uow).create(fields, student_id=uuid4())
        uow.commit()
    with session_factory() as session:
        stored = PlanGroupRepository(session, lock.tenant_id).get(lock.group_id)
        assert len(stored.all_rows()) == len(created.all_rows())
