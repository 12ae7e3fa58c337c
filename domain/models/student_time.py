"""What belongs to a student in all groups: exclusions and weekly classes."""

from datetime import date
from typing import TypedDict, Unpack
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, column, func
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    Base,
    Id,
    Small,
    SmallZero,
    TenantId,
    Versioned,
    Word,
    span_checks,
    words_check,
)
from domain.models.weekly_time import SpanSettings
from domain.scheduling import AcademySchedule as PlannedAcademySchedule
from domain.scheduling import Exclusion as PlannedExclusion
from domain.scheduling import ExclusionType


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


class Exclusion(Versioned, Base):
    """A date without study: the student's, in all groups, or one group's own."""

    __tablename__ = "exclusions"

    tenant_id: Mapped[TenantId]
    id: Mapped[Id] = mapped_column(default=uuid4)
    student_id: Mapped[UUID]
    group_id: Mapped[UUID | None]
    date: Mapped[date]
    type: Mapped[ExclusionType] = mapped_column(Word(ExclusionType))
    reason: Mapped[str | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "student_id", "group_id"],
            ["plan_groups.tenant_id", "plan_groups.student_id", "plan_groups.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id", "student_id", "date"),
        Index(None, "tenant_id", "group_id"),
        words_check("type", ExclusionType),
    )

    def __init__(self, **columns: Unpack[ExclusionColumns]) -> None:
        super().__init__(**columns)

    def to_request(self) -> PlannedExclusion:
        """The exclusion as the planning core sees it."""
        return PlannedExclusion(self.date, self.type)


class AcademySchedule(Versioned, Base):
    """A weekly class of the student, with travel before and after it."""

    __tablename__ = "academy_schedules"

    tenant_id: Mapped[TenantId]
    id: Mapped[Id] = mapped_column(default=uuid4)
    student_id: Mapped[UUID]
    weekday: Mapped[Small]
    start_minute: Mapped[Small]
    end_minute: Mapped[Small]
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

    def to_request(self) -> PlannedAcademySchedule:
        """The class as the planning core sees it."""
        return PlannedAcademySchedule(
            self.weekday, self.start_minute, self.end_minute, self.travel_minutes
        )
