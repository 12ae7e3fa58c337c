"""Reads everything that is needed to plan a group, in one statement.

Loading the group as an entity with its collections would take ten round trips while the lock is
held. One statement takes one round trip and, at READ COMMITTED, sees one consistent snapshot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, Session

from domain import models
from domain.errors import ContentNotFoundError, PlanGroupNotGeneratableError
from domain.models.base import input_names
from domain.models.content import ContentLabel
from domain.models.plan import DONE_STATES
from domain.models.plan_group import COMPUTED_INPUTS, GENERATABLE, factors_of
from domain.repositories.baselines import baseline_column, baseline_of
from domain.repositories.json_rows import TENANT_ID, Rows, arrays
from domain.scheduling import types as planning
from domain.scheduling.difference import Difference, StoredPlan, difference
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.result import Schedule, ScheduledPlan


@dataclass(frozen=True, slots=True)
class Fence:
    """What a run has read of a group, which must still hold when it writes.

    ``live_plans`` and ``live_versions`` are the number of the group's live plans and the sum of
    their versions, which every mark increases.
    """

    tenant_id: UUID
    student_id: UUID
    group_id: UUID
    generation: int
    status: models.GroupStatus
    live_plans: int
    live_versions: int

    @property
    def number(self) -> int:
        """The number of the run that is written next."""
        return self.generation + 1

    def require_generatable(self) -> None:
        """Raise ``PlanGroupNotGeneratableError`` unless the group is saved or active."""
        if self.status not in GENERATABLE:
            raise PlanGroupNotGeneratableError(
                group_id=self.group_id, group_status=self.status.value
            )


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """A live plan of the group with the student's progress."""

    stored: StoredPlan
    state: models.PlanState
    pinned: bool
    done_through: int | None

    def is_kept(self, today: date) -> bool:
        """Whether a generation on this day keeps the plan.

        It keeps plans that are done or part done, and those from today on that are started or
        pinned. Earlier ones are missed: their units are planned again.
        """
        if self.state in DONE_STATES:
            return True
        begun = self.pinned or self.state is models.PlanState.STARTED
        return begun and self.stored.plan.date >= today

    @property
    def kept_plan(self) -> planning.KeptPlan:
        """The plan as an input of planning."""
        return self.stored.plan.as_kept(self.done_through)


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
    """The live plans of the group; their ``sequence`` is not read."""
    settings: planning.Request
    """The planning request without kept plans and with the start of the period as ``today``."""
    copyable: bool
    """Whether COPY can write new plans. PostgreSQL refuses it under row-level security, which would
    abort the transaction, and COPY does not invoke the rules of a table."""
    baseline: Baseline | None = None
    """What a reschedule keeps of earlier runs; ``None`` if it was not read, or if there is none."""

    @property
    def fence(self) -> Fence:
        """What must still hold when a run is written that depends on this snapshot."""
        return Fence(
            tenant_id=self.tenant_id,
            student_id=self.student_id,
            group_id=self.group_id,
            generation=self.generation,
            status=self.status,
            live_plans=len(self.plans),
            live_versions=sum(plan.stored.version for plan in self.plans),
        )

    def kept(self, today: date) -> list[SnapshotPlan]:
        """Return the live plans that a generation on this day keeps."""
        return [live for live in self.plans if live.is_kept(today)]

    def difference(self, schedule: Schedule, today: date) -> Difference:
        """Return what the schedule changes in the live plans that a generation does not keep."""
        replaceable = (live.stored for live in self.plans if not live.is_kept(today))
        return difference(replaceable, schedule.plans)

    def request(self, today: date) -> planning.Request:
        """Return the planning request; its ``today`` is not before the first day of the period."""
        return replace(
            self.settings,
            today=max(today, self.settings.period_start),
            busy=tuple(busy for busy in self.settings.busy if busy.date >= today),
            kept=tuple(live.kept_plan for live in self.kept(today)),
        )


def load_snapshot(
    session: Session, tenant_id: UUID, group_id: UUID, *, with_baseline: bool = False
) -> PlanningSnapshot | None:
    """Read the snapshot of a group; return ``None`` if the tenant has no such group.

    Raises ``ContentNotFoundError`` if row-level security shows a plan of the group to the current
    role but not the plan's content.
    """
    statement = _WITH_BASELINE if with_baseline else _STATEMENT
    row = session.execute(statement, {"tenant_id": tenant_id, "group_id": group_id}).one_or_none()
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
        baseline=baseline_of(row.baseline, positions) if with_baseline else None,
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
    others, given = _PLANS.split(values)
    content_id, plan_id, lineage, generation, version, state, pinned, done_through = others
    if content_id not in positions:  # row-level security shows the plan but not its content
        raise ContentNotFoundError(content_id=UUID(content_id))
    plan = ScheduledPlan(**given, content=positions[content_id], sequence=None)
    stored = StoredPlan(UUID(plan_id), UUID(lineage), generation, version, plan)
    return SnapshotPlan(stored, models.PlanState(state), pinned, done_through)


_SETTINGS: Final = input_names(planning.Request, but=COMPUTED_INPUTS)
_GROUP_COLUMNS: Final = (
    *("student_id", "status", "time_zone", "generation", "level"),
    *("level_factor", "weakness_factor", "strategy_factor", "review_factor"),
)
_CONTENTS: Final = Rows(planning.Content, models.Content, "id", computed=["episode_minutes"])
_BLOCKS: Final = Rows(planning.Block, models.Block)
_NON_STUDY_BLOCKS: Final = Rows(planning.NonStudyBlock, models.NonStudyBlock)
_SPECIAL_DAYS: Final = Rows(planning.SpecialDay, models.SpecialDay)
_ACADEMY_SCHEDULES: Final = Rows(planning.AcademySchedule, models.AcademySchedule)
_EXCLUSIONS: Final = Rows(planning.Exclusion, models.Exclusion)
_BUSY: Final = Rows(planning.Busy, models.StudentPlan)
_PLANS: Final = Rows(
    ScheduledPlan,
    models.StudentPlan,
    *("content_id", "id", "lineage", "generation", "version"),
    *("state", "pinned", "done_through"),
    computed=["content", "sequence"],
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
        arrays(
            [
                models.LectureEpisode.content_id,
                models.LectureEpisode.unit,
                models.LectureEpisode.minutes,
            ],
            models.LectureEpisode.tenant_id == TENANT_ID,
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
    ).where(group.tenant_id == TENANT_ID, group.id == sa.bindparam("group_id"))


def _texts(column: InstrumentedAttribute[Any]) -> sa.ColumnElement[list[str | None]]:
    """Select a text column of the contents as an array, ordered by position.

    JSON is not used for texts: PostgreSQL sends it in the client's encoding, but psycopg decodes it
    as UTF-8.
    """
    listed = sa.func.pg_catalog.array_agg(
        aggregate_order_by(column, models.Content.position), type_=sa.ARRAY(sa.Text)
    )
    where = (models.Content.tenant_id == TENANT_ID, models.Content.group_id == models.PlanGroup.id)
    return select(listed).where(*where).scalar_subquery()


_STATEMENT: Final = _statement()
_WITH_BASELINE: Final = _STATEMENT.add_columns(
    baseline_column(TENANT_ID, sa.bindparam("group_id", type_=sa.Uuid)).label("baseline")
)
