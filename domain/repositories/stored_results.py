"""Results of runs as they were stored, for repeated requests."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, not_, select
from sqlalchemy.orm import Session, undefer

from domain.database_errors import translated
from domain.errors import EditedMeanwhileError
from domain.models import Content, PlanGeneration, PlanState, StudentPlan
from domain.models.content import ContentLabel
from domain.repositories.baselines import explanation_of
from domain.repositories.plan_rows import (
    SELECTED,
    GenerationResult,
    StoredColumns,
    has_id,
    labeled_columns,
)
from domain.scheduling.difference import PlanChanges
from domain.scheduling.result import PlanWarning, Quality, Schedule, ScheduledPlan


@translated()
def record_of_key(session: Session, tenant_id: UUID, key: str) -> PlanGeneration | None:
    """Return the tenant's record of a run with this idempotency key, of any group, if any."""
    return session.scalars(
        select(PlanGeneration)
        .where(PlanGeneration.tenant_id == tenant_id, PlanGeneration.idempotency_key == key)
        .options(undefer(PlanGeneration.plan_ids))
        .execution_options(populate_existing=True)
    ).one_or_none()


@translated()
def load_stored(session: Session, record: PlanGeneration) -> GenerationResult:
    """Read the result of a recorded generation in two statements.

    The result has the values that the generation wrote; it does not depend on whether a plan was
    completed or replaced since. The contents and their positions are the current ones, and so are
    the week and cycle of each plan. Raises ``EditedMeanwhileError`` if the generation was undone,
    or if its plans are no longer stored.
    """
    rows = _stored_plans(session, record)
    if record.undone_in is not None or len(rows) != record.plan_count:
        raise EditedMeanwhileError(group_id=record.group_id)
    stored = StoredColumns(*(tuple(row.pop(name) for row in rows) for name in _STORED))
    computed = Schedule(
        plans=tuple(ScheduledPlan(**row) for row in rows),
        **explanation_of(record),
        warnings=tuple(PlanWarning(**item) for item in record.warnings),
        quality=Quality(**record.quality or {}),
        day_shifts={int(position): shift for position, shift in record.day_shifts.items()},
    )
    return GenerationResult.of(
        computed,
        group_id=record.group_id,
        contents=_labels(session, record),
        changes=changes_of(record),
        generation=record.number,
        stored=stored,
        repeated=True,
    )


_STORED: Final = ("id", "lineage", "generation", "version")
"""The columns of ``StoredColumns``, in order."""


def _labels(session: Session, record: PlanGeneration) -> dict[int, ContentLabel]:
    """Return the contents of the record's group by position."""
    contents = session.execute(
        select(Content.position, Content.id, Content.title, Content.subject)
        .where(Content.tenant_id == record.tenant_id, Content.group_id == record.group_id)
        .order_by(Content.position)
    )
    return {row.position: ContentLabel(row.id, row.title, row.subject) for row in contents}


def _stored_plans(session: Session, record: PlanGeneration) -> list[dict[str, Any]]:
    """Return the columns of the plans of the run that are still stored, in sequence."""
    plans = session.execute(
        select(
            *(StudentPlan.id, StudentPlan.lineage, StudentPlan.generation),
            _version_as_generated().label("version"),
            *labeled_columns(SELECTED),
        )
        .join(Content, Content.id == StudentPlan.content_id)
        .where(
            StudentPlan.tenant_id == record.tenant_id,
            Content.tenant_id == record.tenant_id,
            StudentPlan.group_id == record.group_id,
            has_id(record.plan_ids),
        )
    )
    found = {row["id"]: row for row in plans.mappings()}
    # A plan that was already stored has the sequence of the run that made it.
    return [
        {**found[plan_id], "sequence": sequence}
        for sequence, plan_id in enumerate(record.plan_ids, 1)
        if plan_id in found
    ]


def _version_as_generated() -> ColumnElement[int]:
    """Return the version of a plan that is as it was generated, and an outdated one otherwise."""
    unchanged = and_(
        StudentPlan.live, StudentPlan.state == PlanState.PLANNED, not_(StudentPlan.pinned)
    )
    return case((unchanged, StudentPlan.version), else_=1)


def changes_of(record: PlanGeneration) -> PlanChanges:
    """Return the counts of a recorded run."""
    return PlanChanges(
        record.kept_count, record.moved_count, record.new_count, record.dropped_count
    )
