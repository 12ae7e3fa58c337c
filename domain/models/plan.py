"""The plans, and the record of each generation."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    Base,
    EnumText,
    Keyed,
    No,
    Small,
    SmallZero,
    TenantId,
    enum_check,
    group_foreign_key,
)
from domain.scheduling.types import PlanKind


class PlanState(StrEnum):
    """The student's progress with a plan."""

    PLANNED = "planned"
    STARTED = "started"
    PART_DONE = "part_done"
    DONE = "done"


class RetiredAs(StrEnum):
    """The reason why a plan is no longer live."""

    REPLACED = "replaced"
    MISSED = "missed"
    CANCELLED = "cancelled"


class PlanGeneration(Base):
    """The record of a generation, which is written in the same transaction as its plans."""

    __tablename__ = "plan_generations"

    tenant_id: Mapped[TenantId]
    group_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    generated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    requested_by: Mapped[str | None]
    today: Mapped[date]
    waited_ms: Mapped[int] = mapped_column(server_default=sa.text("0"))
    plan_count: Mapped[int]
    unplaced: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    certificate: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    repairs: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=sa.text("'[]'"))
    day_shifts: Mapped[dict[str, int]] = mapped_column(JSONB, server_default=sa.text("'{}'"))
    warnings: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    quality: Mapped[dict[str, Any]] = mapped_column(JSONB)
    input_hash: Mapped[str]
    engine_version: Mapped[str]
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[str | None]

    __table_args__ = (
        group_foreign_key(),
        sa.UniqueConstraint("tenant_id", "idempotency_key"),
        sa.CheckConstraint("number >= 1", name="number"),
        sa.CheckConstraint(
            "(idempotency_key IS NULL) = (request_hash IS NULL)", name="idempotency"
        ),
        sa.CheckConstraint("waited_ms >= 0", name="waited"),
        sa.CheckConstraint("plan_count >= 0", name="plan_count"),
    )


class StudentPlan(Keyed, Base):
    """A range of units of one content, planned for a date and the minutes ``[start, end)`` of it.

    A plan is *live* until it is replaced or missed, or until its group is cancelled. Two live
    plans of the same student never overlap. ``done_through`` is the last completed unit of a plan
    that is partly done.
    """

    __tablename__ = "student_plans"

    student_id: Mapped[UUID]
    group_id: Mapped[UUID]
    content_id: Mapped[UUID]
    generation: Mapped[int]
    sequence: Mapped[int]
    kind: Mapped[PlanKind] = mapped_column(EnumText(PlanKind))
    date: Mapped[date]
    start_minute: Mapped[Small]
    end_minute: Mapped[Small]
    first_unit: Mapped[int]
    last_unit: Mapped[int]
    part: Mapped[Small] = mapped_column(default=1, server_default=sa.text("1"))
    parts: Mapped[Small] = mapped_column(default=1, server_default=sa.text("1"))
    wrap_up_minutes: Mapped[SmallZero] = mapped_column(default=0)
    reserve: Mapped[No] = mapped_column(default=False)
    week: Mapped[Small]
    cycle: Mapped[Small]
    cycle_day: Mapped[Small | None]
    state: Mapped[PlanState] = mapped_column(
        EnumText(PlanState), default=PlanState.PLANNED, server_default=sa.text("'planned'")
    )
    done_through: Mapped[int | None]
    pinned: Mapped[No] = mapped_column(default=False)
    live: Mapped[bool] = mapped_column(default=True, server_default=sa.text("true"))
    retired_as: Mapped[RetiredAs | None] = mapped_column(EnumText(RetiredAs))

    __table_args__ = (
        group_foreign_key(with_student=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "group_id", "content_id"],
            ["contents.tenant_id", "contents.group_id", "contents.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "group_id", "generation"],
            ["plan_generations.tenant_id", "plan_generations.group_id", "plan_generations.number"],
        ),
        sa.UniqueConstraint("tenant_id", "group_id", "generation", "sequence"),
        sa.Index(None, "tenant_id", "group_id", "date", postgresql_where=sa.text("live")),
        sa.Index(None, "tenant_id", "content_id"),
        enum_check("kind", PlanKind),
        enum_check("state", PlanState),
        sa.CheckConstraint(
            "0 <= start_minute AND start_minute < end_minute AND end_minute <= 1440", name="span"
        ),
        sa.CheckConstraint("1 <= first_unit AND first_unit <= last_unit", name="range"),
        sa.CheckConstraint("1 <= part AND part <= parts", name="part"),
        sa.CheckConstraint(
            "0 <= wrap_up_minutes AND wrap_up_minutes < end_minute - start_minute", name="wrap_up"
        ),
        sa.CheckConstraint("week >= 1 AND cycle >= 1 AND cycle_day >= 1", name="week"),
        sa.CheckConstraint("sequence >= 1", name="sequence"),
        sa.CheckConstraint(
            "(state = 'part_done') = (done_through IS NOT NULL) "
            "AND first_unit <= done_through AND done_through < last_unit",
            name="done_through",
        ),
        sa.CheckConstraint(
            "live = (retired_as IS NULL) AND (retired_as IS NULL "
            "OR retired_as IN ('replaced', 'missed', 'cancelled'))",
            name="live",
        ),
        ExcludeConstraint(
            ("tenant_id", "="),
            ("student_id", "="),
            ("date", "="),
            (sa.func.int4range(sa.column("start_minute"), sa.column("end_minute")), "&&"),
            name="ex_student_plans_overlap",
            using="gist",
            where=sa.text("live"),
        ),
    )

    @property
    def minutes(self) -> int:
        """The length of the plan in minutes, including the wrap-up."""
        return self.end_minute - self.start_minute
