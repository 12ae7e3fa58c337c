"""The aggregate root: a plan group with its contents and its weekly time."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.errors import Fault, InvalidInputError
from domain.models.base import (
    Base,
    Id,
    No,
    Small,
    SmallZero,
    Versioned,
    Word,
    span_checks,
    words_check,
)
from domain.scheduling import (
    LEVEL_FACTORS,
    Allocation,
    BlockKind,
    ContentType,
    Difficulty,
    Factors,
    Level,
    Request,
    faults,
)
from domain.scheduling import Block as PlannedBlock
from domain.scheduling import Content as PlannedContent
from domain.scheduling import NonStudyBlock as PlannedNonStudyBlock


class GroupStatus(StrEnum):
    """초안, 저장됨, 활성, 일시정지, 완료, 취소됨."""

    DRAFT = "draft"
    SAVED = "saved"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


GENERATABLE: Final = frozenset({GroupStatus.SAVED, GroupStatus.ACTIVE})


class PlanGroup(Versioned, Base):
    """A period plus settings plus contents of one student; what the lock names.

    ``generation`` is the number of the last generation and the fence of the next.
    """

    __tablename__ = "plan_groups"

    id: Mapped[Id] = mapped_column(default=uuid4)
    tenant_id: Mapped[UUID]
    student_id: Mapped[UUID]
    name: Mapped[str]
    purpose: Mapped[str | None]
    status: Mapped[GroupStatus] = mapped_column(
        Word(GroupStatus), default=GroupStatus.DRAFT, server_default=text("'draft'")
    )
    period_start: Mapped[date]
    period_end: Mapped[date]
    target_date: Mapped[date | None]
    time_zone: Mapped[str] = mapped_column(
        default="Asia/Seoul", server_default=text("'Asia/Seoul'")
    )
    study_days: Mapped[Small] = mapped_column(default=6, server_default=text("6"))
    review_days: Mapped[Small] = mapped_column(default=1, server_default=text("1"))
    level: Mapped[Level] = mapped_column(
        Word(Level), default=Level.MIDDLE, server_default=text("'middle'")
    )
    level_factor: Mapped[Decimal | None]
    weakness_factor: Mapped[Decimal] = mapped_column(
        default=Factors().weakness, server_default=text("1.2")
    )
    strategy_factor: Mapped[Decimal] = mapped_column(
        default=Factors().strategy, server_default=text("1.0")
    )
    review_factor: Mapped[Decimal] = mapped_column(
        default=Factors().review, server_default=text("0.4")
    )
    self_study_on_holidays: Mapped[No] = mapped_column(default=False)
    generation: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    contents: Mapped[list["Content"]] = relationship(
        order_by="Content.position", cascade="all, delete-orphan", passive_deletes=True
    )
    blocks: Mapped[list["Block"]] = relationship(
        order_by="(Block.weekday, Block.start_minute)",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )
    non_study_blocks: Mapped[list["NonStudyBlock"]] = relationship(
        order_by="(NonStudyBlock.weekday, NonStudyBlock.start_minute)",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )

    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "student_id", "id"),
        Index(
            "uq_plan_groups_active_student",
            "tenant_id",
            "student_id",
            unique=True,
            postgresql_where=text("status = 'active'"),
        ),
        words_check("status", GroupStatus),
        words_check("level", Level),
        CheckConstraint(
            "period_start <= period_end AND period_end - period_start < 3660", name="period"
        ),
        CheckConstraint(
            "study_days BETWEEN 1 AND 30 AND review_days BETWEEN 0 AND 7", name="cycle"
        ),
        CheckConstraint(
            "level_factor > 0 AND level_factor <= 10 "
            "AND weakness_factor > 0 AND weakness_factor <= 10 "
            "AND strategy_factor > 0 AND strategy_factor <= 10 "
            "AND review_factor > 0 AND review_factor <= 10",
            name="factors",
        ),
        CheckConstraint("generation >= 0", name="generation"),
    )

    @property
    def factors(self) -> Factors:
        """The group's multipliers; the level's own unless another is set."""
        return Factors(
            level=LEVEL_FACTORS[Level(self.level)]
            if self.level_factor is None
            else self.level_factor,
            weakness=self.weakness_factor,
            strategy=self.strategy_factor,
            review=self.review_factor,
        )

    def to_request(self, today: date) -> Request:
        """The group's own part of a request: without exclusions, classes and plans."""
        return Request(
            period_start=self.period_start,
            period_end=self.period_end,
            today=today,
            contents=tuple(content.to_request() for content in self.contents),
            blocks=tuple(block.to_request() for block in self.blocks),
            study_days=self.study_days,
            review_days=self.review_days,
            factors=self.factors,
            self_study_on_holidays=self.self_study_on_holidays,
            non_study_blocks=tuple(block.to_request() for block in self.non_study_blocks),
        )

    def check(self) -> None:
        """Refuse what the planning core would refuse: raises ``InvalidInputError``.

        A draft may be without contents or blocks.
        """
        _refuse(faults(self.to_request(self.period_start)))


