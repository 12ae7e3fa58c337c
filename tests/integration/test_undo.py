"""Undo and redo: the plans before and after each run, and what the history says about them."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanState, StudentPlan
from domain.errors import UndoNotPossibleError
from domain.models.plan import RetiredAs, RunKind
from domain.scheduling.difference import PlanChanges
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Allocation, Request
from domain.services import PlanProgressService
from tests.factories import ContentFactory
from tests.integration.storing import (
    FIRST,
    book_group,
    columns,
    live,
    plans,
    stored_group,
    with_computation,
)
from tests.integration.undoing import (
    State,
    as_of,
    changes_between,
    exclude,
    finish,
    generate,
    include,
    places,
    progress,
    redo,
    retired,
    runs,
    state,
    undo,
)

Factory = sessionmaker[Session]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group with a weakness and a strategy book, and with reviews."""
    strategy = {"allocation": Allocation.STRATEGY, "weekly_days": 3, "last_unit": 60}
    contents = [ContentFactory.build(position=0), ContentFactory.build(position=1, **strategy)]
    return stored_group(session_factory, contents=contents)


def test_undo_of_the_first_generation_leaves_no_live_plan(session_factory: Factory) -> None:
    group = book_group(session_factory)
    plans = len(generate(session_factory, group).plans)
    result = undo(session_factory, group)
    assert (result.generation, result.undone) == (2, 1)
    assert result.changes == PlanChanges(kept=0, moved=0, new=0, dropped=plans)
    assert live(session_factory, group) == []


def test_undo_restores_all_columns_except_the_calendar(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group)
    exclusion = exclude(session_factory, group, FIRST + timedelta(2))
    before, at_rest = state(session_factory, group), retired(session_factory, group)
    generate(session_factory, group, FIRST + timedelta(1))
    made = state(session_factory, group)
    assert changes_between(before, made).moved
    assert changes_between(before, made).kept
    undo(session_factory, group)
    assert state(session_factory, group) == before
    assert at_rest == {}
    rest = retired(session_factory, group)
    assert rest.keys() == made.keys() - before.keys()
    assert {(row["retired_as"], row["retired_in"]) for row in rest.values()} == {
        (RetiredAs.UNDONE, 3)
    }
    include(session_factory, group, exclusion)
    redo(session_factory, group)
    assert state(session_factory, group) == made
    assert {row["retired_in"] for row in retired(session_factory, group).values()} == {2}


def test_undo_leaves_earlier_retired_plans_as_they_are(
    session_factory: Factory, group: PlanGroup
) -> None:
    for offset in range(3):
        generate(session_factory, group, FIRST + timedelta(offset))
    last = {row.id for row in plans(session_factory, group, retired_in=3)}
    before = {id_: row for id_, row in retired(session_factory, group).items() if id_ not in last}
    assert len(before) > 2
    undo(session_factory, group)
    after = retired(session_factory, group)
    assert {id_: after[id_] for id_ in before} == before


def test_redo_retires_plans_for_the_reason_that_they_had(
    session_factory: Factory, group: PlanGroup
) -> None:
    def reasons() -> dict[Any, tuple[Any, Any]]:
        found = retired(session_factory, group)
        return {id_: (row["retired_as"], row["retired_in"]) for id_, row in found.items()}

    generate(session_factory, group)
    exclude(session_factory, group, FIRST + timedelta(4))
    generate(session_factory, group, FIRST + timedelta(2))
    before = reasons()
    assert {reason for reason, _ in before.values()} == {RetiredAs.MISSED, RetiredAs.REPLACED}
    undo(session_factory, group)
    redo(session_factory, group)
    assert reasons() == before


def seven_runs(factory: Factory, group: PlanGroup) -> list[State]:
    """Generate on seven days; return the states before the first run and after each."""
    states = [state(factory, group)]
    for offset in range(7):
        generate(factory, group, FIRST + timedelta(offset))
        states.append(state(factory, group))
    return states


