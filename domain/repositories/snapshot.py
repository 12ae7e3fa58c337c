"""Everything that planning a group needs, read by one statement.

The idiomatic way, an entity with its collections, takes nine round trips under the lock.
One statement is one round trip and, at READ COMMITTED, one consistent view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    ColumnElement,
    Row,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, Session

from domain.errors import ContentNotFoundError, PlanGroupNotGeneratableError
from domain.models import (
    GENERATABLE,
    AcademySchedule,
    Block,
    Content,
    Exclusion,
    GroupStatus,
    LectureEpisode,
    NonStudyBlock,
    PlanGroup,
    PlanState,
    StudentPlan,
)
from domain.repositories.views import ContentLabel
from domain.scheduling import planning
from domain.scheduling.vocabulary import (
    Allocation,
    BlockKind,
    ContentType,
    Difficulty,
    ExclusionType,
    Level,
    PlanKind,
)


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """A live plan of the group as planning sees it."""

    plan: planning.KeptPlan
    state: PlanState
    pinned: bool

    @property
    def kept(self) -> bool:
        """Done, part done, started or pinned plans survive a generation."""
        return self.pinned or self.state is not PlanState.PLANNED


@dataclass(frozen=True, slots=True)
class PlanningSnapshot:
    """One consistent view of a group and of its student's time."""

    group_id: UUID
    tenant_id: UUID
    student_id: UUID
    status: GroupStatus
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
        settings = self.settings
        return planning.Request(
            period_start=settings.period_start,
            period_end=settings.period_end,
            today=max(today, settings.period_start),
            contents=settings.contents,
            blocks=settings.blocks,
            study_days=settings.study_days,
            review_days=settings.review_days,
            factors=settings.factors,
            self_study_on_holidays=settings.self_study_on_holidays,
            non_study_blocks=settings.non_study_blocks,
            academy_schedules=settings.academy_schedules,
            exclusions=settings.exclusions,
            busy=tuple(busy for busy in settings.busy if busy.date >= today),
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
    level = row.level_factor
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
            period_start=row.period_start,
            period_end=row.period_end,
            today=row.period_start,
            contents=tuple(content for _, content in contents),
            blocks=tuple(planning.Block(BlockKind(kind), *span) for kind, *span in row.blocks),
            study_days=row.study_days,
            review_days=row.review_days,
            factors=planning.Factors(
                level=planning.LEVEL_FACTORS[Level(row.level)] if level is None else level,
                weakness=row.weakness_factor,
                strategy=row.strategy_factor,
                review=row.review_factor,
            ),
            self_study_on_holidays=row.self_study_on_holidays,
            non_study_blocks=tuple(planning.NonStudyBlock(*span) for span in row.non_study_blocks),
            academy_schedules=tuple(planning.AcademySchedule(*one) for one in row.academy),
            exclusions=tuple(
                planning.Exclusion(date.fromisoformat(day), ExclusionType(kind))
                for day, kind in row.exclusions
            ),
            busy=tuple(planning.Busy(date.fromisoformat(day), *span) for day, *span in row.busy),
        ),
        copyable=row.copyable,
    )


def _contents(row: Row[Any]) -> list[tuple[ContentLabel, planning.Content]]:
    """Contents by position, each with its label; a lecture's episodes by unit."""
    minutes: dict[str, dict[int, int | None]] = {}
    for content_id, unit, length in row.episodes:
        minutes.setdefault(content_id, {})[unit] = length
    by_position = sorted(row.contents, key=lambda content: content[1])
    contents = []
    for values, title, subject in zip(
        by_position, row.titles or (), row.subjects or (), strict=True
    ):
        content_id, position, kind, allocation, first, last, *rest = values
        weekly_days, per_unit, difficulty, wrap_up = rest
        own = minutes.get(content_id, {})
        content = planning.Content(
            position=position,
            type=ContentType(kind),
            allocation=Allocation(allocation),
            first_unit=first,
            last_unit=last,
            weekly_days=weekly_days,
            minutes_per_unit=per_unit,
            difficulty=None if difficulty is None else Difficulty(difficulty),
            episode_minutes=tuple(own[unit] for unit in sorted(own)),
            wrap_up_minutes=wrap_up,
        )
        contents.append((ContentLabel(UUID(content_id), title, subject), content))
    return contents


def _plan(values: Sequence[Any], positions: Mapping[str, int]) -> SnapshotPlan:
    content_id, kind, day, *numbers, state, pinned = values
    if content_id not in positions:  # a policy shows the plan and hides its content
        raise ContentNotFoundError(content_id=UUID(content_id))
    plan = planning.KeptPlan(
        positions[content_id], PlanKind(kind), date.fromisoformat(day), *numbers
    )
    return SnapshotPlan(plan, PlanState(state), pinned)


