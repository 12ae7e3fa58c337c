"""Undo: the run that is taken back, the plans that it concerns, and how it is written.

An undo takes back the last run whose changes are in effect, and ``undone_in`` of that run's record
is set. The plans that the run made are retired, and those that it retired are live again, with the
same values in all columns. Taking back an undo restores the run in the same way: the plans that it
had retired are marked as retired by it again, so that it can be undone once more.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.arguments import as_session
from domain.database_errors import translated
from domain.errors import InvalidInputError, PlanGroupNotFoundError, PlanInTheWay
from domain.locking import guards
from domain.models import PlanGeneration, StudentPlan
from domain.models.plan import RetiredAs, RunKind
from domain.repositories import undo_statements
from domain.repositories.plan_writing import (
    PlanVersion,
    counts_as_columns,
    revive_plans,
    update_plans,
    write_record,
)
from domain.repositories.reading import refreshed_rows
from domain.repositories.snapshot import Fence
from domain.scheduling.difference import PlanChanges


@dataclass(frozen=True, slots=True)
class RunToUndo:
    """The run that an undo takes back, ``None`` if there is none, and the fence of the undo."""

    fence: Fence
    record: PlanGeneration | None


@dataclass(frozen=True, slots=True)
class UndonePlans:
    """The plans that an undo retires, those that it makes live again, and what stands in the way.

    ``changed`` are the plans of the run that were marked, moved or retired since; if there are
    none, others that were marked and have units of the plans to make live; if there are none of
    these either, those that a cancellation of the group has retired. ``occupied`` are live plans of
    the student, in any group, at the times of the plans to make live.
    """

    retired: Mapping[PlanVersion, RetiredAs]
    revived: tuple[PlanVersion, ...]
    moved: int
    """The number of lineages that continue with another plan."""
    changed: tuple[PlanInTheWay, ...]
    occupied: tuple[PlanInTheWay, ...]
    is_complete: bool
    """Whether all plans that the run made are still stored."""


@dataclass(frozen=True, slots=True)
class UndoRecord:
    """The data that is stored about an undo in addition to its plans."""

    requested_by: str | None
    waited_ms: int
    idempotency_key: str | None = None
    request_hash: str | None = None


@guards.serialize_calls
class UndoRepository:
    """Finds and takes back the runs of a tenant's groups."""

    def __init__(self, session: Session, tenant_id: UUID) -> None:
        InvalidInputError.require_uuids(tenant_id=tenant_id)
        self._session = as_session(session)
        self._tenant_id = tenant_id

    def last_run(self, group_id: UUID) -> RunToUndo:
        """Return the last run in effect that changed a plan and is not itself an undo.

        One statement is executed. Raises ``PlanGroupNotFoundError``.
        """
        return self._run_to_undo(undo_statements.LAST_RUN, group_id)

    def last_undo(self, group_id: UUID) -> RunToUndo:
        """Return the last undo in effect after which no other run has changed a plan.

        One statement is executed. Raises ``PlanGroupNotFoundError``.
        """
        return self._run_to_undo(undo_statements.LAST_UNDO, group_id)

    @translated()
    def undone_plans(self, fence: Fence, record: PlanGeneration) -> UndonePlans:
        """Return the plans that taking the run back concerns, in one statement."""
        made_ids = record.made_ids or []
        versions = dict(zip(made_ids, record.made_versions, strict=True))
        found = self._session.execute(
            undo_statements.PLANS,
            {
                **self._group(fence.group_id),
                "student_id": fence.student_id,
                "undone": record.number,
                "undone_at": record.generated_at,
                "made_ids": made_ids,
            },
            # A union has no mapper, by which a Session with only ``binds`` finds the engine.
            bind_arguments={"mapper": StudentPlan},
        ).all()
        made, returning, others = _parted(found, versions)
        lineages = {row.lineage for row in made}
        changed = [row for row in made if not row.live or row.version != versions[row.id]]
        return UndonePlans(
            retired={_version(row): _reason(row, record) for row in made},
            revived=tuple(map(_version, returning)),
            moved=len(lineages & {row.lineage for row in returning}),
            changed=_in_the_way(changed)
            or _in_the_way(others, "units")
            or _in_the_way(others, "cancelled"),
            occupied=_in_the_way(others, "time"),
            is_complete=len(made) == len(versions),
        )

    def take_back(self, run: RunToUndo, plans: UndonePlans, record: UndoRecord) -> PlanChanges:
        """Write an undo of the run, and return what it changed.

        At most three statements are executed. Raises ``LockNotHeldError`` outside a unit of work
        that holds the group's lock, ``GeneratedMeanwhileError`` if the group or its plans have
        changed since they were read, and ``StudentPlansOverlapError``.
        """
        fence, undone = run.fence, run.record
        assert undone is not None  # noqa: S101 - the caller has checked it
        guard = guards.require_lock(self._session, self._tenant_id, fence.group_id)
        changes = _changes(fence, plans)
        values = {
            **asdict(record),
            **counts_as_columns(changes),
            "kind": RunKind.UNDONE,
            "undoes": undone.number,
            "plan_count": changes.kept + len(plans.revived),
            "kept_ids": [],
            "made_ids": [plan.id for plan in plans.revived],
            "made_versions": [plan.version for plan in plans.revived],
            **{name: getattr(undone, name) for name in undo_statements.REPEATED},
        }
        with translated(
            self._session.connection(bind_arguments={"mapper": StudentPlan}),
            group_id=fence.group_id,
            student_id=fence.student_id,
            idempotency_key=record.idempotency_key,
        ):
            write_record(
                self._session,
                undo_statements.RECORD,
                fence,
                guard.identity,
                values,
                undone=undone.number,
                redone=undone.undoes,
                retired_ids=[plan.id for plan in plans.retired],
                revived_ids=values["made_ids"],
            )
            # An undo that is taken back leaves no trace in the plans: they are retired again by the
            # run that it had undone.
            update_plans(self._session, fence, plans.retired, retired_in=undone.undoes)
            revive_plans(self._session, fence, undone.number, plans.revived)
        return changes

    @translated()
    def _run_to_undo(self, statement: sa.Select[Any], group_id: UUID) -> RunToUndo:
        """Read a run and the fence of the group."""
        found = refreshed_rows(self._session, PlanGeneration, statement, self._group(group_id))
        if not found:
            raise PlanGroupNotFoundError(group_id=group_id)
        row = found[0]
        fence = Fence(
            tenant_id=self._tenant_id,
            student_id=row.student_id,
            group_id=group_id,
            generation=row.generation,
            status=row.status,
            live_plans=row.live_plans,
            live_versions=row.live_versions,
        )
        return RunToUndo(fence, row.PlanGeneration)

    def _group(self, group_id: UUID) -> dict[str, UUID]:
        """Return the parameters of all statements that name the group."""
        InvalidInputError.require_uuids(group_id=group_id)
        return {"own_tenant_id": self._tenant_id, "own_group_id": group_id}


