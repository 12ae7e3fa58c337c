"""The application's requests."""

from datetime import date, timedelta
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from academy.models import Booking, Student
from domain import (
    Block,
    Content,
    DomainError,
    GroupStatus,
    PlanGroup,
    PlanGroupLock,
    UnitOfWork,
    generate_plans,
)
from domain.scheduling import Allocation, BlockKind, ContentType

Answer = tuple[int, dict[str, object]]


def add_student(sessions: sessionmaker[Session], tenant_id: UUID, name: str) -> UUID:
    """Store a student, in a transaction of the application's own."""
    with sessions(expire_on_commit=False) as session, session.begin():
        student = Student(tenant_id=tenant_id, name=name)
        session.add(student)
    return student.id


def add_group(sessions: sessionmaker[Session], tenant_id: UUID, student_id: UUID) -> UUID:
    """Store a plan group for a student, with a room booked for it."""
    start = date(2026, 3, 2)
    group = PlanGroup(
        tenant_id=tenant_id,
        student_id=student_id,
        name="spring",
        status=GroupStatus.SAVED,
        period_start=start,
        period_end=start + timedelta(days=27),
        contents=[
            Content(
                position=1,
                type=ContentType.BOOK,
                title="algebra",
                allocation=Allocation.WEAKNESS,
                first_unit=1,
                last_unit=60,
            )
        ],
        blocks=[
            Block(kind=BlockKind.STUDY, weekday=weekday, start_minute=600, end_minute=1140)
            for weekday in range(7)
        ],
    )
    group_id = group.id
    with UnitOfWork(sessions, lock=PlanGroupLock(tenant_id, group_id)) as uow:
        uow.groups.add(group)
        uow.session.flush()
        uow.session.add(Booking(tenant_id=tenant_id, group_id=group_id, room="A", seats=1))
        uow.commit()
    return group_id


def post_plans(
    sessions: sessionmaker[Session], tenant_id: UUID, group_id: UUID, today: date
) -> Answer:
    """Generate a group's plans: the status and the body of the HTTP response."""
    try:
        result = generate_plans(sessions, PlanGroupLock(tenant_id, group_id), today=today)
    except DomainError as error:
        return error.http_status, error.to_problem("en")
    return 200, {"generation": result.generation, "plans": len(result.plans)}
