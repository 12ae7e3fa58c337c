"""The service that creates and deletes plan groups."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from domain import values
from domain.errors import EditedMeanwhileError, FieldError, InvalidInputError
from domain.models import AcademySchedule, GroupStatus, PlanGroup
from domain.scheduling.validation import too_many_spans
from domain.services.service import Service
from domain.services.writing import flush, version
from domain.unit_of_work.ending import LockState

if TYPE_CHECKING:
    from domain.documents import PlanGroupDocument
    from domain.documents.document import DocumentModel
    from domain.documents.rows import GroupRows

_CLASS_KEY: Final = ("weekday", "start_minute", "end_minute", "travel_minutes", "name", "subject")


class PlanGroupService(Service):
    """Creates plan groups, and deletes them permanently; cancel a group to keep its history."""

    def create(
        self,
        fields: "Mapping[str, object] | PlanGroupDocument | DocumentModel",
        *,
        student_id: UUID,
        status: GroupStatus | str = GroupStatus.DRAFT,
        group_id: UUID | None = None,
    ) -> PlanGroup:
        """Store a new group with all data of its document; the group gets the id of the lock.

        Needs a unit of work that holds the exclusive lock of the new group's id; the caller
        commits. ``fields`` is a mapping with the keys of a plan group document, or a document that
        was read before. The document's exclusions become those of the group. Its
        ``academy_schedules`` become those of the student, whose lock is acquired for them; a class
        that is equal to a stored one in all fields is not stored again. A ``draft`` may have no
        contents; plans can be generated for a ``saved`` group.

        Raises ``InvalidInputError`` with all invalid fields (``id`` if the group already exists,
        ``academy_schedules[i].start`` if a class overlaps one of the student's classes),
        ``LockNotHeldError`` and the errors of ``UnitOfWork.lock_student``. Nothing is stored after
        any error, even if the caller commits.
        """
        # Importing documents takes a tenth of the package's import time, and most processes never
        # read one.
        from domain.documents import PlanGroupDocument, rows  # noqa: PLC0415 - see above

        uow, group_id = self._uow, self._resolve_group(group_id)
        uow.require_lock(group_id)
        document = PlanGroupDocument.of(fields)
        student_id = values.validate("student_id", values.uuid, student_id)
        status = values.validate("status", _creatable, status)
        # The limits are checked before any row is built, because the group is locked meanwhile.
        InvalidInputError.raise_if_any(rows.field_errors_of(document))
        new = rows.to_rows(document, uow.tenant_id, student_id, group_id=group_id, status=status)
        uow.groups.insert(new.group, new.exclusions)
        try:
            self._add_classes(new)
        except Exception:
            self._undo_insert(new)
            raise
        return new.group

    def delete(self, *, expected_version: int, group_id: UUID | None = None) -> None:
        """Delete a group in any state with everything that belongs to it, in one statement.

        Its contents, blocks, exclusions, plans in all states and the records of its generations
        are deleted too; the student's classes and exclusions are not. Needs the group's lock, and
        acquires the student's lock because the time of the plans becomes free; the caller
        commits.

        Raises ``PlanGroupNotFoundError``, ``EditedMeanwhileError``, ``InvalidInputError`` (field
        ``expected_version``), ``LockNotHeldError`` and the errors of ``UnitOfWork.lock_student``.
        """
        group_id = self._resolve_group(group_id)
        self._uow.lock_student(group_id)
        if not self._uow.groups.remove(group_id, version(expected_version)):
            raise EditedMeanwhileError(group_id=group_id)

    def _add_classes(self, rows: "GroupRows") -> None:
        if not rows.academy_schedules:
            return
        uow, group = self._uow, rows.group
        uow.lock_student(group.id)
        stored = uow.student_time.academy_schedules(group.student_id)
        InvalidInputError.raise_if_any(_overlaps(rows.academy_schedules, stored))
        existing = {_class_values(lesson) for lesson in stored}
        new = [lesson for lesson in rows.academy_schedules if _class_values(lesson) not in existing]
        lessons = [lesson.to_planning() for lesson in (*stored, *new)]
        InvalidInputError.raise_if_any(too_many_spans("academy_schedules", lessons))
        uow.session.add_all(new)
        flush(uow, group.id)

    def _undo_insert(self, rows: "GroupRows") -> None:
        """Delete the inserted rows, unless the transaction has ended and they are rolled back."""
        uow, group = self._uow, rows.group
        if uow.lock_state() is LockState.HELD:
            group_id, version = group.id, group.version
            # Expunging the group expunges its parts. A class that is still pending would be written
            # by the flush before the deletion.
            for row in (group, *rows.exclusions, *rows.academy_schedules):
                if row in uow.session:
                    uow.session.expunge(row)
            uow.groups.remove(group_id, version)


def _creatable(status: object) -> GroupStatus:
    for allowed in (GroupStatus.DRAFT, GroupStatus.SAVED):
        if status == allowed:
            return allowed
    raise values.BadValueError("must be draft or saved")


def _overlaps(
    new: Sequence[AcademySchedule], stored: Sequence[AcademySchedule]
) -> Iterator[FieldError]:
    for index, lesson in enumerate(new):
        for other in stored:
            overlap = (
                lesson.weekday == other.weekday
                and lesson.start_minute < other.end_minute
                and other.start_minute < lesson.end_minute
            )
            if overlap and _class_values(lesson) != _class_values(other):
                yield FieldError(
                    f"academy_schedules[{index}].start", "overlaps a stored class of the student"
                )


def _class_values(lesson: AcademySchedule) -> tuple[object, ...]:
    return tuple(getattr(lesson, name) for name in _CLASS_KEY)
