"""Marks of progress share the lock of a group; a generation or an edit excludes them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    PlanState,
    StudentPlan,
    UnitOfWork,
)
from domain.errors import EditedMeanwhileError, LockError, LockTimeoutError
from domain.locking import acquiring, plan_group_lock_key
from domain.locking.policy import SHARED_WAIT, WAIT_BEHIND_SHARED, WaitingSlot
from domain.repositories import StudentPlanRepository
from domain.services import GroupEditService, PlanProgressService, RowVersion
from domain.testing import assert_lock_free, assert_lock_held, contend
from domain.testing.contention import TIMEOUT, wait_until_waiting
from tests.concurrency.overlapping import exclusive, generated_group, in_another_thread, shared
from tests.integration.storing import enter, generate, stored_group, traces

Factory = sessionmaker[Session]
Hold = Callable[[], None]
MARKS = 10  # simultaneous; limited because a pooler has few backends
LONG = timedelta(seconds=TIMEOUT)
NEVER = timedelta(0)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return generated_group(session_factory)


def plans_of(factory: Factory, group: PlanGroup) -> list[StudentPlan]:
    with factory() as session:
        return list(StudentPlanRepository(session, group.tenant_id).live(group.id))


def mark(
    factory: Factory,
    group: PlanGroup,
    plan: StudentPlan,
    hold: Hold = lambda: None,
    wait: timedelta | None = None,
) -> RowVersion:
    with UnitOfWork(factory, lock=shared(group, wait)) as uow:
        marked = PlanProgressService(uow).mark(
            plan_id=plan.id, expected_version=plan.version, state=PlanState.DONE
        )
        hold()
        uow.commit()
    return marked


def rename(factory: Factory, group: PlanGroup, wait: timedelta | None = None) -> RowVersion:
    with UnitOfWork(factory, lock=exclusive(group, wait)) as uow:
        changed = GroupEditService(uow).change_settings(
            expected_version=uow.groups.get(group.id).version, name="다른 이름"
        )
        uow.commit()
    return changed


@pytest.fixture
def marker(session_factory: Factory, group: PlanGroup) -> Iterator[UnitOfWork]:
    """The unit of work of another client, entered in another thread, that shares the lock."""
    uow = UnitOfWork(session_factory, lock=shared(group))
    in_another_thread(uow.__enter__)
    yield uow
    in_another_thread(lambda: uow.__exit__(None, None, None))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exclusive requests wait for marks as long as a slow machine needs."""
    monkeypatch.setattr(acquiring, "WAIT_BEHIND_SHARED", LONG)


def test_simultaneous_marks_of_one_group_all_succeed(
    session_factory: Factory, group: PlanGroup, engine: sa.Engine
) -> None:
    plans = iter(plans_of(session_factory, group)[:MARKS])
    answers = contend(MARKS, lambda hold: mark(session_factory, group, next(plans), hold))
    assert (len(answers.results), answers.refusals) == (MARKS, [])
    states = [plan.state for plan in plans_of(session_factory, group)]
    assert states.count(PlanState.DONE) == MARKS
    assert_lock_free(engine, group)


