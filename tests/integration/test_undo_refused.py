"""Undo and redo that are refused: the reason, the plans in the way, and that nothing is written."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    Content,
    GroupStatus,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentPlan,
    UnitOfWork,
)
from domain.errors import (
    EditedMeanwhileError,
    InvalidInputError,
    LockNotHeldError,
    PlanGroupNotFoundError,
    PlanGroupNotGeneratableError,
)
from domain.services import GroupStateService, PlanProgressService
from domain.services.removal import remove_history
from domain.services.undo import UndoService
from tests.factories import ContentFactory
from tests.integration.storing import (
    FIRST,
    book_group,
    change,
    dump,
    live,
    plans,
    stored_group,
    unit_of_work,
)
from tests.integration.undoing import (
    Refusal,
    exclude,
    finish,
    generate,
    in_the_way,
    include,
    progress,
    redo,
    state,
    undo,
)

Factory = sessionmaker[Session]
DAY = FIRST + timedelta(3)
SERVICE = PlanProgressService
Call = Callable[[Factory, PlanGroup, StudentPlan], object]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group whose second run has moved the plans of a day, and kept others."""
    group = book_group(session_factory)
    generate(session_factory, group)
    exclude(session_factory, group, DAY)
    generate(session_factory, group)
    return group


def made(factory: Factory, group: PlanGroup, run: int = 2) -> StudentPlan:
    """Return a live plan that a run made and that can be part done."""
    rows = live(factory, group)
    return next(row for row in rows if row.generation == run and row.first_unit < row.last_unit)


def move(factory: Factory, group: PlanGroup, plan: StudentPlan) -> object:
    return progress(
        factory, group, SERVICE.move, plan, date=plan.date, start_minute=1050, today=FIRST
    )


def overlaps_any(plan: StudentPlan, others: list[StudentPlan]) -> bool:
    return any(
        plan.date == other.date
        and plan.start_minute < other.end_minute
        and other.start_minute < plan.end_minute
        for other in others
    )


def marked(**fields: Any) -> Call:
    return lambda factory, group, plan: progress(factory, group, SERVICE.mark, plan, **fields)


def part_done(factory: Factory, group: PlanGroup, plan: StudentPlan) -> object:
    fields = {"state": PlanState.PART_DONE, "done_through": plan.first_unit}
    return progress(factory, group, SERVICE.mark, plan, **fields)


def pinned_and_unpinned(factory: Factory, group: PlanGroup, plan: StudentPlan) -> object:
    progress(factory, group, SERVICE.pin, plan)
    return progress(factory, group, SERVICE.pin, plan, pinned=False)


CHANGES: dict[str, Call] = {
    "started": marked(state=PlanState.STARTED),
    "done": marked(state=PlanState.DONE),
    "part done": part_done,
    "pinned": lambda factory, group, plan: progress(factory, group, SERVICE.pin, plan),
    "pinned and unpinned": pinned_and_unpinned,
    "moved": move,
    "missed": lambda factory, group, plan: progress(factory, group, SERVICE.mark_missed, plan),
}


@pytest.mark.parametrize("name", CHANGES)
def test_undo_is_refused_after_a_change_of_a_plan_that_the_run_made(
    session_factory: Factory, group: PlanGroup, name: str
) -> None:
    plan = made(session_factory, group)
    CHANGES[name](session_factory, group, plan)
    refused = Refusal(session_factory, group).undo("plans_changed")
    assert refused.generation == 2
    in_the_way(refused, [plan])


@pytest.mark.parametrize("name", CHANGES)
def test_redo_is_refused_after_a_change_of_a_plan_that_came_back(
    session_factory: Factory, group: PlanGroup, name: str
) -> None:
    replaced = {row.id for row in plans(session_factory, group, retired_in=2)}
    undo(session_factory, group)
    plan = next(
        row for row in live(session_factory, group) if row.id in replaced and row.date != DAY
    )
    CHANGES[name](session_factory, group, plan)
    refused = Refusal(session_factory, group).undo("plans_changed", redo=True)
    assert refused.generation == 3
    in_the_way(refused, [plan])


