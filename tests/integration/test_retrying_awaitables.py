"""``retrying_async`` accepts work that is awaited, ``retrying`` work that is not."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from domain import PlanGroupLockedError
from domain.errors import MisuseError
from domain.retrying import RetryPolicy, retrying, retrying_async

NO_PAUSE = RetryPolicy(attempts=3, first_pause=timedelta(0))
Work = Callable[[], Awaitable[int]]


class Counted:
    """Awaited work in several forms; its first two calls fail."""

    def __init__(self) -> None:
        self.calls = 0

    async def method(self, _: object = None) -> int:
        self.calls += 1
        if self.calls < 3:
            raise PlanGroupLockedError(group_id=None)
        return self.calls

    def plain(self) -> Awaitable[int]:
        return self.method()

    async def __call__(self) -> int:
        return await self.method()


class OwnAwaitable:
    """An awaitable that is neither a coroutine nor a future."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    def __await__(self) -> Generator[Any, None, int]:
        return self._counted.method().__await__()


def gathered(counted: Counted) -> Awaitable[Any]:
    return asyncio.gather(counted.method())


FORMS: dict[str, Callable[[Counted], Work]] = {
    "bound method": lambda counted: counted.method,
    "partial of a coroutine function": lambda counted: partial(counted.method, 1),
    "object with async __call__": lambda counted: counted,
    "lambda": lambda counted: lambda: counted.method(0),
    "partial of a lambda": lambda counted: partial(lambda _: counted.method(), 1),
    "function that returns a coroutine": lambda counted: counted.plain,
    "lambda that returns a task": lambda counted: lambda: asyncio.create_task(counted.method()),
    "lambda that returns a future": lambda counted: lambda: gathered(counted),
    "lambda that returns an awaitable": lambda counted: lambda: OwnAwaitable(counted),
}
each_form = pytest.mark.parametrize("form", FORMS)


@each_form
def test_retrying_async_awaits_and_retries_every_form_of_awaitable_work(form: str) -> None:
    counted = Counted()

    async def request() -> Any:
        return await retrying_async(FORMS[form](counted), policy=NO_PAUSE)

    assert asyncio.run(request()) in (3, [3])
    assert counted.calls == 3


@each_form
def test_retrying_async_raises_the_last_error(form: str) -> None:
    counted = Counted()

    async def request() -> None:
        await retrying_async(FORMS[form](counted), policy=RetryPolicy(attempts=1))

    with pytest.raises(PlanGroupLockedError):
        asyncio.run(request())
    assert counted.calls == 1


@each_form
def test_retrying_refuses_every_form_of_awaitable_work(form: str) -> None:
    """No coroutine is left unawaited, and no task keeps running."""
    counted = Counted()

    async def request() -> None:
        with pytest.raises(MisuseError, match="retrying_async"):
            retrying(FORMS[form](counted), policy=NO_PAUSE)
        await asyncio.sleep(0)

    asyncio.run(request())
    assert counted.calls == 0


def test_retrying_refuses_a_coroutine_function_that_accepts_a_key() -> None:
    async def work(*, idempotency_key: str) -> str:
        return idempotency_key

    with pytest.raises(MisuseError, match="retrying_async"):
        _ = retrying(work, idempotency_key="k", policy=NO_PAUSE)


@pytest.mark.parametrize("result", [None, 7, "text", [1]])
def test_retrying_async_refuses_work_that_returns_no_awaitable(result: object) -> None:
    calls: list[None] = []

    def work() -> Any:
        calls.append(None)
        return result

    async def request() -> None:
        await retrying_async(work, policy=NO_PAUSE)

    with pytest.raises(MisuseError, match=r"Use retrying\(\)"):
        asyncio.run(request())
    assert len(calls) == 1


def test_retrying_async_retries_work_that_fails_before_it_returns_its_awaitable() -> None:
    counted, calls = Counted(), list[None]()

    def work() -> Awaitable[int]:
        calls.append(None)
        if len(calls) == 1:
            raise PlanGroupLockedError(group_id=None)
        return counted.method()

    policy = RetryPolicy(attempts=4, first_pause=timedelta(0))
    assert asyncio.run(_awaited(work, policy)) == 3
    assert len(calls) == 4


async def _awaited(work: Work, policy: RetryPolicy) -> int:
    return await retrying_async(work, policy=policy)
