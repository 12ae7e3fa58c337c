"""Plans as screens show them: with the names of their content, from a table or a result alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.orm import InstrumentedAttribute

from domain.models import Content, PlanState, StudentPlan
from domain.scheduling.schedule import ScheduledPlan


@dataclass(frozen=True, slots=True)
class ContentLabel:
    """What a content is called."""

    id: UUID
    title: str
    subject: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView(ScheduledPlan):
    """A plan with the names of its content, and how far the student is with it.

    ``id`` and ``generation`` are ``None`` in a preview. ``version`` is what the next edit of
    the plan names as the one that was seen.
    """

    id: UUID | None
    group_id: UUID
    content_id: UUID
    title: str
    subject: str | None
    generation: int | None
    state: PlanState = PlanState.PLANNED
    done_through: int | None = None
    pinned: bool = False
    version: int = 1

    def to_dict(self) -> dict[str, Any]:
        """The view as JSON has it: a plan's fields, and those of the view."""
        return {
            "id": None if self.id is None else str(self.id),
            "group_id": str(self.group_id),
            "content_id": str(self.content_id),
            "title": self.title,
            "subject": self.subject,
            **ScheduledPlan.to_dict(self),
            "wrap_up_minutes": self.wrap_up_minutes,
            "generation": self.generation,
            "state": self.state.value,
            "done_through": self.done_through,
            "pinned": self.pinned,
            "version": self.version,
        }


SCHEDULED: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    "sequence": StudentPlan.sequence,
    "date": StudentPlan.date,
    "start_minute": StudentPlan.start_minute,
    "end_minute": StudentPlan.end_minute,
    "content": Content.position,
    "kind": StudentPlan.kind,
    "first_unit": StudentPlan.first_unit,
    "last_unit": StudentPlan.last_unit,
    "part": StudentPlan.part,
    "parts": StudentPlan.parts,
    "wrap_up_minutes": StudentPlan.wrap_up_minutes,
    "reserve": StudentPlan.reserve,
    "week": StudentPlan.week,
    "cycle": StudentPlan.cycle,
    "cycle_day": StudentPlan.cycle_day,
}
"""The columns of a ``ScheduledPlan`` by its fields, of a plan joined with its content."""

VIEWED: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    **SCHEDULED,
    "id": StudentPlan.id,
    "group_id": StudentPlan.group_id,
    "content_id": StudentPlan.content_id,
    "title": Content.title,
    "subject": Content.subject,
    "generation": StudentPlan.generation,
    "state": StudentPlan.state,
    "done_through": StudentPlan.done_through,
    "pinned": StudentPlan.pinned,
    "version": StudentPlan.version,
}
"""The columns of a ``PlanView`` by its fields."""


def labelled(columns: Mapping[str, InstrumentedAttribute[Any]]) -> list[Any]:
    """The columns for a SELECT, each under the name of its field."""
    return [column.label(name) for name, column in columns.items()]


def by_name(row: Row[Any]) -> dict[str, Any]:
    """A row's values by the names of its fields."""
    return dict(row._mapping)  # noqa: SLF001 - public in SQLAlchemy, in spite of its name


def new_views(
    plans: Sequence[ScheduledPlan],
    ids: Sequence[UUID],
    *,
    group_id: UUID,
    generation: int | None,
    contents: Mapping[int, ContentLabel],
) -> Iterator[PlanView]:
    """The plans of a result as its generation wrote them; without ids those of a preview."""
    for plan, plan_id in zip_longest(plans, ids):
        label = contents[plan.content]
        yield PlanView(
            **{name: getattr(plan, name) for name in SCHEDULED},
            id=plan_id,
            group_id=group_id,
            content_id=label.id,
            title=label.title,
            subject=label.subject,
            generation=generation,
        )
