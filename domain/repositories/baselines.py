"""What a reschedule keeps of earlier runs: a column of the snapshot, and how it is read."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from domain.models.plan import PlanGeneration
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.result import Certificate, Repair, RepairKind, Unplaced
from domain.scheduling.types import UnplacedReason

Parameter: TypeAlias = sa.BindParameter[Any]
_EXPLANATION: Final = ("unplaced", "certificate", "repairs")


def baseline_column(tenant_id: Parameter, group_id: Parameter) -> sa.ColumnElement[Any]:
    """Select the calendar of the generation that the plans are of, and what is reported.

    The calendar is that of the last run that has one and that no undo has taken back, alone or with
    a run before it: a generation that changed no plan is not undone itself. What could not be
    placed is that of the last run.
    """
    last, decided, undo = (aliased(PlanGeneration) for _ in range(3))

    def of_group(run: Any) -> tuple[sa.ColumnElement[bool], ...]:
        return run.tenant_id == tenant_id, run.group_id == group_id

    taken_back = sa.select(undo.number).where(
        *of_group(undo),
        undo.undone_in.is_(None),
        undo.undoes <= decided.number,
        undo.number > decided.number,
    )
    calendar = (
        sa.select(decided.calendar)
        .where(*of_group(decided), decided.calendar.is_not(None), ~taken_back.exists())
        .order_by(decided.number.desc())
        .limit(1)
    )
    values: list[Any] = ["calendar", calendar.scalar_subquery()]
    for name in _EXPLANATION:
        values += [name, getattr(last, name)]
    found = sa.select(sa.func.pg_catalog.jsonb_build_object(*values, type_=sa.JSON))
    newest = found.where(*of_group(last)).order_by(last.number.desc()).limit(1)
    return newest.scalar_subquery()


def baseline_of(found: Mapping[str, Any] | None) -> Baseline | None:
    """Return the baseline from the column; ``None`` if no generation is in effect."""
    if found is None or found["calendar"] is None:
        return None
    explained = explanation_of(SimpleNamespace(**found))
    return replace(Baseline.of_calendar_json(found["calendar"]), **explained)


def explanation_of(record: Any) -> dict[str, Any]:
    """Return what a run could not place, and why, from the columns of its record."""
    return {
        "unplaced": tuple(_unplaced(item) for item in record.unplaced),
        "certificate": _certificate(record.certificate),
        "repairs": tuple(_repair(item) for item in record.repairs),
    }


def _unplaced(item: Mapping[str, Any]) -> Unplaced:
    return Unplaced(**{**item, "reason": UnplacedReason(item["reason"])})


def _certificate(item: Mapping[str, Any] | None) -> Certificate | None:
    if item is None:
        return None
    days = tuple(date.fromisoformat(day) for day in item["days"])
    return Certificate(**{**item, "contents": tuple(item["contents"]), "days": days})


def _repair(item: Mapping[str, Any]) -> Repair:
    return Repair(**{**item, "kind": RepairKind(item["kind"])})
