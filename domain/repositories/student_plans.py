"""Student plans, and the one way in which a generation is written."""

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
from domain.repositories.plan_rows import COPIED, VIEWED, PlanView, labelled, new_plans
from domain.repositories.snapshot import PlanningSnapshot
from domain.scheduling.schedule import Schedule
from domain.values import MAX_INTEGER, checked, civil_date, integer

_BY_TIME: Final = (StudentPlan.date, StudentPlan.start_minute)
_TABLE: Final[sa.Table] = cast("sa.Table", StudentPlan.__table__)


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """What is kept of a generation besides its plans."""

    today: date
    requested_by: str | None
    waited_ms: int
    input_hash: str
    engine_version: str
    idempotency_key: str | None = None
    request_hash: str | None = None
    """What was asked under the key; there is one exactly if there is a key."""


@dataclass(frozen=True, slots=True)
class ContentHistory:
    """How many plans a content has, and the units of those that generations keep."""

    plans: int
    first_kept: int | None
    last_kept: int | None


@guards.serialize_calls
class StudentPlanRepository:
    """Plans of a tenant's students."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        InvalidInputError.require_uuids(tenant_id=tenant_id)
        self._session = session
        self._tenant_id = tenant_id

    @translated()
    def live(self, group_id: UUID) -> Sequence[StudentPlan]:
        """The group's live plans by date and time."""
        own = self._own(group_id=group_id)
        return self._session.scalars(
            sa.select(StudentPlan).where(*own, StudentPlan.live).order_by(*_BY_TIME)
        ).all()

    @translated()
    def of_student(self, student_id: UUID, first: date, last: date) -> Sequence[StudentPlan]:
        """The student's live plans in all groups from ``first`` to ``last``, by time."""
        own = self._own(student_id=student_id)
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
        """The live plans from ``first`` to ``last``, by time, with their contents' names.

        Of a student in all groups, of a group, or of both. One statement. Raises
        ``InvalidInputError`` if neither is given, or the dates are reversed or none.
        """
        ids = {"student_id": student_id, "group_id": group_id}
        given = {name: id_ for name, id_ in ids.items() if id_ is not None}
        if not given:
            raise InvalidInputError.of("student_id", "or group_id must be given")
        own = self._own(**given)
        _check_dates(first, last)
        content = (Content.tenant_id == self._tenant_id, Content.id == StudentPlan.content_id)
        rows = self._session.execute(
            sa.select(*labelled(VIEWED))
            .join(Content, sa.and_(*content))
            .where(*own, StudentPlan.date.between(first, last), StudentPlan.live)
            .order_by(*_BY_TIME, StudentPlan.id)
        )
        return [PlanView(**row) for row in rows.mappings()]

    @translated()
    def of_generation(self, group_id: UUID, number: int) -> Sequence[StudentPlan]:
        """The plans that a generation wrote, live or not, in its sequence."""
        own = self._own(group_id=group_id)
        checked("number", integer(0, MAX_INTEGER), number)
        return self._session.scalars(
            sa.select(StudentPlan)
            .where(*own, StudentPlan.generation == number)
            .order_by(StudentPlan.sequence)
        ).all()

    @translated()
    def get(self, group_id: UUID, plan_id: UUID) -> StudentPlan:
        """A plan of the group, live or not, read anew. Raises ``StudentPlanNotFoundError``."""
        InvalidInputError.require_uuids(plan_id=plan_id)
        plan = self._session.scalars(
            sa.select(StudentPlan)
            .where(*self._own(group_id=group_id), StudentPlan.id == plan_id)
            .execution_options(populate_existing=True)
        ).one_or_none()
        if plan is None:
            raise StudentPlanNotFoundError(plan_id=plan_id)
        return plan

    @translated()
    def content_history(self, content_id: UUID) -> ContentHistory:
        """What the plans of a content, live or not, bind it to."""
        kept = sa.and_(
            StudentPlan.live, sa.or_(StudentPlan.pinned, StudentPlan.state != PlanState.PLANNED)
        )
        found = self._session.execute(
            sa.select(
                sa.func.pg_catalog.count(sa.literal_column("*")),
                sa.func.pg_catalog.min(StudentPlan.first_unit).filter(kept),
                sa.func.pg_catalog.max(StudentPlan.last_unit).filter(kept),
            ).where(*self._own(content_id=content_id))
        ).one()
        return ContentHistory(*found)

    def retire_as_cancelled(self, group_id: UUID) -> int:
        """Retire all live plans of a group, whatever their state; how many there were.

        Raises ``LockNotHeldError`` outside a unit of work that holds the group's lock; the
        caller holds the student's too.
        """
        guards.require_lock(self._session, self._tenant_id, group_id)
        with translated(self._connection(), group_id=group_id):
            retired: Any = self._session.execute(
                sa.update(StudentPlan)
                .where(*self._own(group_id=group_id), StudentPlan.live)
                .values(live=False, retired_as=RetiredAs.CANCELLED, version=StudentPlan.version + 1)
            )
        return int(retired.rowcount)

    def store_generation(
        self, snapshot: PlanningSnapshot, schedule: Schedule, record: GenerationRecord
    ) -> tuple[int, list[UUID]]:
        """Write a generation over ``snapshot``: its number and the new plans' ids, in sequence.

        Raises the group's fence first, so that of two writers that both believe to hold the
        lock the second fails, and so does one whose transaction has lost it. Then retires
        what is not kept, and copies or inserts the new plans. At most four round trips for
        any number of rows.

        Raises ``LockNotHeldError`` outside a unit of work that holds the group's lock,
        ``GeneratedMeanwhileError`` if the group or its plans are not those of the
        snapshot any more, ``StudentPlansOverlapError``, and ``IdempotencyMismatchError`` if
        another group took the record's key meanwhile.
        """
        guard = guards.require_lock(self._session, snapshot.tenant_id, snapshot.group_id)
        with translated(
            self._connection(),
            group_id=snapshot.group_id,
            student_id=snapshot.student_id,
            idempotency_key=record.idempotency_key,
        ):
            self._raise_fence(snapshot, schedule, record, guard.identity)
            self._retire(snapshot, record.today)
            ids = self.copy_plans(snapshot, schedule)
        return snapshot.generation + 1, ids

    def copy_plans(self, snapshot: PlanningSnapshot, schedule: Schedule) -> list[UUID]:
        """Copy the schedule's plans as those of the snapshot's next generation; their ids.

        Two round trips; where the table is not for COPY, one INSERT. ``store_generation`` is
        what makes a generation of them. Raises ``LockNotHeldError``.
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

    def _own(self, **ids: UUID) -> list[sa.ColumnElement[bool]]:
        """The conditions for the tenant's plans with these ids, such as ``group_id``."""
        InvalidInputError.require_uuids(**ids)
        owned = (getattr(StudentPlan, name) == id_ for name, id_ in ids.items())
        return [StudentPlan.tenant_id == self._tenant_id, *owned]

    def _connection(self) -> sa.Connection:
        return self._session.connection(bind_arguments={"mapper": StudentPlan})

    def _raise_fence(
        self,
        snapshot: PlanningSnapshot,
        schedule: Schedule,
        record: GenerationRecord,
        identity: str,
    ) -> None:
        raised = (
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
            .cte("raised")
        )
        columns = PlanGeneration.__table__.c
        record_values: dict[str, Any] = {
            **asdict(record),
            "plan_count": len(schedule.plans),
            "unplaced": [asdict(item) for item in schedule.unplaced],
            "warnings": [asdict(item) for item in schedule.warnings],
            "quality": asdict(schedule.quality),
        }
        values = [sa.literal(value, columns[name].type) for name, value in record_values.items()]
        written = self._session.execute(
            sa.insert(PlanGeneration).from_select(
                ["tenant_id", "group_id", "number", *record_values],
                sa.select(raised.c.tenant_id, raised.c.id, raised.c.generation, *values),
                include_defaults=False,
            ),
            execution_options={"preserve_rowcount": True},
        )
        _require(written, 1, snapshot.group_id)

    def _retire(self, snapshot: PlanningSnapshot, today: date) -> None:
        retired = self._session.execute(
            sa.update(StudentPlan)
            .where(
                *self._own(group_id=snapshot.group_id),
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
        _require(retired, snapshot.replaceable, snapshot.group_id)


def _check_dates(first: date, last: date) -> None:
    checked("first", civil_date, first)
    if checked("last", civil_date, last) < first:
        raise InvalidInputError.of("last", "must not be before first")


def _require(result: Any, rows: int, group_id: UUID) -> None:
    found: sa.CursorResult[Any] = result
    if found.rowcount != rows:
        raise GeneratedMeanwhileError(group_id=group_id)
