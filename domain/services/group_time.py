"""Editing when a group is studied: its blocks, its non-study blocks, its own exclusions."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar, Unpack
from uuid import UUID, uuid4

from domain.errors import InvalidInputError
from domain.models import Block, Exclusion, NonStudyBlock, PlanGroup
from domain.models.base import checked_values
from domain.models.study_time import BlockSettings, ExclusionSettings, NonStudyBlockSettings
from domain.services.group_edits import accept, editable_group, outside
from domain.services.row_versions import RowVersion, assign, entry, flush, written
from domain.services.service import Service
from domain.unit_of_work import UnitOfWork

Span = TypeVar("Span", Block, NonStudyBlock)
_FIELDS: Final[Mapping[type, type]] = {Block: BlockSettings, NonStudyBlock: NonStudyBlockSettings}


class GroupTimeService(Service):
    """Edits a group's weekly time and the dates that it alone excludes.

    Guarantees and errors are those of ``GroupEditService``, and ``TimeEntryNotFoundError``
    for a row that is not this group's. An entry is one row of one weekday, or of one date;
    changing it leaves the fields that are not given. Blocks that overlap merge, and a date
    may be excluded twice.
    """

    def add_block(
        self, *, group_id: UUID | None = None, **fields: Unpack[BlockSettings]
    ) -> RowVersion:
        """Add study time or self-study time; every field is needed."""
        group = self._editable(group_id)
        return _add(self._uow, group, Block, fields)

    def change_block(
        self,
        *,
        block_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[BlockSettings],
    ) -> RowVersion:
        """Change the given fields of a block."""
        group = self._editable(group_id)
        return _change(self._uow, group, Block, RowVersion(block_id, expected_version), fields)

    def remove_block(
        self,
        *,
        block_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
    ) -> None:
        """Remove a block; a group without any can be stored, but not generated."""
        group = self._editable(group_id)
        _remove(self._uow, group, Block, RowVersion(block_id, expected_version))

    def add_non_study_block(
        self,
        *,
        group_id: UUID | None = None,
        **fields: Unpack[NonStudyBlockSettings],
    ) -> RowVersion:
        """Add a span that is never planned; every field but ``label`` is needed."""
        group = self._editable(group_id)
        return _add(self._uow, group, NonStudyBlock, fields)

    def change_non_study_block(
        self,
        *,
        block_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[NonStudyBlockSettings],
    ) -> RowVersion:
        """Change the given fields of a span that is never planned."""
        group = self._editable(group_id)
        return _change(
            self._uow, group, NonStudyBlock, RowVersion(block_id, expected_version), fields
        )

    def remove_non_study_block(
        self,
        *,
        block_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
    ) -> None:
        """Remove a span that is never planned."""
        group = self._editable(group_id)
        _remove(self._uow, group, NonStudyBlock, RowVersion(block_id, expected_version))

    def add_exclusion(
        self, *, group_id: UUID | None = None, **fields: Unpack[ExclusionSettings]
    ) -> RowVersion:
        """Exclude a date of the period for this group alone; ``reason`` may be left out."""
        group = self._editable(group_id)
        index = len(self._uow.student_time.of_group(group.id))
        values = _exclusion_values(group, index, fields, new=True)
        exclusion = Exclusion(
            id=uuid4(),
            tenant_id=group.tenant_id,
            student_id=group.student_id,
            group_id=group.id,
            **values,
        )
        self._uow.session.add(exclusion)
        return written(self._uow, exclusion, group.id)

    def change_exclusion(
        self,
        *,
        exclusion_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
        **fields: Unpack[ExclusionSettings],
    ) -> RowVersion:
        """Change the given fields of one of the group's own exclusions."""
        group = self._editable(group_id)
        own = self._uow.student_time.of_group(group.id)
        seen = RowVersion(exclusion_id, expected_version)
        index, exclusion = entry(Exclusion, own, seen, group.id)
        assign(exclusion, _exclusion_values(group, index, fields))
        return written(self._uow, exclusion, group.id)

    def remove_exclusion(
        self,
        *,
        exclusion_id: UUID,
        expected_version: int,
        group_id: UUID | None = None,
    ) -> None:
        """Remove one of the group's own exclusions."""
        group = self._editable(group_id)
        own = self._uow.student_time.of_group(group.id)
        seen = RowVersion(exclusion_id, expected_version)
        _, exclusion = entry(Exclusion, own, seen, group.id)
        self._uow.session.delete(exclusion)
        flush(self._uow, group.id)

    def _editable(self, group_id: UUID | None) -> PlanGroup:
        return editable_group(self._uow, self._the_group(group_id))


def _spans(group: PlanGroup, kind: type[Span]) -> list[Span]:
    found: list[Span] = getattr(group, kind.__tablename__)
    return found


def _add(
    uow: UnitOfWork, group: PlanGroup, kind: type[Span], fields: Mapping[str, Any]
) -> RowVersion:
    spans = _spans(group, kind)
    values = checked_values(
        kind, _FIELDS[kind], fields, f"{kind.__tablename__}[{len(spans)}]", new=True
    )
    span = kind(id=uuid4(), tenant_id=group.tenant_id, group_id=group.id, **values)
    spans.append(span)
    accept(uow, group)
    return written(uow, span, group.id)


def _change(
    uow: UnitOfWork, group: PlanGroup, kind: type[Span], seen: RowVersion, fields: Mapping[str, Any]
) -> RowVersion:
    index, span = entry(kind, _spans(group, kind), seen, group.id)
    assign(span, checked_values(kind, _FIELDS[kind], fields, f"{kind.__tablename__}[{index}]"))
    accept(uow, group)
    return written(uow, span, group.id)


def _remove(uow: UnitOfWork, group: PlanGroup, kind: type[Span], seen: RowVersion) -> None:
    index, _ = entry(kind, _spans(group, kind), seen, group.id)
    del _spans(group, kind)[index]
    flush(uow, group.id)


def _exclusion_values(
    group: PlanGroup, index: int, fields: ExclusionSettings, *, new: bool = False
) -> dict[str, Any]:
    values = checked_values(Exclusion, ExclusionSettings, fields, f"exclusions[{index}]", new=new)
    if "date" in values and (found := list(outside(group, [values["date"]], index))):
        raise InvalidInputError(found)
    return values
