"""The runs of a group, as the history returns them."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import InvalidInputError, PlanGroup
from domain.models.plan import RunKind
from domain.repositories import HistoryRepository
from domain.repositories.history import MAX_RUNS, Run
from domain.scheduling.difference import PlanChanges
from tests.integration.asking import counted
from tests.integration.removing import now, redo, run, undo
from tests.integration.storing import book_group

Factory = sessionmaker[Session]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group without a review day, each of whose runs on a later day replaces all plans."""
    return book_group(session_factory, review_days=0)


def runs(factory: Factory, group: PlanGroup, **options: Any) -> list[Run]:
    with factory() as session:
        return HistoryRepository(session, group.tenant_id).runs(group.id, **options)


def numbers(factory: Factory, group: PlanGroup, **options: Any) -> list[int]:
    return [entry.number for entry in runs(factory, group, **options)]


def test_runs_are_returned_newest_first_with_what_they_changed(
    session_factory: Factory, group: PlanGroup
) -> None:
    start = now(session_factory)
    first = run(session_factory, group, 0)
    same = run(session_factory, group, 0)
    last = run(session_factory, group, 1)
    end = now(session_factory)
    found = runs(session_factory, group)
    assert [(entry.number, entry.kind) for entry in found] == [
        (number, RunKind.GENERATED) for number in (3, 2, 1)
    ]
    assert [entry.changes for entry in found] == [last.changes, same.changes, first.changes]
    assert first.changes == PlanChanges(new=len(first.plans))
    assert same.changes == PlanChanges(kept=len(first.plans))
    assert last.changes.moved + last.changes.dropped == len(first.plans)
    assert {(entry.requested_by, entry.undoes, entry.undone_in) for entry in found} == {
        ("A", None, None)
    }
    times = [entry.at for entry in reversed(found)]
    assert times == sorted(times)
    assert start < times[0]
    assert times[-1] < end


def test_runs_say_which_run_was_undone_by_which(session_factory: Factory, group: PlanGroup) -> None:
    for day in (0, 1):
        run(session_factory, group, day)
    made = runs(session_factory, group)[0].changes
    undo(session_factory, group)
    undone, generated, _ = runs(session_factory, group)
    assert (undone.number, undone.kind, undone.undoes) == (3, RunKind.UNDONE, 2)
    assert (generated.number, generated.undone_in) == (2, 3)
    assert undone.requested_by is None
    assert undone.changes == PlanChanges(
        kept=made.kept, moved=made.moved, new=made.dropped, dropped=made.new
    )
    redo(session_factory, group)
    redone, undone, generated, _ = runs(session_factory, group)
    assert (redone.number, redone.undoes, redone.changes) == (4, 3, made)
    assert (undone.undone_in, generated.undone_in) == (4, None)


def test_runs_are_returned_in_pages(session_factory: Factory, group: PlanGroup) -> None:
    other = book_group(session_factory, tenant_id=group.tenant_id)
    for _ in range(5):
        run(session_factory, group, 0)
        run(session_factory, other, 0)
    assert numbers(session_factory, group) == [5, 4, 3, 2, 1]
    assert numbers(session_factory, group, limit=2) == [5, 4]
    assert numbers(session_factory, group, limit=2, before=4) == [3, 2]
    assert numbers(session_factory, group, limit=2, before=2) == [1]
    assert numbers(session_factory, group, limit=MAX_RUNS, before=1) == []
    assert numbers(session_factory, group, before=2**31 - 1) == [5, 4, 3, 2, 1]


def test_runs_are_read_in_one_statement_without_their_plans(
    session_factory: Factory, database_url: sa.URL, group: PlanGroup
) -> None:
    for day in range(3):
        run(session_factory, group, day)
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    with counted(engine) as trips:
        assert len(runs(sessionmaker(engine), group)) == 3
    engine.dispose()
    assert trips.count == 3  # BEGIN, the statement, ROLLBACK


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("limit", value) for value in (0, -1, MAX_RUNS + 1, None, "5", True)),
        *(("before", value) for value in (0, -1, 2**31, "5", True)),
    ],
)
def test_invalid_limit_or_number_is_refused_by_name(
    session_factory: Factory, group: PlanGroup, field: str, value: Any
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        runs(session_factory, group, **{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize("number", [0, -1, 2, 2**31, None, "1", True])
def test_plans_after_a_run_that_is_not_stored_are_refused_by_name(
    session_factory: Factory, group: PlanGroup, number: Any
) -> None:
    run(session_factory, group, 0)
    with session_factory() as session, pytest.raises(InvalidInputError) as refused:
        HistoryRepository(session, group.tenant_id).as_of(group.id, number)
    assert refused.value.field == "number"


def test_history_of_a_group_without_runs_is_empty(
    session_factory: Factory, group: PlanGroup
) -> None:
    assert runs(session_factory, group) == []
