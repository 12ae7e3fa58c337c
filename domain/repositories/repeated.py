"""A generation as it was stored: what the same request is answered the second time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.database_errors import translated
from domain.models import Content, PlanGeneration, StudentPlan
from domain.repositories.views import SCHEDULED, ContentLabel, by_name, labelled
from domain.scheduling.notices import Notice
from domain.scheduling.schedule import Quality, Schedule, ScheduledPlan, Unplaced
from domain.scheduling.vocabulary import UnplacedReason


@dataclass(frozen=True, slots=True)
class StoredGeneration:
    """The record of a generation with its rows, in the words of the scheduling core.

    The contents, and their positions in ``schedule.plans``, are those of now.
    """

    group_id: UUID
    number: int
    schedule: Schedule
    plan_ids: tuple[UUID, ...]
    contents: Mapping[int, ContentLabel]
    """The contents by position."""


@translated()
def record_of_key(session: Session, tenant_id: UUID, key: str) -> PlanGeneration | None:
    """The tenant's record under an idempotency key, of whichever group."""
    return session.scalars(
        select(PlanGeneration).where(
            PlanGeneration.tenant_id == tenant_id, PlanGeneration.idempotency_key == key
        )
    ).one_or_none()


@translated()
def load_stored(session: Session, record: PlanGeneration) -> StoredGeneration:
    """The rest of a recorded generation, in two statements.

    Only what generating wrote of a row: that a plan was done or replaced since makes no
    difference.
    """
    contents = session.execute(
        select(Content.position, Content.id, Content.title, Content.subject)
        .where(Content.tenant_id == record.tenant_id, Content.group_id == record.group_id)
        .order_by(Content.position)
    ).all()
    found = session.execute(
        _ROWS.where(
            StudentPlan.tenant_id == record.tenant_id,
            Content.tenant_id == record.tenant_id,
            StudentPlan.group_id == record.group_id,
            StudentPlan.generation == record.number,
        )
    ).all()
    rows = [by_name(row) for row in found]
    plan_ids = tuple(row.pop("id") for row in rows)
    return StoredGeneration(
        group_id=record.group_id,
        number=record.number,
        schedule=Schedule(
            plans=tuple(ScheduledPlan(**row) for row in rows),
            unplaced=tuple(map(_unplaced, record.unplaced)),
            warnings=tuple(Notice(**told) for told in record.warnings),
            quality=Quality(**record.quality),
        ),
        plan_ids=plan_ids,
        contents={row.position: ContentLabel(row.id, row.title, row.subject) for row in contents},
    )


def _unplaced(told: Mapping[str, Any]) -> Unplaced:
    return Unplaced(**{**told, "reason": UnplacedReason(told["reason"])})


_ROWS = (
    select(StudentPlan.id, *labelled(SCHEDULED))
    .join(Content, Content.id == StudentPlan.content_id)
    .order_by(StudentPlan.sequence)
)
