"""Exactly one of any number of simultaneous tasks for a plan group generates."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanGroupLockedError
from domain.errors import LockTimeoutError, PlanGroupNotFoundError
from domain.testing import assert_lock_free, contend_async
from domain.testing.contention import TIMEOUT, Outcomes, advisory_locks, wait_until_waiting
from domain.unit_of_work import AsyncUnitOfWork
from tests.concurrency.tasks import generate_async, pooled
from tests.factories import PlanGroupFactory
from tests.integration.storing import generate, live, stored_group, traces

BUSY = "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."
LONG = timedelta(seconds=TIMEOUT)

Hold = Callable[[], Awaitable[None]]


def contend_in_tasks(url: sa.URL, group: PlanGroup, contenders: int) -> Outcomes[object]:
    """Run simultaneous tasks; the winner does not commit until all others have an answer."""

    async def main() -> Outcomes[object]:
        async with pooled(url, contenders) as factory:
            return await contend_async(
                contenders, lambda hold: generate_async(factory, group, hold)
            )

    return asyncio.run(main())


def test_single_task_generates(engine: sa.Engine, database_url: sa.URL, group: PlanGroup) -> None:
    answers = contend_in_tasks(database_url, group, 1)
    assert len(answers.results) == 1
    assert len(live(sessionmaker(engine), group)) > 0


def test_generation_succeeds_in_one_of_two_tasks_and_the_other_gets_a_409_problem(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    answers = contend_in_tasks(database_url, group, 2)
    assert len(answers.results) == 1
    (refusal,) = answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    problem = refusal.to_problem()
    assert (problem["status"], problem["detail"], problem["retryable"]) == (409, BUSY, True)
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == 1
    assert len(plans) == records[0].plan_count


def test_generation_succeeds_in_exactly_one_of_32_tasks(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    answers = contend_in_tasks(database_url, group, 32)
    assert len(answers.results) == 1
    assert [type(refusal) for refusal in answers.refusals] == [PlanGroupLockedError] * 31
    generation, records, _ = traces(engine, group.id)
    assert generation == len(records) == 1
    assert advisory_locks(engine) == 0


def test_threads_and_tasks_contend_for_the_same_lock(
    engine: sa.Engine,
    database_url: sa.URL,
    session_factory: sessionmaker[Session],
    group: PlanGroup,
) -> None:
    async def main() -> Outcomes[object]:
        loop = asyncio.get_running_loop()
        async with pooled(database_url, 16) as factory:
            remaining = iter(range(32))

            async def request(hold: Hold) -> object:
                if next(remaining) % 2:
                    return await generate_async(factory, group, hold)

                def hold_thread() -> None:
                    asyncio.run_coroutine_threadsafe(_awaited(hold), loop).result(TIMEOUT)

                return await asyncio.to_thread(generate, session_factory, group, hold=hold_thread)

            return await contend_async(32, request)

    answers = asyncio.run(main())
    assert len(answers.results) == 1
    assert [type(refusal) for refusal in answers.refusals] == [PlanGroupLockedError] * 31
    generation, records, _ = traces(engine, group.id)
    assert generation == len(records) == 1


def test_tasks_for_groups_of_different_students_do_not_wait_for_each_other(
    database_url: sa.URL, session_factory: sessionmaker[Session]
) -> None:
    groups = [stored_group(session_factory) for _ in range(8)]

    async def main() -> Outcomes[object]:
        remaining = iter(groups)
        async with pooled(database_url, 8) as factory:
            return await contend_async(
                8, lambda hold: generate_async(factory, next(remaining), hold)
            )

    assert len(asyncio.run(main()).results) == 8


def test_waiting_task_generates_after_the_holders_commit_and_sees_its_generation(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def main() -> tuple[int | None, int | None]:
        async with pooled(database_url) as factory:
            waiters: list[asyncio.Task[int | None]] = []

            async def start_a_waiting_request() -> None:
                waiters.append(asyncio.create_task(waiting()))
                await asyncio.to_thread(wait_until_waiting, engine, group.id)

            async def waiting() -> int | None:
                return (await generate_async(factory, group, wait=LONG)).generation

            first = await generate_async(factory, group, start_a_waiting_request)
            return first.generation, await waiters[0]

    assert asyncio.run(main()) == (1, 2)


def test_bounded_wait_of_a_task_raises_lock_timeout_error(
    engine: sa.Engine, database_url: sa.URL, group: PlanGroup
) -> None:
    async def main() -> None:
        async with pooled(database_url) as factory:

            async def refused_meanwhile() -> None:
                # A separate task is another client; the same request in this task is a usage error.
                short = timedelta(milliseconds=30)
                with pytest.raises(LockTimeoutError) as late:
                    await asyncio.create_task(generate_async(factory, group, wait=short))
                assert late.value.waited_ms is not None
                assert late.value.waited_ms >= 30
                assert late.value.holder is not None

            await generate_async(factory, group, refused_meanwhile)

    asyncio.run(main())
    assert_lock_free(engine, group.id)


def test_missing_group_is_refused_and_its_lock_is_released(
    engine: sa.Engine, database_url: sa.URL
) -> None:
    missing = PlanGroupFactory.build()

    async def main() -> None:
        async with pooled(database_url) as factory:
            with pytest.raises(PlanGroupNotFoundError):
                await generate_async(factory, missing)

    asyncio.run(main())
    assert_lock_free(engine, missing.id)


def test_task_can_create_the_group_that_it_locks(engine: sa.Engine, database_url: sa.URL) -> None:
    group = PlanGroupFactory.build()
    lock = PlanGroupLock(group.tenant_id, group.id)

    async def main() -> None:
        async with pooled(database_url) as factory, AsyncUnitOfWork(factory, lock=lock) as uow:
            await uow.run(lambda sync: sync.groups.add(group))
            await uow.commit()

    asyncio.run(main())
    assert traces(engine, lock.group_id)[0] == 0


async def _awaited(hold: Hold) -> None:
    await hold()