class Content(Versioned, Base):
    """A book, a lecture or a custom content: an inclusive range of units."""

    __tablename__ = "contents"

    id: Mapped[Id] = mapped_column(default=uuid4)
    tenant_id: Mapped[UUID]
    group_id: Mapped[UUID]
    position: Mapped[Small]
    type: Mapped[ContentType] = mapped_column(Word(ContentType))
    title: Mapped[str]
    subject: Mapped[str | None]
    allocation: Mapped[Allocation] = mapped_column(Word(Allocation))
    weekly_days: Mapped[Small | None]
    first_unit: Mapped[int]
    last_unit: Mapped[int]
    minutes_per_unit: Mapped[Small | None]
    difficulty: Mapped[Difficulty | None] = mapped_column(Word(Difficulty))
    wrap_up_minutes: Mapped[SmallZero] = mapped_column(default=0)

    episodes: Mapped[list["LectureEpisode"]] = relationship(
        order_by="LectureEpisode.unit", cascade="all, delete-orphan", passive_deletes=True
    )

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["plan_groups.tenant_id", "plan_groups.id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("group_id", "id"),
        UniqueConstraint("group_id", "position", deferrable=True, initially="IMMEDIATE"),
        words_check("type", ContentType),
        words_check("difficulty", Difficulty),
        CheckConstraint(
            "allocation = 'weakness' AND weekly_days IS NULL OR allocation = 'strategy' "
            "AND weekly_days IS NOT NULL AND weekly_days IN (2, 3, 4)",
            name="allocation",
        ),
        CheckConstraint(
            "1 <= first_unit AND first_unit <= last_unit AND last_unit - first_unit < 100000",
            name="range",
        ),
        CheckConstraint("minutes_per_unit BETWEEN 1 AND 1440", name="minutes"),
        CheckConstraint(
            "type = 'book' AND (minutes_per_unit IS NULL OR difficulty IS NULL) "
            "OR type = 'lecture' AND minutes_per_unit IS NULL AND difficulty IS NULL "
            "OR type = 'custom' AND minutes_per_unit IS NOT NULL AND difficulty IS NULL",
            name="length",
        ),
        CheckConstraint("wrap_up_minutes BETWEEN 0 AND 1440", name="wrap_up"),
    )

    def to_request(self) -> PlannedContent:
        """The content as the planning core sees it."""
        return PlannedContent(
            position=self.position,
            type=self.type,
            allocation=self.allocation,
            first_unit=self.first_unit,
            last_unit=self.last_unit,
            weekly_days=self.weekly_days,
            minutes_per_unit=self.minutes_per_unit,
            difficulty=self.difficulty,
            episode_minutes=tuple(episode.minutes for episode in self.episodes),
            wrap_up_minutes=self.wrap_up_minutes,
        )


class LectureEpisode(Base):
    """One episode of a lecture; ``minutes`` is ``None`` while its length is unknown."""

    __tablename__ = "lecture_episodes"

    content_id: Mapped[UUID] = mapped_column(primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[UUID] = mapped_column(index=True)
    minutes: Mapped[Small | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["group_id", "content_id"], ["contents.group_id", "contents.id"], ondelete="CASCADE"
        ),
        CheckConstraint("unit >= 1", name="unit"),
        CheckConstraint("minutes BETWEEN 1 AND 1440", name="minutes"),
    )


class Block(Versioned, Base):
    """A weekly span of study time, or of self-study time (the reserve)."""

    __tablename__ = "blocks"

    id: Mapped[Id] = mapped_column(default=uuid4)
    tenant_id: Mapped[UUID]
    group_id: Mapped[UUID] = mapped_column(index=True)
    kind: Mapped[BlockKind] = mapped_column(Word(BlockKind))
    weekday: Mapped[Small]
    start_minute: Mapped[Small]
    end_minute: Mapped[Small]

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["plan_groups.tenant_id", "plan_groups.id"],
            ondelete="CASCADE",
        ),
        words_check("kind", BlockKind),
        *span_checks(),
    )

    def to_request(self) -> PlannedBlock:
        """The block as the planning core sees it."""
        return PlannedBlock(self.kind, self.weekday, self.start_minute, self.end_minute)


class NonStudyBlock(Versioned, Base):
    """A weekly span that is never planned, such as lunch."""

    __tablename__ = "non_study_blocks"

    id: Mapped[Id] = mapped_column(default=uuid4)
    tenant_id: Mapped[UUID]
    group_id: Mapped[UUID] = mapped_column(index=True)
    label: Mapped[str | None]
    weekday: Mapped[Small]
    start_minute: Mapped[Small]
    end_minute: Mapped[Small]

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["plan_groups.tenant_id", "plan_groups.id"],
            ondelete="CASCADE",
        ),
        *span_checks(),
    )

    def to_request(self) -> PlannedNonStudyBlock:
        """The span as the planning core sees it."""
        return PlannedNonStudyBlock(self.weekday, self.start_minute, self.end_minute)


def _refuse(found: Iterable[Fault]) -> None:
    if listed := list(found):
        raise InvalidInputError(listed)
