"""The unit of work for asyncio: runs a ``UnitOfWork`` and handles cancellation."""

import asyncio
from collections.abc import Callable, Coroutine
from inspect import isasyncgenfunction, iscoroutine, isgeneratorfunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from domain.errors import UnitOfWorkStateError
from domain.locking.policy import PlanGroupLock, StudentLock
from domain.unit_of_work import sessions
from domain.unit_of_work.ending import LockState
from domain.unit_of_work.unit import UnitOfWork

if TYPE_CHECKING:  # needs greenlet, which only applications with asyncio have to install
    from sqlalchemy.ext.asyncio import AsyncSession

P = ParamSpec("P")
T = TypeVar("T")
FINISHING_SECONDS: Final = 10.0
"""How long a commit or a rollback may continue after its task was cancelled."""


class AsyncUnitOfWork:
    """A ``UnitOfWork`` for asyncio, with the same rules and errors.

    ::

        lock = PlanGroupLock(tenant_id, group_id)
        async with AsyncUnitOfWork(async_session_factory, lock=lock) as uow:
            result = await uow.run(lambda u: PlanGenerationService(u).generate(today=…))
            await uow.commit()

    All services and repositories work inside ``run``. While it waits for the server or for a
    lock, other tasks run; the planning itself blocks the event loop, for some milliseconds in a
    typical group. Several tasks may call it, one at a time.

    If the task is cancelled, also by ``asyncio.timeout``, the statement on the server is
    cancelled, the lock is released and the connection is returned to the pool before the
    ``CancelledError`` propagates. A commit, a rollback or an exit that has begun is completed
    first, but is also cancelled after ``FINISHING_SECONDS``.

    :param async_session_factory: makes a new AsyncSession on an engine (READ COMMITTED),
        such as an ``async_sessionmaker``.
    :param lock: the lock to acquire, and how long to wait for it.
    """

    def __init__(
        self,
        async_session_factory: "Callable[[], AsyncSession]",
        *,
        lock: PlanGroupLock | StudentLock,
    ) -> None:
        self._factory = async_session_factory
        self._async_session: AsyncSession | None = None
        self._core = _Core(self._make_session, lock=lock)
        self._running: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        # Claimed here, because the task that runs the unit of work has a copy of this context.
        self._core.claim()
        try:
            await self._drive(self._core.enter)
        except asyncio.CancelledError as error:
            # Entering may have completed before the cancellation took effect.
            await self._close(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        overlap: UnitOfWorkStateError | None = None
        if self._running is not None:
            self._running.cancel()
            if error is None:
                overlap = UnitOfWorkStateError(
                    "The block ended while another task was using the unit of work. Its work was "
                    "cancelled and rolled back. Wait inside the block for the tasks that it uses."
                )
                kind = UnitOfWorkStateError
        await self._close(kind, error or overlap, trace)
        if overlap is not None:
            raise overlap

    @property
    def lock(self) -> PlanGroupLock | StudentLock:
        """The lock that was passed to the constructor."""
        return self._core.lock

    @property
    def tenant_id(self) -> UUID:
        """The tenant of the lock and of all rows that are read and written."""
        return self._core.tenant_id

    @property
    def waited_ms(self) -> int:
        """How long entering waited for the lock, in milliseconds."""
        return self._core.waited_ms

    def lock_state(self) -> LockState:
        """Whether the transaction still holds the lock, as far as the client knows."""
        return self._core.lock_state()

    async def run(
        self, work: "Callable[Concatenate[UnitOfWork, P], T]", /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``work(uow, …)`` with the ``UnitOfWork`` and return its result.

        ``work`` is a synchronous function or method. It runs in the event loop's thread; while it
        waits for the database, other tasks run. Lazy attributes of the result cannot be loaded
        outside.
        """
        self._core.require_open()
        if isgeneratorfunction(work) or isasyncgenfunction(work):
            raise UnitOfWorkStateError(
                "run() needs a plain function, not a generator function, whose body would not be "
                "executed."
            )
        result = await self._drive(lambda: work(self._core, *args, **kwargs))
        if iscoroutine(result):
            result.close()
            raise UnitOfWorkStateError("run() needs a plain function, not a coroutine function.")
        return result

    async def commit(self) -> None:
        """Flush and commit, which releases the lock and finishes the unit of work.

        Raises the same errors as ``UnitOfWork.commit``. If the task is cancelled during the commit,
        the commit is completed nevertheless; if it was cancelled before, nothing is committed.
        """
        await asyncio.sleep(0)  # a pending cancellation is raised here
        await self._drive(self._core.commit, patience=FINISHING_SECONDS)

    async def rollback(self) -> None:
        """Roll back, which releases the lock and finishes the unit of work."""
        await self._drive(self._core.rollback, patience=FINISHING_SECONDS)

    def _make_session(self) -> Session:
        """Return the Session of a new AsyncSession; raise if the factory returns anything else."""
        self._async_session, session = sessions.made_async_session(self._factory)
        return session

    async def _drive(self, work: Callable[[], T], *, patience: float = 0.0) -> T:
        """Run ``work`` in a separate task; raise if another task is using the unit of work."""
        if self._running is not None:
            raise UnitOfWorkStateError(
                "Another task is using this unit of work. A transaction executes one statement at "
                "a time: give each task its own unit of work."
            )
        self._running = asyncio.create_task(self._in_greenlet(work))
        try:
            return await settled(self._running, patience)
        finally:
            self._running = None

    async def _close(self, *reason: Any) -> None:
        """Exit as soon as the call that is still running has ended."""
        running = self._running

        async def leave() -> None:
            if running is not None:
                await asyncio.wait([running])
            await self._in_greenlet(lambda: self._core.__exit__(*reason))

        await settled(asyncio.create_task(leave()), FINISHING_SECONDS)

    def _in_greenlet(self, work: Callable[[], T]) -> Coroutine[Any, Any, T]:
        if self._async_session is None:
            raise UnitOfWorkStateError("The unit of work is not entered yet.")
        return self._async_session.run_sync(lambda _: work())


async def settled(task: asyncio.Task[T], patience: float = 0.0) -> T:
    """Return the task's result; if the caller is cancelled, wait for the task's end first.

    A cancelled statement has ended when the server has answered the driver's cancel request. If
    that request is interrupted too, the driver drops the connection, and the backend continues to
    wait for its lock. ``asyncio.timeout`` cancels once, but a cancel scope cancels repeatedly
    until the task has exited it. Therefore the work runs in a separate task, which is cancelled
    exactly once, ``patience`` seconds after the caller. Then the caller's ``CancelledError``
    propagates with the task's error as its cause, even if the task has a result.
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
        # The error refers to this frame. Without this deletion there would be a reference cycle.
        del task, cancelled


class _Core(UnitOfWork):
    """A unit of work that is entered in a different task from the one that claims its locks."""

    def claim(self) -> None:
        self._prepare()

    def enter(self) -> None:
        self._enter()

    def require_open(self) -> None:
        _ = self.session
