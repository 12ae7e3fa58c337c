"""Undos that overlap in time: with each other, with generations, and with other groups."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import EditedMeanwhileError, UndoNotPossibleError
from domain.services.undo import UndoResult, UndoService
from domain.testing import contend
from domain.testing.contention import advisory_locks
from tests.concurrency.overlapping import LONG, Hold, repeatedly, run_simultaneously
from tests.integration.storing import FIRST, book_group, traces
from tests.integration.storing import generate as generate_holding
from tests.integration.undoing import exclude, generate, redo, state, undo

Factory = sessionmaker[Session]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group whose second run has changed plans."""
    group = book_group(session_factory)
    generate(session_factory, group)
    exclude(session_factory, group, FIRST + timedelta(3))
    generate(session_factory, group)
    return group


def undo_holding(
    factory: Factory, group: PlanGroup, hold: Hold, wait: timedelta | None = None, **options: Any
) -> UndoResult:
    lock = PlanGroupLock(group.tenant_id, group.id, wait=wait)
    with UnitOfWork(factory, lock=lock) as uow:
        result = UndoService(uow).undo(**options)
        hold()
        uow.commit()
    return result


@repeatedly
def test_undo_succeeds_in_one_of_two_requests_and_the_other_gets_a_409_problem(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = book_group(session_factory)
    generate(session_factory, group)
    before = state(session_factory, group)
    exclude(session_factory, group, FIRST + timedelta(3))
    generate(session_factory, group)
    answers = contend(2, lambda hold: undo_holding(session_factory, group, hold))
    (result,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert refusal.to_problem()["status"] == 409
    assert (result.generation, result.undone) == (3, 2)
    assert state(session_factory, group) == before
    assert traces(engine, group.id)[0] == 3
    assert advisory_locks(engine) == 0


@repeatedly
def test_undo_and_a_simultaneous_generation_do_not_mix(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    exclude(session_factory, group, FIRST + timedelta(4))
    before = state(session_factory, group)
    answers = run_simultaneously(
        lambda hold: undo_holding(session_factory, group, hold),
        lambda hold: generate_holding(session_factory, group, hold=hold),
    )
    (winner,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert winner.generation == traces(engine, group.id)[0] == 3
    after = state(session_factory, group)
    assert after != before
    undo_or_redo = redo if isinstance(winner, UndoResult) else undo
    undo_or_redo(session_factory, group)
    assert state(session_factory, group) == before


def test_undo_that_has_waited_for_another_one_undoes_the_run_before(
    session_factory: Factory, group: PlanGroup
) -> None:
    answers = contend(2, lambda hold: undo_holding(session_factory, group, lambda: None, LONG))
    assert sorted(result.undone for result in answers.results) == [1, 2]
    assert state(session_factory, group) == {}


def test_undo_that_has_waited_is_refused_if_it_expected_the_run_to_be_the_last(
    session_factory: Factory, group: PlanGroup
) -> None:
    answers = contend(
        2,
        lambda hold: undo_holding(
            session_factory, group, lambda: None, LONG, expected_generation=2
        ),
    )
    assert [result.undone for result in answers.results] == [2]
    (refusal,) = answers.refusals
    assert isinstance(refusal, EditedMeanwhileError)


def test_undo_with_the_same_key_is_answered_once(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    key = str(uuid4())
    answers = contend(
        4,
        lambda hold: undo_holding(session_factory, group, lambda: None, LONG, idempotency_key=key),
    )
    assert sorted(result.repeated for result in answers.results) == [False, True, True, True]
    assert {result.undone for result in answers.results} == {2}
    assert traces(engine, group.id)[0] == 3


@repeatedly
def test_undo_is_refused_while_another_group_of_the_student_generates(
    session_factory: Factory, group: PlanGroup
) -> None:
    """Both would occupy the same time; the one that comes second finds it taken, or waits."""
    ids: dict[str, Any] = {"tenant_id": group.tenant_id, "student_id": group.student_id}
    other = book_group(session_factory, last=10, **ids)
    answers = run_simultaneously(
        lambda hold: undo_holding(session_factory, group, hold),
        lambda hold: generate_holding(session_factory, other, hold=hold),
    )
    (_,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    if state(session_factory, other):
        with pytest.raises(UndoNotPossibleError) as refused:
            undo(session_factory, group)
        assert refused.value.reason == "time_occupied"
        assert {plan.group_id for plan in refused.value.plans} == {other.id}
