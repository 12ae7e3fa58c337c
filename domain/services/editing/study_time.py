"""The services that edit the study time of a group, and the classes and exclusions of a student."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar, Unpack
from uuid import UUID

from domain.models import AcademySchedule, Block, Exclusion, NonStudyBlock, PlanGroup, SpecialDay
from domain.models.study_time import (
    AcademyScheduleSettings,
    BlockSettings,
    ExclusionSettings,
    NonStudyBlockSettings,
    SpecialDaySettings,
)
from domain.services.editing.entries import Classes, Entries, Exclusions, Parts
from domain.services.service import Service
from domain.services.stale_plans import StalePlan, stale_plans, stale_plans_of_student
from domain.services.writing import EditedRow, editable_group

Part = TypeVar("Part", Block, NonStudyBlock, SpecialDay)


class GroupTimeService(Service):
    """Edits a group's weekly time, its special days and its own exclusions.

    The guarantees and errors are those of ``GroupEditService``, and ``TimeEntryNotFoundError`` for
    a row that does not belong to the group. An entry is a row for a weekday or for a date; fields
    that are not given are not changed. A method that removes one returns the stale plans. Blocks
    that overlap are merged when plans are generated, and a date may be excluded twice, but has at
    most one special day.
    """

    def add_block(
        self, *, group_id: UUID | None = None, **fields: Unpack[BlockSettings]
    ) -> EditedRow:
        """Add study time or self-study time; all fields are required."""
        return self._blocks(group_id).add(fields)

    def change_block(
        self,
        *,
        block_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[BlockSettings],
    ) -> EditedRow:
        """Change the given fields of a block."""
        return self._blocks(group_id).change(block_id, expected_version, fields)

    def remove_block(
        self, *, block_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> tuple[StalePlan, ...]:
        """Remove a block; a group without blocks can be stored, but not generated."""
        return self._blocks(group_id).remove(block_id, expected_version)

    def add_non_study_block(
        self, *, group_id: UUID | None = None, **fields: Unpack[NonStudyBlockSettings]
    ) -> EditedRow:
        """Add a span in which nothing is planned; all fields except ``label`` are required."""
        return self._non_study_blocks(group_id).add(fields)

    def change_non_study_block(
        self,
        *,
        block_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[NonStudyBlockSettings],
    ) -> EditedRow:
        """Change the given fields of a non-study block."""
        return self._non_study_blocks(group_id).change(block_id, expected_version, fields)

    def remove_non_study_block(
        self, *, block_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> tuple[StalePlan, ...]:
        """Remove a non-study block."""
        return self._non_study_blocks(group_id).remove(block_id, expected_version)

    def add_special_day(
        self, *, group_id: UUID | None = None, **fields: Unpack[SpecialDaySettings]
    ) -> EditedRow:
        """Replace the blocks of a date of the period by other spans; only ``date`` is required.

        A date without spans has no study time, and does not count in a cycle.
        """
        return self._special_days(group_id).add(fields)

    def change_special_day(
        self,
        *,
        special_day_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[SpecialDaySettings],
    ) -> EditedRow:
        """Change the date or the spans of a special day; given spans replace all of their kind."""
        return self._special_days(group_id).change(special_day_id, expected_version, fields)

    def remove_special_day(
        self, *, special_day_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> tuple[StalePlan, ...]:
        """Remove a special day; the blocks of its weekday apply again."""
        return self._special_days(group_id).remove(special_day_id, expected_version)

    def add_exclusion(
        self, *, group_id: UUID | None = None, **fields: Unpack[ExclusionSettings]
    ) -> EditedRow:
        """Exclude a date of the period for this group only; ``reason`` may be omitted."""
        return self._exclusions(group_id).add(fields)

    def change_exclusion(
        self,
        *,
        exclusion_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[ExclusionSettings],
    ) -> EditedRow:
        """Change the given fields of one of the group's own exclusions."""
        return self._exclusions(group_id).change(exclusion_id, expected_version, fields)

    def remove_exclusion(
        self, *, exclusion_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> tuple[StalePlan, ...]:
        """Remove one of the group's own exclusions."""
        return self._exclusions(group_id).remove(exclusion_id, expected_version)

    def _blocks(self, group_id: UUID | None) -> Parts[Block]:
        group = self._group(group_id)
        return self._parts(Block, group, group.blocks)

    def _non_study_blocks(self, group_id: UUID | None) -> Parts[NonStudyBlock]:
        group = self._group(group_id)
        return self._parts(NonStudyBlock, group, group.non_study_blocks)

    def _special_days(self, group_id: UUID | None) -> Parts[SpecialDay]:
        group = self._group(group_id)
        return self._parts(SpecialDay, group, group.special_days)

    def _parts(self, kind: type[Part], group: PlanGroup, rows: list[Part]) -> Parts[Part]:
        owner = {"group_id": group.id}
        return Parts(self._uow, kind, rows, owner, self._stale_plans_of(group), group, rows)

    def _exclusions(self, group_id: UUID | None) -> Exclusions:
        group = self._group(group_id)
        owner = {"student_id": group.student_id, "group_id": group.id}
        own = self._uow.student_time.exclusions_of_group(group.id)
        return Exclusions(self._uow, Exclusion, own, owner, self._stale_plans_of(group), group)

    def _group(self, group_id: UUID | None) -> PlanGroup:
        return editable_group(self._uow, self._resolve_group(group_id))

    def _stale_plans_of(self, group: PlanGroup) -> Callable[[], tuple[StalePlan, ...]]:
        session, tenant_id = self._uow.session, self._uow.tenant_id
        return partial(stale_plans, session, tenant_id=tenant_id, group_id=group.id)


class StudentTimeService(Service):
    """Edits a student's classes, and the exclusions that apply to all of the student's groups.

    All methods need the student's lock. Each generation acquires it too, so a generation cannot
    read the old time and commit after the edit. The caller commits. Existing plans do not change
    until their group is generated or rescheduled; those of all the student's groups that contradict
    the edited data are returned as ``stale_plans``, by a method that removes a row as its result.
    ``GroupTimeService`` edits a group's own exclusions.

    All methods raise ``TimeEntryNotFoundError`` (also for a row of another tenant),
    ``EditedMeanwhileError`` if the row does not have the ``expected_version``,
    ``InvalidInputError`` with all invalid fields, and ``LockNotHeldError``. Nothing is written
    after any of these errors. In a field such as ``academy_schedules[2].start`` the index refers to
    the student's stored rows in their order, with a new row after them.
    """

    def add_class(
        self, *, student_id: UUID | None = None, **fields: Unpack[AcademyScheduleSettings]
    ) -> EditedRow:
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
    ) -> EditedRow:
        """Change the given fields of a class."""
        return self._classes(student_id).change(class_id, expected_version, fields)

    def remove_class(
        self, *, class_id: UUID, expected_version: int, student_id: UUID | None = None
    ) -> tuple[StalePlan, ...]:
        """Remove a class."""
        return self._classes(student_id).remove(class_id, expected_version)

    def add_exclusion(
        self, *, student_id: UUID | None = None, **fields: Unpack[ExclusionSettings]
    ) -> EditedRow:
        """Exclude any date in all groups; a group ignores dates outside its period."""
        return self._exclusions(student_id).add(fields)

    def change_exclusion(
        self,
        *,
        exclusion_id: UUID,
        expected_version: int,
        student_id: UUID | None = None,
        **fields: Unpack[ExclusionSettings],
    ) -> EditedRow:
        """Change the given fields of an exclusion."""
        return self._exclusions(student_id).change(exclusion_id, expected_version, fields)

    def remove_exclusion(
        self, *, exclusion_id: UUID, expected_version: int, student_id: UUID | None = None
    ) -> tuple[StalePlan, ...]:
        """Remove an exclusion."""
        return self._exclusions(student_id).remove(exclusion_id, expected_version)

    def _classes(self, student_id: UUID | None) -> Classes:
        student_id = self._locked_student(student_id)
        classes = self._uow.student_time.academy_schedules(student_id)
        owner = {"student_id": student_id}
        return Classes(self._uow, AcademySchedule, classes, owner, self._stale_plans_of(student_id))

    def _exclusions(self, student_id: UUID | None) -> Entries[Exclusion]:
        student_id = self._locked_student(student_id)
        own = self._uow.student_time.exclusions_of_student(student_id)
        owner = {"student_id": student_id}
        return Entries(self._uow, Exclusion, own, owner, self._stale_plans_of(student_id))

    def _locked_student(self, given: UUID | None) -> UUID:
        student_id = self._resolve_student(given)
        self._uow.require_student_lock(student_id)
        return student_id

    def _stale_plans_of(self, student_id: UUID) -> Callable[[], tuple[StalePlan, ...]]:
        return partial(stale_plans_of_student, self._uow, student_id)