def test_simultaneous_marks_of_one_plan_give_one_success(
    session_factory: Factory, group: PlanGroup
) -> None:
    (plan, *_) = plans_of(session_factory, group)
    answers = contend(8, lambda _: mark(session_factory, group, plan))
    assert [result.version for result in answers.results] == [plan.version + 1]
    assert {type(refusal) for refusal in answers.refusals} == {EditedMeanwhileError}


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("request_", [generate, rename])
def test_exclusive_request_waits_for_marks(
    session_factory: Factory,
    engine: sa.Engine,
    group: PlanGroup,
    marker: UnitOfWork,
    request_: Callable[[Factory, PlanGroup], object],
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(request_, session_factory, group)
        wait_until_waiting(engine, group)
        in_another_thread(marker.rollback)
        assert waiting.result(TIMEOUT)
    assert_lock_free(engine, group)


@pytest.mark.parametrize("request_", [generate, rename])
def test_exclusive_request_waits_for_marks_no_longer_than_its_bound(
    session_factory: Factory,
    engine: sa.Engine,
    group: PlanGroup,
    marker: UnitOfWork,
    request_: Callable[[Factory, PlanGroup], object],
) -> None:
    before = traces(engine, group.id)
    with pytest.raises(LockTimeoutError) as late:
        in_another_thread(lambda: request_(session_factory, group))
    bound = WAIT_BEHIND_SHARED / timedelta(milliseconds=1)
    assert late.value.waited_ms == pytest.approx(bound, abs=bound / 2)
    assert traces(engine, group.id) == before
    in_another_thread(lambda: assert_lock_held(engine, group, by=marker))


def test_exclusive_request_that_does_not_wait_is_refused_during_a_mark(
    session_factory: Factory, group: PlanGroup, marker: UnitOfWork
) -> None:
    with pytest.raises(PlanGroupLockedError) as refused:
        in_another_thread(lambda: rename(session_factory, group, wait=NEVER))
    assert refused.value.holder is not None
    assert marker.lock.shared


@pytest.mark.usefixtures("patient")
def test_exclusive_requests_behind_marks_are_refused_immediately_except_the_first(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup, marker: UnitOfWork
) -> None:
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(generate, session_factory, group)
        wait_until_waiting(engine, group)
        others = [pool.submit(generate, session_factory, group) for _ in range(7)]
        refusals = [other.exception(TIMEOUT) for other in others]
        in_another_thread(marker.rollback)
        assert first.result(TIMEOUT).generation == 2
    assert {type(refusal) for refusal in refusals} == {PlanGroupLockedError}


def test_exclusive_request_is_refused_while_another_is_about_to_wait_behind_marks(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup, marker: UnitOfWork
) -> None:
    """Only one request may wait behind marks.

    It reserves this place with a second advisory lock, whose two integer keys are the upper and the
    lower half of the group's key.
    """
    key = plan_group_lock_key(group.id)
    halves = sa.text(
        "SELECT pg_advisory_xact_lock(CAST(CAST(:key AS bigint) >> 32 AS integer), "
        "CAST((CAST(:key AS bigint) << 32) >> 32 AS integer))"
    )
    with engine.connect() as other:
        other.execute(halves, {"key": key})
        with pytest.raises(PlanGroupLockedError):
            in_another_thread(lambda: rename(session_factory, group))
    in_another_thread(marker.rollback)
    assert rename(session_factory, group).version == 2


def test_request_that_waits_for_marks_is_served_before_later_requests(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup, marker: UnitOfWork
) -> None:
    """No other request is served between the two statements of a request that waits for marks."""
    with engine.connect() as first, ThreadPoolExecutor(1) as pool:
        assert call_lock_function(first, group, behind_shared_ms=0)["behind_shared"]
        in_another_thread(marker.rollback)
        for wait in (None, NEVER):
            with pytest.raises(PlanGroupLockedError):
                in_another_thread(partial(rename, session_factory, group, wait))
        later = pool.submit(rename, session_factory, group, LONG)
        wait_until_waiting(engine, group)
        assert call_lock_function(first, group, behind_shared_ms=20_000)["acquired"]
        assert not later.done()
        first.rollback()
        assert later.result(TIMEOUT)
    assert_lock_free(engine, group)


def test_request_does_not_queue_behind_an_exclusive_lock(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=exclusive(group)), engine.connect() as other:
        for behind_shared_ms in (0, 20_000):
            answer = call_lock_function(other, group, behind_shared_ms)
            assert answer["outcome"] == "busy"
            assert not answer.get("behind_shared")
            other.rollback()


def test_request_does_not_queue_behind_marks_while_another_request_waits(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup, marker: UnitOfWork
) -> None:
    with ThreadPoolExecutor(1) as pool, engine.connect() as other:
        waiting = pool.submit(rename, session_factory, group, LONG)
        wait_until_waiting(engine, group)
        for behind_shared_ms in (0, 20_000):
            answer = call_lock_function(other, group, behind_shared_ms)
            assert answer["outcome"] == "busy"
            assert not answer.get("behind_shared")
            other.rollback()
        in_another_thread(marker.rollback)
        assert waiting.result(TIMEOUT)


def test_exclusive_request_for_several_groups_waits_for_marks(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup, marker: UnitOfWork
) -> None:
    other = stored_group(session_factory, tenant_id=group.tenant_id)
    both = PlanGroupLock.of(group.tenant_id, [group.id, other.id])
    with pytest.raises(LockTimeoutError):
        in_another_thread(lambda: enter(session_factory, both))
    assert_lock_free(engine, other)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(enter, session_factory, both)
        wait_until_waiting(engine, group)
        in_another_thread(marker.rollback)
        waiting.result(TIMEOUT)


def test_waiting_slot_is_only_used_by_a_request_that_has_to_wait(
    session_factory: Factory, group: PlanGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots: list[bool] = []

    class Slot(WaitingSlot):
        def __init__(self, engine: sa.Engine, *, wanted: bool) -> None:
            slots.append(wanted)
            super().__init__(engine, wanted=wanted)

    monkeypatch.setattr(acquiring, "WaitingSlot", Slot)
    with UnitOfWork(session_factory, lock=shared(group)):
        with pytest.raises(LockTimeoutError):
            in_another_thread(lambda: enter(session_factory, exclusive(group)))
        assert slots == [False, False, True]
    slots.clear()
    with UnitOfWork(session_factory, lock=exclusive(group)):
        for lock in (exclusive(group), shared(group)):
            with pytest.raises(LockError):
                in_another_thread(partial(enter, session_factory, lock))
    assert slots == [False, False, False, True]


def test_mark_waits_for_a_generation_that_ends_soon(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup
) -> None:
    (plan, *_) = plans_of(session_factory, group)
    with ThreadPoolExecutor(1) as pool, UnitOfWork(session_factory, lock=exclusive(group)):
        marking = pool.submit(mark, session_factory, group, plan)
        wait_until_waiting(engine, group)
    assert marking.result(TIMEOUT).version == plan.version + 1


def test_mark_waits_for_a_generation_no_longer_than_its_bound(
    session_factory: Factory, group: PlanGroup
) -> None:
    (plan, *_) = plans_of(session_factory, group)
    with UnitOfWork(session_factory, lock=exclusive(group)):
        with pytest.raises(LockTimeoutError) as late:
            in_another_thread(lambda: mark(session_factory, group, plan))
        with pytest.raises(PlanGroupLockedError):
            in_another_thread(lambda: mark(session_factory, group, plan, wait=NEVER))
    bound = SHARED_WAIT / timedelta(milliseconds=1)
    assert late.value.waited_ms == pytest.approx(bound, rel=0.5)


def test_mark_behind_a_waiting_exclusive_request_waits_and_is_served_after_it(
    session_factory: Factory, engine: sa.Engine, group: PlanGroup, marker: UnitOfWork
) -> None:
    served: list[str] = []
    (plan, *_) = plans_of(session_factory, group)

    def edit() -> None:
        with UnitOfWork(session_factory, lock=exclusive(group, LONG)):
            served.append("exclusive")

    with ThreadPoolExecutor(2) as pool:
        editing = pool.submit(edit)
        wait_until_waiting(engine, group)
        marking = pool.submit(mark, session_factory, group, plan, lambda: served.append("mark"))
        wait_until_waiting(engine, group, waiters=2)
        in_another_thread(marker.rollback)
        editing.result(TIMEOUT)
        marking.result(TIMEOUT)
    assert served == ["exclusive", "mark"]


def test_sql_function_does_not_wait_for_marks_and_succeeds_after_them(
    engine: sa.Engine, group: PlanGroup, marker: UnitOfWork
) -> None:
    statement = sa.text("SELECT acquired, outcome FROM public.acquire_plan_group_lock(:id)")
    with engine.connect() as connection:
        assert connection.execute(statement, {"id": group.id}).one() == (False, "busy")
    in_another_thread(marker.rollback)
    with engine.connect() as connection:
        assert connection.execute(statement, {"id": group.id}).one() == (True, "acquired")


def test_shared_lock_of_several_groups_excludes_exclusive_locks_of_each(
    session_factory: Factory, group: PlanGroup
) -> None:
    other = stored_group(session_factory, tenant_id=group.tenant_id)
    both = PlanGroupLock.of(group.tenant_id, [group.id, other.id], shared=True)
    with UnitOfWork(session_factory, lock=both):
        in_another_thread(lambda: enter(session_factory, both))
        for locked in (group, other):
            with pytest.raises(LockError):
                in_another_thread(partial(enter, session_factory, exclusive(locked)))


def call_lock_function(
    connection: sa.Connection, group: PlanGroup, behind_shared_ms: int
) -> dict[str, Any]:
    """Call the lock function of the package; a null result means that the lock was acquired."""
    statement = (
        "SELECT studyplan.acquire_plan_locks_with_limits("
        "ARRAY[%s]::bigint[], 0, false, %s, 'i', '1min', '1min', '1min')"
    )
    values = plan_group_lock_key(group.id), behind_shared_ms
    answer: dict[str, Any] | None = connection.exec_driver_sql(statement, values).scalar_one()
    return {"acquired": True} | (answer or {})
