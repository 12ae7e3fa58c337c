"""Waiting for a row that a transaction without the lock has changed raises a lock timeout."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from domain import (
    AsyncUnitOfWork,
    Block,
    Content,
    Limits,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentPlan,
    UnitOfWork,
)
from domain.errors import LockTimeoutError
from domain.retrying import is_retryable
from domain.services import (
    GroupEditService,
    GroupTimeService,
    PlanGroupService,
    PlanProgressService,
    UndoService,
)
from domain.testing.contention import TIMEOUT, eventually
from tests.integration.asking import backend_pid
from tests.integration.editing import Factory, World, everything
from tests.integration.storing import FIRST


def with_short_row_limit(world: World) -> PlanGroupLock:
    """Return the world's lock, with a limit of 20 ms for waits for rows."""
    return replace(world.lock, limits=Limits(row_lock=timedelta(milliseconds=20)))


def generate(uow: UnitOfWork, _: World) -> None:
    """Retire the plan of the first day as missed, and others as replaced."""
    PlanGenerationService(uow).generate(today=FIRST + timedelta(days=1))


def generate_the_same(uow: UnitOfWork, world: World) -> None:
    """Generate after the removal of what was added, so that only the record is written."""
    GroupEditService(uow).remove_content(content_id=world.unplanned.id, expected_version=1)
    PlanGenerationService(uow).generate(today=FIRST)


def undo(uow: UnitOfWork, _: World) -> None:
    UndoService(uow).undo()


def mark_missed(uow: UnitOfWork, world: World) -> None:
    PlanProgressService(uow).mark_missed(plan_id=world.plans[0].id, expected_version=1)


def rename(uow: UnitOfWork, _: World) -> None:
    GroupEditService(uow).change_settings(expected_version=1, name="여름방학")


def retitle(uow: UnitOfWork, world: World) -> None:
    GroupEditService(uow).change_content(
        content_id=world.planned.id, expected_version=1, title="수학"
    )


def move(uow: UnitOfWork, world: World) -> None:
    GroupTimeService(uow).change_block(
        block_id=world.block.id, expected_version=1, start_minute=540
    )


def mark(uow: UnitOfWork, world: World) -> None:
    PlanProgressService(uow).mark(
        plan_id=world.plans[0].id, expected_version=1, state=PlanState.DONE
    )


def delete(uow: UnitOfWork, _: World) -> None:
    PlanGroupService(uow).delete(expected_version=1)


def commit(uow: UnitOfWork, world: World) -> None:
    """Commit a change that the caller has made to a loaded object."""
    uow.groups.get(world.group.id).name = "여름방학"
    uow.commit()


Write = Callable[[UnitOfWork, World], object]
CASES: list[tuple[Write, type[Any], Callable[[World], Any]]] = [
    (generate, PlanGroup, lambda world: world.group.id),
    (generate, StudentPlan, lambda world: world.plans[0].id),
    (generate_the_same, PlanGroup, lambda world: world.group.id),
    (undo, PlanGroup, lambda world: world.group.id),
    (undo, StudentPlan, lambda world: world.plans[-1].id),
    (mark_missed, StudentPlan, lambda world: world.plans[0].id),
    (rename, PlanGroup, lambda world: world.group.id),
    (retitle, Content, lambda world: world.planned.id),
    (move, Block, lambda world: world.block.id),
    (mark, StudentPlan, lambda world: world.plans[0].id),
    (delete, PlanGroup, lambda world: world.group.id),
    (delete, StudentPlan, lambda world: world.plans[0].id),
    (commit, PlanGroup, lambda world: world.group.id),
]
each_case = pytest.mark.parametrize(
    ("write", "kind", "id_of"),
    CASES,
    ids=[f"{write.__name__}-{kind.__tablename__}" for write, kind, _ in CASES],
)


@contextmanager
def locked(engine: sa.Engine, kind: type[Any], id_: Any) -> Iterator[sa.Connection]:
    """Change the row in another transaction, which is not committed in the block."""
    with engine.connect() as other, other.begin() as transaction:
        other.execute(sa.update(kind).where(kind.id == id_).values(version=kind.version + 1))
        yield other
        transaction.rollback()


