"""The plans, and the record of each generation."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from domain.models.base import (
    Base,
    EnumText,
    Keyed,
    No,
    OwnerId,
    Small,
    SmallZero,
    TenantId,
    enum_check,
    group_foreign_key,
)
from domain.scheduling.types import PlanKind

Count = Annotated[int, mapped_column(default=0, server_default=sa.text("0"))]
# Ids are loaded only when they are accessed, because most readers of the history do not need them.
Ids = Annotated[
    list[UUID],
    mapped_column(sa.ARRAY(sa.Uuid), default=list, server_default=sa.text("'{}'"), deferred=True),
]


class PlanState(StrEnum):
    """The student's progress with a plan."""

    PLANNED = "planned"
    STARTED = "started"
    PART_DONE = "part_done"
    DONE = "done"


DONE_STATES: Final = frozenset({PlanState.DONE, PlanState.PART_DONE})
UNDONE_STATES: Final = frozenset(PlanState) - DONE_STATES
"""The states of plans of which nothing is done."""


class RetiredAs(StrEnum):
    """The reason why a plan is no longer live."""

    REPLACED = "replaced"
    MISSED = "missed"
    MOVED = "moved"
    """It was moved by hand: another plan of its lineage has its units at another time."""
    UNDONE = "undone"
    """The run that made it was undone."""
    CANCELLED = "cancelled"


class RunKind(StrEnum):
    """The kind of a run, which writes the plans of a group: 생성, 재조정, 되돌림."""

    GENERATED = "generated"
    RESCHEDULED = "rescheduled"
    UNDONE = "undone"


class PlanGeneration(Base):
    """The record of a run, which is written in the same transaction as its plans.

    A run is a generation, a reschedule or an undo of the run ``undoes``. ``undone_in`` is the
    number of the undo that has taken it back, unless that was itself undone. The counts are those
    of ``domain.scheduling.difference``. ``plan_count`` is the number of plans of the schedule,
    whose ids ``plan_ids`` has in sequence; ``kept_ids`` has the other plans that were live after
    it. An undo has the result of the run that is in effect again, and all plans that are live.
    ``calendar`` has what a reschedule keeps of a generation: the kind of each date. A reschedule
    has one if no generation was in effect. The other JSON columns refer to contents by their ids,
    because positions change.

    ``made_ids`` has the plans that the run made live, ``None`` if it can no longer be undone.
    """

    __tablename__ = "plan_generations"

    tenant_id: Mapped[TenantId]
    group_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[RunKind] = mapped_column(
        EnumText(RunKind), default=RunKind.GENERATED, server_default=sa.text("'generated'")
    )
    undoes: Mapped[int | None]
    undone_in: Mapped[int | None]
    generated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    requested_by: Mapped[str | None]
    today: Mapped[date]
    waited_ms: Mapped[int] = mapped_column(server_default=sa.text("0"))
    plan_count: Mapped[int]
    kept_count: Mapped[Count]
    moved_count: Mapped[Count]
    new_count: Mapped[Count]
    dropped_count: Mapped[Count]
    plan_ids: Mapped[Ids]
    kept_ids: Mapped[Ids]
    made_ids: Mapped[list[UUID] | None] = mapped_column(
        sa.ARRAY(sa.Uuid), default=list, server_default=sa.text("'{}'"), deferred=True
    )
    made_versions: Mapped[list[int]] = mapped_column(
        sa.ARRAY(sa.Integer), default=list, server_default=sa.text("'{}'"), deferred=True
    )
    unplaced: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    certificate: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    repairs: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=sa.text("'[]'"))
    day_shifts: Mapped[dict[str, int]] = mapped_column(JSONB, server_default=sa.text("'{}'"))
    warnings: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    quality: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    calendar: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), deferred=True)
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
        enum_check("kind", RunKind),
        sa.CheckConstraint(
            "(kind = 'undone') = (undoes IS NOT NULL) AND undoes < number AND number < undone_in",
            name="undoes",
        ),
        sa.CheckConstraint("kind = 'undone' OR quality IS NOT NULL", name="quality"),
        sa.CheckConstraint("calendar IS NULL OR kind <> 'undone'", name="calendar"),
        sa.CheckConstraint(
            "plan_count >= 0 AND kept_count >= 0 AND moved_count >= 0 AND new_count >= 0 "
            "AND dropped_count >= 0",
            name="counts",
        ),
    )


