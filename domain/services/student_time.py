"""Editing what belongs to a student in all groups: weekly classes and exclusions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Unpack
from uuid import UUID, uuid4

from domain.errors import InvalidInputError
from domain.models import AcademySchedule, Exclusion
from domain.models.base import checked_values
from domain.models.study_time import AcademyScheduleSettings, ExclusionSettings
from domain.scheduling import planning
from domain.scheduling.validation import faults
from domain.services.row_versions import RowVersion, assign, entry, flush, written
from domain.services.service import Service
from domain.unit_of_work import UnitOfWork


class StudentTimeService(Service):
    """Edits a student's classes, and the exclusions that count in all of their groups.

    Every method needs the student's lock, which each generation takes too: none plans by
    the old time and commits after the new. The caller commits. Plans that stand already
    stay until their group is generated again. A group's own exclusions are not found here;
    ``GroupTimeService`` edits them.

    Errors of every method: ``TimeEntryNotFoundError`` (also for another tenant's row),
    ``EditedMeanwhileError`` if the row is not in ``expected_version``,
    ``InvalidInputError`` with every field at fault and ``LockNotHeldError``. After any of
    them nothing is written. In fields such as ``academy_schedules[2].start`` the index is
    that of the student's stored rows in their order; a new row comes after them.
    """

    def add_class(
        self, *, student_id: UUID | None = None, **fields: Unpack[AcademyScheduleSettings]
    ) -> RowVersion:
        """Add a weekly class; its weekday, start and end are needed.

        Two classes may touch, and travel may overlap, but the classes themselves may not.
        """
        uow, student_id = self._locked(student_id)
        classes = uow.student_time.academy_schedules(student_id)
        values = _class_values(fields, None, classes)
        lesson = AcademySchedule(
            id=uuid4(), tenant_id=uow.tenant_id, student_id=student_id, **values
        )
        uow.session.add(lesson)
        return written(uow, lesson)

    def change_class(
        self,
        *,
        class_id: UUID,
        expected_version: int,
        student_id: UUID | None = None,
        **fields: Unpack[AcademyScheduleSettings],
    ) -> RowVersion:
        """Change the given fields of a class."""
        uow, student_id = self._locked(student_id)
        classes = uow.student_time.academy_schedules(student_id)
        index, lesson = entry(AcademySchedule, classes, RowVersion(class_id, expected_version))
        assign(lesson, _class_values(fields, index, classes))
        return written(uow, lesson)

    def remove_class(
        self,
        *,
        class_id: UUID,
        expected_version: int,
        student_id: UUID | None = None,
    ) -> None:
        """Remove a class."""
        uow, student_id = self._locked(student_id)
        classes = uow.student_time.academy_schedules(student_id)
        _, lesson = entry(AcademySchedule, classes, RowVersion(class_id, expected_version))
        uow.session.delete(lesson)
        flush(uow)

    def add_exclusion(
        self,
        *,
        student_id: UUID | None = None,
        **fields: Unpack[ExclusionSettings],
    ) -> RowVersion:
        """Exclude a date in all groups; any date, for groups ignore those outside."""
        uow, student_id = self._locked(student_id)
        own = uow.student_time.of_student(student_id)
        path = f"exclusions[{len(own)}]"
        values = checked_values(Exclusion, ExclusionSettings, fields, path, new=True)
        exclusion = Exclusion(id=uuid4(), tenant_id=uow.tenant_id, student_id=student_id, **values)
        uow.session.add(exclusion)
        return written(uow, exclusion)

    def change_exclusion(
        self,
        *,
        exclusion_id: UUID,
        expected_version: int,
        student_id: UUID | None = None,
        **fields: Unpack[ExclusionSettings],
    ) -> RowVersion:
        """Change the given fields of an exclusion."""
        uow, student_id = self._locked(student_id)
        own = uow.student_time.of_student(student_id)
        index, exclusion = entry(Exclusion, own, RowVersion(exclusion_id, expected_version))
        assign(
            exclusion, checked_values(Exclusion, ExclusionSettings, fields, f"exclusions[{index}]")
        )
        return written(uow, exclusion)

    def remove_exclusion(
        self,
        *,
        exclusion_id: UUID,
        expected_version: int,
        student_id: UUID | None = None,
    ) -> None:
        """Remove an exclusion."""
        uow, student_id = self._locked(student_id)
        own = uow.student_time.of_student(student_id)
        _, exclusion = entry(Exclusion, own, RowVersion(exclusion_id, expected_version))
        uow.session.delete(exclusion)
        flush(uow)

    def _locked(self, student_id: UUID | None) -> tuple[UnitOfWork, UUID]:
        student_id = self._the_student(student_id)
        self._uow.require_student_lock(student_id)
        return self._uow, student_id


def _class_values(
    fields: Mapping[str, Any], index: int | None, classes: Sequence[AcademySchedule]
) -> dict[str, Any]:
    """The fields of a class that fits among the student's others; ``index``: one of them."""
    path = f"academy_schedules[{len(classes) if index is None else index}]"
    values = checked_values(
        AcademySchedule, AcademyScheduleSettings, fields, path, new=index is None
    )
    lesson = AcademySchedule(travel_minutes=0) if index is None else _copy(classes[index])
    assign(lesson, values)
    others = [other.to_planning() for i, other in enumerate(classes) if i != index]
    asked = planning.Request(
        period_start=date.min,
        period_end=date.min,
        today=date.min,
        contents=(),
        blocks=(),
        academy_schedules=(*others, lesson.to_planning()),
    )
    # The stored classes agree with each other: whatever is at fault is the last one.
    if found := faults(asked):
        last = f"academy_schedules[{len(others)}]"
        raise InvalidInputError(
            replace(fault, field=fault.field.replace(last, path)) for fault in found
        )
    return values


def _copy(lesson: AcademySchedule) -> AcademySchedule:
    """A copy that no Session knows: what is refused must not be written by a later flush."""
    return AcademySchedule(
        weekday=lesson.weekday,
        start_minute=lesson.start_minute,
        end_minute=lesson.end_minute,
        travel_minutes=lesson.travel_minutes,
    )
