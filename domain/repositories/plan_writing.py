"""The one writer of runs: each is written as the difference from the live plans.

A run is a generation, a reschedule or an undo. All of them increment the group's fence and write
their record first, then retire plans, then make others live. Retired and revived plans are
separate statements, in this order: the exclusion constraint is checked per row, so a plan at the
time of another one can be live only after that one is retired.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from domain.driver import copy_rows, insert_rows
from domain.errors import GeneratedMeanwhileError
from domain.models import PlanGeneration, PlanGroup, StudentPlan
from domain.models.plan import RetiredAs
from domain.repositories.snapshot import Fence
from domain.scheduling.difference import CALENDAR, PLACE, PlanChanges
from domain.scheduling.result import ScheduledPlan

_TABLE: Final[sa.Table] = cast("sa.Table", StudentPlan.__table__)
_RECORDS: Final[sa.Table] = cast("sa.Table", PlanGeneration.__table__)
_DIALECT: Final[Any] = postgresql.dialect  # a class without types
_KEYS: Final = ("id", "tenant_id", "student_id", "group_id", "content_id", "lineage", "generation")
_FIELDS: Final = ("sequence", *(name for name in PLACE if name != "content"), *CALENDAR)
_values = attrgetter(*_FIELDS)


def _type_in_postgres(name: str) -> str:
    """Return the name of a column's type in psycopg and ``pg_catalog``, such as ``int2``."""
    sql_name = _TABLE.columns[name].type.compile(_DIALECT())
    return psycopg.postgres.types[sql_name.lower()].name


COPIED: Final[Mapping[str, str]] = {name: _type_in_postgres(name) for name in (*_KEYS, *_FIELDS)}
"""The columns of a new plan, in the order in which they are written, and their types."""


def counts_as_columns(changes: PlanChanges) -> dict[str, int]:
    """Return the columns of the record of a run that count what it changed."""
    return {f"{name}_count": count for name, count in asdict(changes).items()}


class PlanVersion(NamedTuple):
    """A stored plan in the version that was read."""

    id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class NewPlan:
    """A plan to insert: the id and lineage that it gets, and its content's id."""

    id: UUID
    lineage: UUID
    content_id: UUID
    plan: ScheduledPlan


TENANT_ID: Final = sa.bindparam("own_tenant_id", type_=sa.Uuid)
GROUP_ID: Final = sa.bindparam("own_group_id", type_=sa.Uuid)
NUMBER: Final = sa.bindparam("run_number", type_=sa.Integer)
"""Parameters of prepared statements: the group, and the number of the run that is written."""


def record_statement(
    columns: Iterable[str],
    computed: Mapping[str, sa.ColumnElement[Any]] | None = None,
    *others: sa.CTE,
) -> sa.Insert:
    """Return the statement that increments a group's fence and inserts the record of a run.

    The UPDATE matches no row, and nothing is inserted, if the group's generation, its state or its
    live plans have changed, or if this is not the transaction that acquired the lock. The statement
    is built once and executed by ``write_record``.

    :param columns: the columns of the record whose values are given, without its key.
    :param computed: further columns, as expressions that the server evaluates.
    :param others: statements to execute with it.
    """
    incremented = _incremented_fence()
    types = _RECORDS.c
    values: dict[str, sa.ColumnElement[Any]] = {
        name: sa.bindparam(f"new_{name}", type_=types[name].type) for name in columns
    }
    values.update(computed or {})
    key = (incremented.c.tenant_id, incremented.c.id, incremented.c.generation)
    return (
        sa.insert(_RECORDS)
        .from_select(
            ["tenant_id", "group_id", "number", *values],
            sa.select(*key, *values.values()),
            include_defaults=False,
        )
        .add_cte(*others)
    )


