"""The statements of an undo, which are built once: building one takes longer than executing it."""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import aliased, undefer

from domain.models import PlanGeneration, PlanGroup, StudentPlan
from domain.models.plan import RetiredAs, RunKind
from domain.repositories.plan_writing import (
    GROUP_ID,
    NUMBER,
    TENANT_ID,
    counts_as_columns,
    live_counts,
    record_statement,
)
from domain.scheduling.difference import PlanChanges
from domain.scheduling.types import PlanKind


def _of_group(row: Any) -> tuple[sa.ColumnElement[bool], ...]:
    return row.tenant_id == TENANT_ID, row.group_id == GROUP_ID


def _in_effect(run: Any) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions for runs that are neither undone nor undo another one."""
    return (*_of_group(run), run.kind != RunKind.UNDONE, run.undone_in.is_(None))


def _changed(run: Any) -> sa.ColumnElement[bool]:
    changed: sa.ColumnElement[bool] = run.moved_count + run.new_count + run.dropped_count > 0
    return changed


def _last_run() -> sa.Select[Any]:
    run = aliased(PlanGeneration)
    last = sa.select(sa.func.pg_catalog.max(run.number)).where(*_in_effect(run), _changed(run))
    return with_fence(last)


def _last_undo() -> sa.Select[Any]:
    undo, undone, later = (aliased(PlanGeneration) for _ in range(3))
    of_a_run = [*_of_group(undone), undone.number == undo.undoes, undone.kind != RunKind.UNDONE]
    followed = [*_in_effect(later), _changed(later), later.number > undo.number]
    last = sa.select(sa.func.pg_catalog.max(undo.number)).where(
        *_of_group(undo),
        undo.kind == RunKind.UNDONE,
        undo.undone_in.is_(None),
        sa.select(undone.number).where(*of_a_run).exists(),
        ~sa.select(later.number).where(*followed).exists(),
    )
    return with_fence(last)


def with_fence(number: sa.Select[Any]) -> sa.Select[Any]:
    """Select the run with this number, and the fence of its group, which may have no such run."""
    live = (*_of_group(StudentPlan), StudentPlan.live)
    plans, versions = (
        sa.select(counted).where(*live).scalar_subquery() for counted in live_counts()
    )
    joined = sa.and_(*_of_group(PlanGeneration), PlanGeneration.number == number.scalar_subquery())
    return (
        sa.select(
            PlanGroup.student_id,
            PlanGroup.generation,
            PlanGroup.status,
            plans.label("live_plans"),
            versions.label("live_versions"),
            PlanGeneration,
        )
        .outerjoin(PlanGeneration, joined)
        .where(PlanGroup.tenant_id == TENANT_ID, PlanGroup.id == GROUP_ID)
        .options(undefer(PlanGeneration.made_ids), undefer(PlanGeneration.made_versions))
    )


def _plans() -> sa.CompoundSelect[Any]:
    """Select the plans that a run made or retired, and what is in the way of the latter.

    These are live plans at their time or with their units, and plans that a later cancellation of
    the group has retired: a part of the plans before the run would return without them.
    """
    undone = sa.bindparam("undone", type_=sa.Integer)
    back, other = aliased(StudentPlan), aliased(StudentPlan)
    concerned = sa.or_(_has_id(StudentPlan, "made_ids"), StudentPlan.retired_in == undone)
    both = (
        other.tenant_id == TENANT_ID,
        other.student_id == sa.bindparam("student_id", type_=sa.Uuid),
        other.live,
        # The plans of the run are retired themselves. They are usually most of the live ones, and
        # a join with all of them would be quadratic.
        sa.not_(_has_id(other, "made_ids")),
        *_of_group(back),
        # Without this condition, the partial index on ``retired_in`` would not be used.
        sa.not_(back.live),
        back.retired_in == undone,
    )
    return sa.union(
        _read(StudentPlan, "own").where(*_of_group(StudentPlan), concerned),
        _read(other, "time").where(*both, *_same_time(back, other)),
        _read(other, "units").where(*both, *_same_units(back, other)),
        _read(StudentPlan, "cancelled").where(
            *_of_group(StudentPlan),
            StudentPlan.retired_as == RetiredAs.CANCELLED,
            StudentPlan.retired_at >= sa.bindparam("undone_at", type_=sa.DateTime(timezone=True)),
        ),
    )


def _read(plan: Any, read_as: str) -> sa.Select[Any]:
    """Select what an undo reads of plans, and why it reads them."""
    names = ("id", "lineage", "version", "live", "group_id", "date", "start_minute", "end_minute")
    return sa.select(
        *(getattr(plan, name) for name in names), sa.literal_column(f"'{read_as}'").label("read_as")
    )


def _same_time(one: Any, other: Any) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions of ``ex_student_plans_overlap`` for plans of a student."""
    return (
        one.date == other.date,
        one.start_minute < other.end_minute,
        other.start_minute < one.end_minute,
    )


