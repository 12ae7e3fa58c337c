"""The injector of faults itself: where it strikes, how often, and what it leaves behind."""

import asyncio
from collections.abc import Callable, Iterator
from threading import get_ident
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import sessionmaker

from domain.driver import copy_rows
from domain.testing import FaultAt, Step, assert_lock_held
from domain.testing.contention import advisory_locks
from tests.faults.stage import Deliberate, Stage
from tests.integration.storing import generate, stored_group, traces


@pytest.fixture
def dropped_table(stage: Stage) -> Iterator[str]:
    name = f"numbers_{uuid4().hex}"
    with stage.aside.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {name} (number int4)")
    yield name
    with stage.aside.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {name}")


def test_a_generation_comes_to_every_step_in_order(stage: Stage) -> None:
    group = stored_group(stage.factory)
    reached: list[Step] = []
    locks: list[int] = []

    def note(step: Step) -> Callable[[int], None]:
        def action(_: int) -> None:
            reached.append(step)
            locks.append(advisory_locks(stage.aside))

        return action

    with (
        FaultAt(stage.engine, Step.BEFORE_THE_LOCK, note(Step.BEFORE_THE_LOCK)),
        FaultAt(stage.engine, Step.AFTER_THE_LOCK, note(Step.AFTER_THE_LOCK)),
        FaultAt(stage.engine, Step.AFTER_THE_READ, note(Step.AFTER_THE_READ)),
        FaultAt(stage.engine, Step.IN_THE_WRITE, note(Step.IN_THE_WRITE)),
        FaultAt(stage.engine, Step.BEFORE_COMMIT, note(Step.BEFORE_COMMIT)),
        FaultAt(stage.engine, Step.DURING_COMMIT, lambda _: reached.append(Step.DURING_COMMIT)),
    ):
        assert generate(stage.factory, group).generation == 1
    assert reached == list(Step)
    # The gate in front of the commit is a lock too, and stays closed all the while.
    assert locks == [1 + held for held in (0, 1, 2, 2, 2)]


@pytest.mark.parametrize("step", Step, ids=lambda step: step.value)
def test_the_backend_that_is_named_is_the_one_that_generates(stage: Stage, step: Step) -> None:
    group = stored_group(stage.factory)
    with stage.engine.connect() as connection:
        mine = connection.connection.driver_connection
        assert mine is not None
        pids = {mine.info.backend_pid}
    told: list[int] = []
    with FaultAt(stage.engine, step, told.append, aside=stage.aside):
        generate(stage.factory, group)
    assert set(told) == pids


def test_a_fault_strikes_once(stage: Stage) -> None:
    group = stored_group(stage.factory)
    told: list[int] = []
    with FaultAt(stage.engine, Step.AFTER_THE_READ, told.append):
        generate(stage.factory, group)
        generate(stage.factory, group)
    assert len(told) == 1


@pytest.mark.parametrize("step", Step, ids=lambda step: step.value)
def test_a_step_that_nothing_came_to_is_an_error(stage: Stage, step: Step) -> None:
    def do_something_else() -> None:
        fault = FaultAt(stage.engine, step, lambda _: None, aside=stage.aside)
        with fault, stage.engine.begin() as connection:
            connection.execute(sa.select(1))

    with pytest.raises(AssertionError, match=step.value):
        do_something_else()


def test_what_the_action_raises_during_the_commit_comes_up_at_the_end(stage: Stage) -> None:
    group = stored_group(stage.factory)
    threads: list[int] = []

    def fail(_: int) -> None:
        threads.append(get_ident())
        assert_lock_held(stage.aside, group.id)
        raise Deliberate

    def commit() -> None:
        with FaultAt(stage.engine, Step.DURING_COMMIT, fail):
            generate(stage.factory, group)

    with pytest.raises(Deliberate):
        commit()
    assert traces(stage.aside, group.id)[0] == 1
    assert threads != [get_ident()]


def test_nothing_of_a_fault_stays(stage: Stage) -> None:
    group = stored_group(stage.factory)
    for step in Step:
        with FaultAt(stage.engine, step, lambda _: None, aside=stage.aside):
            generate(stage.factory, group)
    with stage.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.cursor_factory is psycopg.Cursor
        left = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgname ~ 'gate'"
        assert connection.scalar(sa.text(left)) == 0
    assert traces(stage.aside, group.id)[0] == len(Step)


def test_the_fixture_arms_a_fault_for_the_rest_of_the_test(
    stage: Stage, fault_at: Callable[..., FaultAt]
) -> None:
    group = stored_group(stage.factory)
    told: list[int] = []
    fault = fault_at(stage.engine, Step.BEFORE_COMMIT, told.append)
    before = fault.fired
    generate(stage.factory, group)
    assert (before, fault.fired, len(told)) == (False, True, 1)


@pytest.mark.parametrize(
    "step", [Step.BEFORE_THE_LOCK, Step.AFTER_THE_LOCK, Step.IN_THE_WRITE, Step.BEFORE_COMMIT]
)
def test_the_async_driver_comes_to_the_same_steps(
    stage: Stage, dropped_table: str, step: Step
) -> None:
    engine = create_async_engine(stage.url)

    def work(connection: sa.Connection) -> None:
        connection.execute(
            sa.text("SELECT acquired FROM studyplan.acquire_plan_group_lock(:id)"), {"id": uuid4()}
        )
        copy_rows(
            connection,
            sa.Table(dropped_table, sa.MetaData()),
            {"number": "int4"},
            [(1,), (2,), (3,)],
        )

    async def request() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(work)
        await engine.dispose()

    told: list[int] = []
    with FaultAt(engine.sync_engine, step, told.append, rows=2):
        asyncio.run(request())
    assert len(told) == 1


def test_a_pool_keeps_its_connections_through_a_fault_that_breaks_none(stage: Stage) -> None:
    group = stored_group(stage.factory)
    for step in Step:
        with FaultAt(stage.engine, step, lambda _: None, aside=stage.aside):
            generate(sessionmaker(stage.engine), group)
    stage.assert_pool_is_whole()
    assert stage.proxy.links <= 3