def _incremented_fence() -> sa.CTE:
    """Increment the group's fence, unless something has changed since it was read."""
    return (
        sa.update(PlanGroup)
        .where(
            PlanGroup.tenant_id == TENANT_ID,
            PlanGroup.id == GROUP_ID,
            PlanGroup.generation == NUMBER - 1,
            PlanGroup.status == sa.bindparam("read_status", type_=PlanGroup.status.type),
            sa.func.studyplan.is_plan_transaction(
                PlanGroup.tenant_id, sa.bindparam("identity", type_=sa.Text), type_=sa.Boolean
            ),
            _PLANS_UNCHANGED.exists(),
        )
        .values(generation=PlanGroup.generation + 1)
        .returning(PlanGroup.tenant_id, PlanGroup.id, PlanGroup.generation)
        .cte("fence")
    )


def write_record(
    session: Session,
    statement: sa.Insert,
    fence: Fence,
    identity: str,
    record: Mapping[str, Any],
    **parameters: Any,
) -> None:
    """Execute a ``record_statement``.

    Raises ``GeneratedMeanwhileError`` if the fence refuses it.
    """
    written = session.execute(
        statement,
        {
            "own_tenant_id": fence.tenant_id,
            "own_group_id": fence.group_id,
            "run_number": fence.number,
            "read_status": fence.status,
            "live_plans": fence.live_plans,
            "live_versions": fence.live_versions,
            "identity": identity,
            **{f"new_{name}": value for name, value in record.items()},
            **parameters,
        },
        execution_options={"preserve_rowcount": True},
        bind_arguments={"mapper": PlanGeneration},
    )
    _require_rowcount(written, 1, fence)


def abandon(session: Session, fence: Fence) -> GeneratedMeanwhileError:
    """Roll the transaction back, and return the error for a run of which a part is written.

    A caller that catches the error could commit that part otherwise.
    """
    session.rollback()
    return GeneratedMeanwhileError(group_id=fence.group_id)


def live_counts() -> tuple[sa.ColumnElement[int], sa.ColumnElement[int]]:
    """Return the number of plans and the sum of their versions, as a ``Fence`` has them."""
    count = sa.func.pg_catalog.count(sa.literal_column("*"), type_=sa.BigInteger)
    versions = sa.func.pg_catalog.sum(StudentPlan.version, type_=sa.BigInteger)
    return count, sa.func.coalesce(versions, 0)


def _plans_unchanged() -> sa.Select[Any]:
    """Select a row if the group's live plans are those that were read."""
    count, versions = live_counts()
    return (
        sa.select(sa.literal_column("1"))
        .where(
            StudentPlan.tenant_id == TENANT_ID, StudentPlan.group_id == GROUP_ID, StudentPlan.live
        )
        .having(
            sa.and_(
                count == sa.bindparam("live_plans", type_=sa.BigInteger),
                versions == sa.bindparam("live_versions", type_=sa.BigInteger),
            )
        )
    )


_PLANS_UNCHANGED: Final = _plans_unchanged()


def update_plans(
    session: Session,
    fence: Fence,
    retired: Mapping[PlanVersion, RetiredAs],
    recounted: Mapping[PlanVersion, ScheduledPlan] | None = None,
    *,
    retired_in: int | None = None,
) -> None:
    """Retire plans and set the calendar fields of others, in one statement; versions stay.

    Nothing is executed if there are none. ``retired_in`` is the number of the run that retires the
    plans, by default that of the run that is written. Rolls back and raises
    ``GeneratedMeanwhileError`` if a plan is no longer live in the version that was read.
    """
    recounted = recounted or {}
    plans = [*retired, *recounted]
    if not plans:
        return
    unchanged = [None] * len(retired)
    arrays: dict[str, Sequence[Any]] = {
        "id": [plan.id for plan in plans],
        "version": [plan.version for plan in plans],
        "retired_as": [*retired.values(), *(None for _ in recounted)],
        **{
            name: [*unchanged, *(getattr(plan, name) for plan in recounted.values())]
            for name in CALENDAR
        },
    }
    _update(session, _RETIRE_OR_RECOUNT, fence, arrays, retired_in=retired_in or fence.number)