def _same_units(one: Any, other: Any) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions of ``ex_student_plans_units``."""
    return (
        one.content_id == other.content_id,
        *(plan.kind == PlanKind.STUDY for plan in (one, other)),
        *(plan.parts == 1 for plan in (one, other)),
        one.first_unit <= sa.func.coalesce(other.done_through, other.last_unit),
        other.first_unit <= sa.func.coalesce(one.done_through, one.last_unit),
    )


def _has_id(plan: Any, parameter: str) -> sa.ColumnElement[bool]:
    condition: sa.ColumnElement[bool] = plan.id == sa.any_(
        sa.bindparam(parameter, type_=sa.ARRAY(sa.Uuid))
    )
    return condition


def _restored() -> dict[str, sa.ColumnElement[Any]]:
    """Return the result of the run before the one that is taken back, as columns of a record.

    That run may itself be an undo, whose record has the result that it had restored.
    """
    empty = {"unplaced": "[]", "repairs": "[]", "warnings": "[]", "day_shifts": "{}"}
    source = aliased(PlanGeneration)
    same = source.number == sa.bindparam("undone", type_=sa.Integer) - 1
    columns: dict[str, sa.ColumnElement[Any]] = {}
    for name in ("unplaced", "certificate", "repairs", "day_shifts", "warnings", "quality"):
        value: Any = (
            sa.select(getattr(source, name)).where(*_of_group(source), same).scalar_subquery()
        )
        if name in empty:
            value = sa.func.coalesce(value, sa.literal_column(f"'{empty[name]}'::jsonb"))
        columns[name] = value
    return columns


def _live_ids() -> sa.ColumnElement[Any]:
    """Return the ids of the plans that are live after the undo, as an array."""
    plan = StudentPlan
    ids = aggregate_order_by(plan.id, plan.date, plan.start_minute)
    stays = sa.and_(plan.live, sa.not_(_has_id(plan, "retired_ids")))
    found = sa.select(sa.func.pg_catalog.array_agg(ids)).where(
        *_of_group(plan), sa.or_(stays, _has_id(plan, "revived_ids"))
    )
    return sa.func.coalesce(found.scalar_subquery(), sa.literal_column("'{}'::uuid[]"))


def _marked_as_undone() -> sa.CTE:
    """Update the record of the run that is taken back, and of the one that is in effect again.

    The undos that put the run into effect again are no longer in effect either.
    """
    undone, redone = (sa.bindparam(name, type_=sa.Integer) for name in ("undone", "redone"))
    first = aliased(PlanGeneration)
    undos = sa.select(first.number).where(*_of_group(first), first.undoes == undone)
    return (
        sa.update(PlanGeneration)
        .where(
            *_of_group(PlanGeneration),
            sa.or_(PlanGeneration.number.in_([undone, redone]), PlanGeneration.undoes.in_(undos)),
        )
        .values(undone_in=sa.case((PlanGeneration.number == redone, None), else_=NUMBER))
        .returning(PlanGeneration.number)
        .cte("undone")
    )


REPEATED: Final = ("today", "input_hash", "engine_version")
LAST_RUN: Final = _last_run()
LAST_UNDO: Final = _last_undo()
PLANS: Final = _plans()
RECORD: Final = record_statement(
    (
        *("requested_by", "waited_ms", "idempotency_key", "request_hash"),
        *counts_as_columns(PlanChanges()),
        *("kind", "undoes", "plan_count", "kept_ids", "made_ids", "made_versions"),
        *REPEATED,
    ),
    {**_restored(), "plan_ids": _live_ids()},
    _marked_as_undone(),
)
