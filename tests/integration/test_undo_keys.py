"""Idempotency keys of generations that are undone, of undos, and of the undo of an undo."""

from dataclasses import asdict, fields, replace
from datetime import timedelta
from pprint import pformat

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGenerationService, PlanGroup
from domain.errors import EditedMeanwhileError, IdempotencyMismatchError
from domain.scheduling.types import Allocation
from domain.services.undo import UndoResult, UndoService
from tests.factories import ContentFactory
from tests.integration.storing import FIRST, book_group, dump, live, stored_group
from tests.integration.undoing import Refusal, exclude, finish, generate, redo, state, undo

Factory = sessionmaker[Session]
LATER = FIRST + timedelta(2)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group with two runs, the first with the key ``first``; the second moved and kept plans."""
    strategy = {"allocation": Allocation.STRATEGY, "weekly_days": 3, "last_unit": 60}
    contents = [ContentFactory.build(position=0), ContentFactory.build(position=1, **strategy)]
    group = stored_group(session_factory, contents=contents)
    generate(session_factory, group, idempotency_key="first")
    exclude(session_factory, group, FIRST + timedelta(9))
    return group


def refuse_key(factory: Factory, group: PlanGroup, key: str = "k") -> None:
    """Assert that a repeated request for a generation is refused as edited meanwhile."""
    Refusal(factory, group).of(
        EditedMeanwhileError,
        lambda uow: PlanGenerationService(uow).generate(today=FIRST, idempotency_key=key),
    )


def assert_repeated(
    again: GenerationResult | UndoResult, first: GenerationResult | UndoResult
) -> None:
    """Compare every field that a repeated result has, with its type."""
    assert (first.repeated, again.repeated) == (False, True)
    for item in (item for item in fields(first) if item.compare):
        if item.name != "repeated":
            one, other = getattr(again, item.name), getattr(first, item.name)
            assert pformat(one) == pformat(other), item.name


def test_repeated_undo_answers_again_and_undoes_nothing(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group)
    first = undo(session_factory, group, idempotency_key="u", expected_generation=2)
    before = dump(session_factory, group.id)
    again = undo(session_factory, group, idempotency_key="u", expected_generation=2)
    assert_repeated(again, first)
    assert again.undone == 2
    assert dump(session_factory, group.id) == before


def test_repeated_undo_answers_again_after_a_later_generation(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = undo(session_factory, group, idempotency_key="u")
    generate(session_factory, group, LATER)
    assert_repeated(undo(session_factory, group, idempotency_key="u"), first)


def test_repeated_undo_is_refused_after_a_redo(session_factory: Factory, group: PlanGroup) -> None:
    undo(session_factory, group, idempotency_key="u")
    first = redo(session_factory, group, idempotency_key="r")
    Refusal(session_factory, group).of(
        EditedMeanwhileError, lambda uow: UndoService(uow).undo(idempotency_key="u")
    )
    assert_repeated(redo(session_factory, group, idempotency_key="r"), first)


def test_repeated_generation_is_refused_while_it_is_undone(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = generate(session_factory, group, idempotency_key="k")
    assert first.changes.kept
    assert first.changes.moved
    undo(session_factory, group)
    refuse_key(session_factory, group)
    redo(session_factory, group)
    assert_repeated(generate(session_factory, group, idempotency_key="k"), first)
    undo(session_factory, group)
    refuse_key(session_factory, group)
    generate(session_factory, group)
    refuse_key(session_factory, group)


def test_repeated_generation_answers_again_after_an_earlier_one_was_kept_and_undone(
    session_factory: Factory, group: PlanGroup
) -> None:
    """The undo of a later run does not concern the key of an earlier one."""
    first = generate(session_factory, group, LATER, idempotency_key="k")
    exclude(session_factory, group, FIRST + timedelta(10))
    generate(session_factory, group, LATER)
    undo(session_factory, group)
    assert_repeated(generate(session_factory, group, LATER, idempotency_key="k"), first)


def test_repeated_generation_answers_again_after_later_generations(
    session_factory: Factory, group: PlanGroup
) -> None:
    """Plans that were kept, moved, missed and finished since are those of the first result."""
    first = generate(session_factory, group, LATER, idempotency_key="k")
    for offset in range(3, 7):
        finish(session_factory, group, live(session_factory, group)[2])
        generate(session_factory, group, FIRST + timedelta(offset))
    before = dump(session_factory, group.id)
    assert_repeated(generate(session_factory, group, LATER, idempotency_key="k"), first)
    assert dump(session_factory, group.id) == before


def test_repeated_generation_has_the_calendar_of_today(session_factory: Factory) -> None:
    """The week and cycle of a plan that a later run has kept are updated in place."""
    group = book_group(session_factory, last=7, study_days=2, review_days=0)
    exclude(session_factory, group, FIRST + timedelta(1))
    first = generate(session_factory, group, FIRST + timedelta(2), idempotency_key="k")
    with session_factory.begin() as session:
        found = session.get_one(PlanGroup, (group.tenant_id, group.id))
        found.study_days = 3
    second = generate(session_factory, group, FIRST + timedelta(2))
    assert second.changes.moved == second.changes.new == 0
    again = generate(session_factory, group, FIRST + timedelta(2), idempotency_key="k")
    calendar = {"week", "cycle", "cycle_day"}
    assert [(plan.cycle, plan.cycle_day) for plan in first.plans] != [
        (plan.cycle, plan.cycle_day) for plan in second.plans
    ]
    for one, other, current in zip(first.plans, again.plans, second.plans, strict=True):
        values = {name: value for name, value in asdict(current).items() if name in calendar}
        assert other == replace(one, **values)
    assert again.plan_ids == first.plan_ids


def test_key_is_looked_up_before_the_expected_generation(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = generate(session_factory, group, LATER, idempotency_key="k", expected_generation=1)
    again = generate(session_factory, group, LATER, idempotency_key="k", expected_generation=0)
    assert_repeated(again, first)
    undone = undo(session_factory, group, idempotency_key="u", expected_generation=2)
    assert_repeated(
        undo(session_factory, group, idempotency_key="u", expected_generation=9), undone
    )


def test_key_of_another_operation_is_a_mismatch(session_factory: Factory, group: PlanGroup) -> None:
    refusal = Refusal(session_factory, group)
    refusal.of(IdempotencyMismatchError, lambda uow: UndoService(uow).undo(idempotency_key="first"))
    undo(session_factory, group, idempotency_key="u")
    for call in (
        lambda uow: UndoService(uow).redo(idempotency_key="u"),
        lambda uow: PlanGenerationService(uow).generate(today=FIRST, idempotency_key="u"),
    ):
        refusal.of(IdempotencyMismatchError, call)


def test_key_of_an_undo_of_another_group_is_a_mismatch(
    session_factory: Factory, group: PlanGroup
) -> None:
    other = book_group(session_factory, tenant_id=group.tenant_id)
    generate(session_factory, other)
    undo(session_factory, group, idempotency_key="u")
    Refusal(session_factory, other).of(
        IdempotencyMismatchError, lambda uow: UndoService(uow).undo(idempotency_key="u")
    )


def test_key_is_not_used_up_by_an_undo_that_was_refused(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group, LATER)
    plan = next(row for row in live(session_factory, group) if row.generation == 2)
    finish(session_factory, group, plan)
    Refusal(session_factory, group).undo("plans_changed")
    before = state(session_factory, group)
    exclude(session_factory, group, FIRST + timedelta(11))
    generate(session_factory, group, LATER)
    assert not undo(session_factory, group, idempotency_key="u").repeated
    assert state(session_factory, group) == before
