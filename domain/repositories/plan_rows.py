"""New plans as the rows that COPY or INSERT writes."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

from domain.repositories.snapshot import PlanningSnapshot
from domain.scheduling.schedule import Schedule

COPIED: Final = {
    "id": "uuid",
    "tenant_id": "uuid",
    "student_id": "uuid",
    "group_id": "uuid",
    "content_id": "uuid",
    "generation": "int4",
    "sequence": "int4",
    "kind": "text",
    "date": "date",
    "start_minute": "int2",
    "end_minute": "int2",
    "first_unit": "int4",
    "last_unit": "int4",
    "part": "int2",
    "parts": "int2",
    "wrap_up_minutes": "int2",
    "reserve": "bool",
    "week": "int2",
    "cycle": "int2",
    "cycle_day": "int2",
}
"""The columns of a new plan in the order in which they are written, and their types."""


def new_plans(
    snapshot: PlanningSnapshot, schedule: Schedule, ids: Sequence[UUID]
) -> Iterator[tuple[Any, ...]]:
    """The schedule's plans as rows in the order of ``COPIED``, with these ids."""
    tenant_id, student_id, group_id = (
        snapshot.tenant_id,
        snapshot.student_id,
        snapshot.group_id,
    )
    generation = snapshot.generation + 1
    contents = snapshot.contents
    for plan_id, plan in zip(ids, schedule.plans, strict=True):
        yield (
            plan_id, tenant_id, student_id, group_id, contents[plan.content].id, generation,
            plan.sequence, plan.kind.value, plan.date, plan.start_minute, plan.end_minute,
            plan.first_unit, plan.last_unit, plan.part, plan.parts, plan.wrap_up_minutes,
            plan.reserve, plan.week, plan.cycle, plan.cycle_day,
        )  # fmt: skip
