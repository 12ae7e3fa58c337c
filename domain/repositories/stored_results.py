"""Results of runs as they were stored, for repeated requests."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, case, not_, or_, select
from sqlalchemy.orm import Session, undefer

from domain.database_errors import translated
from domain.errors import EditedMeanwhileError
from domain.models import Content, PlanGeneration, PlanState, StudentPlan
from domain.models.content import ContentLabel
from domain.repositories.baselines import explanation_of, warnings_and_shifts_of
from domain.repositories.plan_rows import (
    SELECTED,
    GenerationResult,
    StoredColumns,
    has_id,
    labeled_columns,
)
from domain.repositories.reading import refreshed
from domain.scheduling.difference import Difference, PlanChanges, StoredPlan
from domain.scheduling.result import Quality, Schedule, ScheduledPlan

_UNMARKED: Final = and_(StudentPlan.state == PlanState.PLANNED, not_(StudentPlan.pinned))
_STORED: Final = ("id", "lineage", "generation", "version")
_time: Final = attrgetter("date", "start_minute")


@translated()
def record_of_key(session: Session, tenant_id: UUID, key: str) -> PlanGeneration | None:
    """Return the tenant's record of a run with this idempotency key, of any group, if any."""
    query = (
        select(PlanGeneration)
        .where(PlanGeneration.tenant_id == tenant_id, PlanGeneration.idempotency_key == key)
        .options(undefer(PlanGeneration.plan_ids))
    )
    return next(iter(refreshed(session, PlanGeneration, query)), None)


@translated()
def load_stored(session: Session, record: PlanGeneration) -> GenerationResult:
    """Read the result of a recorded generation or reschedule in two statements.

    The result has the values that the run wrote; it does not depend on whether a plan was completed
    or replaced since. The contents and their positions are the current ones, and so are the week
    and cycle of each plan. Its ``difference`` is ``None`` if plans that the run retired are no
    longer stored. Raises ``EditedMeanwhileError`` if the run was undone, or if its own plans are no
    longer stored.
    """
    found = _stored_plans(session, record)
    if record.undone_in is not None or not found.keys() >= set(record.plan_ids):
        raise EditedMeanwhileError(group_id=record.group_id)
    rows = [found.pop(plan_id) for plan_id in record.plan_ids]
    # A plan that was already stored has the sequence of the run that made it.
    plans = tuple(replace(row.plan, sequence=sequence) for sequence, row in enumerate(rows, 1))
    labels = _labels(session, record)
    positions = {str(label.id): position for position, label in labels.items()}
    computed = Schedule(
        plans=plans,
        **explanation_of(record, positions),
        **warnings_and_shifts_of(record, positions),
        quality=Quality(**record.quality or {}),
    )
    return GenerationResult.of(
        computed,
        group_id=record.group_id,
        contents=labels,
        changes=changes_of(record),
        difference=_difference(record, zip(rows, plans, strict=True), found.values()),
        generation=record.number,
        stored=_columns(rows),
        repeated=True,
    )


def _columns(rows: Sequence[StoredPlan]) -> StoredColumns:
    return StoredColumns(
        plan_ids=tuple(row.id for row in rows),
        lineages=tuple(row.lineage for row in rows),
        generations=tuple(row.generation for row in rows),
        versions=tuple(row.version for row in rows),
    )


def _difference(
    record: PlanGeneration,
    planned: Iterable[tuple[StoredPlan, ScheduledPlan]],
    retired: Iterable[StoredPlan],
) -> Difference | None:
    """Return what the run changed; ``None`` unless all plans that it retired are stored.

    ``planned`` has the plans by time, as a schedule has. A plan that the run made continues the
    retired one of its lineage, if there is one; the others were kept.
    """
    old = {row.lineage: row for row in sorted(retired, key=lambda row: _time(row.plan))}
    if len(old) != record.moved_count + record.dropped_count:
        return None
    kept, moved, new = [], [], []
    for row, plan in planned:
        if row.generation != record.number:
            kept.append((row, plan))
        elif row.lineage in old:
            moved.append((old.pop(row.lineage), plan))
        else:
            new.append(plan)
    return Difference(tuple(kept), tuple(moved), tuple(new), dropped=tuple(old.values()))


def _labels(session: Session, record: PlanGeneration) -> dict[int, ContentLabel]:
    """Return the contents of the record's group by position."""
    contents = session.execute(
        select(Content.position, Content.id, Content.title, Content.subject)
        .where(Content.tenant_id == record.tenant_id, Content.group_id == record.group_id)
        .order_by(Content.position)
    )
    return {row.position: ContentLabel(row.id, row.title, row.subject) for row in contents}


def _stored_plans(session: Session, record: PlanGeneration) -> dict[UUID, StoredPlan]:
    """Return the plans of the run and those that it retired, as far as they are still stored.

    The version of a plan of the run that is marked now is 1, an outdated one; that of a plan that
    was marked and reset is the current one.
    """
    retired = and_(not_(StudentPlan.live), StudentPlan.retired_in == record.number)
    plans = session.execute(
        select(
            *(StudentPlan.id, StudentPlan.lineage, StudentPlan.generation),
            case((or_(_UNMARKED, retired), StudentPlan.version), else_=1).label("version"),
            *labeled_columns(SELECTED),
        )
        .join(Content, Content.id == StudentPlan.content_id)
        .where(
            StudentPlan.tenant_id == record.tenant_id,
            Content.tenant_id == record.tenant_id,
            StudentPlan.group_id == record.group_id,
            or_(has_id(record.plan_ids), retired),
        )
    )
    return {row["id"]: _stored_plan(dict(row)) for row in plans.mappings()}


def _stored_plan(row: dict[str, Any]) -> StoredPlan:
    id_, lineage, generation, version = (row.pop(name) for name in _STORED)
    return StoredPlan(id_, lineage, generation, version, ScheduledPlan(**{**row, "sequence": None}))


def changes_of(record: PlanGeneration) -> PlanChanges:
    """Return the counts of a recorded run."""
    return PlanChanges(
        record.kept_count, record.moved_count, record.new_count, record.dropped_count
    )
