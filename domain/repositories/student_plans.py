"""The repository of student plans, which is also the only code that writes a generation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final, cast
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.database_errors import translated
from domain.driver import copy_rows, insert_rows
from domain.errors import GeneratedMeanwhileError, InvalidInputError, StudentPlanNotFoundError
from domain.locking import guards
from domain.models import Content, PlanGeneration, PlanGroup, PlanState, StudentPlan
from domain.models.plan import RetiredAs
from domain.repositories.day_shifts import store_day_shifts
from domain.repositories.plan_rows import (
    COPIED,
    VIEWED,
    PlanView,
    day_shifts_as_json,
    explanation_as_json,
    labeled_columns,
    new_plans,
)
from domain.repositories.snapshot import PlanningSnapshot
from domain.scheduling.result import Schedule
from domain.values import MAX_INTEGER, civil_date, integer, validate

_BY_TIME: Final = (StudentPlan.date, StudentPlan.start_minute)
_TABLE: Final[sa.Table] = cast("sa.Table", StudentPlan.__table__)


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """The data that is stored about a generation in addition to its plans."""

    today: date
    requested_by: str | None
    waited_ms: int
    input_hash: str
    engine_version: str
    idempotency_key: str | None = None
    request_hash: str | None = None
    """The hash of the request that used the key; ``None`` without a key."""


@dataclass(frozen=True, slots=True)
class ContentHistory:
    """The number of plans of a content, and the range of units of its kept live plans."""

    plans: int
    first_kept: int | None
    last_kept: int | None


@guards.serialize_calls
class StudentPlanRepository:
    """The plans of a tenant's students."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        InvalidInputError.require_uuids(tenant_id=tenant_id)
        self._session = session
        self._tenant_id = tenant_id

    @translated()
    def live(self, group_id: UUID) -> Sequence[StudentPlan]:
        """Return the group's live plans by date and time."""
        own = self._conditions(group_id=group_id)
        return self._session.scalars(
            sa.select(StudentPlan).where(*own, StudentPlan.live).order_by(*_BY_TIME)
        ).all()

    @translated()
    def of_student(self, student_id: UUID, first: date, last: date) -> Sequence[StudentPlan]:
        """Return the student's live plans of all groups from ``first`` to ``last``, by time."""
        own = self._conditions(student_id=student_id)
        _check_dates(first, last)
        return self._session.scalars(
            sa.select(StudentPlan)
            .where(*own, StudentPlan.date.between(first, last), StudentPlan.live)
            .order_by(*_BY_TIME)
        ).all()

    @translated()
    def views(
        self,
        first: date,
        last: date,
        *,
        student_id: UUID | None = None,
        group_id: UUID | None = None,
    ) -> list[PlanView]:
        """Return the live plans from ``first`` to ``last``, by time, with their contents' names.

        They are the plans of a student in all groups, of a group, or of a student in a group. One
        statement is executed. Raises ``InvalidInputError`` if neither id is given, or if a date is
        invalid or ``last`` is before ``first``.
        """
        ids = {"student_id": student_id, "group_id": group_id}
        given = {name: id_ for name, id_ in ids.items() if id_ is not None}
        if not given:
            raise InvalidInputError.of("student_id", "is required without a group_id")
        own = self._conditions(**given)
        _check_dates(first, last)
        content = (Content.tenant_id == self._tenant_id, Content.id == StudentPlan.content_id)
        rows = self._session.execute(
            sa.select(*labeled_columns(VIEWED))
            .join(Content, sa.and_(*content))
            .where(*own, StudentPlan.date.between(first, last), StudentPlan.live)
            .order_by(*_BY_TIME, StudentPlan.id)
        )
        return [PlanView(**row) for row in rows.mappings()]

    @translated()
    def of_generation(self, group_id: UUID, number: int) -> Sequence[StudentPlan]:
        """Return the plans that a generation wrote, live or not, in its sequence."""
        own = self._conditions(group_id=group_id)
        validate("number", integer(0, MAX_INTEGER), number)
        return self._session.scalars(
            sa.select(StudentPlan)
            .where(*own, StudentPlan.generation == number)
            .order_by(StudentPlan.sequence)
        ).all()

    @translated()
    def get(self, group_id: UUID, plan_id: UUID) -> StudentPlan:
        """Return a plan of the group, live or not, refreshed.

        Raises ``StudentPlanNotFoundError``.
        """
        InvalidInputError.require_uuids(plan_id=plan_id)
        plan = self._session.scalars(
            sa.select(StudentPlan)
            .where(*self._conditions(group_id=group_id), StudentPlan.id == plan_id)
            .execution_options(populate_existing=True)
        ).one_or_none()
        if plan is None:
            raise StudentPlanNotFoundError(plan_id=plan_id)
        return plan

    @translated()
    def content_history(self, content_id: UUID) -> ContentHistory:
        """Return what limits the edits of a content: its plans, and the units of the kept ones."""
        kept = sa.and_(
            StudentPlan.live, sa.or_(StudentPlan.pinned, StudentPlan.state != PlanState.PLANNED)
        )
        found = self._session.execute(
            sa.select(
                sa.func.pg_catalog.count(sa.literal_column("*")),
                sa.func.pg_catalog.min(StudentPlan.first_unit).filter(kept),
                sa.func.pg_catalog.max(StudentPlan.last_unit).filter(kept),
            ).where(*self._conditions(content_id=content_id))
        ).one()
        return ContentHistory(*found)

    def retire_as_cancelled(self, group_id: UUID) -> int:
        """Retire all live plans of a group in any state, and return their number.

        The caller must also hold the student's lock. Raises ``LockNotHeldError`` outside a unit of
        work that holds the group's lock.
        """
        guards.require_lock(self._session, self._tenant_id, group_id)
        with translated(self._connection(), group_id=group_id):
            retired: Any = self._session.execute(
                sa.update(StudentPlan)
                .where(*self._conditions(group_id=group_id), StudentPlan.live)
                .values(live=False, retired_as=RetiredAs.CANCELLED, version=StudentPlan.version + 1)
            )
        return int(retired.rowcount)

    def store_generation(
        self, snapshot: PlanningSnapshot, schedule: Schedule, record: GenerationRecord
    ) -> tuple[int, list[UUID]]:
        """Write a generation, and return its number and the ids of its plans, in sequence.

        The group's fence is incremented first. The write fails there if another writer has
        incremented it since the snapshot, or if the transaction no longer holds the lock. Then
        chosen day shifts are stored, the plans that are not kept are retired, and the new plans are
        copied or inserted. This takes at most four round trips for any number of rows, and a fifth
        if there are day shifts to store.

        Raises ``LockNotHeldError`` outside a unit of work that holds the group's lock;
        ``GeneratedMeanwhileError`` if the group or its plans have changed since the snapshot;
        ``StudentPlansOverlapError``; and ``IdempotencyMismatchError`` if another group has used the
        record's key in the meantime.
        """
        guard = guards.require_lock(self._session, snapshot.tenant_id, snapshot.group_id)
        with translated(
            self._connection(),
            group_id=snapshot.group_id,
            student_id=snapshot.student_id,
            idempotency_key=record.idempotency_key,
        ):
            self._increment_fence(snapshot, schedule, record, guard.identity)
            if not store_day_shifts(self._session, snapshot, schedule):
                raise GeneratedMeanwhileError(group_id=snapshot.group_id)
            self._retire(snapshot, record.today)
            ids = self.copy_plans(snapshot, schedule)
        return snapshot.generation + 1, ids

    def copy_plans(self, snapshot: PlanningSnapshot, schedule: Schedule) -> list[UUID]:
        """Write the plans of the snapshot's next generation, and return their ids.

        This takes two round trips, or one INSERT if the table does not support COPY. It neither
        increments the fence nor retires plans; ``store_generation`` does. Raises
        ``LockNotHeldError``.
        """
        guards.require_lock(self._session, snapshot.tenant_id, snapshot.group_id)
        ids = [uuid4() for _ in schedule.plans]
        rows = new_plans(snapshot, schedule, ids)
        write = copy_rows if snapshot.copyable else insert_rows
        connection = self._connection()
        group_id, student_id = snapshot.group_id, snapshot.student_id
        with translated(connection, group_id=group_id, student_id=student_id):
            write(connection, _TABLE, COPIED, rows)
        return ids

    def _conditions(self, **ids: UUID) -> list[sa.ColumnElement[bool]]:
        """Return the conditions for the tenant's plans with these ids, such as ``group_id``."""
        InvalidInputError.require_uuids(**ids)
        by_id = (getattr(StudentPlan, name) == id_ for name, id_ in ids.items())
        return [StudentPlan.tenant_id == self._tenant_id, *by_id]

    def _connection(self) -> sa.Connection:
        return self._session.connection(bind_arguments={"mapper": StudentPlan})

    def _increment_fence(
        self,
        snapshot: PlanningSnapshot,
        schedule: Schedule,
        record: GenerationRecord,
        identity: str,
    ) -> None:
        """Increment the group's fence and insert the record of the generation in one statement.

        The UPDATE matches no row, and nothing is inserted, if the group's generation or state has
        changed since the snapshot, or if this is not the transaction that acquired the lock.
        """
        fence = (
            sa.update(PlanGroup)
            .where(
                PlanGroup.tenant_id == self._tenant_id,
                PlanGroup.id == snapshot.group_id,
                PlanGroup.generation == snapshot.generation,
                PlanGroup.status == snapshot.status,
                sa.func.studyplan.is_plan_transaction(
                    PlanGroup.tenant_id, identity, type_=sa.Boolean
                ),
            )
            .values(generation=PlanGroup.generation + 1)
            .returning(PlanGroup.tenant_id, PlanGroup.id, PlanGroup.generation)
            .cte("fence")
        )
        columns = PlanGeneration.__table__.c
        record_values = _record_values(schedule, record)
        values = [sa.literal(value, columns[name].type) for name, value in record_values.items()]
        written = self._session.execute(
            sa.insert(PlanGeneration).from_select(
                ["tenant_id", "group_id", "number", *record_values],
                sa.select(fence.c.tenant_id, fence.c.id, fence.c.generation, *values),
                include_defaults=False,
            ),
            execution_options={"preserve_rowcount": True},
        )
        _require_rowcount(written, 1, snapshot.group_id)

    def _retire(self, snapshot: PlanningSnapshot, today: date) -> None:
        """Retire the live plans that are not kept, which must be as many as in the snapshot."""
        retired = self._session.execute(
            sa.update(StudentPlan)
            .where(
                *self._conditions(group_id=snapshot.group_id),
                StudentPlan.live,
                StudentPlan.state == PlanState.PLANNED,
                ~StudentPlan.pinned,
            )
            .values(
                live=False,
                retired_as=sa.case(
                    (StudentPlan.date < today, RetiredAs.MISSED.value),
                    else_=RetiredAs.REPLACED.value,
                ),
                version=StudentPlan.version + 1,
            )
            .execution_options(synchronize_session=False)
        )
        _require_rowcount(retired, snapshot.replaceable, snapshot.group_id)


def _record_values(schedule: Schedule, record: GenerationRecord) -> dict[str, Any]:
    """Return the columns of the record of a generation, without its key."""
    return {
        **asdict(record),
        "plan_count": len(schedule.plans),
        "unplaced": [asdict(item) for item in schedule.unplaced],
        **explanation_as_json(schedule),
        "warnings": [asdict(item) for item in schedule.warnings],
        "quality": asdict(schedule.quality),
        "day_shifts": day_shifts_as_json(schedule),
    }


def _check_dates(first: date, last: date) -> None:
    validate("first", civil_date, first)
    if validate("last", civil_date, last) < first:
        raise InvalidInputError.of("last", "must not be before first")


def _require_rowcount(result: Any, expected: int, group_id: UUID) -> None:
    cursor_result: sa.CursorResult[Any] = result
    if cursor_result.rowcount != expected:
        raise GeneratedMeanwhileError(group_id=group_id)
