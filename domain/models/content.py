"""The contents of a plan group: books, lectures and custom contents."""

from dataclasses import dataclass
from datetime import date
from typing import TypedDict, Unpack
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from domain.models.base import (
    Base,
    EnumText,
    Keyed,
    OwnerId,
    Small,
    SmallZero,
    TenantId,
    enum_check,
    group_foreign_key,
    to_input,
)
from domain.scheduling import types as planning
from domain.scheduling.types import Allocation, ContentType, Difficulty


class ContentSettings(TypedDict, total=False):
    """The fields of a content that can be edited, except for the episodes of a lecture."""

    type: ContentType | str
    title: str
    subject: str | None
    allocation: Allocation | str
    weekly_days: int | None
    first_unit: int
    last_unit: int
    minutes_per_unit: int | None
    difficulty: Difficulty | str | None
    wrap_up_minutes: int
    deadline: date | None
    day_shift: int | None


class ContentColumns(ContentSettings, total=False):
    """The arguments of the constructor of ``Content``."""

    tenant_id: UUID
    id: UUID
    group_id: UUID
    position: int
    version: int
    episodes: list["LectureEpisode"]


class EpisodeColumns(TypedDict, total=False):
    """The arguments of the constructor of ``LectureEpisode``."""

    tenant_id: UUID
    content_id: UUID
    group_id: UUID
    unit: int
    minutes: int | None


@dataclass(frozen=True, slots=True)
class ContentLabel:
    """The id, title and subject of a content."""

    id: UUID
    title: str
    subject: str | None


class Content(Keyed, Base):
    """A book, a lecture or a custom content: an inclusive range of units.

    ``type``, ``title``, ``allocation``, ``first_unit`` and ``last_unit`` are required. The default
    of ``position`` is the position after the previous content. A lecture needs one episode per
    unit, in order; ``fit_episodes`` builds those whose minutes are unknown.
    """

    __tablename__ = "contents"

    group_id: Mapped[OwnerId]
    position: Mapped[Small]
    type: Mapped[ContentType] = mapped_column(EnumText(ContentType))
    title: Mapped[str]
    subject: Mapped[str | None]
    allocation: Mapped[Allocation] = mapped_column(EnumText(Allocation))
    weekly_days: Mapped[Small | None]
    first_unit: Mapped[int]
    last_unit: Mapped[int]
    minutes_per_unit: Mapped[Small | None]
    difficulty: Mapped[Difficulty | None] = mapped_column(EnumText(Difficulty))
    wrap_up_minutes: Mapped[SmallZero] = mapped_column(default=0)
    deadline: Mapped[date | None]
    day_shift: Mapped[Small | None]

    episodes: Mapped[list["LectureEpisode"]] = relationship(
        order_by="LectureEpisode.unit", cascade="all, delete-orphan", passive_deletes=True
    )

    __table_args__ = (
        group_foreign_key(),
        UniqueConstraint("tenant_id", "group_id", "id"),
        UniqueConstraint(
            "tenant_id", "group_id", "position", deferrable=True, initially="IMMEDIATE"
        ),
        enum_check("type", ContentType),
        enum_check("difficulty", Difficulty),
        CheckConstraint(
            "allocation = 'weakness' AND weekly_days IS NULL OR allocation = 'strategy' "
            "AND weekly_days IS NOT NULL AND weekly_days IN (2, 3, 4)",
            name="allocation",
        ),
        CheckConstraint(
            "1 <= first_unit AND first_unit <= last_unit AND last_unit - first_unit < 20000",
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
        CheckConstraint(
            "day_shift IS NULL OR allocation = 'strategy' AND day_shift BETWEEN 0 AND 29",
            name="day_shift",
        ),
    )

    def __init__(self, **columns: Unpack[ContentColumns]) -> None:
        super().__init__(**columns)

    def fit_episodes(self) -> None:
        """Give a lecture one episode per unit of its range, and any other content none.

        The episodes of units that it already has keep their minutes; those of other units are
        unknown. An invalid range, for which no rows should be built, is reported by the validation.
        """
        units = range(0)
        if self.type == ContentType.LECTURE:
            if self.last_unit - self.first_unit >= planning.MAX_UNITS:
                return
            units = range(self.first_unit, self.last_unit + 1)
        existing = {episode.unit: episode for episode in self.episodes}
        self.episodes = [existing.get(unit) or self.new_episode(unit) for unit in units]

    def new_episode(self, unit: int) -> "LectureEpisode":
        """Return an episode of this content whose minutes are unknown."""
        return LectureEpisode(
            tenant_id=self.tenant_id, content_id=self.id, group_id=self.group_id, unit=unit
        )

    def number_episodes(self) -> None:
        """Set the unit of episodes that have none, in order from the first unit of the range."""
        first: object = self.first_unit
        for unit, episode in enumerate(self.episodes, first if isinstance(first, int) else 1):
            given: int | None = episode.unit
            if given is None:
                episode.unit = unit

    def to_planning(self) -> planning.Content:
        """Return the content as an input of the planning core."""
        minutes = tuple(episode.minutes for episode in self.episodes)
        return to_input(self, planning.Content, episode_minutes=minutes)


class LectureEpisode(Base):
    """One episode of a lecture; ``minutes`` is ``None`` while its length is unknown."""

    __tablename__ = "lecture_episodes"

    tenant_id: Mapped[TenantId]
    content_id: Mapped[UUID] = mapped_column(primary_key=True)
    unit: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[OwnerId]
    minutes: Mapped[Small | None]

    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id", "content_id"],
            ["contents.tenant_id", "contents.group_id", "contents.id"],
            ondelete="CASCADE",
        ),
        Index(None, "tenant_id", "group_id"),
        CheckConstraint("unit >= 1", name="unit"),
        CheckConstraint("minutes BETWEEN 1 AND 1440", name="minutes"),
    )

    def __init__(self, **columns: Unpack[EpisodeColumns]) -> None:
        super().__init__(**columns)
