"""A row that somebody outside the locks is changing ends the wait in a lock timeout of its own."""

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
)
from domain.testing.contention import TIMEOUT, eventually
from tests.integration.asking import backend_pid
from tests.integration.editing import Factory, World, everything
from tests.integration.storing import FIRST


def impatient(world: World) -> PlanGroupLock:
    """The world's lock for a unit of work that waits 20 ms for a row, by the package's limit."""
    return replace(world.lock, limits=Limits(row_lock=timedelta(milliseconds=20)))


def generate(uow: UnitOfWork, _: World) -> None:
    PlanGenerationService(uow).generate(today=FIRST)


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
    """What the caller has changed by itself is written by the commit."""
    uow.groups.get(world.group.id).name = "여름방학"
    uow.commit()


Write = Callable[[UnitOfWork, World], object]
CASES: list[tuple[Write, type[Any], Callable[[World], Any]]] = [
    (generate, PlanGroup, lambda world: world.group.id),
    (generate, StudentPlan, lambda world: world.plans[0].id),
    (rename, PlanGroup, lambda world: world.group.id),
    (retitle, Content, lambda world: world.planned.id),
    (move, Block, lambda world: world.block.id),
    (mark, StudentPlan, lambda world: world.plans[0].id),
    (delete, PlanGroup, lambda world: world.group.id),
    (delete, StudentPlan, lambda world: world.plans[0].id),
    (commit, PlanGroup, lambda world: world.group.id),
]
each_case = pytest.mark.parametrize(
    ("write", "kind", "which"),
    CASES,
    ids=[f"{write.__name__}-{kind.__tablename__}" for write, kind, _ in CASES],
)


@contextmanager
def locked(engine: sa.Engine, kind: type[Any], id_: Any) -> Iterator[sa.Connection]:
    """Another connection has changed the row and not committed yet."""
    with engine.connect() as other, other.begin() as transaction:
        other.execute(sa.update(kind).where(kind.id == id_).values(version=kind.version + 1))
        yield other
        transaction.rollback()


def is_waiting(engine: sa.Engine, pid: int) -> bool:
    """Whether the backend waits for somebody's transaction to end."""
    waits = (
        "SELECT EXISTS (SELECT FROM pg_locks "
        "WHERE NOT granted AND locktype = 'transactionid' AND pid = :pid)"
    )
    with engine.connect() as connection:
        return bool(connection.scalar(sa.text(waits), {"pid": pid}))


@each_case
def test_row_lock_of_another_is_a_lock_timeout(
    *,
    engine: sa.Engine,
    session_factory: Factory,
    world: World,
    write: Write,
    kind: type[Any],
    which: Callable[[World], Any],
) -> None:
    before = everything(session_factory)
    with (
        locked(engine, kind, which(world)),
        UnitOfWork(session_factory, lock=impatient(world)) as uow,
        pytest.raises(LockTimeoutError) as late,
    ):
        write(uow, world)
    assert (late.value.scope, late.value.waited_ms, late.value.holder) == ("row", None, None)
    assert late.value.group_id in {world.group.id, None}
    assert "같은 데이터" in late.value.message("ko")
    assert is_retryable(late.value)
    assert everything(session_factory) == before
    with UnitOfWork(session_factory, lock=world.lock) as uow:
        write(uow, world)
        if write is not commit:
            uow.rollback()


def test_row_lock_of_another_is_a_lock_timeout_for_a_task(
    engine: sa.Engine, database_url: sa.URL, world: World
) -> None:
    async def request() -> None:
        tasks = create_async_engine(database_url)
        try:
            async with AsyncUnitOfWork(async_sessionmaker(tasks), lock=impatient(world)) as uow:
                await uow.run(generate, world)
        finally:
            await tasks.dispose()

    with locked(engine, PlanGroup, world.group.id), pytest.raises(LockTimeoutError) as late:
        asyncio.run(request())
    assert late.value.scope == "row"


def test_deadlock_with_rows_of_another_is_a_lock_timeout(
    owner_engine: sa.Engine, session_factory: Factory, world: World
) -> None:
    """Somebody outside the locks has the content's row and waits for the group's."""
    group_row = sa.update(PlanGroup).where(PlanGroup.id == world.group.id).values(name="겨울방학")
    before = everything(session_factory)
    with locked(owner_engine, Content, world.planned.id) as other, ThreadPoolExecutor(1) as pool:
        pid = backend_pid(other)
        other.exec_driver_sql("SET LOCAL deadlock_timeout = '1min'")  # it is not the one to fail
        with UnitOfWork(session_factory, lock=world.lock) as uow:
            uow.groups.get(world.group.id).name = "여름방학"
            uow.session.flush()
            waiting = pool.submit(other.execute, group_row)
            eventually(lambda: is_waiting(owner_engine, pid), "the other one waits for the group")
            with pytest.raises(LockTimeoutError) as late:
                retitle(uow, world)
        waiting.result(TIMEOUT)
    assert (late.value.scope, late.value.waited_ms) == ("row", None)
    assert is_retryable(late.value)
    assert everything(session_factory) == before


def test_table_that_is_being_altered_is_a_lock_timeout(
    engine: sa.Engine, session_factory: Factory, world: World
) -> None:
    """For reading too."""
    with engine.connect() as other, other.begin() as transaction:
        other.exec_driver_sql("LOCK TABLE studyplan.contents IN ACCESS EXCLUSIVE MODE")
        with (
            UnitOfWork(session_factory, lock=impatient(world)) as uow,
            pytest.raises(LockTimeoutError) as late,
        ):
            uow.groups.get(world.group.id)
        transaction.rollback()
    assert late.value.scope == "row"