def revive_plans(
    session: Session, fence: Fence, retired_in: int, plans: Sequence[PlanVersion]
) -> None:
    """Make plans live again that the run ``retired_in`` has retired, exactly as they were.

    Rolls back and raises ``GeneratedMeanwhileError`` if one has changed since it was read.
    """
    if not plans:
        return
    arrays: dict[str, Sequence[Any]] = {
        "id": [plan.id for plan in plans],
        "version": [plan.version for plan in plans],
    }
    _update(session, _REVIVE, fence, arrays, retired_in=retired_in)


def insert_plans(
    connection: sa.Connection, fence: Fence, plans: Iterable[NewPlan], *, copyable: bool
) -> None:
    """Write new plans in two round trips, or by one INSERT if the table does not support COPY."""
    owner = (fence.tenant_id, fence.student_id, fence.group_id)
    write = copy_rows if copyable else insert_rows
    rows = [
        (new.id, *owner, new.content_id, new.lineage, fence.number, *_values(new.plan))
        for new in plans
    ]
    if rows:
        write(connection, _TABLE, COPIED, rows)


def _update(
    session: Session,
    statement: sa.Update,
    fence: Fence,
    arrays: Mapping[str, Sequence[Any]],
    *,
    retired_in: int,
) -> None:
    updated = session.execute(
        statement,
        {
            "own_tenant_id": fence.tenant_id,
            "own_group_id": fence.group_id,
            "retired_in_run": retired_in,
            **{f"given_{name}": list(values) for name, values in arrays.items()},
        },
        bind_arguments={"mapper": StudentPlan},
    )
    try:
        _require_rowcount(updated, len(arrays["id"]), fence)
    except GeneratedMeanwhileError:
        raise abandon(session, fence) from None


def _given(*names: str) -> Any:
    """Return a FROM clause with a row per plan, from an array parameter per column."""
    columns = [sa.column(name, _TABLE.columns[name].type) for name in names]
    arrays = [
        sa.bindparam(f"given_{column.name}", type_=sa.ARRAY(column.type)) for column in columns
    ]
    return sa.func.unnest(*arrays).table_valued(*columns, name="given").render_derived()


def _update_of(given: Any) -> sa.Update:
    """Return an UPDATE of the group's plans that are given, in the version that was read."""
    return sa.update(_TABLE).where(
        _TABLE.c.tenant_id == TENANT_ID,
        _TABLE.c.group_id == GROUP_ID,
        _TABLE.c.id == given.c.id,
        _TABLE.c.version == given.c.version,
    )


def _retire_or_recount() -> sa.Update:
    given = _given("id", "version", "retired_as", *CALENDAR)
    stays = given.c.retired_as.is_(None)
    retired_in = sa.bindparam("retired_in_run", type_=sa.Integer)
    return (
        _update_of(given)
        .where(_TABLE.c.live)
        .values(
            live=stays,
            retired_as=given.c.retired_as,
            retired_in=sa.case((stays, None), else_=retired_in),
            retired_at=sa.case((stays, None), else_=sa.func.pg_catalog.now()),
            **{name: sa.case((stays, given.c[name]), else_=_TABLE.c[name]) for name in CALENDAR},
        )
    )


def _revive() -> sa.Update:
    return (
        _update_of(_given("id", "version"))
        .where(_TABLE.c.retired_in == sa.bindparam("retired_in_run", type_=sa.Integer))
        .values(live=True, retired_as=None, retired_in=None, retired_at=None)
    )


_RETIRE_OR_RECOUNT: Final = _retire_or_recount()
_REVIVE: Final = _revive()


def _require_rowcount(result: Any, expected: int, fence: Fence) -> None:
    cursor_result: sa.CursorResult[Any] = result
    if cursor_result.rowcount != expected:
        raise GeneratedMeanwhileError(group_id=fence.group_id)
