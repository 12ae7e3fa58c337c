"""What is reported of a task's generation: committed, rolled back or unknown, once."""

import asyncio
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from domain import PlanGenerationService, PlanGroup, PlanGroupLock
from domain.errors import UncommittedChangesError, UnitOfWorkStateError
from domain.events import GenerationEvent
from domain.testing import assert_lock_free
from domain.testing.faults import CommitGate
from domain.unit_of_work import AsyncUnitOfWork, UnitOfWork
from tests.concurrency.tasks import (
    AsyncFactory,
    Once,
    each_way,
    generate_async,
    strike_in_the_commit,
    with_pool,
)
from tests.integration.storing import FIRST, listening, outcomes, traces


@pytest.fixture
def reported(engine: sa.Engine, group: PlanGroup) -> Iterator[list[GenerationEvent]]:
    """The events that were reported while the lock was free."""
    events: list[GenerationEvent] = []

    def listener(event: GenerationEvent) -> None:
        assert_lock_free(engine, group.id)
        events.append(event)

    with listening(listener):
        yield events


def test_generation_of_a_task_is_reported_after_the_commit(
    database_url: sa.URL, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    async def main(factory: AsyncFactory) -> None:
        async def nothing_yet() -> None:
            assert reported == []

        await generate_async(factory, group, nothing_yet)

    with_pool(database_url, main)
    assert outcomes(reported) == [("generated", None)]


def test_generation_of_a_task_that_does_not_commit_is_reported_as_rolled_back(
    database_url: sa.URL, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    async def main(factory: AsyncFactory) -> None:
        lock = PlanGroupLock(group.tenant_id, group.id)
        with pytest.raises(UncommittedChangesError):
            async with AsyncUnitOfWork(factory, lock=lock) as uow:
                await uow.run(_generate)

    with_pool(database_url, main)
    assert outcomes(reported) == [("rolled_back", "UncommittedChangesError")]


@each_way
def test_commit_that_is_carried_out_although_its_task_is_cancelled_is_reported_as_generated(
    *,
    owner_engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    reported: list[GenerationEvent],
    way: type[Once],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with CommitGate(owner_engine) as gate:
            request = way(generate_async(factory, group))
            await strike_in_the_commit(gate, request)
            gate.open()
            await request.ended()

    with_pool(database_url, main)
    assert outcomes(reported) == [("generated", None)]
    assert traces(owner_engine, group.id)[0] == 1


@each_way
@pytest.mark.usefixtures("impatient")
def test_commit_that_is_cancelled_is_reported_as_unknown(
    *,
    owner_engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    reported: list[GenerationEvent],
    way: type[Once],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with CommitGate(owner_engine) as gate:
            request = way(generate_async(factory, group))
            await strike_in_the_commit(gate, request)
            await request.ended()

    with_pool(database_url, main)
    assert outcomes(reported) == [("unknown", "CancelledError")]


@each_way
def test_task_that_is_cancelled_before_its_commit_is_reported_as_rolled_back(
    database_url: sa.URL, group: PlanGroup, reported: list[GenerationEvent], way: type[Once]
) -> None:
    async def main(factory: AsyncFactory) -> None:
        generated = asyncio.Event()

        async def stay() -> None:
            generated.set()
            await asyncio.Event().wait()

        request = way(generate_async(factory, group, stay))
        await generated.wait()
        request.strike()
        await request.ended()

    with_pool(database_url, main)
    assert outcomes(reported) == [("rolled_back", "CancelledError")]


def test_block_that_ends_while_another_task_uses_it_is_reported_as_rolled_back(
    database_url: sa.URL, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    def wait(uow: UnitOfWork) -> object:
        return uow.session.scalar(sa.text("SELECT pg_sleep(60)"))

    async def leave_too_early(uow: AsyncUnitOfWork) -> None:
        async with uow:
            await uow.run(_generate)
            forgotten.append(asyncio.create_task(uow.run(wait)))
            await asyncio.sleep(0)

    async def main(factory: AsyncFactory) -> None:
        lock = PlanGroupLock(group.tenant_id, group.id)
        with pytest.raises(UnitOfWorkStateError, match="another task was using"):
            await leave_too_early(AsyncUnitOfWork(factory, lock=lock))
        await asyncio.wait(forgotten)

    forgotten: list[asyncio.Task[object]] = []
    with_pool(database_url, main)
    assert outcomes(reported) == [("rolled_back", "UnitOfWorkStateError")]


def _generate(uow: UnitOfWork) -> object:
    return PlanGenerationService(uow).generate(today=FIRST)
