"""One unit of work = one lock = one transaction = one commit."""

import threading
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID
from weakref import WeakSet

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, sessionmaker

from domain import locks
from domain.database_errors import commit_translated, translated
from domain.errors import (
    LockNotHeldError,
    UncommittedChangesError,
    UnitOfWorkStateError,
)
from domain.lock_policy import PlanGroupLock, StudentLock
from domain.repositories import PlanGroupRepository, StudentPlanRepository, StudentTimeRepository

_INFO_KEY: Final = "studyplan.unit_of_work"
_guarded: "WeakSet[Any]" = WeakSet()


class LockState(Enum):
    """What is known of the lock without asking the server."""

    HELD = "held"
    LOST = "lost"
    UNKNOWN = "unknown"
    """The connection is broken, or the transaction failed and waits for its rollback."""


class _Stage(Enum):
    NEW = "not entered yet"
    OPEN = "open"
    FINISHED = "committed or rolled back already"
    CLOSED = "left already"


class UnitOfWork:
    """A fresh Session whose transaction holds the group's lock from its first statement on.

    Entering takes the lock before anything is read. ``commit()`` is explicit and final. An
    exception rolls back. Leaving with uncommitted work raises ``UncommittedChangesError``.
    Whatever ends the transaction frees the lock; there is nothing to release by hand.

    ::

        with UnitOfWork(session_factory, lock=PlanGroupLock(group_id)) as uow:
            result = PlanGenerationService().generate(uow, tenant_id=…, today=…)
            uow.commit()

    Entering raises ``PlanGroupLockedError`` at once when somebody else holds the lock, or
    ``LockTimeoutError`` after the wait that ``lock`` asks for.

    :param session_factory: makes a new Session on an engine (READ COMMITTED), never one
        that is in use.
    :param lock: which lock, and how long to wait for it.
    """

    def __init__(
        self, session_factory: Callable[[], Session], *, lock: PlanGroupLock | StudentLock
    ) -> None:
        self.lock = lock
        self.waited_ms = 0
        """How long entering waited for the lock, in milliseconds."""
        self._factory = session_factory
        self._stage = _Stage.NEW
        self._session: Session | None = None
        self._root: SessionTransaction | None = None
        self._connection: Connection | None = None
        self._thread = 0
        self._students = {lock.student_id} if isinstance(lock, StudentLock) else set()
        self._committing = False

    def __enter__(self) -> Self:
        if self._stage is not _Stage.NEW:
            raise UnitOfWorkStateError(
                f"This unit of work is {self._stage.value}. Make a new one for each block."
            )
        session = self._factory()
        try:
            self._begin(session)
        except BaseException:
            _close(session)
            raise
        self._stage = _Stage.OPEN
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        forgotten = False
        try:
            if kind is None and self._stage is _Stage.OPEN:
                forgotten = self._has_uncommitted_work()
        finally:
            self._stage = _Stage.CLOSED
            session, self._session = self._session, None
            if session is not None:
                session.info.pop(_INFO_KEY, None)
                _close(session)
        if forgotten:
            raise UncommittedChangesError(
                "The block wrote something and ended without commit(); it was rolled back. "
                "Call commit() to keep it, or rollback() to say that this is meant."
            )

    @property
    def session(self) -> Session:
        """The Session of the open transaction; raises ``UnitOfWorkStateError`` outside it."""
        if self._session is None or self._stage is not _Stage.OPEN:
            raise UnitOfWorkStateError(f"The unit of work is {self._stage.value}.")
        if self._thread != threading.get_ident():
            raise UnitOfWorkStateError(
                "A unit of work belongs to the thread that entered it. Make one for each thread."
            )
        return self._session

    @property
    def groups(self) -> PlanGroupRepository:
        """Plan groups, inside this transaction."""
        return PlanGroupRepository(self.session)

    @property
    def plans(self) -> StudentPlanRepository:
        """Student plans, inside this transaction."""
        return StudentPlanRepository(self.session)

    @property
    def student_time(self) -> StudentTimeRepository:
        """Exclusions and classes, inside this transaction."""
        return StudentTimeRepository(self.session)

    def commit(self) -> None:
        """Flush and commit, which frees the lock; the unit of work is finished then.

        Raises ``LockNotHeldError`` if the transaction is not the one that took the lock,
        and ``EditedMeanwhileError`` or ``StudentPlansOverlapError`` if the rows say so.
        """
        session = self.session
        self.require_held()
        self._committing = True
        try:
            with translated():
                session.flush()
            with commit_translated():
                self._commit(session)
        finally:
            self._committing = False
            self._stage = _Stage.FINISHED

    def _commit(self, session: Session) -> None:
        """Commit, and keep a connection out of the pool that still holds the lock after it."""
        connection = self._connection
        try:
            session.commit()
        except BaseException:
            # SQLAlchemy gives the connection back inside its transaction if COMMIT is
            # interrupted in the client: by a signal, or by a listener that raises.
            usable = connection and not connection.closed and not connection.invalidated
            if (
                connection
                and usable
                and locks.transaction_status(connection) is not TransactionStatus.IDLE
            ):
                connection.invalidate()
            raise

    def rollback(self) -> None:
        """Give up everything done so far, and the lock; the unit of work is finished then."""
        self.session.rollback()
        self._stage = _Stage.FINISHED

    def lock_state(self) -> LockState:
        """Whether the transaction still holds the lock; costs no round trip."""
        session, connection = self.session, self._connection
        if connection is None or session.get_transaction() is not self._root:
            return LockState.LOST
        if connection.invalidated:
            return LockState.LOST
        match locks.transaction_status(connection):
            case TransactionStatus.INTRANS | TransactionStatus.ACTIVE:
                return LockState.HELD
            case TransactionStatus.IDLE:
                return LockState.LOST
            case _:
                return LockState.UNKNOWN

    def require_lock(self, group_id: UUID) -> None:
        """Raise ``LockNotHeldError`` unless this transaction holds the lock of ``group_id``."""
        if group_id not in self.lock.group_ids:
            raise LockNotHeldError(
                f"The unit of work does not hold the lock of group {group_id}. "
                "Enter one for every group that is written."
            )
        self.require_held()

    def require_student_lock(self, student_id: UUID) -> None:
        """Raise ``LockNotHeldError`` unless this transaction holds the student's lock."""
        if student_id not in self._students:
            raise LockNotHeldError(
                f"The unit of work does not hold the lock of student {student_id}. "
                "Enter one with a StudentLock, or call lock_student()."
            )
        self.require_held()

    def require_held(self) -> None:
        """Raise ``LockNotHeldError`` unless the transaction still holds what it took."""
        if (state := self.lock_state()) is not LockState.HELD:
            raise LockNotHeldError(
                f"The lock is {state.value}: the transaction that took it has ended or failed. "
                "Nothing more can be written in this unit of work; start over in a new one."
            )

    def refuse_commit_from_outside(self) -> None:
        """Raise ``UnitOfWorkStateError`` unless ``commit()`` is what commits."""
        if not self._committing:
            raise UnitOfWorkStateError(
                "Commit through the unit of work: session.commit() would free the lock inside "
                "the block."
            )

    def lock_student(self, tenant_id: UUID, group_id: UUID) -> UUID:
        """Take the lock of a held group's student too, under the same policy; the student's id.

        For services that write plans: two groups of one student never plan the same hour.
        Raises ``PlanGroupNotFoundError`` (also for another tenant's group),
        ``PlanGroupLockedError`` and ``LockTimeoutError``.
        """
        self.require_lock(group_id)
        left = max(timedelta(0), self.lock.wait - timedelta(milliseconds=self.waited_ms))
        student_id = locks.acquire_student(self.session.connection(), tenant_id, group_id, left)
        self._students.add(student_id)
        return student_id

    def _begin(self, session: Session) -> None:
        _guard(self._factory, session)
        if session.in_transaction():
            locks.refuse_wrong_transaction(session.connection())
        self._connection = session.connection()
        self.waited_ms = locks.acquire(self._connection, self.lock)
        self._root = session.get_transaction()
        self._thread = threading.get_ident()
        self._session = session
        session.info[_INFO_KEY] = self

    def _has_uncommitted_work(self) -> bool:
        session = self._session
        if session is None or self._connection is None:
            return False
        if session.new or session.dirty or session.deleted:
            return True
        if self.lock_state() is LockState.HELD:
            return locks.rolled_back_work(self._connection)
        # After a rollback inside the block, another transaction may have been written to.
        if self._connection.invalidated or not session.in_transaction():
            return False
        connection = session.connection()
        in_order = locks.transaction_status(connection) is TransactionStatus.INTRANS
        return in_order and locks.rolled_back_work(connection)


