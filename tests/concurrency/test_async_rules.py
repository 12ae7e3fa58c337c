"""What holds for threads holds for tasks: misuse, guards, waiting, and writing by COPY."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import date, timedelta

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
from tests.concurrency.tasks import AsyncFactory, generate_async, with_pool
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


def ask(uow: UnitOfWork) -> object:
    return uow.session.scalar(sa.text("SELECT 1"))


# --- the order of things --------------------------------------------------------------


def test_it_is_entered_once_and_its_end_is_final(database_url: sa.URL, group: PlanGroup) -> None:
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

    with_pool(database_url, work)


@pytest.mark.parametrize("write", [add_unflushed, add_by_core])
def test_leaving_with_uncommitted_work_says_so(
    database_url: sa.URL, group: PlanGroup, write: Callable[[UnitOfWork], None]
) -> None:
    async def work(factory: AsyncFactory) -> None:
        with pytest.raises(UncommittedChangesError):
            async with AsyncUnitOfWork(
                factory, lock=PlanGroupLock(group.tenant_id, group.id)
            ) as uow:
                await uow.run(write)

    with_pool(database_url, work)


@pytest.mark.parametrize("write", [add_unflushed, add_by_core])
def test_writing_after_a_rollback_of_the_session_is_stopped(
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

    with_pool(database_url, work)


def test_a_session_that_commits_by_itself_is_stopped(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            with pytest.raises(UnitOfWorkStateError, match=r"Use commit\(\) of the unit of work"):
                await uow.run(lambda sync: sync.session.commit())
            assert advisory_locks(engine) == 1

    with_pool(database_url, work)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"])
def test_an_engine_with_another_isolation_is_refused(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup, level: str
) -> None:
    async def work(factory: AsyncFactory) -> None:
        bind = factory.kw["bind"].execution_options(isolation_level=level)
        with pytest.raises(WrongTransactionError):
            async with AsyncUnitOfWork(
                lambda: factory(bind=bind), lock=PlanGroupLock(group.tenant_id, group.id)
            ):
                pass

    with_pool(database_url, work)
    assert advisory_locks(engine) == 0


def test_run_takes_plain_functions_alone(database_url: sa.URL, group: PlanGroup) -> None:
    async def coroutine(_: UnitOfWork) -> int:
        raise AssertionError("it is never awaited")

    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            with pytest.raises(UnitOfWorkStateError, match="plain function"):
                _ = await uow.run(coroutine)

    with_pool(database_url, work)


def test_two_tasks_do_not_use_one_at_the_same_time(database_url: sa.URL, group: PlanGroup) -> None:
    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            first, second = await asyncio.gather(uow.run(ask), uow.run(ask), return_exceptions=True)
            assert first == 1
            assert isinstance(second, UnitOfWorkStateError)
            assert await uow.run(ask) == 1

    with_pool(database_url, work)


# --- inside one another ---------------------------------------------------------------


def test_the_same_group_inside_itself_is_misuse_and_not_busy(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        patient = PlanGroupLock(group.tenant_id, group.id, wait=LONG)
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            with pytest.raises(UnitOfWorkStateError, match="the same request"):
                await AsyncUnitOfWork(factory, lock=patient).__aenter__()
            await uow.commit()
            await generate_async(factory, group)

    with_pool(database_url, work)
    assert traces(engine, group.id)[0] == 1


def test_a_task_that_was_made_inside_is_another_client(
    database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)):
            other = asyncio.create_task(generate_async(factory, group))
            with pytest.raises(PlanGroupLockedError):
                await other
        await generate_async(factory, group)

    with_pool(database_url, work)


# --- waiting --------------------------------------------------------------------------


def test_the_event_loop_goes_on_while_a_task_waits_for_the_lock(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    """Another request is served whole between the moment of waiting and its end."""

    async def work(factory: AsyncFactory) -> None:
        other = await asyncio.to_thread(stored_group, sessionmaker(engine))
        with engine.connect() as holder, holder.begin():
            holder.exec_driver_sql("SELECT acquire_plan_group_lock(%s, 0)", (group.id,))
            waiting = asyncio.create_task(generate_async(factory, group, wait=LONG))
            await asyncio.to_thread(wait_until_waiting, engine, group.id)
            assert (await generate_async(factory, other)).generation == 1
            assert not waiting.done()
        assert (await waiting).generation == 1

    with_pool(database_url, work)


def test_of_a_pools_connections_at_most_half_wait(
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

    with_pool(database_url, work)


# --- writing, and whole requests ------------------------------------------------------


@pytest.fixture
def year(session_factory: Factory) -> PlanGroup:
    """A year of six books: more than two thousand plans."""
    books = [ContentFactory.build(position=i, last_unit=2000, minutes_per_unit=1) for i in range(6)]
    return stored_group(session_factory, period_end=date(2026, 1, 5), contents=books)


def test_tasks_and_threads_write_the_same_thousands_of_plans(
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

    with_pool(database_url, work)
    by_a_task = plans()
    generate(session_factory, year)
    assert len(by_a_task) > 2000
    assert plans() == by_a_task


@pytest.fixture
def refusal_in_the_copy(owner_engine: sa.Engine) -> Iterator[None]:
    """The thousandth plan meets another one, as far as the server tells."""
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


@pytest.mark.usefixtures("refusal_in_the_copy")
def test_a_copy_that_the_database_refuses_leaves_nothing_and_the_pool_whole(
    engine: sa.Engine, database_url: sa.URL, year: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        with pytest.raises(StudentPlansOverlapError):
            await generate_async(factory, year)

    with_pool(database_url, work)
    assert traces(engine, year.id) == (0, [], [])
    assert advisory_locks(engine) == 0


def test_whole_requests_in_one_call(
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

    with_pool(database_url, work)
    assert advisory_locks(engine) == 0
