"""Weekly study time and special days of groups, exclusions, and classes of students."""

from collections.abc import Sequence
from datetime import date
from typing import TypedDict, Unpack
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, column, func, text
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    Base,
    EnumText,
    Keyed,
    MinuteSpans,
    OwnerId,
    SmallZero,
    WeeklySpan,
    enum_check,
    group_foreign_key,
    span_checks,
    to_input,
)
from domain.scheduling import types as planning
from domain.scheduling.spans import Span
from domain.scheduling.types import BlockKind, ExclusionType


class SpanSettings(TypedDict, total=False):
    """A weekly time span: weekday 0 is Sunday; ``[start, end)`` is in minutes since midnight."""

    weekday: int
    start_minute: int
    end_minute: int


class BlockSettings(SpanSettings, total=False):
    """The fields of a block that can be edited."""

    kind: BlockKind | str


class NonStudyBlockSettings(SpanSettings, total=False):
    """The fields of a non-study block that can be edited."""

    label: str | None


class _PartColumns(TypedDict, total=False):
    tenant_id: UUID
    id: UUID
    group_id: UUID
    version: int


class BlockColumns(BlockSettings, _PartColumns, total=False):
    """The arguments of the constructor of ``Block``."""


class NonStudyBlockColumns(NonStudyBlockSettings, _PartColumns, total=False):
    """The arguments of the constructor of ``NonStudyBlock``."""


class Block(WeeklySpan, Keyed, Base):
    """A weekly span of study time or of self-study time (the reserve)."""

    __tablename__ = "blocks"

    group_id: Mapped[OwnerId]
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
        """Return the block as an input of the planning core."""
        return to_input(self, planning.Block)


class NonStudyBlock(WeeklySpan, Keyed, Base):
    """A weekly span in which nothing is planned, such as lunch."""

    __tablename__ = "non_study_blocks"

    group_id: Mapped[OwnerId]
    label: Mapped[str | None]

    __table_args__ = (group_foreign_key(), Index(None, "tenant_id", "group_id"), *span_checks())

    def __init__(self, **columns: Unpack[NonStudyBlockColumns]) -> None:
        super().__init__(**columns)

    def to_planning(self) -> planning.NonStudyBlock:
        """Return the span as an input of the planning core."""
        return to_input(self, planning.NonStudyBlock)


class SpecialDaySettings(TypedDict, total=False):
    """The fields of a special day that can be edited; spans ``(start, end)`` are in minutes."""

    date: date
    study: Sequence[Span]
    self_study: Sequence[Span]


class SpecialDayColumns(SpecialDaySettings, _PartColumns, total=False):
    """The arguments of the constructor of ``SpecialDay``."""


class SpecialDay(Keyed, Base):
    """A date whose study time and self-study time replace those of the group's weekly blocks.

    Both may be empty. When the row is validated, spans that overlap or are adjacent are merged, as
    the database does it.
    """

    __tablename__ = "special_days"

    group_id: Mapped[OwnerId]
    date: Mapped[date]
    study: Mapped[tuple[Span, ...]] = mapped_column(
        MinuteSpans, default=(), server_default=text("'{}'")
    )
    self_study: Mapped[tuple[Span, ...]] = mapped_column(
        MinuteSpans, default=(), server_default=text("'{}'")
    )

    __table_args__ = (
        group_foreign_key(),
        UniqueConstraint("tenant_id", "group_id", "date"),
        CheckConstraint("study <@ int4range(0, 1440)", name="study"),
        CheckConstraint("self_study <@ int4range(0, 1440)", name="self_study"),
    )

    def __init__(self, **columns: Unpack[SpecialDayColumns]) -> None:
        super().__init__(**columns)

    def to_planning(self) -> planning.SpecialDay:
        """Return the special day as an input of the planning core."""
        return to_input(self, planning.SpecialDay)


class ExclusionSettings(TypedDict, total=False):
    """The fields of an exclusion that can be edited."""

    date: date
    type: ExclusionType | str
    reason: str | None


class AcademyScheduleSettings(SpanSettings, total=False):
    """The fields of a class that can be edited."""

    travel_minutes: int
    name: str | None
    subject: str | None


class _StudentColumns(TypedDict, total=False):
    tenant_id: UUID
    id: UUID
    student_id: UUID
    version: int


class ExclusionColumns(ExclusionSettings, _StudentColumns, total=False):
    """The arguments of the constructor of ``Exclusion``."""

    group_id: UUID | None


class AcademyScheduleColumns(AcademyScheduleSettings, _StudentColumns, total=False):
    """The arguments of the constructor of ``AcademySchedule``."""


class Exclusion(Keyed, Base):
    """A date without study: for one group, or for all of the student if ``group_id`` is null."""

    __tablename__ = "exclusions"

    student_id: Mapped[OwnerId]
    group_id: Mapped[OwnerId | None]
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
        """Return the exclusion as an input of the planning core."""
        return to_input(self, planning.Exclusion)


class AcademySchedule(WeeklySpan, Keyed, Base):
    """A weekly class of the student, with travel time before and after it."""

    __tablename__ = "academy_schedules"

    student_id: Mapped[OwnerId]
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
        """Return the class as an input of the planning core."""
        return to_input(self, planning.AcademySchedule)