def _statement() -> Select[*tuple[Any, ...]]:
    """The group's columns, and beside them one JSON array of arrays for each kind of row.

    Every table by the tenant's own parameter: that ``plan_groups`` has it would not be enough
    for Citus to ask one node.
    """
    group = PlanGroup
    tenant_id = bindparam("tenant_id", type_=Uuid)
    mine = StudentPlan.group_id == group.id
    return select(
        group.student_id, group.status, group.time_zone, group.generation,
        group.period_start, group.period_end, group.study_days, group.review_days,
        group.level, group.level_factor, group.weakness_factor, group.strategy_factor,
        group.review_factor, group.self_study_on_holidays,
        _rows(
            Content.id, Content.position, Content.type, Content.allocation, Content.first_unit,
            Content.last_unit, Content.weekly_days, Content.minutes_per_unit,
            Content.difficulty, Content.wrap_up_minutes,
            where=and_(Content.tenant_id == tenant_id, Content.group_id == group.id),
        ).label("contents"),
        _texts(Content.title).label("titles"),
        _texts(Content.subject).label("subjects"),
        _rows(
            LectureEpisode.content_id, LectureEpisode.unit, LectureEpisode.minutes,
            where=and_(LectureEpisode.tenant_id == tenant_id, LectureEpisode.group_id == group.id),
        ).label("episodes"),
        _rows(
            Block.kind, Block.weekday, Block.start_minute, Block.end_minute,
            where=and_(Block.tenant_id == tenant_id, Block.group_id == group.id),
        ).label("blocks"),
        _rows(
            NonStudyBlock.weekday, NonStudyBlock.start_minute, NonStudyBlock.end_minute,
            where=and_(NonStudyBlock.tenant_id == tenant_id, NonStudyBlock.group_id == group.id),
        ).label("non_study_blocks"),
        _rows(
            AcademySchedule.weekday, AcademySchedule.start_minute, AcademySchedule.end_minute,
            AcademySchedule.travel_minutes,
            where=and_(
                AcademySchedule.tenant_id == tenant_id,
                AcademySchedule.student_id == group.student_id,
            ),
        ).label("academy"),
        _rows(
            Exclusion.date, Exclusion.type,
            where=and_(
                Exclusion.tenant_id == tenant_id,
                Exclusion.student_id == group.student_id,
                or_(Exclusion.group_id.is_(None), Exclusion.group_id == group.id),
                Exclusion.date.between(group.period_start, group.period_end),
            ),
        ).label("exclusions"),
        _rows(
            StudentPlan.date, StudentPlan.start_minute, StudentPlan.end_minute,
            where=and_(
                StudentPlan.tenant_id == tenant_id,
                StudentPlan.student_id == group.student_id, ~mine, StudentPlan.live,
                StudentPlan.date.between(group.period_start, group.period_end),
            ),
        ).label("busy"),
        _rows(
            StudentPlan.content_id, StudentPlan.kind, StudentPlan.date,
            StudentPlan.start_minute, StudentPlan.end_minute, StudentPlan.first_unit,
            StudentPlan.last_unit, StudentPlan.done_through, StudentPlan.part,
            StudentPlan.parts, StudentPlan.wrap_up_minutes, StudentPlan.reserve,
            StudentPlan.state, StudentPlan.pinned,
            where=and_(StudentPlan.tenant_id == tenant_id, mine, StudentPlan.live),
        ).label("plans"),
        func.studyplan.plans_are_copyable(type_=Boolean).label("copyable"),
    ).where(group.tenant_id == tenant_id, group.id == bindparam("group_id"))  # fmt: skip


def _rows(
    *columns: InstrumentedAttribute[Any], where: ColumnElement[bool]
) -> ColumnElement[list[list[Any]]]:
    row = func.pg_catalog.json_build_array(*columns)
    rows = func.coalesce(
        func.pg_catalog.json_agg(row, type_=JSON), literal_column("'[]'::json"), type_=JSON
    )
    return select(rows).where(where).scalar_subquery()


def _texts(column: InstrumentedAttribute[Any]) -> ColumnElement[list[str | None]]:
    """A column of the contents by position: no JSON, whose texts would be in the client's
    encoding, which psycopg does not expect."""
    listed = func.pg_catalog.array_agg(
        aggregate_order_by(column, Content.position), type_=ARRAY(Text)
    )
    where = (
        Content.tenant_id == bindparam("tenant_id", type_=Uuid),
        Content.group_id == PlanGroup.id,
    )
    return select(listed).where(*where).scalar_subquery()


_STATEMENT = _statement()
