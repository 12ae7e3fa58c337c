"""The application's requests."""

from collections.abc import Mapping
from datetime import date
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy.orm import Session, sessionmaker

from academy.models import Booking, Student
from domain import DomainError, PlanGroupLock, PlanGroupService, UnitOfWork, generate_plans

SPRING: Final[Mapping[str, object]] = {
    "name": "spring",
    "period": {"start": "2026-03-02", "end": "2026-03-29"},
    "blocks": [{"kind": "study", "start": "10:00", "end": "19:00"}],
    "contents": [{"type": "book", "title": "algebra", "allocation": "weakness", "range": [1, 60]}],
}


def add_student(session_factory: sessionmaker[Session], tenant_id: UUID, name: str) -> UUID:
    """Store a student in a separate transaction and return its id."""
    with session_factory(expire_on_commit=False) as session, session.begin():
        student = Student(tenant_id=tenant_id, name=name)
        session.add(student)
    return student.id


def add_group(session_factory: sessionmaker[Session], tenant_id: UUID, student_id: UUID) -> UUID:
    """Store a plan group and its room booking in one transaction; return the group's id."""
    lock = PlanGroupLock(tenant_id, uuid4())
    with UnitOfWork(session_factory, lock=lock) as uow:
        PlanGroupService(uow).create(SPRING, student_id=student_id, status="saved")
        uow.session.add(Booking(tenant_id=tenant_id, group_id=lock.group_id, room="A", seats=1))
        uow.commit()
    return lock.group_id


def post_plans(
    session_factory: sessionmaker[Session], tenant_id: UUID, group_id: UUID, today: date
) -> tuple[int, dict[str, object]]:
    """Generate a group's plans and return the status and the body of the HTTP response."""
    try:
        result = generate_plans(session_factory, PlanGroupLock(tenant_id, group_id), today=today)
    except DomainError as error:
        return error.http_status, error.to_problem("en")
    return 200, {"generation": result.generation, "plans": len(result.plans)}
