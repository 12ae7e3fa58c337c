"""The rules of the synchronous unit of work also hold in tasks: usage, waiting and COPY."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GroupStatus, PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import (
    LockNotHeldError,
    StudentPlansOverlapError,
    UncommittedChangesError,
    UnitOfWorkStateError,
    WrongTransactionError,
)
from domain.services import activate_async, generate_plans_async
from domain.testing.contention import TIMEOUT, advisory_locks, wait_until_waiting
from domain.unit_of_work import AsyncUnitOfWork
from domain.unit_of_work.ending import LockState
from tests.concurrency.tasks import AsyncFactory, generate_async, run_with_pool
from tests.factories import ContentFactory, PlanGroupFactory
from tests.integration.storing import FIRST, generate, stored_group, traces

Factory = sessionmaker[Session]
LONG = timedelta(seconds=TIMEOUT)


def add_unflushed(uow: UnitOfWork) -> None:
    uow.session.add(PlanGroupFactory.build())


def add_by_core(uow: UnitOfWork) -> None:
    update = (
        "UPDATE studyplan.plan_groups SET name = name "
        "WHERE id = (SELECT id FROM studyplan.plan_groups LIMIT 1)"
    )
    uow.session.execute(sa.text(update))


def select_one(uow: UnitOfWork) -> object:
    return uow.session.scalar(sa.text("SELECT 1"))


# --- usage ----------------------------------------------------------------------------


def test_unit_of_work_is_entered_once_and_committed_once(
    database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        uow = AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id))
        for use in (uow.commit, uow.rollback, lambda: uow.run(UnitOfWork.lock_state)):
            with pytest.raises(UnitOfWorkStateError, match="not entered yet"):
                await use()
        async with uow:
            with pytest.raises(UnitOfWorkStateError, match="Create a new one"):
                await uow.__aenter__()
            await uow.commit()
            with pytest.raises(UnitOfWorkStateError, match="already"):
                await uow.commit()
        with pytest.raises(UnitOfWorkStateError, match="Create a new one"):
            await uow.__aenter__()

    run_with_pool(database_url, work)


@pytest.mark.parametrize("write", [add_unflushed, add_by_core])
def test_unit_of_work_raises_if_it_exits_with_uncommitted_changes(
    database_url: sa.URL, group: PlanGroup, write: Callable[[UnitOfWork], None]
) -> None:
    async def work(factory: AsyncFactory) -> None:
        with pytest.raises(UncommittedChangesError):
            async with AsyncUnitOfWork(
                factory, lock=PlanGroupLock(group.tenant_id, group.id)
            ) as uow:
                await uow.run(write)

    run_with_pool(database_url, work)


@pytest.mark.parametrize("write", [add_unflushed, add_by_core])
def test_commit_after_a_rollback_of_the_session_raises_lock_not_held_error(
    database_url: sa.URL, group: PlanGroup, write: Callable[[UnitOfWork], None]
) -> None:
    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            await uow.run(lambda sync: sync.session.rollback())
            assert uow.lock_state() is LockState.LOST
            await uow.run(write)
            with pytest.raises(LockNotHeldError):
                await uow.commit()
            await uow.run(lambda sync: sync.session.rollback())

    run_with_pool(database_url, work)


def test_exit_raises_lock_not_held_error_if_the_session_was_closed(
    database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        with pytest.raises(LockNotHeldError, match="was ended inside the block"):
            async with AsyncUnitOfWork(
                factory, lock=PlanGroupLock(group.tenant_id, group.id)
            ) as uow:
                await uow.run(lambda sync: sync.session.close())

    run_with_pool(database_url, work)


def test_session_commit_outside_the_unit_of_work_is_refused(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            with pytest.raises(UnitOfWorkStateError, match=r"Use commit\(\) of the unit of work"):
                await uow.run(lambda sync: sync.session.commit())
            assert advisory_locks(engine) == 1

    run_with_pool(database_url, work)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"])
def test_engine_with_another_isolation_level_is_refused(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup, level: str
) -> None:
    async def work(factory: AsyncFactory) -> None:
        bind = factory.kw["bind"].execution_options(isolation_level=level)
        with pytest.raises(WrongTransactionError):
            async with AsyncUnitOfWork(
                lambda: factory(bind=bind), lock=PlanGroupLock(group.tenant_id, group.id)
            ):
                pass

    run_with_pool(database_url, work)
    assert advisory_locks(engine) == 0


def test_run_refuses_coroutine_functions(database_url: sa.URL, group: PlanGroup) -> None:
    async def coroutine(_: UnitOfWork) -> int:
        raise AssertionError("the coroutine is never awaited")

    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            with pytest.raises(UnitOfWorkStateError, match="plain function"):
                _ = await uow.run(coroutine)

    run_with_pool(database_url, work)


def test_run_refuses_generator_functions(database_url: sa.URL, group: PlanGroup) -> None:
    def generator(uow: UnitOfWork) -> Iterator[object]:
        yield select_one(uow)

    async def asynchronous(uow: UnitOfWork) -> AsyncIterator[object]:
        yield select_one(uow)

    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            functions: list[Any] = [generator, asynchronous, partial(generator)]
            for function in functions:
                with pytest.raises(UnitOfWorkStateError, match="plain function"):
                    await uow.run(function)
            assert list(await uow.run(lambda _: (number for number in [1, 2]))) == [1, 2]

    run_with_pool(database_url, work)


def test_unit_of_work_refuses_simultaneous_use_by_two_tasks(
    database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            first, second = await asyncio.gather(
                uow.run(select_one), uow.run(select_one), return_exceptions=True
            )
            assert first == 1
            assert isinstance(second, UnitOfWorkStateError)
            assert await uow.run(select_one) == 1

    run_with_pool(database_url, work)


# --- nested units of work -------------------------------------------------------------


def test_nested_unit_of_work_for_the_same_group_is_a_usage_error(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        patient = PlanGroupLock(group.tenant_id, group.id, wait=LONG)
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            with pytest.raises(UnitOfWorkStateError, match="the same request"):
                await AsyncUnitOfWork(factory, lock=patient).__aenter__()
            await uow.commit()
            await generate_async(factory, group)

    run_with_pool(database_url, work)
    assert traces(engine, group.id)[0] == 1


def test_task_created_inside_a_unit_of_work_is_a_separate_client(
    database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)):
            other = asyncio.create_task(generate_async(factory, group))
            with pytest.raises(PlanGroupLockedError):
                await other
        await generate_async(factory, group)

    run_with_pool(database_url, work)


# --- waiting --------------------------------------------------------------------------


def test_event_loop_runs_while_a_task_waits_for_the_lock(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    """While one request waits for the lock, another one is served from start to commit."""

    async def work(factory: AsyncFactory) -> None:
        other = await asyncio.to_thread(stored_group, sessionmaker(engine))
        with engine.connect() as holder, holder.begin():
            holder.exec_driver_sql("SELECT acquire_plan_group_lock(%s, 0)", (group.id,))
            waiting = asyncio.create_task(generate_async(factory, group, wait=LONG))
            await asyncio.to_thread(wait_until_waiting, engine, group.id)
            assert (await generate_async(factory, other)).generation == 1
            assert not waiting.done()
        assert (await waiting).generation == 1

    run_with_pool(database_url, work)


def test_pool_lets_at_most_half_of_its_connections_wait(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        with engine.connect() as holder, holder.begin():
            holder.exec_driver_sql("SELECT acquire_plan_group_lock(%s, 0)", (group.id,))
            waiting = [
                asyncio.create_task(generate_async(factory, group, wait=LONG)) for _ in range(6)
            ]
            done, pending = await asyncio.wait(waiting, timeout=TIMEOUT,
                                               return_when=asyncio.FIRST_EXCEPTION)  # fmt: skip
            while len(pending) > 2:
                more, pending = await asyncio.wait(
                    pending, timeout=TIMEOUT, return_when=asyncio.FIRST_EXCEPTION
                )
                done |= more
            assert {type(task.exception()) for task in done} == {PlanGroupLockedError}
            await asyncio.to_thread(wait_until_waiting, engine, group.id, waiters=2)
        served = await asyncio.gather(*pending)
        assert sorted(result.generation or 0 for result in served) == [1, 2]

    run_with_pool(database_url, work)


# --- COPY, and requests in one call ---------------------------------------------------


@pytest.fixture
def year(session_factory: Factory) -> PlanGroup:
    """A year of six books: more than 2000 plans."""
    books = [ContentFactory.build(position=i, last_unit=2000, minutes_per_unit=1) for i in range(6)]
    return stored_group(session_factory, period_end=date(2026, 1, 5), contents=books)


def test_tasks_and_threads_write_the_same_plans(
    engine: sa.Engine, database_url: sa.URL, session_factory: Factory, year: PlanGroup
) -> None:
    def plans() -> list[tuple[object, ...]]:
        statement = (
            "SELECT content_id, kind, date, start_minute, first_unit, last_unit, part, sequence "
            "FROM studyplan.student_plans WHERE group_id = %s AND live ORDER BY sequence"
        )
        with engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(statement, (year.id,))]

    async def work(factory: AsyncFactory) -> None:
        await generate_async(factory, year)

    run_with_pool(database_url, work)
    plans_of_the_task = plans()
    generate(session_factory, year)
    assert len(plans_of_the_task) > 2000
    assert plans() == plans_of_the_task


@pytest.fixture
def overlap_in_the_copy(owner_engine: sa.Engine) -> Iterator[None]:
    """A trigger makes the server report an overlap for the thousandth plan."""
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION USING ERRCODE = '23P01', CONSTRAINT = 'ex_student_plans_overlap'; "
            "END $$; CREATE TRIGGER refuse BEFORE INSERT ON studyplan.student_plans FOR EACH ROW "
            "WHEN (NEW.sequence = 1000) EXECUTE FUNCTION refuse()"
        )
    yield
    with owner_engine.begin() as connection:
        connection.exec_driver_sql("DROP FUNCTION refuse CASCADE")


@pytest.mark.usefixtures("overlap_in_the_copy")
def test_copy_refused_by_the_database_stores_nothing_and_keeps_the_pool_complete(
    engine: sa.Engine, database_url: sa.URL, year: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        with pytest.raises(StudentPlansOverlapError):
            await generate_async(factory, year)

    run_with_pool(database_url, work)
    assert traces(engine, year.id) == (0, [], [])
    assert advisory_locks(engine) == 0


def test_generate_plans_async_and_activate_async_complete_a_request_in_one_call(
    engine: sa.Engine, database_url: sa.URL, session_factory: Factory
) -> None:
    active = stored_group(session_factory, status=GroupStatus.ACTIVE)
    same = {"tenant_id": active.tenant_id, "student_id": active.student_id}
    saved = stored_group(session_factory, **same)

    async def work(factory: AsyncFactory) -> None:
        lock = PlanGroupLock(saved.tenant_id, saved.id)
        result = await generate_plans_async(factory, lock, today=FIRST, idempotency_key="once")
        again = await generate_plans_async(factory, lock, today=FIRST, idempotency_key="once")
        assert (again.repeated, again.generation) == (True, result.generation)
        change = await activate_async(factory, tenant_id=saved.tenant_id, group_id=saved.id)
        assert change.paused_group_id == active.id

    run_with_pool(database_url, work)
    assert advisory_locks(engine) == 0
