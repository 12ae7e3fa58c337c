"""Plans as rows: how they are written, read for display, and read again as a result.

All three use the fields of ``ScheduledPlan``, each of which has the name of an attribute of
``StudentPlan``. The only exception is ``content``: the planning core identifies a content by its
position in the group, the table by its id.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date
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
from domain.scheduling.result import (
    Certificate,
    PlanWarning,
    Quality,
    Repair,
    RepairKind,
    Schedule,
    ScheduledPlan,
    Unplaced,
)
from domain.scheduling.types import UnplacedReason

if TYPE_CHECKING:  # only a parameter's type
    from domain.repositories.snapshot import PlanningSnapshot

_FIELDS: Final = tuple(item.name for item in fields(ScheduledPlan))
_COPIED_FIELDS: Final = tuple(name for name in _FIELDS if name != "content")
_KEYS: Final = ("id", "tenant_id", "student_id", "group_id", "content_id", "generation")
_SELECTED: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    name: Content.position if name == "content" else getattr(StudentPlan, name) for name in _FIELDS
}
_DIALECT: Final[Any] = postgresql.dialect  # a class without types


def _type_in_postgres(name: str) -> str:
    """Return the name of a column's type in psycopg and ``pg_catalog``, such as ``int2``."""
    sql_name = StudentPlan.__table__.columns[name].type.compile(_DIALECT())
    return psycopg.postgres.types[sql_name.lower()].name


COPIED: Final[Mapping[str, str]] = {
    name: _type_in_postgres(name) for name in (*_KEYS, *_COPIED_FIELDS)
}
"""The columns of a new plan, in the order in which they are written, and their types."""
_copied_values = attrgetter(*_COPIED_FIELDS)


def new_plans(
    snapshot: "PlanningSnapshot", schedule: Schedule, ids: Sequence[UUID]
) -> Iterator[tuple[Any, ...]]:
    """Yield the plans of a schedule as rows with the columns of ``COPIED`` and the given ids."""
    owner = (snapshot.tenant_id, snapshot.student_id, snapshot.group_id)
    generation = snapshot.generation + 1
    content_ids = {position: label.id for position, label in snapshot.contents.items()}
    for plan_id, plan in zip(ids, schedule.plans, strict=True):
        yield plan_id, *owner, content_ids[plan.content], generation, *_copied_values(plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView(ScheduledPlan):
    """A plan with the title and subject of its content, and with the student's progress.

    ``id`` and ``generation`` are ``None`` in a preview. ``version`` is the ``expected_version`` of
    the next edit of the plan.
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
        """Return the fields of the plan and of the view with values that JSON supports."""
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


_CONTENT_FIELDS: Final = frozenset({"title", "subject"})
VIEWED: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    item.name: getattr(Content if item.name in _CONTENT_FIELDS else StudentPlan, item.name)
    for item in fields(PlanView)
    if item.name not in _SELECTED
} | dict(_SELECTED)
"""The columns of a plan and its content, by the field of ``PlanView`` that they are read into."""


def labeled_columns(columns: Mapping[str, InstrumentedAttribute[Any]]) -> list[Any]:
    """Return the columns for a SELECT, each labeled with the name of its field."""
    return [column.label(name) for name, column in columns.items()]


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """The result of a generation or of a preview.

    ``plan_ids`` has the order of ``plans``. For a preview, ``generation`` is ``None`` and
    ``plan_ids`` is empty. ``contents`` names the contents to which ``plans``, ``unplaced``,
    ``certificate``, ``repairs`` and ``day_shifts`` refer by position. ``repeated`` is true if a
    request with the same idempotency key was answered before, so that nothing was generated this
    time; comparisons ignore it.
    """

    group_id: UUID
    generation: int | None
    plans: tuple[ScheduledPlan, ...]
    plan_ids: tuple[UUID, ...]
    contents: Mapping[int, ContentLabel]
    unplaced: tuple[Unplaced, ...]
    certificate: Certificate | None
    repairs: tuple[Repair, ...]
    warnings: tuple[PlanWarning, ...]
    quality: Quality
    day_shifts: Mapping[int, int]
    repeated: bool = field(default=False, compare=False)

    @property
    def content_ids(self) -> dict[int, UUID]:
        """The ids of the contents by position."""
        return {position: label.id for position, label in self.contents.items()}

    @property
    def views(self) -> tuple[PlanView, ...]:
        """The plans for display, in the form in which the repository also returns them.

        They are in the state in which they were generated: a repeated result does not include later
        changes.
        """
        return tuple(_new_views(self))

    def warning_messages(self, language: Language = "ko") -> list[str]:
        """Return the messages of ``warnings``, which name contents by their titles."""
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
        """Return the result for a schedule, by default that of a preview."""
        return cls(
            **{item.name: getattr(computed, item.name) for item in fields(Schedule)},
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
    """Return the tenant's generation record with this idempotency key, of any group, if any."""
    return session.scalars(
        select(PlanGeneration).where(
            PlanGeneration.tenant_id == tenant_id, PlanGeneration.idempotency_key == key
        )
    ).one_or_none()


@translated()
def load_stored(session: Session, record: PlanGeneration) -> GenerationResult:
    """Read the result of a recorded generation in two statements.

    The result has the values that the generation wrote; it does not depend on whether a plan was
    completed or replaced since. The contents and their positions are the current ones.
    """
    contents = session.execute(
        select(Content.position, Content.id, Content.title, Content.subject)
        .where(Content.tenant_id == record.tenant_id, Content.group_id == record.group_id)
        .order_by(Content.position)
    )
    plans = session.execute(
        select(StudentPlan.id, *labeled_columns(_SELECTED))
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
        certificate=_certificate(record.certificate),
        repairs=tuple(_repair(item) for item in record.repairs),
        warnings=tuple(PlanWarning(**item) for item in record.warnings),
        quality=Quality(**record.quality),
        day_shifts={int(position): shift for position, shift in record.day_shifts.items()},
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


def explanation_as_json(result: Schedule | GenerationResult) -> dict[str, Any]:
    """Return the certificate and the repairs with values that JSON supports."""
    certificate = result.certificate
    return {
        "certificate": None
        if certificate is None
        else {
            "contents": list(certificate.contents),
            "days": [day.isoformat() for day in certificate.days],
            "need": certificate.need,
            "have": certificate.have,
        },
        "repairs": [{**asdict(repair), "kind": repair.kind.value} for repair in result.repairs],
    }


def day_shifts_as_json(result: Schedule | GenerationResult) -> dict[str, int]:
    """Return the shifts by position, whose keys JSON supports only as text."""
    return {str(position): shift for position, shift in sorted(result.day_shifts.items())}


def _certificate(item: Mapping[str, Any] | None) -> Certificate | None:
    if item is None:
        return None
    days = tuple(date.fromisoformat(day) for day in item["days"])
    return Certificate(**{**item, "contents": tuple(item["contents"]), "days": days})


def _repair(item: Mapping[str, Any]) -> Repair:
    return Repair(**{**item, "kind": RepairKind(item["kind"])})
