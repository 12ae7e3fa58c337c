"""Reads everything that is needed to plan a group, in one statement.

Loading the group as an entity with its collections would take ten round trips while the lock is
held. One statement takes one round trip and, at READ COMMITTED, sees one consistent snapshot.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_args, get_type_hints
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, Session

from domain import models
from domain.errors import ContentNotFoundError, PlanGroupNotGeneratableError
from domain.models.base import MinuteSpans, input_names
from domain.models.content import ContentLabel
from domain.models.plan_group import COMPUTED_INPUTS, GENERATABLE, factors_of
from domain.scheduling import types as planning
from domain.scheduling.spans import Span

Input = TypeVar("Input")
_Condition: TypeAlias = sa.ColumnElement[bool] | InstrumentedAttribute[bool]


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """A live plan of the group, as an input of planning, with its state."""

    plan: planning.KeptPlan
    state: models.PlanState
    pinned: bool

    @property
    def kept(self) -> bool:
        """Whether a generation keeps the plan: it is done, part done, started or pinned."""
        return self.pinned or self.state is not models.PlanState.PLANNED


@dataclass(frozen=True, slots=True)
class PlanningSnapshot:
    """A consistent snapshot of a group and of its student's time."""

    group_id: UUID
    tenant_id: UUID
    student_id: UUID
    status: models.GroupStatus
    time_zone: str
    generation: int
    contents: Mapping[int, ContentLabel]
    """The ids and names of the contents by position."""
    plans: tuple[SnapshotPlan, ...]
    settings: planning.Request
    """The planning request without kept plans and with the start of the period as ``today``."""
    copyable: bool
    """Whether COPY can write new plans. PostgreSQL refuses it under row-level security, which would
    abort the transaction, and COPY does not invoke the rules of a table."""

    def require_generatable(self) -> None:
        """Raise ``PlanGroupNotGeneratableError`` unless the group is saved or active."""
        if self.status not in GENERATABLE:
            raise PlanGroupNotGeneratableError(
                group_id=self.group_id, group_status=self.status.value
            )

    def request(self, today: date) -> planning.Request:
        """Return the planning request; its ``today`` is not before the first day of the period."""
        return replace(
            self.settings,
            today=max(today, self.settings.period_start),
            busy=tuple(busy for busy in self.settings.busy if busy.date >= today),
            kept=tuple(live.plan for live in self.plans if live.kept),
        )

    @property
    def replaceable(self) -> int:
        """The number of live plans that a generation retires."""
        return sum(not live.kept for live in self.plans)


def load_snapshot(session: Session, tenant_id: UUID, group_id: UUID) -> PlanningSnapshot | None:
    """Read the snapshot of a group; return ``None`` if the tenant has no such group.

    Raises ``ContentNotFoundError`` if row-level security shows a plan of the group to the current
    role but not the plan's content.
    """
    row = session.execute(_STATEMENT, {"tenant_id": tenant_id, "group_id": group_id}).one_or_none()
    if row is None:
        return None
    contents = _contents(row)
    positions = {str(label.id): content.position for label, content in contents}
    return PlanningSnapshot(
        group_id=group_id,
        tenant_id=tenant_id,
        student_id=row.student_id,
        status=row.status,
        time_zone=row.time_zone,
        generation=row.generation,
        contents={content.position: label for label, content in contents},
        plans=tuple(_plan(values, positions) for values in row.plans),
        settings=planning.Request(
            **{name: getattr(row, name) for name in _SETTINGS},
            today=row.period_start,
            factors=factors_of(row),
            contents=tuple(content for _, content in contents),
            blocks=_BLOCKS.inputs(row.blocks),
            non_study_blocks=_NON_STUDY_BLOCKS.inputs(row.non_study_blocks),
            special_days=_SPECIAL_DAYS.inputs(row.special_days),
            academy_schedules=_ACADEMY_SCHEDULES.inputs(row.academy_schedules),
            exclusions=_EXCLUSIONS.inputs(row.exclusions),
            busy=_BUSY.inputs(row.busy),
        ),
        copyable=row.copyable,
    )