def is_waiting(engine: sa.Engine, pid: int) -> bool:
    """Return whether the backend waits for another transaction to end."""
    waits = (
        "SELECT EXISTS (SELECT FROM pg_locks "
        "WHERE NOT granted AND locktype = 'transactionid' AND pid = :pid)"
    )
    with engine.connect() as connection:
        return bool(connection.scalar(sa.text(waits), {"pid": pid}))


@each_case
def test_row_lock_of_another_transaction_raises_a_lock_timeout(
    *,
    engine: sa.Engine,
    session_factory: Factory,
    world: World,
    write: Write,
    kind: type[Any],
    id_of: Callable[[World], Any],
) -> None:
    before = everything(session_factory)
    with (
        locked(engine, kind, id_of(world)),
        UnitOfWork(session_factory, lock=with_short_row_limit(world)) as uow,
        pytest.raises(LockTimeoutError) as timeout,
    ):
        write(uow, world)
    assert (timeout.value.scope, timeout.value.waited_ms, timeout.value.holder) == (
        "row",
        None,
        None,
    )
    assert timeout.value.group_id in {world.group.id, None}
    assert "같은 데이터" in timeout.value.message("ko")
    assert is_retryable(timeout.value)
    assert everything(session_factory) == before
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        write(uow, world)
        if write is not commit:
            uow.rollback()


def test_row_lock_of_another_transaction_raises_a_lock_timeout_with_asyncio(
    engine: sa.Engine, database_url: sa.URL, world: World
) -> None:
    async def request() -> None:
        async_engine = create_async_engine(database_url)
        try:
            async with AsyncUnitOfWork(
                async_sessionmaker(async_engine), lock=with_short_row_limit(world)
            ) as uow:
                await uow.run(generate, world)
        finally:
            await async_engine.dispose()

    with locked(engine, PlanGroup, world.group.id), pytest.raises(LockTimeoutError) as timeout:
        asyncio.run(request())
    assert timeout.value.scope == "row"


def test_deadlock_with_another_transaction_raises_a_lock_timeout(
    owner_engine: sa.Engine, session_factory: Factory, world: World
) -> None:
    """The other transaction has changed the content's row and waits for the group's row."""
    group_row = sa.update(PlanGroup).where(PlanGroup.id == world.group.id).values(name="겨울방학")
    before = everything(session_factory)
    with locked(owner_engine, Content, world.planned.id) as other, ThreadPoolExecutor(1) as pool:
        pid = backend_pid(other)
        # The backend whose deadlock_timeout ends first detects the deadlock and is aborted. It must
        # be that of the unit of work.
        other.exec_driver_sql("SET LOCAL deadlock_timeout = '1min'")
        with UnitOfWork(session_factory, lock=world.lock) as uow:
            uow.groups.get(world.group.id).name = "여름방학"
            uow.session.flush()
            waiting = pool.submit(other.execute, group_row)
            eventually(
                lambda: is_waiting(owner_engine, pid),
                "the other transaction waits for the group's row",
            )
            with pytest.raises(LockTimeoutError) as timeout:
                retitle(uow, world)
        waiting.result(TIMEOUT)
    assert (timeout.value.scope, timeout.value.waited_ms) == ("row", None)
    assert is_retryable(timeout.value)
    assert everything(session_factory) == before


def test_table_lock_of_another_transaction_raises_a_lock_timeout(
    engine: sa.Engine, session_factory: Factory, world: World
) -> None:
    """ACCESS EXCLUSIVE blocks reads too."""
    with engine.connect() as other, other.begin() as transaction:
        other.exec_driver_sql("LOCK TABLE studyplan.contents IN ACCESS EXCLUSIVE MODE")
        with (
            UnitOfWork(session_factory, lock=with_short_row_limit(world)) as uow,
            pytest.raises(LockTimeoutError) as timeout,
        ):
            uow.groups.get(world.group.id)
        transaction.rollback()
    assert timeout.value.scope == "row"
