"""Plans as they are read: for display, and again as the result of a generation.

Both use the fields of ``ScheduledPlan``, each of which has the name of an attribute of
``StudentPlan``. The only exception is ``content``: the planning core identifies a content by its
position in the group, the table by its id.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, literal
from sqlalchemy.orm import InstrumentedAttribute

from domain.models import Content, PlanState, StudentPlan
from domain.models.content import ContentLabel
from domain.scheduling.difference import Difference, PlanChanges
from domain.scheduling.result import (
    Certificate,
    PlanWarning,
    Quality,
    Repair,
    Schedule,
    ScheduledPlan,
    Unplaced,
)

_FIELDS: Final = tuple(item.name for item in fields(ScheduledPlan))
SELECTED: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    name: Content.position if name == "content" else getattr(StudentPlan, name) for name in _FIELDS
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView(ScheduledPlan):
    """A plan with the title and subject of its content, and with the student's progress.

    ``id``, ``lineage`` and ``generation`` are ``None`` in a preview. ``version`` is the
    ``expected_version`` of the next edit of the plan. ``sequence`` is ``None`` for a plan that was
    moved by hand.
    """

    id: UUID | None
    lineage: UUID | None
    group_id: UUID
    content_id: UUID
    title: str
    subject: str | None
    generation: int | None
    state: PlanState = PlanState.PLANNED
    done_through: int | None = None
    done_at: datetime | None = None
    actual_minutes: int | None = None
    pinned: bool = False
    version: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the plan and of the view with values that JSON supports."""
        return {
            "id": _text(self.id),
            "lineage": _text(self.lineage),
            "group_id": str(self.group_id),
            "content_id": str(self.content_id),
            "title": self.title,
            "subject": self.subject,
            **ScheduledPlan.to_dict(self),
            "wrap_up_minutes": self.wrap_up_minutes,
            "generation": self.generation,
            "state": self.state.value,
            "done_through": self.done_through,
            "done_at": None if self.done_at is None else self.done_at.isoformat(),
            "actual_minutes": self.actual_minutes,
            "pinned": self.pinned,
            "version": self.version,
        }


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)


_CONTENT_FIELDS: Final = frozenset({"title", "subject"})
VIEWED: Final[Mapping[str, InstrumentedAttribute[Any]]] = {
    item.name: getattr(Content if item.name in _CONTENT_FIELDS else StudentPlan, item.name)
    for item in fields(PlanView)
    if item.name not in SELECTED
} | dict(SELECTED)
"""The columns of a plan and its content, by the field of ``PlanView`` that they are read into."""


def labeled_columns(columns: Mapping[str, InstrumentedAttribute[Any]]) -> list[Any]:
    """Return the columns for a SELECT, each labeled with the name of its field."""
    return [column.label(name) for name, column in columns.items()]


class StoredColumns(NamedTuple):
    """The columns of stored plans that a schedule does not have, with a value per plan."""

    plan_ids: tuple[UUID, ...] = ()
    lineages: tuple[UUID, ...] = ()
    generations: tuple[int, ...] = ()
    versions: tuple[int, ...] = ()


_NOT_STORED: Final = StoredColumns()


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """The result of a generation or reschedule, or of a preview of one."""

    group_id: UUID
    generation: int | None
    """The number of the run; ``None`` for a preview."""
    plans: tuple[ScheduledPlan, ...]
    plan_ids: tuple[UUID, ...]
    """The ids of ``plans``, in the same order; empty for a preview."""
    lineages: tuple[UUID, ...]
    generations: tuple[int, ...]
    """The run that made each plan, which is an earlier one for a plan that was kept."""
    versions: tuple[int, ...]
    """The ``expected_version`` of the next edit of each plan. In a repeated result it is 1 for a
    plan that is marked now, so that an edit of what was returned first is refused."""
    changes: PlanChanges
    """How many live plans the run has kept, moved, made and dropped."""
    contents: Mapping[int, ContentLabel]
    """The contents to which the other fields refer by position."""
    unplaced: tuple[Unplaced, ...]
    certificate: Certificate | None
    repairs: tuple[Repair, ...]
    warnings: tuple[PlanWarning, ...]
    quality: Quality
    day_shifts: Mapping[int, int]
    repeated: bool = field(default=False, compare=False)
    """Whether a request with the same idempotency key was answered before: nothing was
    generated."""
    fingerprint: str | None = None
    """That of a preview, with which the same request confirms it."""
    difference: Difference | None = field(default=None, compare=False, repr=False)
    """What is kept, moved, new and dropped, each with its old and new place, without the plans that
    are done, started or pinned. That of a repeated result is read back from the plans, with their
    current week and cycle; it is ``None`` if plans that the run retired are no longer stored."""
    quality_before: Quality | None = field(default=None, compare=False)
    """The quality of the plans as they stood before a reschedule; ``None`` for a generation and for
    a repeated result."""

    @property
    def rows(self) -> int:
        """The number of plans."""
        return len(self.plans)

    @property
    def unplaced_ranges(self) -> int:
        """The number of ranges that could not be placed."""
        return len(self.unplaced)

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

    def warning_messages(self, language: str = "ko") -> list[str]:
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
        changes: PlanChanges,
        generation: int | None = None,
        stored: StoredColumns = _NOT_STORED,
        repeated: bool = False,
        fingerprint: str | None = None,
        difference: Difference | None = None,
        quality_before: Quality | None = None,
    ) -> Self:
        """Return the result for a schedule, by default that of a preview."""
        return cls(
            **{item.name: getattr(computed, item.name) for item in fields(Schedule)},
            group_id=group_id,
            generation=generation,
            **stored._asdict(),
            changes=changes,
            contents=contents,
            repeated=repeated,
            fingerprint=fingerprint,
            difference=difference,
            quality_before=quality_before,
        )


def _new_views(result: GenerationResult) -> Iterator[PlanView]:
    stored = zip_longest(
        result.plans, result.plan_ids, result.lineages, result.generations, result.versions
    )
    for plan, plan_id, lineage, generation, version in stored:
        label = result.contents[plan.content]
        yield PlanView(
            **{name: getattr(plan, name) for name in _FIELDS},
            id=plan_id,
            lineage=lineage,
            group_id=result.group_id,
            content_id=label.id,
            title=label.title,
            subject=label.subject,
            generation=generation,
            version=1 if version is None else version,
        )


def has_id(ids: Collection[UUID]) -> ColumnElement[bool]:
    """Return the condition that a plan has one of the ids, which are sent as one parameter."""
    return StudentPlan.id == any_(literal(list(ids), ARRAY(Uuid)))


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