def _contents(row: sa.Row[Any]) -> list[tuple[ContentLabel, planning.Content]]:
    """Return the contents with their labels by position, with the episodes of lectures by unit."""
    minutes: dict[str, dict[int, int | None]] = {}
    for content_id, unit, length in row.episodes:
        minutes.setdefault(content_id, {})[unit] = length
    found = []
    for values in row.contents:
        (content_id,), given = _CONTENTS.split(values)
        own = minutes.get(content_id, {})
        episodes = tuple(own[unit] for unit in sorted(own))
        found.append((UUID(content_id), planning.Content(**given, episode_minutes=episodes)))
    found.sort(key=lambda pair: pair[1].position)
    # ``titles`` and ``subjects`` are ordered by position, too.
    named = zip(found, row.titles or (), row.subjects or (), strict=True)
    return [
        (ContentLabel(id_, title, subject), content) for (id_, content), title, subject in named
    ]


def _plan(values: Sequence[Any], positions: Mapping[str, int]) -> SnapshotPlan:
    (content_id, state, pinned), given = _PLANS.split(values)
    if content_id not in positions:  # row-level security shows the plan but not its content
        raise ContentNotFoundError(content_id=UUID(content_id))
    plan = planning.KeptPlan(**given, content=positions[content_id])
    return SnapshotPlan(plan, models.PlanState(state), pinned)


