"""The unit of work for asyncio: it drives the one ``UnitOfWork``, and survives cancellation."""

import asyncio
from collections.abc import Callable, Coroutine
from inspect import iscoroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar
from uuid import UUID

from sqlalchemy.orm import Session

from domain.errors import UnitOfWorkStateError, WrongSessionError
from domain.locking.policy import PlanGroupLock, StudentLock
from domain.unit_of_work import sessions
from domain.unit_of_work.ending import LockState
from domain.unit_of_work.unit import UnitOfWork

if TYPE_CHECKING:  # it needs greenlet, which applications without asyncio may do without
    from sqlalchemy.ext.asyncio import AsyncSession

P = ParamSpec("P")
T = TypeVar("T")
FINISHING_SECONDS: Final = 10.0
"""How long a commit or a rollback goes on after its task was cancelled."""


class AsyncUnitOfWork:
    """A ``UnitOfWork`` for a task: the same rules, the same errors, awaited.

    ::

        lock = PlanGroupLock(tenant_id, group_id)
        async with AsyncUnitOfWork(async_session_factory, lock=lock) as uow:
            result = await uow.run(lambda u: PlanGenerationService(u).generate(today=…))
            await uow.commit()

    Whatever works on a ``UnitOfWork`` runs in ``run``, services and repositories alike.
    Waiting for the server, for a lock above all, leaves the event loop to others; planning
    itself computes on the loop, some milliseconds for a usual group. The block belongs to
    one task at a time; its calls may come from others, one after the other.

    Cancelling the task, ``asyncio.timeout`` included, ends what is going on in the server,
    frees the lock and gives the connection back to the pool before the ``CancelledError``
    goes on. A commit that has begun is carried out first, and a block is left in order;
    only after ``FINISHING_SECONDS`` are they cancelled too.

    :param async_session_factory: makes a new AsyncSession on an engine (READ COMMITTED),
        such as an ``async_sessionmaker``.
    :param lock: which lock, and how long to wait for it.
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
        # Here, for the context of the task that drives is a copy of this one's.
        self._core.claim()
        try:
            await self._drive(self._core.__enter__)
        except asyncio.CancelledError as error:
            # It may have been entered before the cancellation could stop it.
            await self._leave(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        overtaken: UnitOfWorkStateError | None = None
        if self._running is not None:
            self._running.cancel()
            if error is None:
                overtaken = UnitOfWorkStateError(
                    "The block ended while another task was using the unit of work. What it did "
                    "was cancelled and rolled back. Wait inside the block for the tasks it uses."
                )
                kind = UnitOfWorkStateError
        await self._leave(kind, error or overtaken, trace)
        if overtaken is not None:
            raise overtaken

    @property
    def lock(self) -> PlanGroupLock | StudentLock:
        """The lock that it was made for."""
        return self._core.lock

    @property
    def tenant_id(self) -> UUID:
        """The tenant of the lock, and of everything that is read and written here."""
        return self._core.tenant_id

    @property
    def waited_ms(self) -> int:
        """How long entering waited for the lock, in milliseconds."""
        return self._core.waited_ms

    def lock_state(self) -> LockState:
        """Whether the transaction still holds the lock; costs no round trip."""
        return self._core.lock_state()

    async def run(
        self, work: "Callable[Concatenate[UnitOfWork, P], T]", /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What ``work(uow, …)`` gives: a function or method that takes a ``UnitOfWork``.

        It is a plain one, written for threads, and runs in the event loop's thread; where it
        waits for the database, others run. What it returns should be loaded: a lazy
        attribute cannot be read outside.
        """
        self._core.require_open()
        result = await self._drive(lambda: work(self._core, *args, **kwargs))
        if iscoroutine(result):
            result.close()
            raise UnitOfWorkStateError("run() takes a plain function, not a coroutine function.")
        return result

    async def commit(self) -> None:
        """Flush and commit, which frees the lock; the unit of work is finished then.

        Raises what ``UnitOfWork.commit`` raises. If the task is cancelled meanwhile, the
        commit is carried out all the same; if it was cancelled before, nothing is committed.
        """
        await asyncio.sleep(0)  # where a cancellation that is already on its way arrives
        await self._drive(self._core.commit, patience=FINISHING_SECONDS)

    async def rollback(self) -> None:
        """Give up everything done so far, and the lock; the unit of work is finished then."""
        await self._drive(self._core.rollback, patience=FINISHING_SECONDS)

    def _make_session(self) -> Session:
        """The Session behind a new AsyncSession; what is none is left for the core to refuse."""
        factory: Any = self._factory  # callers without a type checker pass a Session
        made: Any = factory() if callable(factory) else factory
        session = getattr(made, "sync_session", None) if callable(factory) else None
        if not isinstance(session, Session):
            raise WrongSessionError(sessions.expected(made))
        self._async_session = made
        return session

    async def _drive(self, work: Callable[[], T], *, patience: float = 0.0) -> T:
        """Run ``work`` to its end, for nobody else at the same time."""
        if self._running is not None:
            raise UnitOfWorkStateError(
                "Another task is using this unit of work at this moment. One transaction does "
                "one thing at a time: give each task a unit of work of its own."
            )
        self._running = asyncio.create_task(self._in_greenlet(work))
        try:
            return await settled(self._running, patience)
        finally:
            self._running = None

    async def _leave(self, *reason: Any) -> None:
        """Leave in order, as soon as what is still running has come to its end."""
        straggler = self._running

        async def leave() -> None:
            if straggler is not None:
                await asyncio.wait([straggler])
            await self._in_greenlet(lambda: self._core.__exit__(*reason))

        await settled(asyncio.create_task(leave()), FINISHING_SECONDS)

    def _in_greenlet(self, work: Callable[[], T]) -> Coroutine[Any, Any, T]:
        if self._async_session is None:
            raise UnitOfWorkStateError("The unit of work is not entered yet.")
        return self._async_session.run_sync(lambda _: work())


async def settled(task: asyncio.Task[T], patience: float = 0.0) -> T:
    """The task's result. The caller may be cancelled meanwhile; the task ends first.

    A cancelled statement is over when the server has answered the driver's cancel request. If
    that is interrupted too, the driver drops the connection, and the backend goes on waiting for
    its lock. Some callers cancel once, a cancel scope again and again until the task has left
    it: so the work runs in a task of its own. That one is cancelled once, when the caller has been
    cancelled and ``patience`` seconds have passed since. Then the caller's ``CancelledError``
    goes on, with the task's own failure as its cause, even if the task came to a result after all.
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


class _Core(UnitOfWork):
    """A unit of work that others enter for the task that claims its locks."""

    def claim(self) -> None:
        self._prepare()

    def require_open(self) -> None:
        _ = self.session
