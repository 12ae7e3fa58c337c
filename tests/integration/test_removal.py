"""Removal of old history: what goes, what stays, and what can still be undone."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import InvalidInputError, PlanGroup, PlanState
from domain.errors import PlanGroupNotFoundError
from domain.repositories import HistoryRepository
from domain.services.removal import Removed, remove_history
from tests.integration.removing import (
    CALENDAR,
    SHORT,
    four_runs,
    live_rows,
    now,
    reason,
    records,
    redo,
    remove,
    run,
    state,
    undo,
)
from tests.integration.storing import FIRST, book_group, done_by, dump, live, mark, plans

Factory = sessionmaker[Session]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group without a review day, each of whose runs on a later day replaces all plans."""
    return book_group(session_factory, review_days=0)


def test_history_before_an_instant_is_removed_and_the_live_plans_stay(
    session_factory: Factory, group: PlanGroup
) -> None:
    _, between = four_runs(session_factory, group)
    current = dump(session_factory, group.id)["plan_groups"], live_rows(session_factory, group)
    old = [plan for plan in plans(session_factory, group, live=False) if plan.retired_in == 2]
    removed = remove(session_factory, group, between)
    assert removed == Removed(groups=0, plans=len(old), runs=1)
    assert [plan.retired_in for plan in plans(session_factory, group, generation=2)] != []
    assert {plan.retired_in for plan in plans(session_factory, group, live=False)} == {3, 4}
    # Plans that the second run made are still stored, but not who requested it.
    assert records(session_factory, group) == {2: (False, None), 3: (True, "A"), 4: (True, "A")}
    assert current == (
        dump(session_factory, group.id)["plan_groups"],
        live_rows(session_factory, group),
    )
    assert remove(session_factory, group, between) == Removed()


def test_undo_reaches_back_exactly_as_far_as_the_history_is_kept(
    session_factory: Factory, group: PlanGroup
) -> None:
    states, between = four_runs(session_factory, group)
    remove(session_factory, group, between)
    for before in (states[2], states[1]):
        undo(session_factory, group)
        assert state(session_factory, group) == before
    assert reason(session_factory, group) == "history_removed"
    for after in (states[2], states[3]):
        redo(session_factory, group)
        assert state(session_factory, group) == after


def test_undo_of_a_run_before_the_instant_can_be_taken_back(
    session_factory: Factory, group: PlanGroup
) -> None:
    """The undo itself is later, so the plans that it retired are still stored."""
    states = [
        (run(session_factory, group, day), state(session_factory, group))[1] for day in (0, 1)
    ]
    between = now(session_factory)
    undo(session_factory, group)
    assert state(session_factory, group) == states[0]
    remove(session_factory, group, between)
    redo(session_factory, group)
    assert state(session_factory, group) == states[1]
    assert reason(session_factory, group) == "history_removed"


def test_plans_after_a_run_are_still_returned_exactly_if_the_run_is_kept(
    session_factory: Factory, group: PlanGroup
) -> None:
    states, between = four_runs(session_factory, group)
    remove(session_factory, group, between)
    with session_factory() as session:
        history = HistoryRepository(session, group.tenant_id)
        for number in (3, 4):
            found = [plan.id for plan in history.as_of(group.id, number)]
            assert found == [row["id"] for row in states[number - 1]]
        for number in (1, 2):
            with pytest.raises(InvalidInputError, match="still stored"):
                history.as_of(group.id, number)
        assert [entry.number for entry in history.runs(group.id)] == [4, 3, 2]


def test_idempotency_keys_of_removed_runs_are_forgotten_and_others_are_not(
    session_factory: Factory, group: PlanGroup
) -> None:
    _, between = four_runs(session_factory, group)
    remove(session_factory, group, between)
    assert run(session_factory, group, 3, key=f"{group.id} 3").repeated
    assert run(session_factory, group, 2, key=f"{group.id} 2").repeated
    for number, day in ((5, 1), (6, 0)):
        again = run(session_factory, group, day, key=f"{group.id} {day}")
        assert (again.generation, again.repeated) == (number, False)


def test_removal_until_now_keeps_only_the_live_plans_and_the_runs_that_made_them(
    session_factory: Factory, group: PlanGroup
) -> None:
    run(session_factory, group, 0)
    mark(session_factory, live(session_factory, group)[0], **done_by(PlanState.DONE))
    for day in (1, 2, 3):
        run(session_factory, group, day)
    before = live_rows(session_factory, group)
    makers = {row["generation"] for row in before}
    assert {1, 4} <= makers < {1, 2, 3, 4}
    remove(session_factory, group, now(session_factory))
    assert plans(session_factory, group, live=False) == []
    assert live_rows(session_factory, group) == before
    assert records(session_factory, group) == dict.fromkeys(sorted(makers), (False, None))
    assert reason(session_factory, group) == "history_removed"
    assert run(session_factory, group, 4).generation == 5
    undo(session_factory, group)
    assert state(session_factory, group) == [
        {name: value for name, value in row.items() if name not in CALENDAR} for row in before
    ]


def test_plans_that_were_moved_or_missed_by_hand_before_the_instant_are_removed(
    session_factory: Factory, group: PlanGroup
) -> None:
    run(session_factory, group, 0)
    first = live(session_factory, group)[0]
    mark(session_factory, first, live=False, retired_as="missed")
    between = now(session_factory)
    second = live(session_factory, group)[0]
    mark(session_factory, second, live=False, retired_as="moved")
    assert remove(session_factory, group, between).plans == 1
    assert [row.id for row in plans(session_factory, group, live=False)] == [second.id]


def test_group_id_limits_the_removal_to_one_group_and_otherwise_the_tenant_does(
    session_factory: Factory, group: PlanGroup
) -> None:
    neighbour = book_group(session_factory, tenant_id=group.tenant_id)
    foreign = book_group(session_factory)
    for one in (group, neighbour, foreign):
        for day in (0, 1):
            run(session_factory, one, day)
    kept = {one.id: dump(session_factory, one.id) for one in (neighbour, foreign)}
    removed = remove(session_factory, group, now(session_factory))
    assert removed.plans
    assert {one.id: dump(session_factory, one.id) for one in (neighbour, foreign)} == kept
    again = remove_history(
        session_factory, tenant_id=group.tenant_id, before=now(session_factory), wait=SHORT
    )
    assert again.plans == len(kept[neighbour.id]["student_plans"]) - len(
        live(session_factory, neighbour)
    )
    assert dump(session_factory, foreign.id) == kept[foreign.id]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("before", None),
        ("before", "2025-01-06"),
        ("before", FIRST),
        ("before", datetime(2025, 1, 6)),  # noqa: DTZ001 - the missing time zone is refused
        ("tenant_id", "tenant"),
        ("group_id", "group"),
    ],
)
def test_removal_names_the_argument_that_is_invalid_and_removes_nothing(
    session_factory: Factory, group: PlanGroup, field: str, value: Any
) -> None:
    for day in (0, 1):
        run(session_factory, group, day)
    before = dump(session_factory, group.id)
    arguments = {"tenant_id": group.tenant_id, "group_id": group.id, "before": datetime.now(UTC)}
    with pytest.raises(InvalidInputError) as refused:
        remove_history(session_factory, **{**arguments, field: value})
    assert refused.value.field == field
    assert dump(session_factory, group.id) == before


def test_removal_for_an_unknown_group_raises_not_found(
    session_factory: Factory, group: PlanGroup
) -> None:
    with pytest.raises(PlanGroupNotFoundError):
        remove_history(
            session_factory, tenant_id=group.tenant_id, before=datetime.now(UTC), group_id=uuid4()
        )
