"""Plans as rows: written by COPY or INSERT, read as screens show them, and as a result again.

One definition for all three: the fields of ``ScheduledPlan``, each of which is the attribute of
``StudentPlan`` with the same name. Only ``content`` is another: the core names a content by its
position in the group, the table by its id.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import zip_longest
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

import psycopg
from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute, Session

from domain.database_errors import translated
from domain.errors import Language
from domain.models import Content, PlanGeneration, PlanState, StudentPlan
from domain.models.content import ContentLabel
from domain.scheduling.schedule import Quality, Schedule, ScheduledPlan, Unplaced
from domain.scheduling.vocabulary import UnplacedReason
from domain.scheduling.warnings import PlanWarning

if TYPE_CHECKING:  # only a parameter's type
    from domain.repositories.snapshot import PlanningSnapshot

_FIELDS: Final = tuple(one.name for one in fields(ScheduledPlan))
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
    snapshot: "PlanningSnapshot", schedule: Schedule, ids: Sequence[UUID]
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
    one.name: getattr(Content if one.name in _OF_CONTENT else StudentPlan, one.name)
    for one in fields(PlanView)
    if one.name not in _SELECTED
} | dict(_SELECTED)
"""The columns of a ``PlanView`` by its fields, of a plan joined with its content."""


def labelled(columns: Mapping[str, InstrumentedAttribute[Any]]) -> list[Any]:
    """The columns for a SELECT, each under the name of its field."""
    return [column.label(name) for name, column in columns.items()]


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """The outcome of a generation or of a preview.

    ``generation`` and ``plan_ids`` (in the order of ``plans``) are ``None`` and empty for a
    preview. ``contents`` names the contents that ``plans`` and ``unplaced`` refer to by
    position. ``repeated`` is whether the request had been answered before, under its
    idempotency key, so that nothing was generated now; it does not count in comparisons.
    """

    group_id: UUID
    generation: int | None
    plans: tuple[ScheduledPlan, ...]
    plan_ids: tuple[UUID, ...]
    contents: Mapping[int, ContentLabel]
    unplaced: tuple[Unplaced, ...]
    warnings: tuple[PlanWarning, ...]
    quality: Quality
    repeated: bool = field(default=False, compare=False)

    @property
    def content_ids(self) -> dict[int, UUID]:
        """The contents' ids by position."""
        return {position: label.id for position, label in self.contents.items()}

    @property
    def views(self) -> tuple[PlanView, ...]:
        """The plans as a screen shows them, in the form that the repository reads them too.

        As they were written: a repeated result does not show what became of them since.
        """
        return tuple(_new_views(self))

    def warning_messages(self, language: Language = "ko") -> list[str]:
        """The sentences of ``warnings``, in which contents have their titles."""
        titles = {position: label.title for position, label in self.contents.items()}
        return [warning.message(language, titles) for warning in self.warnings]

    @classmethod
    def of(
        cls,
        computed: Schedule,
        *,
        group_id: UUID,
        contents: Mapping[int, ContentLabel],
        generation: int | None = None,
        plan_ids: tuple[UUID, ...] = (),
        repeated: bool = False,
    ) -> Self:
        """The result that has all of a schedule; a preview has no generation."""
        return cls(
            **{one.name: getattr(computed, one.name) for one in fields(Schedule)},
            group_id=group_id,
            generation=generation,
            plan_ids=plan_ids,
            contents=contents,
            repeated=repeated,
        )


def _new_views(result: GenerationResult) -> Iterator[PlanView]:
    for plan, plan_id in zip_longest(result.plans, result.plan_ids):
        label = result.contents[plan.content]
        yield PlanView(
            **{name: getattr(plan, name) for name in _FIELDS},
            id=plan_id,
            group_id=result.group_id,
            content_id=label.id,
            title=label.title,
            subject=label.subject,
            generation=result.generation,
        )


@translated()
def record_of_key(session: Session, tenant_id: UUID, key: str) -> PlanGeneration | None:
    """The tenant's record under an idempotency key, of whichever group."""
    return session.scalars(
        select(PlanGeneration).where(
            PlanGeneration.tenant_id == tenant_id, PlanGeneration.idempotency_key == key
        )
    ).one_or_none()


@translated()
def load_stored(session: Session, record: PlanGeneration) -> GenerationResult:
    """The rest of a recorded generation, in two statements.

    Only what generating wrote of a row: that a plan was done or replaced since makes no
    difference. The contents, and their positions in the plans, are the current ones.
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
    computed = Schedule(
        plans=tuple(ScheduledPlan(**row) for row in rows),
        unplaced=tuple(_unplaced(item) for item in record.unplaced),
        warnings=tuple(PlanWarning(**item) for item in record.warnings),
        quality=Quality(**record.quality),
    )
    return GenerationResult.of(
        computed,
        group_id=record.group_id,
        contents={row.position: ContentLabel(row.id, row.title, row.subject) for row in contents},
        generation=record.number,
        plan_ids=plan_ids,
        repeated=True,
    )


def _unplaced(item: Mapping[str, Any]) -> Unplaced:
    return Unplaced(**{**item, "reason": UnplacedReason(item["reason"])})
