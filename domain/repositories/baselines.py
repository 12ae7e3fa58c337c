"""What a reschedule keeps of earlier runs: a column of the snapshot, and how it is read.

The records of runs refer to contents by their ids, because positions change with the order.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from domain.models.plan import PlanGeneration
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.result import Certificate, PlanWarning, Repair, RepairKind, Unplaced
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


def baseline_of(found: Mapping[str, Any] | None, positions: Mapping[str, int]) -> Baseline | None:
    """Return the baseline from the column; ``None`` if no generation is in effect.

    :param positions: the current positions of the contents by their ids.
    """
    if found is None or found["calendar"] is None:
        return None
    explained = explanation_of(SimpleNamespace(**found), positions)
    return replace(Baseline.of_calendar_json(found["calendar"]), **explained)


def explanation_of(record: Any, positions: Mapping[str, int]) -> dict[str, Any]:
    """Return what a run could not place, and why, from the columns of its record.

    What refers to contents that were removed since is left out, and all repairs if nothing that is
    still there was unplaced.
    """
    certificate = record.certificate
    if certificate is not None and not positions.keys() >= {*certificate["contents"]}:
        certificate = None
    unplaced = [_unplaced(item) for item in _current(record.unplaced, positions)]
    repairs = _current(record.repairs, positions) if unplaced else ()
    return {
        "unplaced": tuple(sorted(unplaced, key=attrgetter("content", "first_unit"))),
        "certificate": _certificate(certificate, positions),
        "repairs": tuple(map(_repair, repairs)),
    }


def warnings_and_shifts_of(record: Any, positions: Mapping[str, int]) -> dict[str, Any]:
    """Return the warnings and the day shifts of a run from the columns of its record."""
    data = (
        (item["code"], found)
        for item in record.warnings
        for found in _current([item["data"]], positions)
    )
    shifts = record.day_shifts.items()
    return {
        "warnings": tuple(PlanWarning(code, found) for code, found in data),
        "day_shifts": {positions[id_]: shift for id_, shift in shifts if id_ in positions},
    }


def renamed(item: Mapping[str, Any], names: Mapping[Any, Any]) -> dict[str, Any]:
    """Return an item with another name of its content, if it has one."""
    return {**item, "content": names[item["content"]]} if "content" in item else dict(item)


def _current(
    items: Iterable[Mapping[str, Any]], positions: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Yield items with the positions of their contents, unless these were removed."""
    names: Mapping[Any, Any] = {None: None, **positions}
    return (renamed(item, names) for item in items if item.get("content") in names)


def _unplaced(item: Mapping[str, Any]) -> Unplaced:
    return Unplaced(**{**item, "reason": UnplacedReason(item["reason"])})


def _certificate(
    item: Mapping[str, Any] | None, positions: Mapping[str, int]
) -> Certificate | None:
    if item is None:
        return None
    days = tuple(date.fromisoformat(day) for day in item["days"])
    contents = tuple(sorted(positions[id_] for id_ in item["contents"]))
    return Certificate(**{**item, "contents": contents, "days": days})


def _repair(item: Mapping[str, Any]) -> Repair:
    return Repair(**{**item, "kind": RepairKind(item["kind"])})
