"""A group's weekly time: what may be planned, and what never is."""

from typing import TypedDict, Unpack
from uuid import UUID, uuid4

from sqlalchemy import ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import Base, Id, Small, TenantId, Versioned, Word, span_checks, words_check
from domain.scheduling import Block as PlannedBlock
from domain.scheduling import BlockKind
from domain.scheduling import NonStudyBlock as PlannedNonStudyBlock


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


class Block(Versioned, Base):
    """A weekly span of study time, or of self-study time (the reserve)."""

    __tablename__ = "blocks"

    tenant_id: Mapped[TenantId]
    id: Mapped[Id] = mapped_column(default=uuid4)
    group_id: Mapped[UUID]
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
        Index(None, "tenant_id", "group_id"),
        words_check("kind", BlockKind),
        *span_checks(),
    )

    def __init__(self, **columns: Unpack[BlockColumns]) -> None:
        super().__init__(**columns)

    def to_request(self) -> PlannedBlock:
        """The block as the planning core sees it."""
        return PlannedBlock(self.kind, self.weekday, self.start_minute, self.end_minute)


class NonStudyBlock(Versioned, Base):
    """A weekly span that is never planned, such as lunch."""

    __tablename__ = "non_study_blocks"

    tenant_id: Mapped[TenantId]
    id: Mapped[Id] = mapped_column(default=uuid4)
    group_id: Mapped[UUID]
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
        Index(None, "tenant_id", "group_id"),
        *span_checks(),
    )

    def __init__(self, **columns: Unpack[NonStudyBlockColumns]) -> None:
        super().__init__(**columns)

    def to_request(self) -> PlannedNonStudyBlock:
        """The span as the planning core sees it."""
        return PlannedNonStudyBlock(self.weekday, self.start_minute, self.end_minute)
