"""The aggregate root: a plan group with its contents and its study time."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, func, inspect, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.errors import FieldError, InvalidInputError
from domain.models.base import (
    Base,
    EnumText,
    Keyed,
    No,
    OwnerId,
    Small,
    SmallZero,
    enum_check,
    to_input,
)
from domain.models.fields import part_errors, row_errors
from domain.scheduling import types as planning
from domain.scheduling.types import Balance, Level, Strategy
from domain.scheduling.validation import field_errors

if TYPE_CHECKING:
    from domain.models.content import Content, LectureEpisode
    from domain.models.study_time import Block, NonStudyBlock, SpecialDay


class GroupStatus(StrEnum):
    """The state of a plan group: 초안, 저장됨, 활성, 일시정지, 완료, 취소됨."""

    DRAFT = "draft"
    SAVED = "saved"
    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


GENERATABLE: Final = frozenset({GroupStatus.SAVED, GroupStatus.ACTIVE})


COMPUTED_INPUTS: Final = frozenset(
    {
        "today",
        "factors",
        "contents",
        "blocks",
        "non_study_blocks",
        "academy_schedules",
        "exclusions",
        "special_days",
        "busy",
        "kept",
    }
)
"""The fields of ``planning.Request`` that are not columns of the group; all others are."""


class PlanGroupSettings(TypedDict, total=False):
    """The fields of a group's own row that can be edited."""

    name: str
    purpose: str | None
    period_start: date
    period_end: date
    target_date: date | None
    time_zone: str
    study_days: int
    review_days: int
    level: Level | str
    level_factor: Decimal | None
    weakness_factor: Decimal
    strategy_factor: Decimal
    review_factor: Decimal
    self_study_on_holidays: bool
    strategy: Strategy | str
    balance: Balance | str
    shortest_session: int
    longest_sitting: int
    pause_minutes: int
    buffer_days: int


class PlanGroupColumns(PlanGroupSettings, total=False):
    """The arguments of the constructor of ``PlanGroup``."""

    tenant_id: UUID
    id: UUID
    student_id: UUID
    status: GroupStatus | str
    generation: int
    version: int
    created_at: datetime
    contents: "list[Content]"
    blocks: "list[Block]"
    non_study_blocks: "list[NonStudyBlock]"
    special_days: "list[SpecialDay]"


