"""The unit of work: one lock, one transaction and one commit."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import Connection, Engine, RootTransaction
from sqlalchemy.orm import Session, SessionTransaction

from domain import errors
from domain.database_errors import During, translated
from domain.locking import acquiring, guards
from domain.locking.policy import PlanGroupLock, StudentLock
from domain.locking.statements import checked_commit, new_identity
from domain.repositories.plan_groups import PlanGroupRepository
from domain.repositories.student_plans import StudentPlanRepository
from domain.repositories.student_time import StudentTimeRepository
from domain.unit_of_work import ending, sessions
from domain.unit_of_work.ending import Callback, EndCallbacks, Ending, LockState, Stage
from domain.unit_of_work.sessions import CallGuard
from domain.unit_of_work.students import StudentLocks


class UnitOfWork:
    """A new Session whose transaction holds the group's lock from entry to commit.

    Entering acquires the lock before anything is read. ``commit()`` is explicit and final. An
    exception rolls back. Exiting with uncommitted work raises ``UncommittedChangesError``. The
    lock is released when the transaction ends, however it ends.

    Only rows of the lock's tenant and of its groups or student can be written through the Session.
    Under a shared lock only changed plans, the marks of progress, can be.

    A block may move between threads, one at a time: a call to a service, a repository,
    ``flush()`` or ``commit()`` during a call of another thread raises ``UnitOfWorkStateError``.

    ::

        with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, group_id)) as uow:
            result = PlanGenerationService(uow).generate(today=…)
            uow.commit()

    A unit of work is entered once, also if entering it fails: create a new one for each block.
    Entering raises ``PlanGroupLockedError`` immediately when another request holds the lock, or
    ``LockTimeoutError`` after a wait, and ``PlanGroupNotFoundError`` in place of either if the
    tenant has no such group. It raises ``UnitOfWorkStateError`` if another unit of work of the
    same request holds the lock, and ``WrongSessionError`` or ``WrongTransactionError`` if the
    factory's Session cannot hold a lock.

    :param session_factory: makes a new Session on one engine (psycopg, READ COMMITTED).
    :param lock: the lock to acquire, and how long to wait for it.
    """

    def __init__(
        self, session_factory: Callable[[], Session], *, lock: PlanGroupLock | StudentLock
    ) -> None:
        # Callers without a type checker pass the group's id, or nothing.
        if not isinstance(lock, PlanGroupLock | StudentLock):
            raise errors.InvalidInputError.of("lock", "must be a PlanGroupLock or a StudentLock")
        self.lock = lock
        self.waited_ms = 0
        """How long entering waited for the lock, in milliseconds."""
        self._factory = session_factory
        self._stage = Stage.NEW
        self._session: Session | None = None
        self._bind: Engine | Connection | None = None
        self._root: SessionTransaction | None = None
        self._connection: Connection | None = None
        self._transaction: RootTransaction | None = None
        self._claim: sessions.Claim | None = None
        self._is_rolled_back = False
        self._identity = new_identity()
        self._node = ""
        self._students = StudentLocks(lock)
        self._calls = CallGuard()
        self._at_end = EndCallbacks()

    def __enter__(self) -> Self:
        self._prepare()
        self._enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session, connection, stage = self._session, self._connection, self._stage
        self._stage = Stage.CLOSED
        with self._at_end.leaving(error), self._calls.at_exit(connection, failed=kind is not None):
            try:
                if kind is None and stage is Stage.OPEN and session and connection:
                    ending.refuse_unfinished(
                        session,
                        connection,
                        self._root,
                        self._identity,
                        self._node,
                        is_rolled_back=self._is_rolled_back,
                    )
            finally:
                self._close()

    @property
    def tenant_id(self) -> UUID:
        """The tenant of the lock and of all rows that are read and written."""
        return self.lock.tenant_id

    @property
    def session(self) -> Session:
        """The Session of the open transaction; raises ``UnitOfWorkStateError`` outside it."""
        if self._session is None or self._stage is not Stage.OPEN:
            raise errors.UnitOfWorkStateError(f"The unit of work is {self._stage.value}.")
        return self._session

    @property
    def connection(self) -> Connection:
        """The connection of the open transaction, with the Session's savepoint if there is one."""
        return self.session.connection(bind_arguments={"bind": self._bind})

    @property
    def groups(self) -> PlanGroupRepository:
        """Plan groups, inside this transaction."""
        return PlanGroupRepository(self.session, self.tenant_id)

    @property
    def plans(self) -> StudentPlanRepository:
        """Student plans, inside this transaction."""
        return StudentPlanRepository(self.session, self.tenant_id)

    @property
    def student_time(self) -> StudentTimeRepository:
        """Exclusions and classes, inside this transaction."""
        return StudentTimeRepository(self.session, self.tenant_id)

    def commit(self) -> None:
        """Flush and commit, which releases the lock and finishes the unit of work.

        In the round trip of the COMMIT the server also checks that the transaction is the one that
        acquired the lock. Raises ``LockNotHeldError`` if it is not, ``EditedMeanwhileError`` or
        ``StudentPlansOverlapError`` for conflicting rows, and ``CommitOutcomeUnknownError`` if the
        connection is lost before the server's answer.
        """
        with self.exclusive_call():
            session = self.session
            self.require_held()
            connection = self.connection
            try:
                with self._at_end.committing() as note, translated(connection):
                    session.flush()
                    with checked_commit(connection, self._identity, self._node, note):
                        session.commit()
            finally:
                self._finish()
        self._at_end.report(Ending("committed"))

    def rollback(self) -> None:
        """Roll back, which releases the lock and finishes the unit of work."""
        with self.exclusive_call():
            session = self.session
            try:
                session.rollback()
            finally:
                self._finish()
        self._at_end.report(Ending("rolled_back"))

    def call_at_end(self, callback: Callback) -> None:
        """Call ``callback`` with an ``Ending`` when the transaction has ended and the lock is free.

        That is after a successful ``commit()`` or ``rollback()``, otherwise after the exit from
        the block; immediately if the block is not open. Callbacks are called in the order of
        registration. An exception of a callback is logged and has no other effect.
        """
        self._at_end.add(callback, self._session if self._stage is Stage.OPEN else None)

    @property
    def identity(self) -> str:
        """The identity, on the server, of the transaction that acquired the locks."""
        return self._identity

    def exclusive_call(self) -> AbstractContextManager[None]:
        """Return a context in which no other thread may use the unit of work.

        Raises ``UnitOfWorkStateError`` if another thread is using it or flushing the Session.
        """
        return self._calls.exclusive_call(self._session)

    def lock_state(self) -> LockState:
        """Whether the transaction still holds the lock, as far as the client knows.

        Needs no round trip. If the transaction was ended without SQLAlchemy and another one has
        begun, this still returns ``HELD``; ``commit()`` and the services that write plans check
        it on the server.
        """
        session, connection = self.session, self._connection
        if connection is None or session.get_transaction() is not self._root:
            return LockState.LOST
        if connection.get_transaction() is not self._transaction:
            return LockState.LOST
        return LockState.of(connection)

    def require_lock(self, group_id: UUID, *, shared: bool = False) -> None:
        """Raise ``LockNotHeldError`` unless this transaction holds the lock of ``group_id``.

        :param shared: whether a shared lock is sufficient, as for marks of progress.
        """
        errors.InvalidInputError.require_uuids(group_id=group_id)
        if group_id not in self.lock.group_ids:
            raise errors.LockNotHeldError(
                f"The unit of work does not hold the lock of group {group_id}. "
                "Enter one for every group that is written."
            )
        if self.lock.shared and not shared:
            raise errors.LockNotHeldError(
                f"The unit of work holds a shared lock of group {group_id}, which is for marks of "
                "progress only. It cannot become exclusive: two requests that share it would wait "
                "for each other. Exit, and enter one with PlanGroupLock(tenant_id, group_id)."
            )
        self.require_held()

    def require_student_lock(self, student_id: UUID) -> None:
        """Raise ``LockNotHeldError`` unless this transaction holds the student's lock."""
        if student_id not in self._students.held:
            raise errors.LockNotHeldError(
                f"The unit of work does not hold the lock of student {student_id}. "
                "Enter one with a StudentLock, or call lock_student()."
            )
        self.require_held()

    def require_held(self) -> None:
        """Raise ``LockNotHeldError`` unless the transaction still holds its locks."""
        if (state := self.lock_state()) is not LockState.HELD:
            raise errors.LockNotHeldError(
                f"The lock is {state.value}: the transaction that acquired it has ended or failed. "
                "Nothing more can be written in this unit of work; start over in a new one."
            )

    def refuse_flush(self, session: Session) -> None:
        """Raise unless the locks are held and cover the rows, and no other thread is active."""
        with self._calls.single_thread():
            self.require_held()
            guards.refuse_rows(session, self.lock, self._students.held)
            self.forget_students(*guards.groups_of_another_student(session))
            self._calls.note_flush()

    def refuse_second_connection(
        self, transaction: SessionTransaction, connection: Connection
    ) -> None:
        """Raise ``WrongSessionError`` if another connection joins the locked transaction."""
        if connection is not self._connection:
            sessions.refuse_inside(transaction, self._root)

    def refuse_commit_from_outside(self) -> None:
        """Raise ``UnitOfWorkStateError`` unless ``commit()`` of the unit of work is running."""
        if not self._at_end.is_committing:
            raise errors.UnitOfWorkStateError(
                "Use commit() of the unit of work: session.commit() would release the lock inside "
                "the block."
            )

    def note_rollback(self, transaction: SessionTransaction) -> None:
        """Record that the Session has rolled back the transaction that acquired the lock."""
        self._is_rolled_back = self._is_rolled_back or transaction is self._root

    def lock_student(self, group_id: UUID) -> UUID:
        """Acquire the lock of a group's student, under the same policy; return the student's id.

        For services that write plans, so that two groups of one student never plan the same hour.
        The first call acquires the locks of the students of all groups in one statement, in key
        order, so that two batches never deadlock; later calls cost nothing, unless the group was
        removed or given to another student since. A pending group is written first, and all other
        changes afterwards. It is refused inside a savepoint, whose rollback would release the lock.

        Raises ``PlanGroupNotFoundError`` (also for another tenant's group),
        ``PlanGroupLockedError``, ``LockTimeoutError``, ``LockNotHeldError`` under a shared
        lock and ``WrongTransactionError``.
        """
        self.require_lock(group_id)
        guards.flush_groups(self.session, self.connection, group_id)
        if group_id not in self._students.of_group:
            self._identity = self._students.acquire(
                self.connection, group_id, waited_ms=self.waited_ms, identity=self._identity
            )
        guards.flush(self.session, self.connection, group_id)
        return self._students.of_group[group_id]

    def forget_students(self, *group_ids: UUID) -> None:
        """Read the students of these groups again, because they may have others from now on."""
        self._students.forget(*group_ids)

    def _prepare(self) -> None:
        """Create the Session and claim the locks in this context; nothing is sent to the server."""
        if self._stage is not Stage.NEW:
            raise errors.UnitOfWorkStateError(
                f"This unit of work is {self._stage.value}. Create a new one for each block."
            )
        with self._entering(Stage.ENTERING):
            session, self._bind = sessions.new_session(self._factory)
            self._claim = sessions.claim(
                session, self._bind.engine, self.tenant_id, self.lock.group_ids, self._students.held
            )
            self._session = session

    def _enter(self) -> None:
        """Begin the transaction and acquire the locks that ``_prepare`` has claimed."""
        session, bind = self._session, self._bind
        assert session is not None and bind is not None  # noqa: S101, PT018 - prepared
        with self._entering(Stage.OPEN):
            with translated(during=During.CHECKOUT):
                self._connection = sessions.begin(session, bind)
            acquired = acquiring.acquire(
                self._connection, self.lock, identity=self._identity, rolls_back=True
            )
            self.waited_ms, self._node = acquired.waited_ms, acquired.node
            self._root = session.get_transaction()
            self._transaction = self._connection.get_transaction()
            guards.protect(session, self)

    @contextmanager
    def _entering(self, reached: Stage) -> Iterator[None]:
        """A context for a step of entering, which reaches a stage or ends the unit of work."""
        try:
            yield
        except BaseException:
            self._stage = Stage.FAILED
            self._close()
            raise
        self._stage = reached

    def _finish(self) -> None:
        self._stage = Stage.FINISHED
        self._at_end.awaits_report = True
        self._end_claim()

    def _close(self) -> None:
        """Roll back what was not committed, and return the connection, clean or invalidated."""
        session, self._session = self._session, None
        connection, self._connection = self._connection, None
        self._root = self._transaction = None
        self._end_claim()
        if session is not None:
            guards.release(session)
            ending.close(session, connection)

    def _end_claim(self) -> None:
        if self._claim is not None:
            self._claim.end()
