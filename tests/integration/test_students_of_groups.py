"""The lock of a group's student is that of the student whom the group has at that time."""

from collections.abc import Callable, Iterator
from contextvars import Context
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GroupStatus,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    PlanGroupService,
    StudentLock,
    UnitOfWork,
)
from domain.errors import InvalidInputError, PlanGroupNotFoundError
from domain.models import StudentPlan
from domain.services import GroupStateService, PlanProgressService, ReschedulingService, UndoService
from tests.factories import AcademyScheduleFactory, PlanGroupFactory
from tests.integration.storing import FIRST, enter, plans, stored_group

Factory = sessionmaker[Session]
Step = Callable[[UnitOfWork, UUID], object]
FIELDS: dict[str, Any] = {
    "name": "중간고사",
    "period": {"start": "2025-01-06", "end": "2025-01-12"},
    "blocks": [{"kind": "study", "start": "16:00", "end": "20:00"}],
    "contents": [{"type": "book", "title": "수학", "allocation": "weakness", "range": [1, 30]}],
}
CLASS = {"weekday": 1, "start": "10:00", "end": "11:00"}


def of_lock(uow: UnitOfWork, **fields: Any) -> PlanGroup:
    """Return a new group with the id of the lock."""
    (group_id,) = uow.lock.group_ids
    return PlanGroupFactory.build(id=group_id, tenant_id=uow.tenant_id, **fields)


def delete(uow: UnitOfWork, _: UUID) -> None:
    PlanGroupService(uow).delete(expected_version=1)


def delete_object(uow: UnitOfWork, _: UUID) -> None:
    (group_id,) = uow.lock.group_ids
    uow.session.delete(uow.groups.get(group_id))


def create(uow: UnitOfWork, student_id: UUID) -> None:
    PlanGroupService(uow).create(FIELDS, student_id=student_id, status="saved")


def create_with_a_class(uow: UnitOfWork, student_id: UUID) -> None:
    fields = FIELDS | {"academy_schedules": [CLASS]}
    PlanGroupService(uow).create(fields, student_id=student_id, status="saved")


def add(uow: UnitOfWork, student_id: UUID) -> None:
    uow.groups.add(of_lock(uow, student_id=student_id, status=GroupStatus.SAVED))


def assign(uow: UnitOfWork, student_id: UUID) -> None:
    (group_id,) = uow.lock.group_ids
    uow.groups.get(group_id).student_id = student_id


def assign_expired(uow: UnitOfWork, student_id: UUID) -> None:
    (group_id,) = uow.lock.group_ids
    group = uow.groups.get(group_id)
    uow.session.expire(group)
    group.student_id = student_id


MOVES: dict[str, list[Step]] = {
    "create": [delete, create],
    "create with a class": [delete, create_with_a_class],
    "add": [delete, add],
    "delete the object and create": [delete_object, create_with_a_class],
    "delete the object and add": [delete_object, add],
    "assign": [assign],
    "assign to an expired object": [assign_expired],
}


@pytest.fixture
def student_id() -> UUID:
    return uuid4()


@pytest.fixture
def uow(session_factory: Factory) -> Iterator[UnitOfWork]:
    """An open unit of work that has locked the student of its group."""
    group = stored_group(session_factory, status=GroupStatus.SAVED)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.lock_student(group.id)
        yield uow


@pytest.mark.parametrize("move", MOVES)
def test_plans_of_another_student_are_written_under_that_students_lock(
    session_factory: Factory, uow: UnitOfWork, student_id: UUID, move: str
) -> None:
    for step in MOVES[move]:
        step(uow, student_id)
    PlanGenerationService(uow).generate(today=FIRST)
    uow.require_student_lock(student_id)
    student = StudentLock(uow.tenant_id, student_id)
    with pytest.raises(PlanGroupLockedError):
        in_another_request(session_factory, student)
    uow.commit()
    enter(session_factory, student)
    with session_factory() as session:
        (group_id,) = uow.lock.group_ids
        found = sa.select(StudentPlan.student_id).where(StudentPlan.group_id == group_id)
        assert set(session.scalars(found)) == {student_id}


def in_another_request(factory: Factory, lock: StudentLock) -> None:
    Context().run(enter, factory, lock)


