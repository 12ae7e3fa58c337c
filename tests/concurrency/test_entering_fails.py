"""A unit of work whose entry failed cannot be entered again, with or without asyncio."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from domain import AsyncUnitOfWork, PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import UnitOfWorkStateError, WrongSessionError, WrongTransactionError
from domain.testing import assert_lock_free
from domain.testing.contention import advisory_locks
from tests.concurrency.tasks import AsyncFactory, run_with_pool

Factory = sessionmaker[Session]
AGAIN = r"entering it failed\. Create a new one"


def lock_of(group: PlanGroup) -> PlanGroupLock:
    return PlanGroupLock(group.tenant_id, group.id)


def assert_closed(uow: UnitOfWork) -> None:
    for use in (uow.__enter__, uow.commit, uow.rollback, lambda: uow.session):
        with pytest.raises(UnitOfWorkStateError, match="entering it failed"):
            use()


def test_unit_of_work_that_was_refused_is_not_entered_again(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    uow = UnitOfWork(session_factory, lock=lock_of(group))
    with UnitOfWork(session_factory, lock=lock_of(group)):
        with pytest.raises(PlanGroupLockedError):
            Context().run(uow.__enter__)
        with pytest.raises(UnitOfWorkStateError, match=AGAIN):
            uow.__enter__()
    with pytest.raises(UnitOfWorkStateError, match=AGAIN), uow:
        pass
    assert_closed(uow)
    assert advisory_locks(engine) == 0


def test_unit_of_work_inside_another_one_is_not_entered_after_it(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    uow = UnitOfWork(session_factory, lock=lock_of(group))
    with (
        UnitOfWork(session_factory, lock=lock_of(group)),
        pytest.raises(UnitOfWorkStateError, match="of the same request"),
    ):
        uow.__enter__()
    with pytest.raises(UnitOfWorkStateError, match=AGAIN):
        uow.__enter__()
    assert_closed(uow)
    assert_lock_free(engine, group.id)


def at_level(url: sa.URL, level: Any) -> sa.Engine:
    return sa.create_engine(url, isolation_level=level, poolclass=sa.NullPool)


WRONG: dict[str, tuple[Callable[[sa.URL], Any], type[Exception]]] = {
    "autocommit": (lambda url: sessionmaker(at_level(url, "AUTOCOMMIT")), WrongTransactionError),
    "serializable": (
        lambda url: sessionmaker(at_level(url, "SERIALIZABLE")),
        WrongTransactionError,
    ),
    "no Session": (lambda _: lambda: None, WrongSessionError),
    "no engine": (lambda _: sessionmaker(), WrongSessionError),
    "an error": (lambda _: lambda: 1 // 0, ZeroDivisionError),
}


@pytest.mark.parametrize("case", WRONG)
def test_unit_of_work_with_a_wrong_session_is_not_entered_again(
    database_url: sa.URL, case: str
) -> None:
    make, error = WRONG[case]
    uow = UnitOfWork(make(database_url), lock=PlanGroupLock(uuid4(), uuid4()))
    with pytest.raises(error):
        uow.__enter__()
    assert_closed(uow)


def test_unit_of_work_is_entered_again_neither_while_nor_after_it_is_open(
    session_factory: Factory, group: PlanGroup
) -> None:
    """A second entry is refused and has no effect on the open block."""
    uow = UnitOfWork(session_factory, lock=lock_of(group))
    with uow:
        with pytest.raises(UnitOfWorkStateError, match=r"open\. Create a new one"):
            uow.__enter__()
        uow.groups.get(group.id)
        uow.commit()


# --- asyncio --------------------------------------------------------------------------


async def assert_closed_async(uow: AsyncUnitOfWork) -> None:
    uses = (uow.__aenter__, uow.commit, uow.rollback, lambda: uow.run(lambda u: u.session))
    for use in uses:
        with pytest.raises(UnitOfWorkStateError):
            await use()
    with pytest.raises(UnitOfWorkStateError, match=AGAIN):
        await uow.__aenter__()


def test_async_unit_of_work_that_was_refused_is_not_entered_again(
    database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        uow = AsyncUnitOfWork(factory, lock=lock_of(group))
        async with AsyncUnitOfWork(factory, lock=lock_of(group)):
            with pytest.raises(PlanGroupLockedError):
                await asyncio.create_task(uow.__aenter__(), context=Context())
            await assert_closed_async(uow)
        await assert_closed_async(uow)

    run_with_pool(database_url, work)


def test_async_unit_of_work_with_a_wrong_transaction_is_not_entered_again(
    database_url: sa.URL, group: PlanGroup
) -> None:
    async def work() -> None:
        engine = create_async_engine(database_url, isolation_level="AUTOCOMMIT")
        uow = AsyncUnitOfWork(async_sessionmaker(engine), lock=lock_of(group))
        with pytest.raises(WrongTransactionError):
            await uow.__aenter__()
        await assert_closed_async(uow)
        await engine.dispose()

    asyncio.run(work())


def test_async_unit_of_work_that_was_cancelled_is_not_entered_again(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        uow = AsyncUnitOfWork(factory, lock=lock_of(group))
        task = asyncio.create_task(uow.__aenter__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(UnitOfWorkStateError, match="Create a new one"):
            await uow.__aenter__()

    run_with_pool(database_url, work)
    assert advisory_locks(engine) == 0


def test_second_task_cannot_enter_while_the_first_is_entering(
    database_url: sa.URL, group: PlanGroup
) -> None:
    async def work(factory: AsyncFactory) -> None:
        uow = AsyncUnitOfWork(factory, lock=lock_of(group))
        first = asyncio.create_task(uow.__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(UnitOfWorkStateError, match=r"being entered\. Create a new one"):
            await uow.__aenter__()
        await first
        await uow.run(lambda u: u.groups.get(group.id))
        await uow.commit()
        await uow.__aexit__(None, None, None)

    run_with_pool(database_url, work)
