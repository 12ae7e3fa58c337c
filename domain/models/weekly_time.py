"""A group's weekly time: what may be planned, and what never is."""

from uuid import UUID, uuid4

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import Base, Id, Small, Versioned, Word, span_checks, words_check
from domain.scheduling import Block as PlannedBlock
from domain.scheduling import BlockKind
from domain.scheduling import NonStudyBlock as PlannedNonStudyBlock


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
