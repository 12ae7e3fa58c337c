"""An undo does not return plans whose units a mark has given to another plan in the meantime."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanState
from domain.errors import UndoNotPossibleError
from domain.services import PlanProgressService
from domain.services.undo import UndoResult, UndoService
from tests.integration.storing import FIRST, book_group, generate, live, traces, unit_of_work

Factory = sessionmaker[Session]


def take_back(
    factory: Factory, group: PlanGroup, call: Callable[[UndoService], UndoResult]
) -> UndoResult:
    with unit_of_work(factory, group) as uow:
        result = call(UndoService(uow))
        uow.commit()
    return result


def mark(factory: Factory, group: PlanGroup, state: PlanState, through: int | None = None) -> None:
    """Mark the group's first live plan."""
    plan = live(factory, group)[0]
    with unit_of_work(factory, group) as uow:
        PlanProgressService(uow).mark(
            plan_id=plan.id, expected_version=plan.version, state=state, done_through=through
        )
        uow.commit()


def test_redo_is_refused_if_units_of_its_plans_were_marked_as_done_since(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = book_group(session_factory)
    generate(session_factory, group)
    first = live(session_factory, group)[0]
    mark(session_factory, group, PlanState.PART_DONE, first.first_unit)
    generate(session_factory, group, FIRST + timedelta(1))
    take_back(session_factory, group, UndoService.undo)
    mark(session_factory, group, PlanState.DONE)
    before = traces(engine, group.id)
    with pytest.raises(UndoNotPossibleError) as refused:
        take_back(session_factory, group, UndoService.redo)
    assert (refused.value.reason, refused.value.generation) == ("plans_changed", 3)
    assert [plan.plan_id for plan in refused.value.plans] == [first.id]
    assert traces(engine, group.id) == before
