"""The services that edit the study time of a group, and the classes and exclusions of a student.

An entry is a row for a weekday or for a date. Entries of all kinds are added, changed and removed
by the three methods of ``_Entries``; its subclasses have the rules of each kind, and insert and
delete its rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, Generic, TypeVar, Unpack
from uuid import UUID, uuid4

from domain.errors import FieldError, InvalidInputError, TimeEntryNotFoundError
from domain.models import AcademySchedule, Block, Exclusion, NonStudyBlock, PlanGroup
from domain.models.fields import checked_values, row_path
from domain.models.study_time import (
    AcademyScheduleSettings,
    BlockSettings,
    ExclusionSettings,
    NonStudyBlockSettings,
)
from domain.scheduling import types as planning
from domain.scheduling.validation import field_errors
from domain.services.service import (
    RowVersion,
    Service,
    accept,
    assign,
    editable_group,
    exclusion_errors,
    flush,
    require_version,
    save,
)
from domain.unit_of_work.unit import UnitOfWork

Entry = TypeVar("Entry", AcademySchedule, Block, Exclusion, NonStudyBlock)
_SETTINGS: Final[Mapping[type, type]] = {
    AcademySchedule: AcademyScheduleSettings,
    Block: BlockSettings,
    Exclusion: ExclusionSettings,
    NonStudyBlock: NonStudyBlockSettings,
}


class GroupTimeService(Service):
    """Edits a group's weekly time and its own exclusions.

    The guarantees and errors are those of ``GroupEditService``, and ``TimeEntryNotFoundError`` for
    a row that does not belong to the group. An entry is a row for a weekday or for a date; fields
    that are not given are not changed. Blocks that overlap are merged when plans are generated, and
    a date may be excluded twice.
    """

    def add_block(
        self, *, group_id: UUID | None = None, **fields: Unpack[BlockSettings]
    ) -> RowVersion:
        """Add study time or self-study time; all fields are required."""
        return self._blocks(group_id).add(fields)

    def change_block(
        self,
        *,
        block_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[BlockSettings],
    ) -> RowVersion:
        """Change the given fields of a block."""
        return self._blocks(group_id).change(block_id, expected_version, fields)

    def remove_block(
        self, *, block_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> None:
        """Remove a block; a group without blocks can be stored, but not generated."""
        self._blocks(group_id).remove(block_id, expected_version)

    def add_non_study_block(
        self, *, group_id: UUID | None = None, **fields: Unpack[NonStudyBlockSettings]
    ) -> RowVersion:
        """Add a span in which nothing is planned; all fields except ``label`` are required."""
        return self._non_study_blocks(group_id).add(fields)

    def change_non_study_block(
        self,
        *,
        block_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[NonStudyBlockSettings],
    ) -> RowVersion:
        """Change the given fields of a non-study block."""
        return self._non_study_blocks(group_id).change(block_id, expected_version, fields)

    def remove_non_study_block(
        self, *, block_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> None:
        """Remove a non-study block."""
        self._non_study_blocks(group_id).remove(block_id, expected_version)

    def add_exclusion(
        self, *, group_id: UUID | None = None, **fields: Unpack[ExclusionSettings]
    ) -> RowVersion:
        """Exclude a date of the period for this group only; ``reason`` may be omitted."""
        return self._exclusions(group_id).add(fields)

    def change_exclusion(
        self,
        *,
        exclusion_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[ExclusionSettings],
    ) -> RowVersion:
        """Change the given fields of one of the group's own exclusions."""
        return self._exclusions(group_id).change(exclusion_id, expected_version, fields)

    def remove_exclusion(
        self, *, exclusion_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> None:
        """Remove one of the group's own exclusions."""
        self._exclusions(group_id).remove(exclusion_id, expected_version)

    def _blocks(self, group_id: UUID | None) -> "_Spans[Block]":
        group = editable_group(self._uow, self._resolve_group(group_id))
        blocks = group.blocks
        return _Spans(self._uow, Block, blocks, {"group_id": group.id}, group, blocks)

    def _non_study_blocks(self, group_id: UUID | None) -> "_Spans[NonStudyBlock]":
        group = editable_group(self._uow, self._resolve_group(group_id))
        spans = group.non_study_blocks
        return _Spans(self._uow, NonStudyBlock, spans, {"group_id": group.id}, group, spans)

    def _exclusions(self, group_id: UUID | None) -> "_Exclusions":
        group = editable_group(self._uow, self._resolve_group(group_id))
        owner = {"student_id": group.student_id, "group_id": group.id}
        own = self._uow.student_time.exclusions_of_group(group.id)
        return _Exclusions(self._uow, Exclusion, own, owner, group)


class StudentTimeService(Service):
    """Edits a student's classes, and the exclusions that apply to all of the student's groups.

    All methods need the student's lock. Each generation acquires it too, so a generation cannot
    read the old time and commit after the edit. The caller commits. Existing plans do not change
    until their group is generated again. ``GroupTimeService`` edits a group's own exclusions.

    All methods raise ``TimeEntryNotFoundError`` (also for a row of another tenant),
    ``EditedMeanwhileError`` if the row does not have the ``expected_version``,
    ``InvalidInputError`` with all invalid fields, and ``LockNotHeldError``. Nothing is written
    after any of these errors. In a field such as ``academy_schedules[2].start`` the index refers to
    the student's stored rows in their order, with a new row after them.
    """

    def add_class(
        self, *, student_id: UUID | None = None, **fields: Unpack[AcademyScheduleSettings]
    ) -> RowVersion:
        """Add a weekly class; its weekday, start and end are required.

        Classes must not overlap, but one may start when another ends, and travel times may overlap.
        """
        return self._classes(student_id).add(fields)

    def change_class(
        self,
        *,
        class_id: UUID,
        expected_version: int,
        student_id: UUID | None = None,
        **fields: Unpack[AcademyScheduleSettings],
    ) -> RowVersion:
        """Change the given fields of a class."""
        return self._classes(student_id).change(class_id, expected_version, fields)

    def remove_class(
        self, *, class_id: UUID, expected_version: int, student_id: UUID | None = None
    ) -> None:
        """Remove a class."""
        self._classes(student_id).remove(class_id, expected_version)

    def add_exclusion(
        self, *, student_id: UUID | None = None, **fields: Unpack[ExclusionSettings]
    ) -> RowVersion:
        """Exclude any date in all groups; a group ignores dates outside its period."""
        return self._exclusions(student_id).add(fields)

    def change_exclusion(
        self,
        *,
        exclusion_id: UUID,
        expected_version: int,
        student_id: UUID | None = None,
        **fields: Unpack[ExclusionSettings],
    ) -> RowVersion:
        """Change the given fields of an exclusion."""
        return self._exclusions(student_id).change(exclusion_id, expected_version, fields)

    def remove_exclusion(
        self, *, exclusion_id: UUID, expected_version: int, student_id: UUID | None = None
    ) -> None:
        """Remove an exclusion."""
        self._exclusions(student_id).remove(exclusion_id, expected_version)

    def _locked_student(self, given: UUID | None) -> UUID:
        student_id = self._resolve_student(given)
        self._uow.require_student_lock(student_id)
        return student_id

    def _classes(self, student_id: UUID | None) -> "_Classes":
        owner = {"student_id": self._locked_student(student_id)}
        classes = self._uow.student_time.academy_schedules(owner["student_id"])
        return _Classes(self._uow, AcademySchedule, classes, owner)

    def _exclusions(self, student_id: UUID | None) -> "_Entries[Exclusion]":
        owner = {"student_id": self._locked_student(student_id)}
        own = self._uow.student_time.exclusions_of_student(owner["student_id"])
        return _Entries(self._uow, Exclusion, own, owner)


@dataclass(frozen=True, slots=True)
class _Entries(Generic[Entry]):
    """The stored rows of a kind that belong to a group or a student, in order."""

    uow: UnitOfWork
    kind: type[Entry]
    rows: Sequence[Entry]
    owner: Mapping[str, UUID]
    """The foreign keys of a new row, in addition to the tenant's id."""

    def add(self, fields: Mapping[str, Any]) -> RowVersion:
        """Add a row after the others, and write it."""
        values = self._validated(fields, None)
        columns: dict[str, Any] = {**self.owner, **values}
        row = self.kind(id=uuid4(), tenant_id=self.uow.tenant_id, **columns)
        self._insert(row)
        return save(self.uow, row, self.group_id)

    def change(self, id_: UUID, expected_version: int, fields: Mapping[str, Any]) -> RowVersion:
        """Change the given fields of a row, and write it."""
        index, row = self._find(id_, expected_version)
        assign(row, self._validated(fields, index))
        self._accept()
        return save(self.uow, row, self.group_id)

    def remove(self, id_: UUID, expected_version: int) -> None:
        """Delete a row."""
        _, row = self._find(id_, expected_version)
        self._delete(row)
        flush(self.uow, self.group_id)

    @property
    def group_id(self) -> UUID | None:
        """The group's id, which errors report."""
        return self.owner.get("group_id")

    def _find(self, id_: UUID, expected_version: int) -> tuple[int, Entry]:
        for index, row in enumerate(self.rows):
            if row.id == id_:
                require_version(row, expected_version, self.group_id)
                return index, row
        raise TimeEntryNotFoundError(entry_id=id_, kind=self.kind.__tablename__)

    def _validated(self, fields: Mapping[str, Any], index: int | None) -> dict[str, Any]:
        """Return the values for a new row, or for the one at ``index``; raise for invalid ones."""
        at = len(self.rows) if index is None else index
        path = row_path(self.kind, at)
        new = index is None
        values = checked_values(self.kind, _SETTINGS[self.kind], fields, path, new=new)
        InvalidInputError.raise_if_any(self._field_errors(values, at))
        return values

    def _field_errors(self, values: Mapping[str, Any], at: int) -> Iterator[FieldError]:
        """Yield an error for each rule that the row at this index would violate."""
        yield from ()

    def _insert(self, row: Entry) -> None:
        self.uow.session.add(row)

    def _delete(self, row: Entry) -> None:
        self.uow.session.delete(row)

    def _accept(self) -> None:
        """Check rules that can only be checked after the values are assigned."""


@dataclass(frozen=True, slots=True)
class _Spans(_Entries[Entry]):
    """Weekly spans of a group, which are in its collection; the entire group is validated."""

    group: PlanGroup
    collection: list[Entry]

    def _insert(self, row: Entry) -> None:
        self.collection.append(row)
        self._accept()

    def _delete(self, row: Entry) -> None:
        self.collection.remove(row)

    def _accept(self) -> None:
        accept(self.uow, self.group)


@dataclass(frozen=True, slots=True)
class _Exclusions(_Entries[Exclusion]):
    """A group's own exclusions, which must be within its period."""

    group: PlanGroup

    def _field_errors(self, values: Mapping[str, Any], at: int) -> Iterator[FieldError]:
        if "date" in values:
            yield from exclusion_errors(self.group, [values["date"]], at)


class _Classes(_Entries[AcademySchedule]):
    """A student's classes, which must not overlap."""

    __slots__ = ()

    def _field_errors(self, values: Mapping[str, Any], at: int) -> Iterator[FieldError]:
        # The values are validated on an object that is not in the Session, because a later flush
        # would write invalid values of a persistent object.
        lesson = AcademySchedule(travel_minutes=0)
        if at < len(self.rows):
            names = ("weekday", "start_minute", "end_minute", "travel_minutes")
            assign(lesson, {name: getattr(self.rows[at], name) for name in names})
        assign(lesson, values)
        others = [other.to_planning() for index, other in enumerate(self.rows) if index != at]
        request = planning.Request(
            period_start=date.min,
            period_end=date.min,
            today=date.min,
            contents=(),
            blocks=(),
            academy_schedules=(*others, lesson.to_planning()),
        )
        # The stored classes do not overlap each other, so all errors are those of the last class.
        last, path = row_path(self.kind, len(others)), row_path(self.kind, at)
        for field_error in field_errors(request):
            yield replace(field_error, field=field_error.field.replace(last, path))
