"""The repository of student plans."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.arguments import as_session
from domain.database_errors import translated
from domain.errors import EditedMeanwhileError, InvalidInputError, StudentPlanNotFoundError
from domain.locking import guards
from domain.models import Content, PlanState, StudentPlan
from domain.models.plan import UNDONE_STATES, RetiredAs
from domain.repositories.plan_rows import VIEWED, PlanView, has_id, labeled_columns
from domain.repositories.progress import GroupProgress, load_progress
from domain.repositories.reading import loaded, refreshed
from domain.scheduling.types import PlanKind
from domain.values import MAX_INTEGER, civil_date, integer, items, validate

_BY_TIME: Final = (StudentPlan.date, StudentPlan.start_minute)
StudiedUnits: TypeAlias = tuple[UUID, UUID, int, int]
"""The id of a plan, that of its content, and its first and last unit."""


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
        self._session = as_session(session)
        self._tenant_id = tenant_id

    @translated()
    def live(self, group_id: UUID) -> Sequence[StudentPlan]:
        """Return the group's live plans by date and time."""
        own = self._conditions(group_id=group_id)
        return self._read(sa.select(StudentPlan).where(*own, StudentPlan.live).order_by(*_BY_TIME))

    @translated()
    def of_student(self, student_id: UUID, first: date, last: date) -> Sequence[StudentPlan]:
        """Return the student's live plans of all groups from ``first`` to ``last``, by time."""
        own = self._conditions(student_id=student_id)
        _check_dates(first, last)
        return self._read(
            sa.select(StudentPlan)
            .where(*own, StudentPlan.date.between(first, last), StudentPlan.live)
            .order_by(*_BY_TIME)
        )

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
        """Return the plans that a generation made, live or not, in its sequence.

        Plans that it kept were made by an earlier one.
        """
        own = self._conditions(group_id=group_id)
        validate("number", integer(0, MAX_INTEGER), number)
        return self._read(
            sa.select(StudentPlan)
            .where(*own, StudentPlan.generation == number, StudentPlan.sequence.is_not(None))
            .order_by(StudentPlan.sequence)
        )

    @translated()
    def get(self, group_id: UUID, plan_id: UUID) -> StudentPlan:
        """Return a plan of the group, live or not, refreshed.

        Raises ``StudentPlanNotFoundError``.
        """
        InvalidInputError.require_uuids(plan_id=plan_id)
        own = self._conditions(group_id=group_id)
        found = self._read(sa.select(StudentPlan).where(*own, StudentPlan.id == plan_id))
        if not found:
            raise StudentPlanNotFoundError(plan_id=plan_id)
        return found[0]

    @translated()
    def get_all(self, group_id: UUID, plan_ids: Sequence[UUID]) -> list[StudentPlan]:
        """Return plans of the group in the order of the ids, refreshed, in one statement.

        Raises ``StudentPlanNotFoundError``, and ``InvalidInputError`` if an id is given twice.
        """
        plan_ids = items("plan_ids", plan_ids)
        for plan_id in plan_ids:
            InvalidInputError.require_uuids(plan_id=plan_id)
        if len(set(plan_ids)) < len(plan_ids):
            raise InvalidInputError.of("plan_id", "must not be given twice")
        own = self._conditions(group_id=group_id)
        read = self._read(sa.select(StudentPlan).where(*own, has_id(plan_ids)))
        found = {plan.id: plan for plan in read}
        for plan_id in plan_ids:
            if plan_id not in found:
                raise StudentPlanNotFoundError(plan_id=plan_id)
        return [found[plan_id] for plan_id in plan_ids]

    @translated()
    def progress(self, group_id: UUID) -> GroupProgress:
        """Return how much of each content of the group is done, in one statement."""
        InvalidInputError.require_uuids(group_id=group_id)
        return load_progress(self._session, self._tenant_id, group_id)

    @translated()
    def groups_with_undone_plans(self, student_id: UUID) -> Sequence[UUID]:
        """Return the ids of the student's groups that have live plans of which nothing is done."""
        own = self._conditions(student_id=student_id)
        undone = StudentPlan.state.in_(sorted(UNDONE_STATES))
        return self._session.scalars(
            sa.select(StudentPlan.group_id)
            .where(*own, StudentPlan.live, undone)
            .group_by(StudentPlan.group_id)
            .order_by(StudentPlan.group_id)
        ).all()

    @translated()
    def studied_units(self, group_id: UUID, content_ids: Collection[UUID]) -> list[StudiedUnits]:
        """Return the id, content, first and last kept unit of live study plans with whole units."""
        content_ids = items("content_ids", content_ids)
        for content_id in content_ids:
            InvalidInputError.require_uuids(content_id=content_id)
        found = self._session.execute(
            sa.select(
                StudentPlan.id,
                StudentPlan.content_id,
                StudentPlan.first_unit,
                sa.func.coalesce(StudentPlan.done_through, StudentPlan.last_unit),
            ).where(
                *self._conditions(group_id=group_id),
                StudentPlan.live,
                StudentPlan.kind == PlanKind.STUDY,
                StudentPlan.parts == 1,
                StudentPlan.content_id.in_(content_ids),
            )
        )
        return [(*row,) for row in found]

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

    def retire(self, plan: StudentPlan, reason: RetiredAs) -> None:
        """Retire a live plan by hand, which leaves its version as it is.

        Raises ``LockNotHeldError`` outside a unit of work that holds the group's lock, and
        ``EditedMeanwhileError`` if the plan is no longer live in its version.
        """
        guards.require_lock(self._session, self._tenant_id, plan.group_id)
        own = self._conditions(group_id=plan.group_id)
        with translated(self._connection(), group_id=plan.group_id):
            # The plan is refreshed by RETURNING, which would discard changes that are pending.
            self._session.flush()
            same = (StudentPlan.id == plan.id, StudentPlan.version == plan.version)
            retired = self._session.scalars(
                sa.update(StudentPlan)
                .where(*own, *same, StudentPlan.live)
                .values(live=False, retired_as=reason, retired_at=sa.func.pg_catalog.now())
                .returning(StudentPlan)
                .execution_options(synchronize_session=False, populate_existing=True)
            ).all()
        if len(retired) != 1:
            raise EditedMeanwhileError(group_id=plan.group_id)

    def retire_as_cancelled(self, group_id: UUID) -> int:
        """Retire all live plans of a group in any state, and return their number.

        If plans are loaded, they are refreshed by a second statement. The caller must also hold
        the student's lock. Raises ``LockNotHeldError`` outside a unit of work that holds the
        group's lock.
        """
        guards.require_lock(self._session, self._tenant_id, group_id)
        with translated(self._connection(), group_id=group_id):
            retired: Any = self._session.execute(
                sa.update(StudentPlan)
                .where(*self._conditions(group_id=group_id), StudentPlan.live)
                .values(
                    live=False, retired_as=RetiredAs.CANCELLED, retired_at=sa.func.pg_catalog.now()
                )
                .execution_options(synchronize_session=False)
            )
            self._refresh_loaded(group_id)
        return int(retired.rowcount)

    def _refresh_loaded(self, group_id: UUID) -> None:
        """Read the loaded plans of a group again after a statement that has written them."""
        ids = [sa.inspect(plan).identity for plan in loaded(self._session, StudentPlan)]
        if ids:
            own, keys = self._conditions(group_id=group_id), [key[1] for key in ids if key]
            self._read(sa.select(StudentPlan).where(*own, has_id(keys)))

    def _read(self, query: sa.Select[Any]) -> list[StudentPlan]:
        return refreshed(self._session, StudentPlan, query)

    def _conditions(self, **ids: UUID) -> list[sa.ColumnElement[bool]]:
        """Return the conditions for the tenant's plans with these ids, such as ``group_id``."""
        InvalidInputError.require_uuids(**ids)
        by_id = (getattr(StudentPlan, name) == id_ for name, id_ in ids.items())
        return [StudentPlan.tenant_id == self._tenant_id, *by_id]

    def _connection(self) -> sa.Connection:
        return self._session.connection(bind_arguments={"mapper": StudentPlan})


def _check_dates(first: date, last: date) -> None:
    validate("first", civil_date, first)
    if validate("last", civil_date, last) < first:
        raise InvalidInputError.of("last", "must not be before first")