def test_undo_names_all_plans_that_were_changed(session_factory: Factory, group: PlanGroup) -> None:
    changed = [row for row in live(session_factory, group) if row.generation == 2][:3]
    for plan in changed:
        finish(session_factory, group, plan)
    finish(session_factory, group, made(session_factory, group, run=1))
    in_the_way(Refusal(session_factory, group).undo("plans_changed"), changed)


def test_undo_is_refused_while_another_group_occupies_the_time(
    session_factory: Factory, group: PlanGroup
) -> None:
    ids: dict[str, Any] = {"tenant_id": group.tenant_id, "student_id": group.student_id}
    other = book_group(session_factory, last=10, **ids)
    generate(session_factory, other)
    returning = plans(session_factory, group, retired_in=2)
    others = [row for row in live(session_factory, other) if overlaps_any(row, returning)]
    assert others
    in_the_way(Refusal(session_factory, group).undo("time_occupied"), others)
    undo(session_factory, other)
    undo(session_factory, group)
    assert {row.id for row in returning} <= state(session_factory, group).keys()


def test_undo_is_refused_while_a_plan_of_the_group_occupies_the_time(
    session_factory: Factory, group: PlanGroup
) -> None:
    """A plan that the run kept was moved by hand to where a plan would return."""
    kept = made(session_factory, group, run=1)
    (returning, *_) = plans(session_factory, group, retired_in=2, date=FIRST + timedelta(4))
    (blocking, *_) = [row for row in live(session_factory, group) if row.date == returning.date]
    assert blocking.generation == 2
    progress(
        session_factory, group, SERVICE.move, kept,
        date=returning.date, start_minute=blocking.end_minute, today=FIRST,
    )  # fmt: skip
    (moved,) = [row for row in live(session_factory, group) if row.lineage == kept.lineage]
    assert moved.start_minute < returning.end_minute
    in_the_way(Refusal(session_factory, group).undo("time_occupied"), [moved])


def test_redo_is_refused_while_units_are_planned_twice(session_factory: Factory) -> None:
    """A plan that was part done is finished after the run that planned the rest was undone."""
    group = book_group(session_factory)
    generate(session_factory, group)
    plan = made(session_factory, group, run=1)
    part_done(session_factory, group, plan)
    generate(session_factory, group)
    undo(session_factory, group)
    finish(session_factory, group, plan)
    refused = Refusal(session_factory, group).undo("plans_changed", redo=True)
    in_the_way(refused, [plan])


def test_undo_is_refused_while_units_are_planned_twice(session_factory: Factory) -> None:
    """The run has left out the rest of a plan that was part done and is finished later."""
    today = FIRST + timedelta(1)
    contents = [ContentFactory.build(position=n, last_unit=5) for n in range(2)]
    group = stored_group(session_factory, contents=contents, period_end=today, review_days=0)
    generate(session_factory, group)
    plan = live(session_factory, group)[0]
    part_done(session_factory, group, plan)
    generate(session_factory, group, today)
    with session_factory.begin() as session:
        content = session.get_one(Content, (group.tenant_id, plan.content_id))
        content.deadline = today
    left_out = {unplaced.content for unplaced in generate(session_factory, group, today).unplaced}
    assert left_out == {content.position for content in contents if content.id == plan.content_id}
    finish(session_factory, group, plan)
    in_the_way(Refusal(session_factory, group).undo("plans_changed"), [plan])


def test_undo_is_refused_if_there_is_nothing_to_undo(session_factory: Factory) -> None:
    group = book_group(session_factory)
    refusal = Refusal(session_factory, group)
    assert refusal.undo("nothing_to_undo").generation is None
    assert refusal.undo("nothing_to_redo", redo=True).plans == ()
    generate(session_factory, group)
    generate(session_factory, group)
    refusal.undo("nothing_to_redo", redo=True)
    undo(session_factory, group)
    refusal.undo("nothing_to_undo")
    redo(session_factory, group)
    refusal.undo("nothing_to_redo", redo=True)


