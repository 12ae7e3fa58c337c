"""Plans as rows: written by COPY, read as screens show them, and read again by a repeated request.

One definition for all three: the fields of ``ScheduledPlan``, each of which is the attribute of
``StudentPlan`` with the same name. Only ``content`` is another: the core names a content by its
position in the group, the table by its id.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute, Session

from domain.database_errors import translated
from domain.models import Content, PlanGeneration, PlanState, StudentPlan
from domain.repositories.snapshot import ContentLabel, PlanningSnapshot
from domain.scheduling.notices import Notice
from domain.scheduling.schedule import Quality, Schedule, ScheduledPlan, Unplaced
from domain.scheduling.vocabulary import UnplacedReason

_FIELDS: Final = tuple(field.name for field in fields(ScheduledPlan))
_COPIED_FIELDS: Final = tuple(name for name in _FIELDS if name != "content")
_KEYS: Final = ("id", "tenant_id", "student_id", "group_id", "content_id", "generation")
_SELECTED: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    name: Content.position if name == "content" else getattr(StudentPlan, name) for name in _FIELDS
}
_DIALECT: Final[Any] = postgresql.dialect  # a class without types


def _type_in_postgres(name: str) -> str:
    """The name that psycopg and ``pg_catalog`` have for a column's type, such as ``int2``."""
    written = StudentPlan.__table__.columns[name].type.compile(_DIALECT())
    return psycopg.postgres.types[written.lower()].name


COPIED: Final[Mapping[str, str]] = {
    name: _type_in_postgres(name) for name in (*_KEYS, *_COPIED_FIELDS)
}
"""The columns of a new plan in the order in which they are written, and their types."""
_copied_values = attrgetter(*_COPIED_FIELDS)


def new_plans(
    snapshot: PlanningSnapshot, schedule: Schedule, ids: Sequence[UUID]
) -> Iterator[tuple[Any, ...]]:
    """The schedule's plans as rows in the order of ``COPIED``, with these ids."""
    owner = (snapshot.tenant_id, snapshot.student_id, snapshot.group_id)
    generation = snapshot.generation + 1
    content_ids = {position: label.id for position, label in snapshot.contents.items()}
    for plan_id, plan in zip(ids, schedule.plans, strict=True):
        yield plan_id, *owner, content_ids[plan.content], generation, *_copied_values(plan)


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


_OF_CONTENT: Final = frozenset({"title", "subject"})
VIEWED: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    field.name: getattr(Content if field.name in _OF_CONTENT else StudentPlan, field.name)
    for field in fields(PlanView)
    if field.name not in _SELECTED
} | dict(_SELECTED)
"""The columns of a ``PlanView`` by its fields, of a plan joined with its content."""


def labelled(columns: Mapping[str, InstrumentedAttribute[Any]]) -> list[Any]:
    """The columns for a SELECT, each under the name of its field."""
    return [column.label(name) for name, column in columns.items()]


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
            **{name: getattr(plan, name) for name in _FIELDS},
            id=plan_id,
            group_id=group_id,
            content_id=label.id,
            title=label.title,
            subject=label.subject,
            generation=generation,
        )


@dataclass(frozen=True, slots=True)
class StoredGeneration:
    """The record of a generation with its rows, as the planning core computed them.

    The contents, and their positions in ``schedule.plans``, are the current ones.
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
    )
    plans = session.execute(
        select(StudentPlan.id, *labelled(_SELECTED))
        .join(Content, Content.id == StudentPlan.content_id)
        .where(
            StudentPlan.tenant_id == record.tenant_id,
            Content.tenant_id == record.tenant_id,
            StudentPlan.group_id == record.group_id,
            StudentPlan.generation == record.number,
        )
        .order_by(StudentPlan.sequence)
    )
    rows = [dict(row) for row in plans.mappings()]
    plan_ids = tuple(row.pop("id") for row in rows)
    return StoredGeneration(
        group_id=record.group_id,
        number=record.number,
        schedule=Schedule(
            plans=tuple(ScheduledPlan(**row) for row in rows),
            unplaced=tuple(_unplaced(item) for item in record.unplaced),
            warnings=tuple(Notice(**item) for item in record.warnings),
            quality=Quality(**record.quality),
        ),
        plan_ids=plan_ids,
        contents={row.position: ContentLabel(row.id, row.title, row.subject) for row in contents},
    )


def _unplaced(item: Mapping[str, Any]) -> Unplaced:
    return Unplaced(**{**item, "reason": UnplacedReason(item["reason"])})
