"""The history of a group's plans: its runs, and the plans after each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.arguments import as_session
from domain.database_errors import translated
from domain.errors import InvalidInputError
from domain.locking import guards
from domain.models import PlanGeneration, StudentPlan
from domain.models.plan import RunKind
from domain.repositories.needed_runs import StoredRun, unneeded
from domain.repositories.plan_rows import has_id
from domain.repositories.reading import refreshed
from domain.repositories.stored_results import changes_of
from domain.scheduling.difference import PlanChanges
from domain.values import MAX_INTEGER, integer, validate

MAX_RUNS: Final = 500
"""The maximum number of runs that are returned at once."""


@dataclass(frozen=True, slots=True)
class Run:
    """An entry of the history: a generation, a reschedule, or an undo of the run ``undoes``.

    ``undone_in`` is the number of the undo that has taken the run back and is still in effect.
    """

    number: int
    kind: RunKind
    at: datetime
    requested_by: str | None
    changes: PlanChanges
    undoes: int | None
    undone_in: int | None


@guards.serialize_calls
class HistoryRepository:
    """The runs of a tenant's groups, and the plans that were live after each."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        InvalidInputError.require_uuids(tenant_id=tenant_id)
        self._session = as_session(session)
        self._tenant_id = tenant_id

    @translated()
    def runs(self, group_id: UUID, *, limit: int = 50, before: int | None = None) -> list[Run]:
        """Return the last runs of the group, newest first, in one statement.

        ``before`` is the number of the last run of the previous page. Raises ``InvalidInputError``
        unless ``limit`` is from 1 to ``MAX_RUNS``.
        """
        validate("limit", integer(1, MAX_RUNS), limit)
        query = sa.select(PlanGeneration).where(*self._of_group(group_id))
        if before is not None:
            validate("before", integer(1, MAX_INTEGER), before)
            query = query.where(PlanGeneration.number < before)
        newest = query.order_by(PlanGeneration.number.desc()).limit(limit)
        found = refreshed(self._session, PlanGeneration, newest)
        return [
            Run(
                number=record.number,
                kind=record.kind,
                at=record.generated_at,
                requested_by=record.requested_by,
                changes=changes_of(record),
                undoes=record.undoes,
                undone_in=record.undone_in,
            )
            for record in found
        ]

    @translated()
    def as_of(self, group_id: UUID, number: int) -> Sequence[StudentPlan]:
        """Return the plans that were live when the run had ended, by date and time.

        Their places and ranges are those of that time; their states are the current ones. Two
        statements are executed. Raises ``InvalidInputError`` (field ``number``) if the group has no
        such run or if its plans were removed.
        """
        validate("number", integer(1, MAX_INTEGER), number)
        columns = (PlanGeneration.plan_ids, PlanGeneration.kept_ids, PlanGeneration.made_ids)
        record = self._session.execute(
            sa.select(*columns).where(*self._of_group(group_id), PlanGeneration.number == number)
        ).one_or_none()
        if record is None or record.made_ids is None:
            raise InvalidInputError.of("number", "must be the number of a run that is still stored")
        query = (
            sa.select(StudentPlan)
            .where(
                StudentPlan.tenant_id == self._tenant_id,
                StudentPlan.group_id == group_id,
                has_id([*record.plan_ids, *record.kept_ids]),
            )
            .order_by(StudentPlan.date, StudentPlan.start_minute)
        )
        return refreshed(self._session, StudentPlan, query)

    def close(self, group_id: UUID, before: datetime | None = None) -> int:
        """Make the runs that began before this instant, by default all, impossible to undo.

        Their records lose the ids of their plans, who requested them, and their idempotency keys.
        Call it before ``remove_retired_plans``: a run cannot be undone in part. Returns their
        number. Raises ``LockNotHeldError`` outside a unit of work that holds the group's lock.
        """
        guards.require_lock(self._session, self._tenant_id, group_id)
        return self._execute(
            sa.update(PlanGeneration)
            .where(*self._old_runs(group_id, before), PlanGeneration.made_ids.is_not(None))
            .values(
                plan_ids=[],
                kept_ids=[],
                made_ids=None,
                made_versions=[],
                requested_by=None,
                idempotency_key=None,
                request_hash=None,
            )
        )

    def remove_retired_plans(
        self, group_id: UUID, before: datetime | None = None, *, limit: int
    ) -> int:
        """Delete at most ``limit`` plans that were retired before this instant.

        Returns their number.
        Raises ``LockNotHeldError`` outside a unit of work that holds the group's lock.
        """
        guards.require_lock(self._session, self._tenant_id, group_id)
        own = (StudentPlan.tenant_id == self._tenant_id, StudentPlan.group_id == group_id)
        old = [sa.not_(StudentPlan.live)]
        if before is not None:
            old.append(StudentPlan.retired_at < before)
        ids = sa.select(StudentPlan.id).where(*own, *old).limit(limit)
        return self._execute(sa.delete(StudentPlan).where(*own, StudentPlan.id.in_(ids)))

    def remove_closed_runs(self, group_id: UUID, before: datetime | None = None) -> int:
        """Delete the closed runs before this instant that nothing needs; return their number.

        No plan refers to them, and no reschedule or undo will read them. So the newest run stays,
        and so do the runs whose calendars are or can come into effect, the run before each that can
        be undone, and the undos of runs that stay (see ``needed_runs``).

        Raises ``LockNotHeldError`` outside a unit of work that holds the group's lock.
        """
        guards.require_lock(self._session, self._tenant_id, group_id)
        numbers = unneeded(self._stored_runs(group_id, before))
        return self._execute(
            sa.delete(PlanGeneration).where(
                *self._of_group(group_id), PlanGeneration.number.in_(numbers)
            )
        )

    @translated()
    def _stored_runs(self, group_id: UUID, before: datetime | None) -> list[StoredRun]:
        """Return what decides which records of the group are needed, in one statement."""
        numbers = (StudentPlan.generation, StudentPlan.retired_in)
        refers = sa.select(StudentPlan.id).where(
            StudentPlan.tenant_id == self._tenant_id,
            StudentPlan.group_id == group_id,
            sa.or_(*(PlanGeneration.number == number for number in numbers)),
        )
        is_open = PlanGeneration.made_ids.is_not(None)
        is_old = sa.and_(*self._old_runs(group_id, before))
        found = self._session.execute(
            sa.select(
                PlanGeneration.number,
                PlanGeneration.undoes,
                PlanGeneration.undone_in,
                PlanGeneration.calendar.is_not(None),
                is_open,
                sa.and_(sa.not_(is_open), is_old, ~refers.exists()),
            )
            .where(*self._of_group(group_id))
            .order_by(PlanGeneration.number)
        )
        return [StoredRun(*row) for row in found]

    def _execute(self, statement: Any) -> int:
        with translated(self._session.connection(bind_arguments={"mapper": StudentPlan})):
            done: Any = self._session.execute(
                statement.execution_options(synchronize_session=False)
            )
        return int(done.rowcount)

    def _old_runs(
        self, group_id: UUID, before: datetime | None
    ) -> tuple[sa.ColumnElement[bool], ...]:
        own = self._of_group(group_id)
        return own if before is None else (*own, PlanGeneration.generated_at < before)

    def _of_group(self, group_id: UUID) -> tuple[sa.ColumnElement[bool], ...]:
        InvalidInputError.require_uuids(group_id=group_id)
        return PlanGeneration.tenant_id == self._tenant_id, PlanGeneration.group_id == group_id
