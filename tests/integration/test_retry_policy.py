"""The number of attempts and the pauses between them; no database is involved."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from domain import InvalidInputError, PlanGroupLockedError
from domain.errors import RETRY_AFTER, GeneratedMeanwhileError, NoContentsError
from domain.retrying import RetryPolicy, retrying, retrying_async

BUSY = PlanGroupLockedError(group_id=None)
NO_PAUSE = RetryPolicy(first_pause=timedelta(0))
pytestmark = pytest.mark.usefixtures("pauses")


def failing(times: int, error: Exception = BUSY) -> Callable[[], int]:
    """Return work that fails ``times`` times, and otherwise returns the number of its call."""
    calls = 0

    def work() -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise error
        return calls

    return work


def test_retrying_calls_successful_work_once(pauses: list[float]) -> None:
    assert retrying(failing(0)) == 1
    assert not pauses


def test_retrying_repeats_work_until_it_succeeds(pauses: list[float]) -> None:
    assert retrying(failing(4)) == 5
    assert len(pauses) == 4


def test_last_error_is_raised_unchanged() -> None:
    with pytest.raises(PlanGroupLockedError) as refused:
        retrying(failing(5))
    assert refused.value is BUSY


@pytest.mark.parametrize("attempts", [1, 2, 7])
def test_attempts_are_limited_by_the_policy(attempts: int) -> None:
    policy = RetryPolicy(attempts=attempts)
    assert retrying(failing(attempts - 1), policy=policy) == attempts
    with pytest.raises(PlanGroupLockedError):
        retrying(failing(attempts), policy=policy)


def test_error_that_is_not_retryable_is_raised_without_a_pause(pauses: list[float]) -> None:
    with pytest.raises(NoContentsError):
        retrying(failing(1, NoContentsError()))
    assert not pauses


def test_pause_does_not_exceed_its_exponential_bound(pauses: list[float]) -> None:
    policy = RetryPolicy(
        attempts=9, first_pause=timedelta(seconds=0.1), max_pause=timedelta(seconds=1)
    )
    retrying(failing(8), policy=policy)
    bounds = [min(1.0, 0.1 * 2**n) for n in range(8)]
    jitters = [pause - RETRY_AFTER for pause in pauses]
    assert all(0 <= pause <= bound for pause, bound in zip(jitters, bounds, strict=True))


def test_pauses_differ_between_requests(pauses: list[float]) -> None:
    for _ in range(3):
        retrying(failing(4))
    assert len(set(pauses)) == 3 * 4


def test_retry_after_is_the_minimum_pause(pauses: list[float]) -> None:
    busy = PlanGroupLockedError(group_id=None, retry_after=7)
    retrying(failing(2, busy))
    assert all(7 <= pause <= 7.2 for pause in pauses)
    assert len(pauses) == 2


def test_attempt_does_not_begin_after_the_deadline(pauses: list[float]) -> None:
    busy = PlanGroupLockedError(group_id=None, retry_after=7)
    policy = RetryPolicy(deadline=timedelta(seconds=7))
    with pytest.raises(PlanGroupLockedError):
        retrying(failing(1, busy), policy=policy)
    assert not pauses, "the pause would have ended too late"


def test_pauses_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "studyplan.retry")
    retrying(failing(2, GeneratedMeanwhileError()), policy=NO_PAUSE)
    logged = [vars(record) for record in caplog.records]
    assert [record["event"] for record in logged] == ["retry.waiting"] * 2
    assert [record["attempt"] for record in logged] == [1, 2]
    assert {record["error_type"] for record in logged} == {"generated_meanwhile"}


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"deadline": -timedelta(1)}, {"first_pause": -timedelta(1)}]
)
def test_policy_with_an_invalid_value_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        RetryPolicy(**wrong)


def test_retrying_async_repeats_awaited_work() -> None:
    work = failing(2)

    async def awaited() -> int:
        await asyncio.sleep(0)
        return work()

    assert asyncio.run(retrying_async(awaited, policy=NO_PAUSE)) == 3


def test_retrying_async_passes_the_key_to_the_work() -> None:
    keys: list[str] = []

    async def awaited(*, idempotency_key: str) -> int:
        await asyncio.sleep(0)
        keys.append(idempotency_key)
        return 1

    assert asyncio.run(retrying_async(awaited, idempotency_key="k")) == 1
    assert keys == ["k"]


def test_cancelled_task_is_not_retried() -> None:
    calls = 0

    async def awaited() -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(retrying_async(awaited, policy=NO_PAUSE))
    assert calls == 1
