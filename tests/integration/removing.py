"""Runs whose history is removed, and the state before and after."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGroup, PlanGroupLock, generate_plans
from domain.errors import UndoNotPossibleError
from domain.services.removal import Removed, remove_history
from domain.services.undo import UndoResult, UndoService
from tests.integration.storing import FIRST, columns, dump, live, unit_of_work

Factory = sessionmaker[Session]
SHORT = timedelta(milliseconds=20)
CALENDAR = {"week", "cycle", "cycle_day"}


def now(factory: Factory) -> datetime:
    """Return the time of the server, which is later than that of all committed transactions."""
    with factory() as session:
        found: datetime = session.scalars(sa.select(sa.func.clock_timestamp())).one()
        return found


def run(factory: Factory, group: PlanGroup, day: int, key: str | None = None) -> GenerationResult:
    return generate_plans(
        factory,
        PlanGroupLock(group.tenant_id, group.id),
        today=FIRST + timedelta(day),
        requested_by="A",
        idempotency_key=key,
    )


def undo(factory: Factory, group: PlanGroup) -> UndoResult:
    with unit_of_work(factory, group) as uow:
        result = UndoService(uow).undo()
        uow.commit()
    return result


def redo(factory: Factory, group: PlanGroup) -> UndoResult:
    with unit_of_work(factory, group) as uow:
        result = UndoService(uow).redo()
        uow.commit()
    return result


def reason(factory: Factory, group: PlanGroup) -> str:
    """Return the reason why an undo is refused, which writes nothing."""
    before = dump(factory, group.id)
    with unit_of_work(factory, group) as uow:
        with pytest.raises(UndoNotPossibleError) as refused:
            UndoService(uow).undo()
        uow.commit()
    assert dump(factory, group.id) == before
    return refused.value.reason


def records(factory: Factory, group: PlanGroup) -> dict[int, tuple[bool, str | None]]:
    """Return whether each run can be undone, and who requested it."""
    with factory() as session:
        found = session.execute(
            sa.text(
                "SELECT number, made_ids IS NOT NULL, requested_by FROM studyplan.plan_generations "
                "WHERE group_id = :id ORDER BY number"
            ),
            {"id": group.id},
        )
        return {number: (is_open, requested_by) for number, is_open, requested_by in found}


def state(factory: Factory, group: PlanGroup) -> list[dict[str, Any]]:
    """Return all columns of the live plans, except those that follow the calendar."""
    return [
        {name: value for name, value in columns(row).items() if name not in CALENDAR}
        for row in live(factory, group)
    ]


def remove(factory: Factory, group: PlanGroup, before: datetime) -> Removed:
    return remove_history(
        factory, tenant_id=group.tenant_id, before=before, group_id=group.id, wait=SHORT
    )


def four_runs(factory: Factory, group: PlanGroup) -> tuple[list[list[dict[str, Any]]], datetime]:
    """Generate on four days; return the state after each run, and a time between 2 and 3."""
    states, between = [], datetime.now(UTC)
    for day in range(4):
        if day == 2:
            between = now(factory)
        run(factory, group, day, key=f"{group.id} {day}")
        states.append(state(factory, group))
    return states, between


def live_rows(factory: Factory, group: PlanGroup) -> list[dict[str, Any]]:
    return [columns(row) for row in live(factory, group)]