def _changes(fence: Fence, plans: UndonePlans) -> PlanChanges:
    return PlanChanges(
        kept=fence.live_plans - len(plans.retired),
        moved=plans.moved,
        new=len(plans.revived) - plans.moved,
        dropped=len(plans.retired) - plans.moved,
    )


def _version(row: sa.Row[Any]) -> PlanVersion:
    return PlanVersion(row.id, row.version)


def _reason(row: sa.Row[Any], record: PlanGeneration) -> RetiredAs:
    """Return why a plan is retired when the run of the record is taken back."""
    if record.kind is not RunKind.UNDONE:
        return RetiredAs.UNDONE
    return RetiredAs.MISSED if row.date < record.today else RetiredAs.REPLACED


def _parted(
    found: Iterable[sa.Row[Any]], made_ids: Collection[UUID]
) -> Sequence[list[sa.Row[Any]]]:
    """Return the plans that the run made, those that it retired, and others in their way."""
    made: list[sa.Row[Any]] = []
    returning: list[sa.Row[Any]] = []
    others: list[sa.Row[Any]] = []
    for row in found:
        if row.read_as == "own":
            (made if row.id in made_ids else returning).append(row)
        elif row.id not in made_ids:
            others.append(row)
    return made, returning, others


def _in_the_way(
    rows: Iterable[sa.Row[Any]], read_as: str | None = None
) -> tuple[PlanInTheWay, ...]:
    """Return the rows by time, or those of them that were read for a reason."""
    found = (
        PlanInTheWay(row.id, row.group_id, row.date, row.start_minute, row.end_minute)
        for row in rows
        if read_as in {None, row.read_as}
    )
    return tuple(sorted(found, key=attrgetter("date", "start_minute")))