class _Rows(Generic[Input]):
    """Rows of a table that are read as JSON arrays and converted to inputs of the planning core.

    An array has the columns ``others``, followed by one column per field of ``kind``, with the same
    name, except for the ``computed`` field. One list of names is used to select and to read the
    columns, so that the two cannot differ.
    """

    def __init__(
        self, kind: type[Input], table: type[models.Base], *others: str, computed: str = ""
    ) -> None:
        self._kind = kind
        self._others = others
        self._names = input_names(kind, but={computed})
        self._table: Any = table
        hints = get_type_hints(kind)
        converters = {name: _from_json(hints[name]) for name in self._names}
        self._converters = {name: call for name, call in converters.items() if call is not None}

    def select(self, *where: _Condition) -> sa.ColumnElement[list[list[Any]]]:
        """Return a scalar subquery: an array of the tenant's rows that meet the conditions."""
        columns = [getattr(self._table, name) for name in (*self._others, *self._names)]
        return _arrays(columns, self._table.tenant_id == _TENANT_ID, *where)

    def split(self, values: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return the values of ``others`` in an array, and the fields of the input by name."""
        count = len(self._others)
        given = dict(zip(self._names, values[count:], strict=True))
        for name, convert in self._converters.items():
            if given[name] is not None:
                given[name] = convert(given[name])
        return values[:count], given

    def inputs(self, arrays: Sequence[Sequence[Any]]) -> tuple[Input, ...]:
        """Return the inputs for arrays of a table that has no computed field."""
        return tuple(self._kind(**self.split(values)[1]) for values in arrays)


def _from_json(hint: Any) -> Callable[[str], Any] | None:
    """Return the function that converts a field's JSON value; ``None`` if none is needed."""
    if hint == tuple[Span, ...]:
        return MinuteSpans.of_text
    for kind in (hint, *get_args(hint)):
        if kind is date:
            return date.fromisoformat
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return kind
    return None


_TENANT_ID: Final = sa.bindparam("tenant_id", type_=sa.Uuid)
_SETTINGS: Final = input_names(planning.Request, but=COMPUTED_INPUTS)
_GROUP_COLUMNS: Final = (
    *("student_id", "status", "time_zone", "generation", "level"),
    *("level_factor", "weakness_factor", "strategy_factor", "review_factor"),
)
_CONTENTS: Final = _Rows(planning.Content, models.Content, "id", computed="episode_minutes")
_BLOCKS: Final = _Rows(planning.Block, models.Block)
_NON_STUDY_BLOCKS: Final = _Rows(planning.NonStudyBlock, models.NonStudyBlock)
_SPECIAL_DAYS: Final = _Rows(planning.SpecialDay, models.SpecialDay)
_ACADEMY_SCHEDULES: Final = _Rows(planning.AcademySchedule, models.AcademySchedule)
_EXCLUSIONS: Final = _Rows(planning.Exclusion, models.Exclusion)
_BUSY: Final = _Rows(planning.Busy, models.StudentPlan)
_PLANS: Final = _Rows(
    planning.KeptPlan, models.StudentPlan, "content_id", "state", "pinned", computed="content"
)


def _statement() -> sa.Select[*tuple[Any, ...]]:
    """Select the columns of the group, and a JSON array of arrays per kind of row.

    Each table is filtered by the parameter of the tenant's id. A join condition with
    ``plan_groups.tenant_id`` would not be sufficient for Citus to route the query to one node.
    """
    group, plan = models.PlanGroup, models.StudentPlan
    in_period = (group.period_start, group.period_end)
    return select(
        *(getattr(group, name) for name in (*_GROUP_COLUMNS, *_SETTINGS)),
        _CONTENTS.select(models.Content.group_id == group.id).label("contents"),
        _texts(models.Content.title).label("titles"),
        _texts(models.Content.subject).label("subjects"),
        _arrays(
            [
                models.LectureEpisode.content_id,
                models.LectureEpisode.unit,
                models.LectureEpisode.minutes,
            ],
            models.LectureEpisode.tenant_id == _TENANT_ID,
            models.LectureEpisode.group_id == group.id,
        ).label("episodes"),
        _BLOCKS.select(models.Block.group_id == group.id).label("blocks"),
        _NON_STUDY_BLOCKS.select(models.NonStudyBlock.group_id == group.id).label(
            "non_study_blocks"
        ),
        _SPECIAL_DAYS.select(models.SpecialDay.group_id == group.id).label("special_days"),
        _ACADEMY_SCHEDULES.select(models.AcademySchedule.student_id == group.student_id).label(
            "academy_schedules"
        ),
        _EXCLUSIONS.select(
            models.Exclusion.student_id == group.student_id,
            sa.or_(models.Exclusion.group_id.is_(None), models.Exclusion.group_id == group.id),
            models.Exclusion.date.between(*in_period),
        ).label("exclusions"),
        _BUSY.select(
            plan.student_id == group.student_id,
            plan.group_id != group.id,
            plan.live,
            plan.date.between(*in_period),
        ).label("busy"),
        _PLANS.select(plan.group_id == group.id, plan.live).label("plans"),
        sa.func.studyplan.plans_are_copyable(type_=sa.Boolean).label("copyable"),
    ).where(group.tenant_id == _TENANT_ID, group.id == sa.bindparam("group_id"))


def _arrays(
    columns: Sequence[InstrumentedAttribute[Any]], *where: _Condition
) -> sa.ColumnElement[list[list[Any]]]:
    row = sa.func.pg_catalog.json_build_array(*columns)
    rows = sa.func.coalesce(
        sa.func.pg_catalog.json_agg(row, type_=sa.JSON),
        sa.literal_column("'[]'::json"),
        type_=sa.JSON,
    )
    return select(rows).where(*where).scalar_subquery()


def _texts(column: InstrumentedAttribute[Any]) -> sa.ColumnElement[list[str | None]]:
    """Select a text column of the contents as an array, ordered by position.

    JSON is not used for texts: PostgreSQL sends it in the client's encoding, but psycopg decodes it
    as UTF-8.
    """
    listed = sa.func.pg_catalog.array_agg(
        aggregate_order_by(column, models.Content.position), type_=sa.ARRAY(sa.Text)
    )
    where = (models.Content.tenant_id == _TENANT_ID, models.Content.group_id == models.PlanGroup.id)
    return select(listed).where(*where).scalar_subquery()


_STATEMENT = _statement()
