"""The outcome of a task's generation is reported once: committed, rolled back or unknown."""

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
    CancelledOnce,
    cancel_during_commit,
    each_cancellation,
    generate_async,
    run_with_pool,
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
        async def nothing_is_reported() -> None:
            assert reported == []

        await generate_async(factory, group, nothing_is_reported)

    run_with_pool(database_url, main)
    assert outcomes(reported) == [("generated", None)]


def test_generation_of_a_task_that_does_not_commit_is_reported_as_rolled_back(
    database_url: sa.URL, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    async def main(factory: AsyncFactory) -> None:
        lock = PlanGroupLock(group.tenant_id, group.id)
        with pytest.raises(UncommittedChangesError):
            async with AsyncUnitOfWork(factory, lock=lock) as uow:
                await uow.run(_generate)

    run_with_pool(database_url, main)
    assert outcomes(reported) == [("rolled_back", "UncommittedChangesError")]


@each_cancellation
def test_commit_that_completes_despite_cancellation_is_reported_as_generated(
    *,
    owner_engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    reported: list[GenerationEvent],
    request_type: type[CancelledOnce],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with CommitGate(owner_engine) as gate:
            request = request_type(generate_async(factory, group))
            await cancel_during_commit(gate, request)
            gate.open()
            await request.wait_cancelled()

    run_with_pool(database_url, main)
    assert outcomes(reported) == [("generated", None)]
    assert traces(owner_engine, group.id)[0] == 1


@each_cancellation
@pytest.mark.usefixtures("short_grace_period")
def test_commit_that_is_cancelled_is_reported_as_unknown(
    *,
    owner_engine: sa.Engine,
    database_url: sa.URL,
    group: PlanGroup,
    reported: list[GenerationEvent],
    request_type: type[CancelledOnce],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        with CommitGate(owner_engine) as gate:
            request = request_type(generate_async(factory, group))
            await cancel_during_commit(gate, request)
            await request.wait_cancelled()

    run_with_pool(database_url, main)
    assert outcomes(reported) == [("unknown", "CancelledError")]


@each_cancellation
def test_task_that_is_cancelled_before_its_commit_is_reported_as_rolled_back(
    database_url: sa.URL,
    group: PlanGroup,
    reported: list[GenerationEvent],
    request_type: type[CancelledOnce],
) -> None:
    async def main(factory: AsyncFactory) -> None:
        generated = asyncio.Event()

        async def wait_forever() -> None:
            generated.set()
            await asyncio.Event().wait()

        request = request_type(generate_async(factory, group, wait_forever))
        await generated.wait()
        request.cancel()
        await request.wait_cancelled()

    run_with_pool(database_url, main)
    assert outcomes(reported) == [("rolled_back", "CancelledError")]


def test_unit_of_work_that_exits_while_another_task_uses_it_is_reported_as_rolled_back(
    database_url: sa.URL, group: PlanGroup, reported: list[GenerationEvent]
) -> None:
    def wait(uow: UnitOfWork) -> object:
        return uow.session.scalar(sa.text("SELECT pg_sleep(60)"))

    async def exit_too_early(uow: AsyncUnitOfWork) -> None:
        async with uow:
            await uow.run(_generate)
            forgotten.append(asyncio.create_task(uow.run(wait)))
            await asyncio.sleep(0)

    async def main(factory: AsyncFactory) -> None:
        lock = PlanGroupLock(group.tenant_id, group.id)
        with pytest.raises(UnitOfWorkStateError, match="another task was using"):
            await exit_too_early(AsyncUnitOfWork(factory, lock=lock))
        await asyncio.wait(forgotten)

    forgotten: list[asyncio.Task[object]] = []
    run_with_pool(database_url, main)
    assert outcomes(reported) == [("rolled_back", "UnitOfWorkStateError")]


def _generate(uow: UnitOfWork) -> object:
    return PlanGenerationService(uow).generate(today=FIRST)
