"""``FaultAt``: the step and number of its faults, and the state of the connections afterwards."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
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
from tests.faults.operations import undo
from tests.faults.stage import DeliberateError, Stage
from tests.integration.storing import FIRST, generate, stored_group, traces


@pytest.fixture
def numbers_table(stage: Stage) -> Iterator[str]:
    name = f"numbers_{uuid4().hex}"
    with stage.direct.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {name} (number int4)")
    yield name
    with stage.direct.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {name}")


def test_generation_reaches_every_step_in_order(stage: Stage) -> None:
    group = stored_group(stage.factory)
    reached: list[Step] = []
    locks: list[int] = []

    def record(step: Step) -> Callable[[int], None]:
        def action(_: int) -> None:
            reached.append(step)
            locks.append(advisory_locks(stage.direct))

        return action

    with (
        FaultAt(stage.engine, Step.BEFORE_THE_LOCK, record(Step.BEFORE_THE_LOCK)),
        FaultAt(stage.engine, Step.AFTER_THE_LOCK, record(Step.AFTER_THE_LOCK)),
        FaultAt(stage.engine, Step.AFTER_THE_READ, record(Step.AFTER_THE_READ)),
        FaultAt(stage.engine, Step.IN_THE_WRITE, record(Step.IN_THE_WRITE)),
        FaultAt(stage.engine, Step.BEFORE_COMMIT, record(Step.BEFORE_COMMIT)),
        FaultAt(stage.engine, Step.DURING_COMMIT, lambda _: reached.append(Step.DURING_COMMIT)),
    ):
        assert generate(stage.factory, group).generation == 1
    assert reached == list(Step)
    # The closed gate of the commit is one more advisory lock, which is held during every step.
    assert locks == [1 + held for held in (0, 1, 2, 2, 2)]


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.IN_THE_WRITE])
def test_undo_reaches_every_step_except_the_copy(stage: Stage, step: Step) -> None:
    group = stored_group(stage.factory)
    generate(stage.factory, group)
    reported_pids: list[int] = []
    with FaultAt(stage.engine, step, reported_pids.append, gate_engine=stage.direct):
        undo(stage.factory, group)
    assert len(reported_pids) == 1
    assert traces(stage.direct, group.id)[0] == 2


def test_generation_that_adds_no_plan_does_not_reach_the_copy(stage: Stage) -> None:
    group = stored_group(stage.factory)
    generate(stage.factory, group)

    def generate_again() -> None:
        with FaultAt(stage.engine, Step.IN_THE_WRITE, lambda _: None):
            generate(stage.factory, group)

    with pytest.raises(AssertionError, match=r"in the middle of the write"):
        generate_again()


@pytest.mark.parametrize("step", Step, ids=lambda step: step.value)
def test_action_gets_the_process_id_of_the_generating_backend(stage: Stage, step: Step) -> None:
    group = stored_group(stage.factory)
    with stage.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        pids = {driver.info.backend_pid}
    reported_pids: list[int] = []
    with FaultAt(stage.engine, step, reported_pids.append, gate_engine=stage.direct):
        generate(stage.factory, group)
    assert set(reported_pids) == pids


@pytest.mark.parametrize("step", Step, ids=lambda step: step.value)
def test_fault_of_the_fixture_may_be_entered_and_exited_again(stage: Stage, step: Step) -> None:
    with ExitStack() as fixture:
        fault = fixture.enter_context(
            FaultAt(stage.engine, step, lambda _: None, gate_engine=stage.direct)
        )
        with fault:
            generate(stage.factory, stored_group(stage.factory))
    assert fault.fired


def test_fault_occurs_once(stage: Stage) -> None:
    group = stored_group(stage.factory)
    reported_pids: list[int] = []
    with FaultAt(stage.engine, Step.AFTER_THE_READ, reported_pids.append):
        generate(stage.factory, group)
        generate(stage.factory, group)
    assert len(reported_pids) == 1


@pytest.mark.parametrize("step", Step, ids=lambda step: step.value)
def test_fault_at_raises_if_its_step_is_not_reached(stage: Stage, step: Step) -> None:
    def run_another_statement() -> None:
        fault = FaultAt(stage.engine, step, lambda _: None, gate_engine=stage.direct)
        with fault, stage.engine.begin() as connection:
            connection.execute(sa.select(1))

    with pytest.raises(AssertionError, match=step.value):
        run_another_statement()


def test_error_of_the_action_during_the_commit_is_raised_at_the_end_of_the_block(
    stage: Stage,
) -> None:
    group = stored_group(stage.factory)
    threads: list[int] = []

    def fail(_: int) -> None:
        threads.append(get_ident())
        assert_lock_held(stage.direct, group.id)
        raise DeliberateError

    def commit() -> None:
        with FaultAt(stage.engine, Step.DURING_COMMIT, fail):
            generate(stage.factory, group)

    with pytest.raises(DeliberateError):
        commit()
    assert traces(stage.direct, group.id)[0] == 1
    assert threads != [get_ident()]


def test_fault_at_restores_the_connections_and_drops_its_trigger(stage: Stage) -> None:
    group = stored_group(stage.factory)
    for days, step in enumerate(Step):  # on another day, a generation copies other plans
        with FaultAt(stage.engine, step, lambda _: None, gate_engine=stage.direct):
            generate(stage.factory, group, FIRST + timedelta(days))
    with stage.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.cursor_factory is psycopg.Cursor
        triggers = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgname ~ 'gate'"
        assert connection.scalar(sa.text(triggers)) == 0
    assert traces(stage.direct, group.id)[0] == len(Step)


def test_fixture_fault_at_applies_until_the_end_of_the_test(
    stage: Stage, fault_at: Callable[..., FaultAt]
) -> None:
    group = stored_group(stage.factory)
    reported_pids: list[int] = []
    fault = fault_at(stage.engine, Step.BEFORE_COMMIT, reported_pids.append)
    before = fault.fired
    generate(stage.factory, group)
    assert (before, fault.fired, len(reported_pids)) == (False, True, 1)


@pytest.mark.parametrize(
    "step", [Step.BEFORE_THE_LOCK, Step.AFTER_THE_LOCK, Step.IN_THE_WRITE, Step.BEFORE_COMMIT]
)
def test_async_driver_reaches_the_same_steps(stage: Stage, numbers_table: str, step: Step) -> None:
    engine = create_async_engine(stage.url)

    def work(connection: sa.Connection) -> None:
        connection.execute(
            sa.text("SELECT acquired FROM studyplan.acquire_plan_group_lock(:id)"), {"id": uuid4()}
        )
        copy_rows(
            connection,
            sa.Table(numbers_table, sa.MetaData()),
            {"number": "int4"},
            [(1,), (2,), (3,)],
        )

    async def request() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(work)
        await engine.dispose()

    reported_pids: list[int] = []
    with FaultAt(engine.sync_engine, step, reported_pids.append, rows=2):
        asyncio.run(request())
    assert len(reported_pids) == 1


def test_pool_keeps_its_connections_if_the_fault_breaks_none(stage: Stage) -> None:
    group = stored_group(stage.factory)
    for days, step in enumerate(Step):
        with FaultAt(stage.engine, step, lambda _: None, gate_engine=stage.direct):
            generate(sessionmaker(stage.engine), group, FIRST + timedelta(days))
    stage.assert_pool_is_complete()
    assert stage.proxy.links <= 3
