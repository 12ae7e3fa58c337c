"""Entries of study time: rows for a weekday or for a date, which a group or a student has.

Entries of all kinds are added, changed and removed by the three methods of ``Entries``; its
subclasses have the rules of each kind, and insert and delete its rows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID, uuid4

from domain.errors import FieldError, InvalidInputError, TimeEntryNotFoundError
from domain.models import AcademySchedule, Block, Exclusion, NonStudyBlock, PlanGroup, SpecialDay
from domain.models.fields import checked_values, row_path
from domain.models.study_time import (
    AcademyScheduleSettings,
    BlockSettings,
    ExclusionSettings,
    NonStudyBlockSettings,
    SpecialDaySettings,
)
from domain.scheduling import types as planning
from domain.scheduling.validation import field_errors
from domain.services.writing import (
    EditedRow,
    RowVersion,
    accept,
    assign,
    exclusion_errors,
    flush,
    require_version,
    save,
)

if TYPE_CHECKING:  # a shorter chain of imports
    from domain.services.stale_plans import StalePlan
    from domain.unit_of_work.unit import UnitOfWork

Entry = TypeVar("Entry", AcademySchedule, Block, Exclusion, NonStudyBlock, SpecialDay)
_SETTINGS: Final[Mapping[type, type]] = {
    AcademySchedule: AcademyScheduleSettings,
    Block: BlockSettings,
    Exclusion: ExclusionSettings,
    NonStudyBlock: NonStudyBlockSettings,
    SpecialDay: SpecialDaySettings,
}
_ID_NAMES: Final[Mapping[type, str]] = {
    AcademySchedule: "class_id",
    Block: "block_id",
    Exclusion: "exclusion_id",
    NonStudyBlock: "block_id",
    SpecialDay: "special_day_id",
}
"""The parameter of the services that has the id of a row of each kind."""


@dataclass(frozen=True, slots=True)
class Entries(Generic[Entry]):
    """The stored rows of a kind that belong to a group or a student, in order."""

    uow: "UnitOfWork"
    kind: type[Entry]
    rows: Sequence[Entry]
    owner: Mapping[str, UUID]
    """The foreign keys of a new row, in addition to the tenant's id."""
    find_stale_plans: Callable[[], tuple["StalePlan", ...]]
    """Returns the live plans that contradict the data of the group, or of the student's groups."""

    def add(self, fields: Mapping[str, Any]) -> EditedRow:
        """Add a row after the others, and write it."""
        values = self._validated(fields, None)
        columns: dict[str, Any] = {**self.owner, **values}
        row = self.kind(id=uuid4(), tenant_id=self.uow.tenant_id, **columns)
        self._insert(row)
        return self._edited(save(self.uow, row, self.group_id))

    def change(self, id_: UUID, expected_version: int, fields: Mapping[str, Any]) -> EditedRow:
        """Change the given fields of a row, and write it."""
        index, row = self._find(id_, expected_version)
        assign(row, self._validated(fields, index))
        self._accept()
        return self._edited(save(self.uow, row, self.group_id))

    def remove(self, id_: UUID, expected_version: int) -> tuple["StalePlan", ...]:
        """Delete a row, and return the plans that contradict the data since."""
        _, row = self._find(id_, expected_version)
        self._delete(row)
        flush(self.uow, self.group_id)
        return self.find_stale_plans()

    @property
    def group_id(self) -> UUID | None:
        """The group's id, which errors report."""
        return self.owner.get("group_id")

    def _edited(self, written: RowVersion) -> EditedRow:
        return EditedRow(written.id, written.version, self.find_stale_plans())

    def _find(self, id_: UUID, expected_version: int) -> tuple[int, Entry]:
        InvalidInputError.require_uuids(**{_ID_NAMES[self.kind]: id_})
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
class Parts(Entries[Entry]):
    """Weekly spans or special days of a group, in its collection; the entire group is validated."""

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
class Exclusions(Entries[Exclusion]):
    """A group's own exclusions, which must be within its period."""

    group: PlanGroup

    def _field_errors(self, values: Mapping[str, Any], at: int) -> Iterator[FieldError]:
        if "date" in values:
            yield from exclusion_errors(self.group, [values["date"]], at)


class Classes(Entries[AcademySchedule]):
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
