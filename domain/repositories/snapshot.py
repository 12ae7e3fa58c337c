"""Everything that planning a group needs, read by one statement.

The idiomatic way, an entity with its collections, takes nine round trips under the lock.
One statement is one round trip and, at READ COMMITTED, one consistent view.
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
from domain.models.base import input_names
from domain.models.content import ContentLabel
from domain.models.plan_group import COMPUTED_INPUTS, GENERATABLE, factors_of
from domain.scheduling import planning

Input = TypeVar("Input")
_Condition: TypeAlias = sa.ColumnElement[bool] | InstrumentedAttribute[bool]


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """A live plan of the group as planning sees it."""

    plan: planning.KeptPlan
    state: models.PlanState
    pinned: bool

    @property
    def kept(self) -> bool:
        """Done, part done, started or pinned plans survive a generation."""
        return self.pinned or self.state is not models.PlanState.PLANNED


@dataclass(frozen=True, slots=True)
class PlanningSnapshot:
    """One consistent view of a group and of its student's time."""

    group_id: UUID
    tenant_id: UUID
    student_id: UUID
    status: models.GroupStatus
    time_zone: str
    generation: int
    contents: Mapping[int, ContentLabel]
    """The contents' ids and names by position."""
    plans: tuple[SnapshotPlan, ...]
    settings: planning.Request
    """The group's request without ``today`` (it stands at the period's start) and kept plans."""
    copyable: bool
    """Whether COPY may write new plans: PostgreSQL refuses it under row-level security, which
    would abort the transaction, and it passes over the rules of a table."""

    def require_generatable(self) -> None:
        """Raise ``PlanGroupNotGeneratableError`` unless the group is saved or active."""
        if self.status not in GENERATABLE:
            raise PlanGroupNotGeneratableError(
                group_id=self.group_id, group_status=self.status.value
            )

    def request(self, today: date) -> planning.Request:
        """What the planning core is asked: today clamped to the period's first day."""
        return replace(
            self.settings,
            today=max(today, self.settings.period_start),
            busy=tuple(busy for busy in self.settings.busy if busy.date >= today),
            kept=tuple(found.plan for found in self.plans if found.kept),
        )

    @property
    def replaceable(self) -> int:
        """How many live plans a generation retires."""
        return sum(not found.kept for found in self.plans)


def load_snapshot(session: Session, tenant_id: UUID, group_id: UUID) -> PlanningSnapshot | None:
    """Read a group's snapshot; ``None`` if the tenant has no such group.

    Raises ``ContentNotFoundError`` if the role sees plans of the group but not their content.
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
            academy_schedules=_ACADEMY_SCHEDULES.inputs(row.academy_schedules),
            exclusions=_EXCLUSIONS.inputs(row.exclusions),
            busy=_BUSY.inputs(row.busy),
        ),
        copyable=row.copyable,
    )


def _contents(row: sa.Row[Any]) -> list[tuple[ContentLabel, planning.Content]]:
    """Contents by position, each with its label; a lecture's episodes by unit."""
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
    names = zip(found, row.titles or (), row.subjects or (), strict=True)
    return [(ContentLabel(id_, title, subject), one) for (id_, one), title, subject in names]


def _plan(values: Sequence[Any], positions: Mapping[str, int]) -> SnapshotPlan:
    (content_id, state, pinned), given = _PLANS.split(values)
    if content_id not in positions:  # a policy shows the plan and hides its content
        raise ContentNotFoundError(content_id=UUID(content_id))
    plan = planning.KeptPlan(**given, content=positions[content_id])
    return SnapshotPlan(plan, models.PlanState(state), pinned)


class _Rows(Generic[Input]):
    """Rows of a table as JSON arrays, for inputs of the planning core.

    An array has the columns ``others``, and then one for each field of ``kind`` but the
    ``computed`` ones, by the same name: the same names select and read them.
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
        self._converters = {name: one for name, one in converters.items() if one is not None}

    def select(self, *where: _Condition) -> sa.ColumnElement[list[list[Any]]]:
        """One array of the tenant's rows that fulfil the conditions."""
        columns = [getattr(self._table, name) for name in (*self._others, *self._names)]
        return _arrays(columns, self._table.tenant_id == _TENANT_ID, *where)

    def split(self, values: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """What an array has for ``others``, and the fields of the input by name."""
        count = len(self._others)
        given = dict(zip(self._names, values[count:], strict=True))
        for name, convert in self._converters.items():
            if given[name] is not None:
                given[name] = convert(given[name])
        return values[:count], given

    def inputs(self, arrays: Sequence[Sequence[Any]]) -> tuple[Input, ...]:
        """The inputs that the arrays are complete for."""
        return tuple(self._kind(**self.split(values)[1]) for values in arrays)


def _from_json(hint: Any) -> Callable[[str], Any] | None:
    """What makes a field's value of its JSON; ``None`` if that is the value already."""
    for kind in (hint, *get_args(hint)):
        if kind is date:
            return date.fromisoformat
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return kind
    return None


_TENANT_ID: Final = sa.bindparam("tenant_id", type_=sa.Uuid)
_SETTINGS: Final = input_names(planning.Request, but=COMPUTED_INPUTS)
_OF_GROUP: Final = (
    *("student_id", "status", "time_zone", "generation", "level"),
    *("level_factor", "weakness_factor", "strategy_factor", "review_factor"),
)
_CONTENTS: Final = _Rows(planning.Content, models.Content, "id", computed="episode_minutes")
_BLOCKS: Final = _Rows(planning.Block, models.Block)
_NON_STUDY_BLOCKS: Final = _Rows(planning.NonStudyBlock, models.NonStudyBlock)
_ACADEMY_SCHEDULES: Final = _Rows(planning.AcademySchedule, models.AcademySchedule)
_EXCLUSIONS: Final = _Rows(planning.Exclusion, models.Exclusion)
_BUSY: Final = _Rows(planning.Busy, models.StudentPlan)
_PLANS: Final = _Rows(
    planning.KeptPlan, models.StudentPlan, "content_id", "state", "pinned", computed="content"
)


def _statement() -> sa.Select[*tuple[Any, ...]]:
    """The group's columns, and beside them one JSON array of arrays for each kind of row.

    Every table by the tenant's own parameter: that ``plan_groups`` has it would not be enough
    for Citus to ask one node.
    """
    group, plan = models.PlanGroup, models.StudentPlan
    in_period = (group.period_start, group.period_end)
    return select(
        *(getattr(group, name) for name in (*_OF_GROUP, *_SETTINGS)),
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
    """A column of the contents by position: no JSON, whose texts would be in the client's
    encoding, which psycopg does not expect."""
    listed = sa.func.pg_catalog.array_agg(
        aggregate_order_by(column, models.Content.position), type_=sa.ARRAY(sa.Text)
    )
    where = (models.Content.tenant_id == _TENANT_ID, models.Content.group_id == models.PlanGroup.id)
    return select(listed).where(*where).scalar_subquery()


_STATEMENT = _statement()