def test_student_is_locked_again_after_a_creation_that_was_refused(
    session_factory: Factory, student_id: UUID
) -> None:
    lock = PlanGroupLock(uuid4(), uuid4())
    other = {**CLASS, "end": "12:00"}
    with UnitOfWork(session_factory, lock=PlanGroupLock(lock.tenant_id, uuid4())) as uow:
        create_with_a_class(uow, first := uuid4())
        uow.commit()
    with UnitOfWork(session_factory, lock=lock) as uow:
        with pytest.raises(InvalidInputError):
            PlanGroupService(uow).create(
                FIELDS | {"academy_schedules": [other]}, student_id=first, status="saved"
            )
        create_with_a_class(uow, student_id)
        uow.require_student_lock(student_id)
        uow.commit()


@pytest.mark.parametrize("is_kept", [True, False])
def test_student_is_that_after_the_end_of_a_savepoint(
    uow: UnitOfWork, student_id: UUID, *, is_kept: bool
) -> None:
    (group_id,) = uow.lock.group_ids
    before = uow.lock_student(group_id)
    savepoint = uow.session.begin_nested()
    delete(uow, student_id)
    create(uow, student_id)
    (savepoint.commit if is_kept else savepoint.rollback)()
    assert uow.lock_student(group_id) == (student_id if is_kept else before)
    uow.rollback()


def test_group_that_was_removed_has_no_student(uow: UnitOfWork) -> None:
    (group_id,) = uow.lock.group_ids
    delete(uow, uuid4())
    with pytest.raises(PlanGroupNotFoundError):
        uow.lock_student(group_id)
    uow.rollback()


def test_student_stays_locked_if_another_setting_of_the_group_changes(uow: UnitOfWork) -> None:
    """No further statement is executed, which a savepoint would refuse."""
    (group_id,) = uow.lock.group_ids
    with uow.session.begin_nested():
        uow.groups.get(group_id).name = "기말고사"
        uow.lock_student(group_id)
    uow.commit()


# --- rows that are not flushed yet ----------------------------------------------------


def generate(uow: UnitOfWork, _: UUID) -> None:
    PlanGenerationService(uow).generate(today=FIRST)


def reschedule(uow: UnitOfWork, _: UUID) -> None:
    ReschedulingService(uow).reschedule(today=FIRST)


def undo(uow: UnitOfWork, group_id: UUID) -> None:
    generate(uow, group_id)
    UndoService(uow).undo()


def cancel(uow: UnitOfWork, _: UUID) -> None:
    GroupStateService(uow).change(to=GroupStatus.CANCELLED)


def activate(uow: UnitOfWork, _: UUID) -> None:
    GroupStateService(uow).change(to=GroupStatus.ACTIVE)


def mark_missed(uow: UnitOfWork, group_id: UUID) -> None:
    generate(uow, group_id)
    plan = uow.plans.live(group_id)[0]
    PlanProgressService(uow).mark_missed(plan_id=plan.id, expected_version=1)


def move(uow: UnitOfWork, group_id: UUID) -> None:
    generate(uow, group_id)
    plan = uow.plans.live(group_id)[0]
    PlanProgressService(uow).move(
        plan_id=plan.id, expected_version=1, date=date(2025, 1, 18), start_minute=1080, today=FIRST
    )


@pytest.mark.parametrize("autoflush", [True, False])
@pytest.mark.parametrize(
    "use", [generate, reschedule, undo, cancel, activate, delete, mark_missed, move]
)
def test_group_that_was_added_is_used_without_a_flush(
    engine: sa.Engine, use: Step, *, autoflush: bool
) -> None:
    lock = PlanGroupLock(uuid4(), uuid4())
    factory = sessionmaker(engine, autoflush=autoflush)
    with UnitOfWork(factory, lock=lock) as uow:
        group = of_lock(uow, student_id=uuid4(), status=GroupStatus.SAVED)
        uow.groups.add(group)
        use(uow, group.id)
        uow.require_student_lock(group.student_id)
        uow.commit()
    if use is generate:
        assert plans(factory, group)


def test_group_that_was_added_twice_is_reported_as_by_a_flush(
    session_factory: Factory, uow: UnitOfWork
) -> None:
    """The errors of the flush are those of the other statements."""
    add(uow, uuid4())
    (group_id,) = uow.lock.group_ids
    with pytest.raises(InvalidInputError) as refused:
        uow.lock_student(group_id)
    assert refused.value.field == "id"


def test_class_that_needs_the_lock_of_the_student_may_wait_for_it(
    session_factory: Factory, group: PlanGroup
) -> None:
    """Only a pending group causes a flush: other rows may need the lock that is acquired."""
    ids = {"tenant_id": group.tenant_id, "student_id": group.student_id}
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.session.add(AcademyScheduleFactory.build(**ids))
        uow.lock_student(group.id)
        uow.commit()
