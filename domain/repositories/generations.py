"""Writes a generation or a reschedule: its record, and the difference from the live plans."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from operator import attrgetter
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from domain.database_errors import translated
from domain.locking import guards
from domain.models import StudentPlan
from domain.models.plan import RetiredAs, RunKind
from domain.repositories.baselines import renamed
from domain.repositories.day_shifts import store_day_shifts
from domain.repositories.plan_rows import StoredColumns, explanation_as_json
from domain.repositories.plan_writing import (
    NewPlan,
    PlanVersion,
    abandon,
    counts_as_columns,
    insert_plans,
    record_statement,
    update_plans,
    write_record,
)
from domain.repositories.snapshot import PlanningSnapshot
from domain.scheduling.difference import Difference, PlanChanges, StoredPlan
from domain.scheduling.result import Schedule, ScheduledPlan


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """The data that is stored about a generation or a reschedule in addition to its plans."""

    today: date
    requested_by: str | None
    waited_ms: int
    input_hash: str
    engine_version: str
    idempotency_key: str | None = None
    request_hash: str | None = None
    """The hash of the request that used the key; ``None`` without a key."""
    kind: RunKind = RunKind.GENERATED
    calendar: Mapping[str, Any] | None = None
    """What a reschedule keeps of a generation; ``None`` for a reschedule after one."""


@dataclass(frozen=True, slots=True)
class StoredGeneration:
    """The number of a written generation, what it changed, and its plans in sequence."""

    number: int
    difference: Difference
    changes: PlanChanges
    rows: tuple[StoredPlan | NewPlan, ...]

    @property
    def made(self) -> list[NewPlan]:
        """The plans that the generation made."""
        return [row for row in self.rows if isinstance(row, NewPlan)]

    @property
    def columns(self) -> StoredColumns:
        """The columns of the plans that the schedule does not have."""
        old = [row if isinstance(row, StoredPlan) else None for row in self.rows]
        return StoredColumns(
            plan_ids=tuple(row.id for row in self.rows),
            lineages=tuple(row.lineage for row in self.rows),
            generations=tuple(self.number if row is None else row.generation for row in old),
            versions=tuple(1 if row is None else row.version for row in old),
        )


def write_generation(
    session: Session, snapshot: PlanningSnapshot, schedule: Schedule, record: GenerationRecord
) -> StoredGeneration:
    """Write a generation or a reschedule as the difference from the live plans of the snapshot.

    The group's fence is incremented first; the write fails there if another writer has incremented
    it or has changed a plan since the snapshot, or if the lock is no longer held. Then chosen day
    shifts are stored, plans that the schedule does not have are retired, and its new plans are
    copied or inserted. Plans that it has too stay as they are; only their week and cycle may
    change. This takes at most four round trips, and a fifth if there are day shifts to store.

    Raises ``LockNotHeldError`` outside a unit of work that holds the group's lock;
    ``GeneratedMeanwhileError`` if the group or its plans have changed since the snapshot;
    ``StudentPlansOverlapError``; and ``IdempotencyMismatchError`` if another group has used the
    record's key in the meantime.
    """
    guard = guards.require_lock(session, snapshot.tenant_id, snapshot.group_id)
    today, fence = record.today, snapshot.fence
    changed, kept = snapshot.difference(schedule, today), snapshot.kept(today)
    rows = _rows(changed, snapshot)
    stored = StoredGeneration(fence.number, changed, changed.changes(others=len(kept)), tuple(rows))
    values = {
        **_record_values(snapshot, schedule, record),
        **_ids(stored),
        "kept_ids": [plan.stored.id for plan in kept],
    }
    connection = session.connection(bind_arguments={"mapper": StudentPlan})
    with translated(
        connection,
        group_id=snapshot.group_id,
        student_id=snapshot.student_id,
        idempotency_key=record.idempotency_key,
    ):
        write_record(session, _STATEMENT, fence, guard.identity, values)
        if not store_day_shifts(session, snapshot, schedule):
            raise abandon(session, fence)
        update_plans(
            session,
            fence,
            {_version(plan): _reason(plan, today) for plan in changed.retired},
            {_version(old): plan for old, plan in changed.recounted},
        )
        insert_plans(connection, fence, stored.made, copyable=snapshot.copyable)
    return stored


def _rows(changed: Difference, snapshot: PlanningSnapshot) -> list[StoredPlan | NewPlan]:
    """Return the stored or new row of each plan of the schedule, in order of sequence."""
    content_ids = {position: label.id for position, label in snapshot.contents.items()}

    def new(plan: ScheduledPlan, lineage: UUID | None = None) -> NewPlan:
        plan_id = uuid4()
        return NewPlan(plan_id, lineage or plan_id, content_ids[plan.content], plan)

    rows: list[StoredPlan | NewPlan] = [
        *(stored for stored, _ in changed.kept),
        *(new(plan, stored.lineage) for stored, plan in changed.moved),
        *(new(plan) for plan in changed.new),
    ]
    # The schedule is numbered in order of time, and no two plans of a student overlap.
    return sorted(rows, key=attrgetter("plan.date", "plan.start_minute"))


def _ids(stored: StoredGeneration) -> dict[str, Any]:
    """Return the columns of the record that say what the generation changed."""
    return {
        **counts_as_columns(stored.changes),
        "plan_ids": [row.id for row in stored.rows],
        "made_ids": [row.id for row in stored.made],
        "made_versions": [1 for _ in stored.made],
    }


def _version(stored: StoredPlan) -> PlanVersion:
    return PlanVersion(stored.id, stored.version)


def _reason(stored: StoredPlan, today: date) -> RetiredAs:
    return RetiredAs.MISSED if stored.plan.date < today else RetiredAs.REPLACED


_STATEMENT: Final = record_statement(
    (
        *(item.name for item in fields(GenerationRecord)),
        *("plan_count", "unplaced", "certificate", "repairs", "warnings", "quality", "day_shifts"),
        *counts_as_columns(PlanChanges()),
        *("plan_ids", "kept_ids", "made_ids", "made_versions"),
    )
)


def _record_values(
    snapshot: PlanningSnapshot, schedule: Schedule, record: GenerationRecord
) -> dict[str, Any]:
    """Return the columns of the record of a generation, without its key."""
    ids = {position: label.id for position, label in snapshot.contents.items()}
    return {
        **asdict(record),
        "plan_count": len(schedule.plans),
        **_result_as_json(schedule, ids),
        "quality": asdict(schedule.quality),
    }


def _result_as_json(schedule: Schedule, ids: Mapping[int, UUID]) -> dict[str, Any]:
    """Return the columns of a record that refer to contents: by their ids, which stay the same."""
    explained = explanation_as_json(schedule)
    certificate = explained["certificate"]
    names: Mapping[Any, str | None] = {None: None, **{at: str(id_) for at, id_ in ids.items()}}
    return {
        "unplaced": [renamed(asdict(item), names) for item in schedule.unplaced],
        "certificate": certificate
        and {**certificate, "contents": [names[at] for at in certificate["contents"]]},
        "repairs": [renamed(item, names) for item in explained["repairs"]],
        "warnings": [
            {"code": item.code, "data": renamed(item.data, names)} for item in schedule.warnings
        ],
        "day_shifts": {str(ids[at]): shift for at, shift in sorted(schedule.day_shifts.items())},
    }
