"""Work that must come to an end of its own before the task that waits for it may go.

A cancelled statement is over when the server has said so: the driver sends a cancel request
and waits for the answer. If that is interrupted too, the driver drops the connection, and the
backend goes on waiting for its lock with nobody there. Some cancel only once; a cancel scope
cancels again and again until the task has left it. So the work runs in a task of its own,
which is cancelled once, and whatever else comes is kept for later.
"""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def settled(task: asyncio.Task[T], patience: float = 0.0) -> T:
    """The task's result. Whoever waits here may be cancelled; the task ends first.

    It is cancelled once, when the caller has been cancelled and ``patience`` seconds have
    passed since. Then the caller's ``CancelledError`` goes on, with the task's own failure
    as its cause, even if the task came to a result after all.
    """
    cancelled: asyncio.CancelledError | None = None
    timer: asyncio.TimerHandle | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            if timer is None:
                cancelled = error
                timer = asyncio.get_running_loop().call_later(patience, task.cancel)
    if timer is not None:
        timer.cancel()
    try:
        if cancelled is not None:
            raise cancelled from (None if task.cancelled() else task.exception())
        return task.result()
    finally:
        # The error refers to this frame; without the frame's reference there is no cycle.
        del task, cancelled