class StudentPlan(Keyed, Base):
    """A range of units of one content, planned for a date and the minutes ``[start, end)`` of it.

    A plan is *live* until it is replaced, missed, moved or undone, or until its group is cancelled.
    Two live plans of the same student never overlap, and no two live study plans of a content have
    a unit in common, except the pieces of a unit. ``done_through`` is the last completed unit of a
    plan that is partly done.

    The place and the range of a plan never change. What follows a plan when it moves is its
    ``lineage``, which one live plan has at most. ``generation`` is the number of the run that made
    the plan and ``retired_in`` that of the run that retired it; a plan that was moved by hand has
    the number of the last run before that, and no ``sequence``.
    """

    __tablename__ = "student_plans"

    student_id: Mapped[OwnerId]
    group_id: Mapped[OwnerId]
    content_id: Mapped[UUID]
    lineage: Mapped[UUID] = mapped_column(default=uuid4)
    generation: Mapped[int]
    sequence: Mapped[int | None]
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
    done_at: Mapped[datetime | None]
    actual_minutes: Mapped[Small | None]
    pinned: Mapped[No] = mapped_column(default=False)
    live: Mapped[bool] = mapped_column(default=True, server_default=sa.text("true"))
    retired_as: Mapped[RetiredAs | None] = mapped_column(EnumText(RetiredAs))
    retired_in: Mapped[int | None]
    retired_at: Mapped[datetime | None]

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
        sa.ForeignKeyConstraint(
            ["tenant_id", "group_id", "retired_in"],
            ["plan_generations.tenant_id", "plan_generations.group_id", "plan_generations.number"],
            name="fk_student_plans_retired_in",
        ),
        sa.UniqueConstraint("tenant_id", "group_id", "generation", "sequence"),
        sa.Index(
            "uq_student_plans_lineage",
            "tenant_id",
            "lineage",
            unique=True,
            postgresql_where=sa.text("live"),
        ),
        sa.Index(None, "tenant_id", "group_id", "retired_in", postgresql_where=sa.text("NOT live")),
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
            "state IN ('part_done', 'done') OR done_at IS NULL AND actual_minutes IS NULL",
            name="done_at",
        ),
        sa.CheckConstraint("actual_minutes BETWEEN 0 AND 1440", name="actual_minutes"),
        sa.CheckConstraint(
            "live = (retired_as IS NULL) AND live = (retired_at IS NULL) AND (retired_as IS NULL "
            "OR retired_as IN ('replaced', 'missed', 'moved', 'undone', 'cancelled')) "
            "AND (retired_in IS NULL OR NOT live)",
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
        ExcludeConstraint(
            ("tenant_id", "="),
            ("content_id", "="),
            (
                sa.func.int8range(
                    sa.column("first_unit"),
                    sa.text("coalesce(done_through, last_unit) + bigint '1'"),
                ),
                "&&",
            ),
            name="ex_student_plans_units",
            using="gist",
            where=sa.text("live AND kind = 'study' AND parts = 1"),
        ),
    )

    @property
    def minutes(self) -> int:
        """The length of the plan in minutes, including the wrap-up."""
        return self.end_minute - self.start_minute

    @property
    def last_kept_unit(self) -> int:
        """The last unit of the range that is not planned again: ``done_through`` if it is set."""
        return self.last_unit if self.done_through is None else self.done_through

    def copied(self, **changes: Any) -> "StudentPlan":
        """Return a new live plan with the same values, except for ``changes`` and the version."""
        fresh = {"version", "live", "retired_as", "retired_in", "retired_at"}
        columns = self.__table__.columns.keys()
        values = {name: getattr(self, name) for name in columns if name not in fresh}
        return StudentPlan(**{**values, **changes})
