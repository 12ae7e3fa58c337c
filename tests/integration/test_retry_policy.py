"""How often and with which pauses work is tried again; the database has no part in it."""

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
    """Work that fails so often; it gives the number of its call."""
    calls = 0

    def work() -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise error
        return calls

    return work


def test_work_that_succeeds_is_done_once(pauses: list[float]) -> None:
    assert retrying(failing(0)) == 1
    assert not pauses


def test_work_is_tried_until_it_succeeds(pauses: list[float]) -> None:
    assert retrying(failing(4)) == 5
    assert len(pauses) == 4


def test_the_last_error_is_raised_as_it_is() -> None:
    with pytest.raises(PlanGroupLockedError) as refused:
        retrying(failing(5))
    assert refused.value is BUSY


@pytest.mark.parametrize("attempts", [1, 2, 7])
def test_there_are_at_most_as_many_attempts_as_the_policy_has(attempts: int) -> None:
    policy = RetryPolicy(attempts=attempts)
    assert retrying(failing(attempts - 1), policy=policy) == attempts
    with pytest.raises(PlanGroupLockedError):
        retrying(failing(attempts), policy=policy)


def test_what_cannot_end_well_is_not_tried_again(pauses: list[float]) -> None:
    with pytest.raises(NoContentsError):
        retrying(failing(1, NoContentsError()))
    assert not pauses


def test_a_pause_is_never_longer_than_its_exponential_bound(pauses: list[float]) -> None:
    policy = RetryPolicy(
        attempts=9, first_pause=timedelta(seconds=0.1), longest_pause=timedelta(seconds=1)
    )
    retrying(failing(8), policy=policy)
    bounds = [min(1.0, 0.1 * 2**n) for n in range(8)]
    own = [pause - RETRY_AFTER for pause in pauses]
    assert all(0 <= pause <= bound for pause, bound in zip(own, bounds, strict=True))


def test_pauses_differ_from_one_request_to_the_next(pauses: list[float]) -> None:
    for _ in range(3):
        retrying(failing(4))
    assert len(set(pauses)) == 3 * 4


def test_retry_after_is_the_least_pause(pauses: list[float]) -> None:
    busy = PlanGroupLockedError(group_id=None, retry_after=7)
    retrying(failing(2, busy))
    assert all(7 <= pause <= 7.2 for pause in pauses)
    assert len(pauses) == 2


def test_no_attempt_begins_after_the_deadline(pauses: list[float]) -> None:
    busy = PlanGroupLockedError(group_id=None, retry_after=7)
    policy = RetryPolicy(deadline=timedelta(seconds=7))
    with pytest.raises(PlanGroupLockedError):
        retrying(failing(1, busy), policy=policy)
    assert not pauses, "the pause would have ended too late"


def test_each_pause_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "studyplan.retry")
    retrying(failing(2, GeneratedMeanwhileError()), policy=NO_PAUSE)
    told = [vars(record) for record in caplog.records]
    assert [record["event"] for record in told] == ["retry.waiting"] * 2
    assert [record["attempt"] for record in told] == [1, 2]
    assert {record["error_type"] for record in told} == {"generated_meanwhile"}


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"deadline": -timedelta(1)}, {"first_pause": -timedelta(1)}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        RetryPolicy(**wrong)


def test_awaited_work_is_tried_again_too() -> None:
    work = failing(2)

    async def awaited() -> int:
        await asyncio.sleep(0)
        return work()

    assert asyncio.run(retrying_async(awaited, policy=NO_PAUSE)) == 3


def test_awaited_work_is_given_its_key() -> None:
    keys: list[str] = []

    async def awaited(*, idempotency_key: str) -> int:
        await asyncio.sleep(0)
        keys.append(idempotency_key)
        return 1

    assert asyncio.run(retrying_async(awaited, idempotency_key="k")) == 1
    assert keys == ["k"]


def test_a_cancelled_task_is_not_tried_again() -> None:
    calls = 0

    async def awaited() -> None:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(retrying_async(awaited, policy=NO_PAUSE))
    assert calls == 1