def test_seven_runs_are_undone_one_after_the_other_and_redone(
    session_factory: Factory, group: PlanGroup
) -> None:
    states = seven_runs(session_factory, group)
    assert all(before != after for before, after in pairwise(states))
    history = list(states)

    def take_back(expected: State, result: Any) -> None:
        assert state(session_factory, group) == expected
        assert result.changes == changes_between(history[-1], expected)
        history.append(expected)
        assert result.generation == len(history) - 1

    for before in reversed(states[:-1]):
        take_back(before, undo(session_factory, group))
    with pytest.raises(UndoNotPossibleError):
        undo(session_factory, group)
    for after in states[1:]:
        take_back(after, redo(session_factory, group))
    with pytest.raises(UndoNotPossibleError):
        redo(session_factory, group)
    for before in reversed(states[:-1]):
        take_back(before, undo(session_factory, group))
    assert len(history) == 1 + 4 * 7
    for number, expected in enumerate(history[1:], 1):
        assert as_of(session_factory, group, number) == places(expected)


def test_history_counts_what_each_run_changed(session_factory: Factory, group: PlanGroup) -> None:
    states = seven_runs(session_factory, group)
    for _ in range(2):
        undo(session_factory, group)
        states.append(state(session_factory, group))
    redo(session_factory, group)
    states.append(state(session_factory, group))
    found = runs(session_factory, group)
    pairs = pairwise(states)
    assert [run.changes for run in found] == [changes_between(*pair) for pair in pairs]
    assert [(run.kind, run.undoes, run.undone_in) for run in found[5:]] == [
        (RunKind.GENERATED, None, None),
        (RunKind.GENERATED, None, 8),
        (RunKind.UNDONE, 7, None),
        (RunKind.UNDONE, 6, 10),
        (RunKind.UNDONE, 9, None),
    ]


def test_runs_are_undone_although_other_plans_were_marked_and_moved(
    session_factory: Factory, group: PlanGroup
) -> None:
    """Each day a plan of the first run is finished, and another one is moved by hand."""
    factory = session_factory
    generate(factory, group)
    before: dict[int, State] = {}
    after: dict[int, State] = {}
    by_hand: list[tuple[int, Any, dict[str, Any]]] = []
    for offset in range(5):
        number, today = offset + 2, FIRST + timedelta(offset)
        first_run = [row for row in live(factory, group) if row.generation == row.version == 1]
        changed = [(row.id, row.id) for row in first_run[:1]]
        for row in first_run[:1]:
            finish(factory, group, row)
        for row in first_run[2:][-1:]:
            to = {"date": row.date, "start_minute": 16 * 60, "today": today}
            new = progress(factory, group, PlanProgressService.move, row, **to)
            assert new is not None
            changed.append((row.id, new.id))
        current = state(factory, group)
        by_hand += [(number - 1, old, current[new]) for old, new in changed]
        exclude(factory, group, FIRST + timedelta(offset + 5))
        before[number] = state(factory, group)
        generate(factory, group, today)
        after[number] = state(factory, group)
        assert changes_between(before[number], after[number]).moved

    assert [old for _, old, row in by_hand if old != row["id"]], "a plan was moved by hand"

    def later(number: int, expected: State) -> State:
        """Return a state with what was changed by hand from a run on."""
        found = dict(expected)
        for run, id_, row in by_hand:
            if run >= number and found.pop(id_, None) is not None:
                found[row["id"]] = row
        return found

    for number in range(6, 1, -1):
        undo(factory, group)
        assert state(factory, group) == later(number, before[number])
    for number in range(2, 7):
        redo(factory, group)
        assert state(factory, group) == later(number, after[number])
    for number in range(2, 7):
        assert as_of(factory, group, number) == places(after[number])


def test_undo_restores_what_was_marked_on_missed_plans(
    session_factory: Factory, group: PlanGroup
) -> None:
    """Started and pinned plans whose day is past are missed, and come back as they were."""
    generate(session_factory, group)
    started, pinned, *_ = live(session_factory, group)
    assert pinned.date == FIRST + timedelta(1)
    service = PlanProgressService
    progress(session_factory, group, service.mark, started, state=PlanState.STARTED)
    progress(session_factory, group, service.pin, pinned)
    before = state(session_factory, group)
    assert {row["version"] for row in before.values()} == {1, 2}
    generate(session_factory, group, FIRST + timedelta(2))
    after = state(session_factory, group)
    assert {started.id, pinned.id}.isdisjoint(after)
    undo(session_factory, group)
    assert state(session_factory, group) == before
    redo(session_factory, group)
    assert state(session_factory, group) == after