class PlanGroup(Keyed, Base):
    """A period with settings and contents of one student; a ``PlanGroupLock`` names its id.

    ``tenant_id``, ``student_id``, ``name``, ``period_start`` and ``period_end`` are required;
    the id and the other defaults are set by the constructor. ``generation`` is the number of the
    last generation, and the fence of the next one.
    """

    __tablename__ = "plan_groups"

    student_id: Mapped[OwnerId]
    name: Mapped[str]
    purpose: Mapped[str | None]
    status: Mapped[GroupStatus] = mapped_column(
        EnumText(GroupStatus), default=GroupStatus.DRAFT, server_default=text("'draft'")
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
        EnumText(Level), default=Level.MIDDLE, server_default=text("'middle'")
    )
    level_factor: Mapped[Decimal | None]
    weakness_factor: Mapped[Decimal] = mapped_column(
        default=planning.Factors().weakness, server_default=text("1.2")
    )
    strategy_factor: Mapped[Decimal] = mapped_column(
        default=planning.Factors().strategy, server_default=text("1.0")
    )
    review_factor: Mapped[Decimal] = mapped_column(
        default=planning.Factors().review, server_default=text("0.4")
    )
    self_study_on_holidays: Mapped[No] = mapped_column(default=False)
    strategy: Mapped[Strategy] = mapped_column(
        EnumText(Strategy), default=Strategy.BALANCED, server_default=text("'balanced'")
    )
    balance: Mapped[Balance] = mapped_column(
        EnumText(Balance), default=Balance.ROOM, server_default=text("'room'")
    )
    shortest_session: Mapped[Small] = mapped_column(default=15, server_default=text("15"))
    longest_sitting: Mapped[Small] = mapped_column(default=100, server_default=text("100"))
    pause_minutes: Mapped[Small] = mapped_column(default=10, server_default=text("10"))
    buffer_days: Mapped[SmallZero] = mapped_column(default=0)
    generation: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(
        default=lambda: datetime.now(UTC), server_default=func.now()
    )

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
    special_days: Mapped[list["SpecialDay"]] = relationship(
        order_by="SpecialDay.date", cascade="all, delete-orphan", passive_deletes=True
    )

    __table_args__ = (
        UniqueConstraint("tenant_id", "student_id", "id"),
        Index(
            "uq_plan_groups_active_student",
            "tenant_id",
            "student_id",
            unique=True,
            postgresql_where=text("status = 'active'"),
        ),
        Index(None, "tenant_id", "period_start", "id"),
        enum_check("status", GroupStatus),
        enum_check("level", Level),
        CheckConstraint(
            "period_start <= period_end AND period_end - period_start < 731", name="period"
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
        CheckConstraint("target_date >= period_start", name="target_date"),
        enum_check("strategy", Strategy),
        enum_check("balance", Balance),
        CheckConstraint("shortest_session BETWEEN 0 AND 240", name="shortest_session"),
        CheckConstraint("longest_sitting BETWEEN 1 AND 1440", name="longest_sitting"),
        CheckConstraint("pause_minutes BETWEEN 0 AND 120", name="pause_minutes"),
        CheckConstraint("buffer_days BETWEEN 0 AND 730", name="buffer_days"),
        CheckConstraint("generation >= 0", name="generation"),
    )

    def __init__(self, **columns: Unpack[PlanGroupColumns]) -> None:
        super().__init__(**columns)

    @property
    def factors(self) -> planning.Factors:
        """The multipliers of the group; ``level`` is that of the group's level unless it is set."""
        return factors_of(self)

    def to_request(self, today: date) -> planning.Request:
        """Return a planning request without the exclusions, classes and plans of the student."""
        own: dict[str, Any] = {
            "today": today,
            "factors": self.factors,
            "contents": tuple(content.to_planning() for content in self.contents),
            "blocks": tuple(block.to_planning() for block in self.blocks),
            "non_study_blocks": tuple(block.to_planning() for block in self.non_study_blocks),
            "special_days": tuple(day.to_planning() for day in self.special_days),
        }
        others = dict.fromkeys(COMPUTED_INPUTS - own.keys(), ())
        return to_input(self, planning.Request, **own, **others)

    def check(self) -> None:
        """Raise ``InvalidInputError`` if the group cannot be stored or planned.

        A group without contents or blocks is valid, because it may be a draft. Missing positions of
        contents and units of episodes are set first, in order, and texts are replaced by the
        members of their enums.
        """
        InvalidInputError.raise_if_any(part_errors(self))
        self._number_parts()
        InvalidInputError.raise_if_any(
            field_error for row, path in self._rows() for field_error in row_errors(row, path)
        )
        InvalidInputError.raise_if_any(
            [
                *field_errors(self.to_request(self.period_start)),
                *self._unit_errors(),
                *self._generation_errors(),
            ]
        )

    def all_rows(self) -> list[Base]:
        """Return the rows of the group and its parts, parents first."""
        return [row for row, _ in self._rows()]

    def assign_keys(self) -> None:
        """Set the foreign keys of the parts to the keys of their parents, as a flush does."""
        episodes = [(content, episode) for content in self.contents for episode in content.episodes]
        for content, episode in episodes:
            episode.content_id = content.id
        parts: list[Content | LectureEpisode | Block | NonStudyBlock | SpecialDay] = [
            *self.contents,
            *self.blocks,
            *self.non_study_blocks,
            *self.special_days,
            *(episode for _, episode in episodes),
        ]
        for part in parts:
            part.tenant_id, part.group_id = self.tenant_id, self.id

    def _rows(self) -> Iterator[tuple[Base, str]]:
        """Yield the rows of the group and its parts, each with its path in documents."""
        yield self, ""
        for index, content in enumerate(self.contents):
            path = f"contents[{index}]"
            yield content, path
            for unit, episode in enumerate(content.episodes):
                yield episode, f"{path}.episodes[{unit}]"
        for index, block in enumerate(self.blocks):
            yield block, f"blocks[{index}]"
        for index, span in enumerate(self.non_study_blocks):
            yield span, f"non_study_blocks[{index}]"
        for index, day in enumerate(self.special_days):
            yield day, f"special_days[{index}]"

    def _number_parts(self) -> None:
        """Set the missing positions of contents and the missing units of their episodes."""
        next_position = 0
        for content in self.contents:
            position: object = content.position
            if position is None:
                content.position = position = next_position
            if isinstance(position, int):
                next_position = position + 1
            content.number_episodes()

    def _unit_errors(self) -> Iterator[FieldError]:
        for index, content in enumerate(self.contents):
            units = range(content.first_unit, content.last_unit + 1)
            given = [episode.unit for episode in content.episodes]
            # The planning core reports a wrong number of episodes.
            if len(given) == len(units) and sorted(given) != list(units):
                yield FieldError(f"contents[{index}].episodes", "must have the units of the range")

    def _generation_errors(self) -> Iterator[FieldError]:
        # The history of a group begins with its first run, whose record has the number 1.
        if not inspect(self).persistent and self.generation != 0:
            yield FieldError("generation", "must be 0 in a new group")


def factors_of(group: Any) -> planning.Factors:
    """Return the multipliers of a group, or of a row that has its columns.

    The multiplier of the group's level is used unless ``level_factor`` is set.
    """
    level: Decimal | None = group.level_factor
    return planning.Factors(
        level=planning.LEVEL_FACTORS[Level(group.level)] if level is None else level,
        weakness=group.weakness_factor,
        strategy=group.strategy_factor,
        review=group.review_factor,
    )