def test_redo_is_refused_after_another_run_has_changed_plans(
    session_factory: Factory, group: PlanGroup
) -> None:
    undo(session_factory, group)
    exclusion = exclude(session_factory, group, DAY + timedelta(1))
    generate(session_factory, group)
    refusal = Refusal(session_factory, group)
    refusal.undo("nothing_to_redo", redo=True)
    include(session_factory, group, exclusion)
    undo(session_factory, group)
    assert redo(session_factory, group).undone == 5, "the undo of the later run"
    undo(session_factory, group)
    assert redo(session_factory, group).undone == 7
    refusal.undo("nothing_to_redo", redo=True)


@pytest.mark.parametrize("is_redo", [False, True], ids=["undo", "redo"])
def test_undo_is_refused_after_the_history_was_removed(
    session_factory: Factory, group: PlanGroup, *, is_redo: bool
) -> None:
    if is_redo:
        undo(session_factory, group)
    remove_history(
        session_factory,
        tenant_id=group.tenant_id,
        group_id=group.id,
        before=datetime.now(UTC) + timedelta(days=1),
    )
    refused = Refusal(session_factory, group).undo("history_removed", redo=is_redo)
    assert refused.generation == (3 if is_redo else 2)


@pytest.mark.parametrize(
    "status", [GroupStatus.DRAFT, GroupStatus.PAUSED, GroupStatus.COMPLETED, GroupStatus.CANCELLED]
)
def test_undo_is_refused_in_a_group_that_cannot_be_generated(
    session_factory: Factory, group: PlanGroup, status: GroupStatus
) -> None:
    change(session_factory, group, status=status)
    refusal = Refusal(session_factory, group)
    refusal.of(PlanGroupNotGeneratableError, lambda uow: UndoService(uow).undo())
    refusal.of(PlanGroupNotGeneratableError, lambda uow: UndoService(uow).redo())


def test_undo_is_possible_in_an_active_group(session_factory: Factory, group: PlanGroup) -> None:
    with unit_of_work(session_factory, group) as uow:
        GroupStateService(uow).change(to=GroupStatus.ACTIVE)
        uow.commit()
    assert undo(session_factory, group).undone == 2


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_undo_is_refused_unless_the_caller_has_read_the_last_run(
    session_factory: Factory, group: PlanGroup, expected: int
) -> None:
    Refusal(session_factory, group).of(
        EditedMeanwhileError, lambda uow: UndoService(uow).undo(expected_generation=expected)
    )
    assert undo(session_factory, group, expected_generation=2).generation == 3
    Refusal(session_factory, group).of(
        EditedMeanwhileError, lambda uow: UndoService(uow).redo(expected_generation=2)
    )
    assert redo(session_factory, group, expected_generation=3).generation == 4


INVALID: list[dict[str, Any]] = [
    {"expected_generation": -1},
    {"expected_generation": "2"},
    {"idempotency_key": ""},
    {"requested_by": "x\0"},
    {"group_id": "x"},
]


@pytest.mark.parametrize("options", INVALID, ids=str)
def test_undo_refuses_invalid_input(
    session_factory: Factory, group: PlanGroup, options: dict[str, Any]
) -> None:
    refused = Refusal(session_factory, group).of(
        InvalidInputError, lambda uow: UndoService(uow).undo(**options)
    )
    assert isinstance(refused, InvalidInputError)
    assert refused.field == next(iter(options))


def test_undo_requires_the_lock_of_the_group(session_factory: Factory, group: PlanGroup) -> None:
    before = dump(session_factory, group.id)
    locks = [
        (PlanGroupLock(group.tenant_id, uuid4()), LockNotHeldError),
        (PlanGroupLock(group.tenant_id, group.id, shared=True), LockNotHeldError),
        (PlanGroupLock(uuid4(), group.id), PlanGroupNotFoundError),
    ]
    for lock, error in locks:
        with pytest.raises(error), UnitOfWork(session_factory, lock=lock) as uow:
            UndoService(uow).undo(group_id=group.id)
    assert dump(session_factory, group.id) == before