def test_undo_restores_a_piece_of_a_unit_whose_other_piece_was_kept(
    session_factory: Factory,
) -> None:
    """Pieces of a unit may be live together, although both have the unit."""
    content = ContentFactory.build(position=0, last_unit=1, minutes_per_unit=700)
    last = FIRST + timedelta(2)
    group = stored_group(session_factory, contents=[content], period_end=last, review_days=0)
    generate(session_factory, group)
    before = state(session_factory, group)
    assert {row["parts"] for row in before.values()} == {len(before)} != {1}

    def later(request: Request) -> Schedule:
        """Move the last piece by half an hour."""
        found = schedule(request)
        *others, last = found.plans
        start, end = last.start_minute + 30, last.end_minute + 30
        moved = replace(last, start_minute=start, end_minute=end)
        return replace(found, plans=(*others, moved))

    with_computation(session_factory, group, later, FIRST)
    changes = changes_between(before, state(session_factory, group))
    assert changes == PlanChanges(kept=len(before) - 1, moved=1)
    undo(session_factory, group)
    assert state(session_factory, group) == before


def test_undo_skips_runs_that_changed_nothing(session_factory: Factory, group: PlanGroup) -> None:
    generate(session_factory, group)
    before = state(session_factory, group)
    exclude(session_factory, group, FIRST + timedelta(3))
    for _ in range(4):
        generate(session_factory, group)
    assert [run.changes.moved > 0 for run in runs(session_factory, group)[1:]] == [
        True,
        False,
        False,
        False,
    ]
    assert undo(session_factory, group).undone == 2
    assert state(session_factory, group) == before
    assert undo(session_factory, group).undone == 1
    assert state(session_factory, group) == {}


def test_redo_is_possible_after_a_run_that_changed_nothing(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group)
    exclusion = exclude(session_factory, group, FIRST + timedelta(3))
    generate(session_factory, group)
    made = state(session_factory, group)
    undo(session_factory, group)
    include(session_factory, group, exclusion)
    again = generate(session_factory, group)
    assert again.changes == PlanChanges(kept=len(again.plans))
    assert redo(session_factory, group).undone == 3
    assert state(session_factory, group) == made


def test_undo_keeps_marks_on_plans_that_the_run_did_not_make(
    session_factory: Factory, group: PlanGroup
) -> None:
    generate(session_factory, group)
    exclude(session_factory, group, FIRST + timedelta(9))
    generate(session_factory, group)
    older = next(row for row in live(session_factory, group) if row.generation == 1)
    finish(session_factory, group, older)
    marked = columns(plans(session_factory, group, id=older.id)[0])
    undo(session_factory, group)
    assert columns(plans(session_factory, group, id=older.id)[0]) == marked


def test_undone_group_is_generated_again_like_before(
    session_factory: Factory, group: PlanGroup
) -> None:
    first = generate(session_factory, group)
    undo(session_factory, group)
    again = generate(session_factory, group)
    assert again.plans == first.plans
    assert set(again.plan_ids).isdisjoint(first.plan_ids)
    assert set(again.lineages).isdisjoint(first.lineages)
    assert undo(session_factory, group).undone == 3


def test_history_returns_the_plans_of_a_run_in_their_current_state(
    session_factory: Factory, group: PlanGroup
) -> None:
    day: date = FIRST + timedelta(3)
    generate(session_factory, group)
    before = state(session_factory, group)
    row: StudentPlan = live(session_factory, group)[0]
    finish(session_factory, group, row)
    exclude(session_factory, group, day)
    generate(session_factory, group)
    assert as_of(session_factory, group, 1) == places(before)
    assert as_of(session_factory, group, 2) == places(state(session_factory, group))
