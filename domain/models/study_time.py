"""Weekly study time, exclusions and classes: a group's, and a student's."""

from datetime import date
from typing import TypedDict, Unpack
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, column, func
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    Base,
    EnumText,
    Keyed,
    SmallZero,
    Span,
    enum_check,
    group_foreign_key,
    span_checks,
    to_input,
)
from domain.scheduling import planning
from domain.scheduling.vocabulary import BlockKind, ExclusionType


class SpanSettings(TypedDict, total=False):
    """A weekly span: 0 is Sunday, ``[start, end)`` in minutes of the day."""

    weekday: int
    start_minute: int
    end_minute: int


class BlockSettings(SpanSettings, total=False):
    """What people may edit of a block."""

    kind: BlockKind


class NonStudyBlockSettings(SpanSettings, total=False):
    """What people may edit of a non-study block."""

    label: str | None


class _PartColumns(TypedDict, total=False):
    tenant_id: UUID
    id: UUID
    group_id: UUID
    version: int


class BlockColumns(BlockSettings, _PartColumns, total=False):
    """What a new ``Block`` may be given."""


class NonStudyBlockColumns(NonStudyBlockSettings, _PartColumns, total=False):
    """What a new ``NonStudyBlock`` may be given."""


class Block(Span, Keyed, Base):
    """A weekly span of study time, or of self-study time (the reserve)."""

    __tablename__ = "blocks"

    group_id: Mapped[UUID]
    kind: Mapped[BlockKind] = mapped_column(EnumText(BlockKind))

    __table_args__ = (
        group_foreign_key(),
        Index(None, "tenant_id", "group_id"),
        enum_check("kind", BlockKind),
        *span_checks(),
    )

    def __init__(self, **columns: Unpack[BlockColumns]) -> None:
        super().__init__(**columns)

    def to_planning(self) -> planning.Block:
        """The block as the planning core sees it."""
        return to_input(self, planning.Block)


class NonStudyBlock(Span, Keyed, Base):
    """A weekly span that is never planned, such as lunch."""

    __tablename__ = "non_study_blocks"

    group_id: Mapped[UUID]
    label: Mapped[str | None]

    __table_args__ = (group_foreign_key(), Index(None, "tenant_id", "group_id"), *span_checks())

    def __init__(self, **columns: Unpack[NonStudyBlockColumns]) -> None:
        super().__init__(**columns)

    def to_planning(self) -> planning.NonStudyBlock:
        """The span as the planning core sees it."""
        return to_input(self, planning.NonStudyBlock)


class ExclusionSettings(TypedDict, total=False):
    """What people may edit of an exclusion."""

    date: date
    type: ExclusionType
    reason: str | None


class AcademyScheduleSettings(SpanSettings, total=False):
    """What people may edit of a class."""

    travel_minutes: int
    name: str | None
    subject: str | None


class _StudentColumns(TypedDict, total=False):
    tenant_id: UUID
    id: UUID
    student_id: UUID
    version: int


class ExclusionColumns(ExclusionSettings, _StudentColumns, total=False):
    """What a new ``Exclusion`` may be given."""

    group_id: UUID | None


class AcademyScheduleColumns(AcademyScheduleSettings, _StudentColumns, total=False):
    """What a new ``AcademySchedule`` may be given."""


class Exclusion(Keyed, Base):
    """A date without study: the student's, in all groups, or one group's own."""

    __tablename__ = "exclusions"

    student_id: Mapped[UUID]
    group_id: Mapped[UUID | None]
    date: Mapped[date]
    type: Mapped[ExclusionType] = mapped_column(EnumText(ExclusionType))
    reason: Mapped[str | None]

    __table_args__ = (
        group_foreign_key(with_student=True),
        Index(None, "tenant_id", "student_id", "date"),
        Index(None, "tenant_id", "group_id"),
        enum_check("type", ExclusionType),
    )

    def __init__(self, **columns: Unpack[ExclusionColumns]) -> None:
        super().__init__(**columns)

    def to_planning(self) -> planning.Exclusion:
        """The exclusion as the planning core sees it."""
        return to_input(self, planning.Exclusion)


class AcademySchedule(Span, Keyed, Base):
    """A weekly class of the student, with travel before and after it."""

    __tablename__ = "academy_schedules"

    student_id: Mapped[UUID]
    travel_minutes: Mapped[SmallZero] = mapped_column(default=0)
    name: Mapped[str | None]
    subject: Mapped[str | None]

    __table_args__ = (
        *span_checks(),
        CheckConstraint("travel_minutes BETWEEN 0 AND 1440", name="travel"),
        ExcludeConstraint(
            ("tenant_id", "="),
            ("student_id", "="),
            ("weekday", "="),
            (func.int4range(column("start_minute"), column("end_minute")), "&&"),
            name="ex_academy_schedules_overlap",
            using="gist",
        ),
    )

    def __init__(self, **columns: Unpack[AcademyScheduleColumns]) -> None:
        super().__init__(**columns)

    def to_planning(self) -> planning.AcademySchedule:
        """The class as the planning core sees it."""
        return to_input(self, planning.AcademySchedule)
