"""Creating a group, checked as a whole before, and deleting it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from domain import values
from domain.errors import DomainError, EditedMeanwhileError, FieldError, InvalidInputError
from domain.models import AcademySchedule, GroupStatus, PlanGroup
from domain.services.service import Service, flush, version
from domain.unit_of_work.ending import LockState

if TYPE_CHECKING:
    from domain.documents import PlanGroupDocument
    from domain.documents.document import DocumentModel
    from domain.documents.rows import GroupRows

_CLASS: Final = ("weekday", "start_minute", "end_minute", "travel_minutes", "name", "subject")


class PlanGroupService(Service):
    """Creates plan groups, and deletes them for good; to keep the history, cancel a group."""

    def create(
        self,
        fields: "Mapping[str, object] | PlanGroupDocument | DocumentModel",
        *,
        student_id: UUID,
        status: GroupStatus | str = GroupStatus.DRAFT,
        group_id: UUID | None = None,
    ) -> PlanGroup:
        """Store a new group with everything its document has; its id is the lock's.

        Needs a unit of work that holds the exclusive lock of the new group's id; the caller
        commits. ``fields`` is a mapping in the words of a document (the README's table), or
        one that was read already. The document's exclusions become the group's own, its
        ``academy_schedules`` the student's, whose lock is taken for them; a class that the
        student has already, equal in every field, is not stored twice. A ``draft`` can be
        edited and stored without contents, a ``saved`` group can be generated.

        Raises ``InvalidInputError`` with every invalid field (``id``: there is such a group
        already; ``academy_schedules[i].start``: overlaps a class that the student has), and
        ``LockNotHeldError``; for the student's lock ``PlanGroupLockedError`` and
        ``LockTimeoutError``. After any of them nothing of it is stored, even if the caller
        goes on and commits.
        """
        # A tenth of the package's import, and most processes read no document.
        from domain.documents import PlanGroupDocument, rows  # noqa: PLC0415 - see above

        uow, group_id = self._uow, self._the_group(group_id)
        uow.require_lock(group_id)
        document = PlanGroupDocument.of(fields)
        new = rows.to_rows(
            document,
            uow.tenant_id,
            values.checked("student_id", values.uuid, student_id),
            group_id=group_id,
            status=values.checked("status", _creatable, status),
        )
        InvalidInputError.raise_if_any(rows.field_errors_of(document))
        uow.groups.insert(new.group, new.exclusions)
        try:
            self._add_classes(new)
        except DomainError:
            self._take_back(new)
            raise
        return new.group

    def delete(self, *, expected_version: int, group_id: UUID | None = None) -> None:
        """Delete a group in any state with everything it owns: one statement.

        Contents, blocks, its own exclusions, plans of every state and the records of its
        generations go with it; the student's classes and exclusions stay. Needs the group's
        lock and takes the student's, for the time of its plans becomes free; the caller
        commits.

        Raises ``PlanGroupNotFoundError``, ``EditedMeanwhileError``, ``LockNotHeldError``
        and, for the student's lock, ``PlanGroupLockedError`` and ``LockTimeoutError``.
        """
        group_id = self._the_group(group_id)
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
        known = {_class_of(lesson) for lesson in stored}
        new = (one for one in rows.academy_schedules if _class_of(one) not in known)
        uow.session.add_all(new)
        flush(uow, group.id)

    def _take_back(self, rows: "GroupRows") -> None:
        """Delete what was inserted, unless the transaction is lost and takes it along."""
        uow, group = self._uow, rows.group
        if uow.lock_state() is LockState.HELD:
            uow.groups.remove(group.id, group.version)
            for row in (group, *rows.exclusions):  # and with the group its parts
                uow.session.expunge(row)


def _creatable(status: object) -> GroupStatus:
    for known in (GroupStatus.DRAFT, GroupStatus.SAVED):
        if status == known:
            return known
    raise values.BadValueError("must be draft or saved")


def _overlaps(
    new: Sequence[AcademySchedule], stored: Sequence[AcademySchedule]
) -> Iterator[FieldError]:
    for index, lesson in enumerate(new):
        for other in stored:
            meet = (
                lesson.weekday == other.weekday
                and lesson.start_minute < other.end_minute
                and other.start_minute < lesson.end_minute
            )
            if meet and _class_of(lesson) != _class_of(other):
                yield FieldError(
                    f"academy_schedules[{index}].start", "overlaps a class that the student has"
                )


def _class_of(lesson: AcademySchedule) -> tuple[object, ...]:
    return tuple(getattr(lesson, name) for name in _CLASS)