def _close(session: Session) -> None:
    """Give the connection back; one that cannot be rolled back leaves the pool."""
    try:
        session.close()
    except DBAPIError:
        # The server rolls back for itself. The error that is on its way out of the block
        # must not be replaced by this one.
        session.invalidate()


def _guard(factory: Callable[[], Session], session: Session) -> None:
    """Listen once for each factory; a listener on each Session would cost on every entry."""
    target: Any = factory if isinstance(factory, sessionmaker) else session
    if target in _guarded:
        return
    event.listen(target, "before_flush", _before_flush)
    event.listen(target, "before_commit", _before_commit)
    event.listen(target, "do_orm_execute", _before_execute)
    _guarded.add(target)


def _before_flush(session: Session, *_: Any) -> None:
    uow: UnitOfWork | None = session.info.get(_INFO_KEY)
    if uow is not None:
        uow.require_held()


def _before_execute(state: ORMExecuteState) -> None:
    uow: UnitOfWork | None = state.session.info.get(_INFO_KEY)
    if uow is not None and not state.is_select:
        uow.require_held()


def _before_commit(session: Session) -> None:
    uow: UnitOfWork | None = session.info.get(_INFO_KEY)
    if uow is not None and not session.in_nested_transaction():
        uow.refuse_commit_from_outside()
