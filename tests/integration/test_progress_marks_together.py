"""Simultaneous marks of one group: all of them pass, and none passes during a generation."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGenerationService, PlanGroup, PlanState, StudentPlan
from domain.errors import EditedMeanwhileError, LockTimeoutError, PlanGroupLockedError
from domain.services import Mark, PlanProgressService
from domain.testing import assert_lock_free, contend
from domain.testing.contention import TIMEOUT, wait_until_waiting
from domain.unit_of_work import UnitOfWork
from tests.concurrency.overlapping import generated_group, in_another_thread, shared
from tests.integration.storing import FIRST, dump, live, unit_of_work

Factory = sessionmaker[Session]
Hold = Callable[[], None]
TOGETHER = 20
NEVER, SHORT = timedelta(0), timedelta(milliseconds=20)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return generated_group(session_factory)


@pytest.fixture
def pool_of_20(database_url: sa.URL) -> Iterator[Factory]:
    """A session factory whose pool has exactly as many connections as there are clients."""
    engine = sa.create_engine(database_url, pool_size=TOGETHER, max_overflow=0, pool_timeout=5)
    yield sessionmaker(engine)
    engine.dispose()


Request = Callable[[UnitOfWork, list[StudentPlan]], object]


def mark_one(uow: UnitOfWork, plans: list[StudentPlan]) -> object:
    return PlanProgressService(uow).mark(
        plan_id=plans[0].id, expected_version=1, state=PlanState.DONE, actual_minutes=30
    )


def mark_two(uow: UnitOfWork, plans: list[StudentPlan]) -> object:
    marks = [
        Mark(plan_id=plan.id, expected_version=1, state=PlanState.STARTED) for plan in plans[:2]
    ]
    return PlanProgressService(uow).mark_all(marks)


def pin_one(uow: UnitOfWork, plans: list[StudentPlan]) -> object:
    return PlanProgressService(uow).pin(plan_id=plans[0].id, expected_version=1)


REQUESTS: dict[str, Request] = {"mark": mark_one, "mark_all": mark_two, "pin": pin_one}


def run(
    factory: Factory,
    group: PlanGroup,
    request: Request,
    plans: list[StudentPlan],
    *,
    hold: Hold = lambda: None,
    wait: timedelta | None = None,
) -> object:
    with UnitOfWork(factory, lock=shared(group, wait)) as uow:
        done = request(uow, plans)
        hold()
        uow.commit()
    return done


def test_twenty_marks_of_one_group_all_pass_at_once(
    session_factory: Factory, pool_of_20: Factory, engine: sa.Engine, group: PlanGroup
) -> None:
    """All of them hold the shared lock until the last one is ready to commit."""
    plans = iter([[plan] for plan in live(session_factory, group)[:TOGETHER]])
    answers = contend(
        TOGETHER, lambda hold: run(pool_of_20, group, mark_one, next(plans), hold=hold)
    )
    assert (len(answers.results), answers.refusals) == (TOGETHER, [])
    rows = live(session_factory, group)[:TOGETHER]
    assert {(row.state, row.version, row.actual_minutes) for row in rows} == {
        (PlanState.DONE, 2, 30)
    }
    assert_lock_free(engine, group)


def test_marks_of_every_kind_pass_at_once(
    session_factory: Factory, pool_of_20: Factory, group: PlanGroup
) -> None:
    """A list of marks begins where the previous one ends, so no plan is marked twice."""
    rows = live(session_factory, group)
    kinds = [mark_one, mark_two, pin_one] * 6
    plans, index = [], 0
    for kind in kinds:
        plans.append((kind, rows[index : index + 2]))
        index += 2 if kind is mark_two else 1
    given = iter(plans)

    def request(hold: Hold) -> object:
        kind, own = next(given)
        return run(pool_of_20, group, kind, own, hold=hold)

    answers = contend(len(kinds), request)
    assert (len(answers.results), answers.refusals) == (len(kinds), [])
    assert {row.version for row in live(session_factory, group)[:index]} == {2}


def test_lists_of_marks_that_share_a_plan_are_written_completely_or_not_at_all(
    session_factory: Factory, pool_of_20: Factory, group: PlanGroup
) -> None:
    shared_plan, *others = live(session_factory, group)[: TOGETHER + 1]
    given = iter(others[:8])
    answers = contend(
        8, lambda _: run(pool_of_20, group, mark_two, sorted_by_id(next(given), shared_plan))
    )
    assert len(answers.results) == 1
    assert {type(refusal) for refusal in answers.refusals} == {EditedMeanwhileError}
    rows = {row.id: row for row in live(session_factory, group)}
    assert rows[shared_plan.id].version == 2
    assert [rows[plan.id].version for plan in others[:8]].count(2) == 1


def sorted_by_id(*plans: StudentPlan) -> list[StudentPlan]:
    return sorted(plans, key=lambda plan: plan.id)


# --- marks and runs ---------------------------------------------------------------------


@pytest.fixture
def generating(session_factory: Factory, group: PlanGroup) -> Iterator[UnitOfWork]:
    """Another client that has generated the group on the second day, and has not committed."""
    uow = unit_of_work(session_factory, group)
    in_another_thread(uow.__enter__)
    in_another_thread(lambda: PlanGenerationService(uow).generate(today=FIRST + timedelta(1)))
    yield uow
    in_another_thread(lambda: uow.__exit__(None, None, None))


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize(
    ("wait", "error"), [(NEVER, PlanGroupLockedError), (SHORT, LockTimeoutError)]
)
def test_mark_during_a_generation_is_refused_after_its_wait_and_writes_nothing(
    *,
    session_factory: Factory,
    group: PlanGroup,
    generating: UnitOfWork,
    name: str,
    wait: timedelta,
    error: type[Exception],
) -> None:
    before = dump(session_factory, group.id)
    plans = live(session_factory, group)
    with pytest.raises(error) as refused:
        run(session_factory, group, REQUESTS[name], plans, wait=wait)
    assert dump(session_factory, group.id) == before
    if isinstance(refused.value, LockTimeoutError):
        assert refused.value.waited_ms is not None
        assert refused.value.waited_ms >= SHORT / timedelta(milliseconds=1)
    in_another_thread(generating.rollback)
    assert run(session_factory, group, REQUESTS[name], plans)


@pytest.mark.parametrize("name", REQUESTS)
def test_mark_that_waits_for_a_generation_does_not_change_a_plan_that_it_retired(
    *,
    session_factory: Factory,
    engine: sa.Engine,
    group: PlanGroup,
    generating: UnitOfWork,
    name: str,
) -> None:
    plans, wait = live(session_factory, group), timedelta(seconds=TIMEOUT)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(run, session_factory, group, REQUESTS[name], plans, wait=wait)
        wait_until_waiting(engine, group)
        in_another_thread(generating.commit)
        with pytest.raises(EditedMeanwhileError):
            call.result(TIMEOUT)
    assert {row.version for row in live(session_factory, group)} == {1}
