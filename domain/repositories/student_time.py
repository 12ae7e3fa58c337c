"""The repository of exclusions and classes, which belong to a student."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from domain.arguments import as_session
from domain.database_errors import translated
from domain.errors import InvalidInputError
from domain.locking import guards
from domain.models import AcademySchedule, Exclusion
from domain.repositories.reading import refreshed


@guards.serialize_calls
class StudentTimeRepository:
    """A student's exclusions and weekly classes, within a tenant."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        InvalidInputError.require_uuids(tenant_id=tenant_id)
        self._session = as_session(session)
        self._tenant_id = tenant_id

    def exclusions(self, student_id: UUID) -> Sequence[Exclusion]:
        """Return the student's own exclusions and those of the student's groups, by date."""
        InvalidInputError.require_uuids(student_id=student_id)
        return self._exclusions(Exclusion.student_id == student_id)

    def exclusions_of_student(self, student_id: UUID) -> Sequence[Exclusion]:
        """Return the exclusions that apply to all groups of the student, by date."""
        InvalidInputError.require_uuids(student_id=student_id)
        return self._exclusions(Exclusion.student_id == student_id, Exclusion.group_id.is_(None))

    def exclusions_of_group(self, group_id: UUID) -> Sequence[Exclusion]:
        """Return the exclusions that apply only to this group, by date."""
        InvalidInputError.require_uuids(group_id=group_id)
        return self._exclusions(Exclusion.group_id == group_id)

    @translated()
    def academy_schedules(self, student_id: UUID) -> Sequence[AcademySchedule]:
        """Return the student's classes by weekday and time."""
        InvalidInputError.require_uuids(student_id=student_id)
        query = (
            select(AcademySchedule)
            .where(
                AcademySchedule.tenant_id == self._tenant_id,
                AcademySchedule.student_id == student_id,
            )
            .order_by(AcademySchedule.weekday, AcademySchedule.start_minute)
        )
        return refreshed(self._session, AcademySchedule, query)

    @translated()
    def _exclusions(self, *where: ColumnElement[bool]) -> Sequence[Exclusion]:
        query = (
            select(Exclusion)
            .where(Exclusion.tenant_id == self._tenant_id, *where)
            .order_by(Exclusion.date, Exclusion.id)
        )
        return refreshed(self._session, Exclusion, query)
