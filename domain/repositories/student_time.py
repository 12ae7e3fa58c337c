"""What belongs to a student in all groups."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.models import AcademySchedule, Exclusion


class StudentTimeRepository:
    """A student's exclusions and weekly classes, within a tenant."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def exclusions(self, tenant_id: UUID, student_id: UUID) -> Sequence[Exclusion]:
        """The student's own and those of single groups, by date."""
        return self._session.scalars(
            select(Exclusion)
            .where(Exclusion.tenant_id == tenant_id, Exclusion.student_id == student_id)
            .order_by(Exclusion.date, Exclusion.id)
        ).all()

    def academy_schedules(self, tenant_id: UUID, student_id: UUID) -> Sequence[AcademySchedule]:
        """The student's classes by weekday and time."""
        return self._session.scalars(
            select(AcademySchedule)
            .where(AcademySchedule.tenant_id == tenant_id, AcademySchedule.student_id == student_id)
            .order_by(AcademySchedule.weekday, AcademySchedule.start_minute)
        ).all()
