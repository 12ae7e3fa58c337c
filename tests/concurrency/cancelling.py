"""Ways in which a task is cancelled, and how it has to end."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import pytest

from domain.testing.contention import PATIENCE


class Once:
    """``task.cancel()``, as everybody does it."""

    error: type[BaseException] = asyncio.CancelledError

    def __init__(self, request: Coroutine[Any, Any, Any]) -> None:
        self._request = request
        self._loop = asyncio.get_running_loop()
        self.task = asyncio.create_task(self._run())

    def strike(self) -> None:
        """Cancel; to be called in the loop's thread."""
        self.task.cancel()

    def strike_from_a_thread(self) -> None:
        self._loop.call_soon_threadsafe(self.strike)

    async def ended(self) -> None:
        """Wait for the task, which must end by its cancellation."""
        done, _ = await asyncio.wait([self.task], timeout=PATIENCE)
        assert done, "the task does not end"
        with pytest.raises(self.error):
            self.task.result()

    async def _run(self) -> None:
        await self._request


class Relentless(Once):
    """Again and again until the task is gone, as cancel scopes do it."""

    def strike(self) -> None:
        if self.task.cancel():
            self._loop.call_soon(self.strike)


class TimeLimit(Once):
    """``asyncio.timeout()`` around the request."""

    error = TimeoutError

    def strike(self) -> None:
        self._limit.reschedule(self._loop.time())

    async def _run(self) -> None:
        async with asyncio.timeout(None) as self._limit:
            await self._request


WAYS: Final = (Once, Relentless, TimeLimit)
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
