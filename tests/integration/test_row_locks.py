"""A row that somebody outside the locks is changing ends the wait in a lock timeout of its own."""

import asyncio
from collections.abc import Callable, Iterator
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
    LockTimeoutError,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentPlan,
    UnitOfWork,
)
from domain.retrying import worth_retrying
from domain.services import (
    GroupDeletionService,
    GroupEditService,
    GroupTimeService,
    PlanProgressService,
)
from tests.integration.editing import Factory, World, everything
from tests.integration.storing import FIRST


def impatient(world: World) -> PlanGroupLock:
    """The world's lock for a unit of work that waits 20 ms for a row, by the package's limit."""
    return replace(world.lock, limits=Limits(row_lock=timedelta(milliseconds=20)))


def generate(uow: UnitOfWork, world: World) -> None:
    PlanGenerationService().generate(
        uow, tenant_id=world.tenant_id, group_id=world.group.id, today=FIRST
    )


def rename(uow: UnitOfWork, world: World) -> None:
    GroupEditService().change_settings(
        uow,
        tenant_id=world.tenant_id,
        group_id=world.group.id,
        expected_version=1,
        name="여름방학",
    )


def retitle(uow: UnitOfWork, world: World) -> None:
    GroupEditService().change_content(
        uow,
        tenant_id=world.tenant_id,
        group_id=world.group.id,
        content_id=world.planned.id,
        expected_version=1,
        title="수학",
    )


def move(uow: UnitOfWork, world: World) -> None:
    GroupTimeService().change_block(
        uow,
        tenant_id=world.tenant_id,
        group_id=world.group.id,
        block_id=world.block.id,
        expected_version=1,
        start_minute=540,
    )


def mark(uow: UnitOfWork, world: World) -> None:
    PlanProgressService().mark(
        uow,
        tenant_id=world.tenant_id,
        group_id=world.group.id,
        plan_id=world.plans[0].id,
        expected_version=1,
        state=PlanState.DONE,
    )


def delete(uow: UnitOfWork, world: World) -> None:
    GroupDeletionService().delete(
        uow, tenant_id=world.tenant_id, group_id=world.group.id, expected_version=1
    )


def commit(uow: UnitOfWork, world: World) -> None:
    """What the caller has changed by itself is written by the commit."""
    uow.groups.get(world.tenant_id, world.group.id).name = "여름방학"
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
def locked(engine: sa.Engine, kind: type[Any], id_: Any) -> Iterator[None]:
    """Another connection has changed the row and not committed yet."""
    with engine.connect() as other, other.begin() as transaction:
        other.execute(sa.update(kind).where(kind.id == id_).values(version=kind.version + 1))
        yield
        transaction.rollback()


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
    assert worth_retrying(late.value)
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


def test_table_that_is_being_altered_is_a_lock_timeout(
    engine: sa.Engine, session_factory: Factory, world: World
) -> None:
    """For reading too."""
    with engine.connect() as other, other.begin() as transaction:
        other.exec_driver_sql("LOCK TABLE contents IN ACCESS EXCLUSIVE MODE")
        with (
            UnitOfWork(session_factory, lock=impatient(world)) as uow,
            pytest.raises(LockTimeoutError) as late,
        ):
            uow.groups.get(world.tenant_id, world.group.id)
        transaction.rollback()
    assert late.value.scope == "row"
