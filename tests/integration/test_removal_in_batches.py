"""Removal of history in bounded transactions, which may be interrupted or refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import LockTimeoutError
from domain.repositories import HistoryRepository
from domain.services import removal
from tests.concurrency.overlapping import in_another_thread
from tests.integration.removing import four_runs, now, reason, remove, run, state, undo
from tests.integration.storing import book_group, dump, plans

Factory = sessionmaker[Session]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group without a review day, each of whose runs on a later day replaces all plans."""
    return book_group(session_factory, review_days=0)


@contextmanager
def transactions(engine: sa.Engine) -> Iterator[list[list[int]]]:
    """Record the plans that each committed transaction deletes, statement by statement."""
    committed: list[list[int]] = []
    open_: list[int] = []

    def executed(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM studyplan.student_plans"):
            open_.append(cursor.rowcount)

    def commit(_: sa.Connection) -> None:
        committed.append(list(open_))
        open_.clear()

    event.listen(engine, "after_cursor_execute", executed)
    event.listen(engine, "commit", commit)
    yield committed
    event.remove(engine, "after_cursor_execute", executed)
    event.remove(engine, "commit", commit)


@pytest.mark.parametrize(
    ("batch", "expected"), [(4, [4, 4, 4, 2]), (7, [7, 7, 0]), (14, [14, 0]), (15, [14])]
)
def test_transaction_deletes_at_most_a_batch_of_plans(
    *,
    session_factory: Factory,
    engine: sa.Engine,
    group: PlanGroup,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    expected: list[int],
) -> None:
    for day in (0, 1):
        run(session_factory, group, day)
    assert len(plans(session_factory, group, live=False)) == 14
    monkeypatch.setattr(removal, "BATCH", batch)
    with transactions(engine) as committed:
        removed = remove(session_factory, group, now(session_factory))
    assert removed.plans == 14
    # The first transaction closes the runs.
    assert committed == [[], *([count] for count in expected)]


class StoppedError(Exception):
    """The process that removes is stopped."""


def test_removal_that_is_interrupted_leaves_nothing_half_undoable_and_can_be_repeated(
    session_factory: Factory, group: PlanGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, _ = four_runs(session_factory, group)
    stored = len(plans(session_factory, group))
    remove_plans, calls = HistoryRepository.remove_retired_plans, list[None]()

    def interrupted(*arguments: Any, **keywords: Any) -> int:
        calls.append(None)
        if len(calls) == 3:
            raise StoppedError
        return remove_plans(*arguments, **keywords)

    cut = now(session_factory)
    with monkeypatch.context() as patched:
        patched.setattr(removal, "BATCH", 5)
        patched.setattr(HistoryRepository, "remove_retired_plans", interrupted)
        with pytest.raises(StoppedError):
            remove(session_factory, group, cut)
    assert len(plans(session_factory, group)) == stored - 10
    assert reason(session_factory, group) == "history_removed"
    assert state(session_factory, group) == states[-1]
    run(session_factory, group, 4)
    undo(session_factory, group)
    assert state(session_factory, group) == states[-1]
    remove(session_factory, group, cut)
    assert {plan.retired_as for plan in plans(session_factory, group, live=False)} == {"undone"}


@pytest.mark.parametrize("batches", [0, 1])
def test_group_whose_lock_is_held_is_refused_with_nothing_half_undoable(
    session_factory: Factory, group: PlanGroup, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    """The other client acquires the lock before the removal, or after its first batch."""
    states, between = four_runs(session_factory, group)
    before = dump(session_factory, group.id)
    holder = UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id))
    entered = list[None]()

    class Interrupting(UnitOfWork):
        """A unit of work of the removal, the last of which finds the lock held."""

        def __enter__(self) -> Self:
            if len(entered) == (2 if batches else 0):
                in_another_thread(holder.__enter__)
            entered.append(None)
            return super().__enter__()

    monkeypatch.setattr(removal, "UnitOfWork", Interrupting)
    monkeypatch.setattr(removal, "BATCH", 3)
    with pytest.raises(LockTimeoutError):
        remove(session_factory, group, between)
    in_another_thread(lambda: holder.__exit__(None, None, None))
    assert (dump(session_factory, group.id) == before) == (batches == 0)
    undo(session_factory, group)
    undo(session_factory, group)
    assert state(session_factory, group) == states[1]
    if batches:
        assert reason(session_factory, group) == "history_removed"
    else:
        undo(session_factory, group)
        assert state(session_factory, group) == states[0]
