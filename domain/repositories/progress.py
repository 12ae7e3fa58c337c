"""How much of a group is done: a query over its live plans."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from domain.models import Content, PlanState, StudentPlan
from domain.models.plan import DONE_STATES
from domain.scheduling.types import PlanKind


@dataclass(frozen=True, slots=True)
class ContentProgress:
    """What is done of a content, in units of its range and in minutes of its live study plans.

    A unit that is cut into pieces is done when as many of them are done as the one that was made
    last has parts; one that was made shorter after it was cut may never be. ``minutes`` has the
    planned minutes of all live study plans and ``minutes_done`` those of the done ones, of which a
    part done plan has the share of its done units, rounded down. ``actual_minutes`` is the sum of
    what was recorded. Reviews are not included.
    """

    content_id: UUID
    position: int
    title: str
    units: int
    units_done: int
    minutes: int
    minutes_done: int
    actual_minutes: int


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """The progress of a group's contents, by position; the totals are their sums."""

    contents: tuple[ContentProgress, ...]

    @property
    def units(self) -> int:
        """The units of all contents."""
        return sum(content.units for content in self.contents)

    @property
    def units_done(self) -> int:
        """The units that are done."""
        return sum(content.units_done for content in self.contents)

    @property
    def minutes(self) -> int:
        """The minutes of all live study plans."""
        return sum(content.minutes for content in self.contents)

    @property
    def minutes_done(self) -> int:
        """The minutes of the done ones."""
        return sum(content.minutes_done for content in self.contents)

    @property
    def actual_minutes(self) -> int:
        """The minutes that were recorded."""
        return sum(content.actual_minutes for content in self.contents)


def load_progress(session: Session, tenant_id: UUID, group_id: UUID) -> GroupProgress:
    """Read the progress of a group in one statement; a group without contents has none."""
    plans = _done_per_content(tenant_id, group_id).subquery()
    pieces = _done_pieces(tenant_id, group_id).subquery()
    rows = session.execute(
        sa.select(
            Content.id.label("content_id"),
            Content.position,
            Content.title,
            (Content.last_unit - Content.first_unit + 1).label("units"),
            (_zero(plans.c.units_done) + _zero(pieces.c.units_done)).label("units_done"),
            _zero(plans.c.minutes).label("minutes"),
            _zero(plans.c.minutes_done).label("minutes_done"),
            _zero(plans.c.actual_minutes).label("actual_minutes"),
        )
        .outerjoin(plans, plans.c.content_id == Content.id)
        .outerjoin(pieces, pieces.c.content_id == Content.id)
        .where(Content.tenant_id == tenant_id, Content.group_id == group_id)
        .order_by(Content.position)
    )
    return GroupProgress(tuple(ContentProgress(**row) for row in rows.mappings()))


def _done_per_content(tenant_id: UUID, group_id: UUID) -> sa.Select[Any]:
    """Select the sums per content; units in pieces are not counted."""
    plan, length = StudentPlan, StudentPlan.end_minute - StudentPlan.start_minute
    is_done = plan.state.in_(sorted(DONE_STATES))
    done_units = sa.func.coalesce(plan.done_through, plan.last_unit) - plan.first_unit + 1
    first = sa.func.greatest(plan.first_unit, Content.first_unit)
    last = sa.func.least(sa.func.coalesce(plan.done_through, plan.last_unit), Content.last_unit)
    minutes_done = sa.case(
        (plan.done_through.is_(None), length),
        else_=(length - plan.wrap_up_minutes)
        * done_units
        // (plan.last_unit - plan.first_unit + 1),
    )
    return (
        sa.select(
            plan.content_id,
            _sum(sa.func.greatest(last - first + 1, 0), is_done, plan.parts == 1).label(
                "units_done"
            ),
            _sum(length).label("minutes"),
            _sum(minutes_done, is_done).label("minutes_done"),
            _sum(plan.actual_minutes).label("actual_minutes"),
        )
        .join(Content, sa.and_(Content.tenant_id == tenant_id, Content.id == plan.content_id))
        .where(*_study(tenant_id, group_id))
        .group_by(plan.content_id)
    )


def _done_pieces(tenant_id: UUID, group_id: UUID) -> sa.Select[Any]:
    """Select the number of units per content of which all pieces are done.

    If the rest of a unit was cut again after a piece was done, the piece that was made last has the
    number of pieces.
    """
    plan, count = StudentPlan, sa.func.pg_catalog.count(sa.literal_column("*"))
    parts = sa.func.pg_catalog.array_agg(
        aggregate_order_by(plan.parts, plan.generation.desc()), type_=sa.ARRAY(sa.SmallInteger)
    )
    done = (
        sa.select(plan.content_id)
        .join(Content, sa.and_(Content.tenant_id == tenant_id, Content.id == plan.content_id))
        .where(
            *_study(tenant_id, group_id),
            plan.parts > 1,
            plan.state == PlanState.DONE,
            plan.first_unit.between(Content.first_unit, Content.last_unit),
        )
        .group_by(plan.content_id, plan.first_unit)
        .having(count >= parts[1])
        .subquery()
    )
    return sa.select(done.c.content_id, count.label("units_done")).group_by(done.c.content_id)


def _study(tenant_id: UUID, group_id: UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        StudentPlan.tenant_id == tenant_id,
        StudentPlan.group_id == group_id,
        StudentPlan.kind == PlanKind.STUDY,
        sa.type_coerce(StudentPlan.live, sa.Boolean),
    )


def _sum(value: Any, *where: sa.ColumnElement[bool]) -> Any:
    """Return the sum over the rows that meet the conditions, as an integer."""
    total = sa.func.pg_catalog.sum(value)
    return sa.cast(total.filter(*where) if where else total, sa.Integer)


def _zero(value: Any) -> Any:
    return sa.func.coalesce(value, 0)
