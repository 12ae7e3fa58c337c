"""One unit of work = one lock = one transaction = one commit."""

import threading
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session, SessionTransaction

from domain import locking
from domain.database_errors import checkout_translated, commit_translated, translated
from domain.driver import refuse_wrong_transaction
from domain.errors import (
    InvalidInputError,
    LockNotHeldError,
    UncommittedChangesError,
    UnitOfWorkStateError,
)
from domain.locking import PlanGroupLock, StudentLock, guards
from domain.repositories import PlanGroupRepository, StudentPlanRepository, StudentTimeRepository
from domain.unit_of_work import leaving, nesting
from domain.unit_of_work.states import LockState, Stage


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
    ``LockTimeoutError`` after the wait that ``lock`` asks for. If it is another unit of work
    of this very thread or task that holds it, that is ``UnitOfWorkStateError``.

    :param session_factory: makes a new Session on an engine (READ COMMITTED), never one
        that is in use.
    :param lock: which lock, and how long to wait for it.
    """

    def __init__(
        self, session_factory: Callable[[], Session], *, lock: PlanGroupLock | StudentLock
    ) -> None:
        # Callers without a type checker pass the group's id, or nothing.
        if not isinstance(lock, PlanGroupLock | StudentLock):
            raise InvalidInputError.of("lock", "must be a PlanGroupLock or a StudentLock")
        self.lock = lock
        self.waited_ms = 0
        """How long entering waited for the lock, in milliseconds."""
        self._factory = session_factory
        self._stage = Stage.NEW
        self._session: Session | None = None
        self._root: SessionTransaction | None = None
        self._connection: Connection | None = None
        self._claim: nesting.Claim | None = None
        self._thread = 0
        self._students = {lock.student_id} if isinstance(lock, StudentLock) else set()
        self._student_of: dict[tuple[UUID, UUID], UUID] = {}
        self._committing = False

    def __enter__(self) -> Self:
        self._require_new()
        self._session = self._factory()
        try:
            self._begin(self._session)
        except BaseException:
            self._leave()
            raise
        self._stage = Stage.OPEN
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        forgotten = False
        try:
            session, connection = self._session, self._connection
            if kind is None and self._stage is Stage.OPEN and session and connection:
                forgotten = leaving.has_uncommitted_work(session, connection, self._root)
        finally:
            self._stage = Stage.CLOSED
            self._leave()
        if forgotten:
            raise UncommittedChangesError(
                "The block wrote something and ended without commit(); it was rolled back. "
                "Call commit() to keep it, or rollback() to say that this is meant."
            )

    @property
    def session(self) -> Session:
        """The Session of the open transaction; raises ``UnitOfWorkStateError`` outside it."""
        if self._session is None or self._stage is not Stage.OPEN:
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
        ``EditedMeanwhileError`` or ``StudentPlansOverlapError`` if the rows say so, and
        ``CommitOutcomeUnknownError`` if the connection is lost before the server's answer.
        """
        session = self.session
        self.require_held()
        self._committing = True
        try:
            with translated(self._connection):
                session.flush()
                with commit_translated():
                    session.commit()
        finally:
            self._committing = False
            self._finish()

    def rollback(self) -> None:
        """Give up everything done so far, and the lock; the unit of work is finished then."""
        session = self.session
        try:
            session.rollback()
        finally:
            self._finish()

    def lock_state(self) -> LockState:
        """Whether the transaction still holds the lock; costs no round trip."""
        session, connection = self.session, self._connection
        if connection is None or session.get_transaction() is not self._root:
            return LockState.LOST
        return LockState.of(connection)

    def require_lock(self, group_id: UUID) -> None:
        """Raise ``LockNotHeldError`` unless this transaction holds the lock of ``group_id``."""
        InvalidInputError.unless_uuids(group_id=group_id)
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
        The first call takes the students of all held groups of the tenant in one statement,
        in the order of their keys, so that two batches never deadlock; later calls cost
        nothing. It is refused inside a savepoint, whose rollback would free the lock.

        Raises ``PlanGroupNotFoundError`` (also for another tenant's group),
        ``PlanGroupLockedError``, ``LockTimeoutError`` and ``WrongTransactionError``.
        """
        InvalidInputError.unless_uuids(tenant_id=tenant_id)
        self.require_lock(group_id)
        asked = (tenant_id, group_id)
        if asked not in self._student_of:
            left = max(timedelta(0), self.lock.wait - timedelta(milliseconds=self.waited_ms))
            found = locking.acquire_students(
                self.session.connection(), tenant_id, self.lock.group_ids, left, asked_for=group_id
            )
            self._student_of.update(((tenant_id, group), one) for group, one in found.items())
            self._students.update(found.values())
        return self._student_of[asked]

    def _require_new(self) -> None:
        if self._stage is not Stage.NEW:
            raise UnitOfWorkStateError(
                f"This unit of work is {self._stage.value}. Make a new one for each block."
            )

    def _begin(self, session: Session) -> None:
        if self._claim is None:
            self._claim = nesting.claim(session, self.lock.group_ids, self._students)
        if session.in_transaction():
            refuse_wrong_transaction(session.connection())
        with checkout_translated():
            self._connection = session.connection()
        self.waited_ms = locking.acquire(self._connection, self.lock)
        self._root = session.get_transaction()
        self._thread = threading.get_ident()
        guards.ask(session, self)

    def _finish(self) -> None:
        self._stage = Stage.FINISHED
        self._end_claim()

    def _leave(self) -> None:
        """Give the connection back, clean or not at all; what was not committed is gone."""
        session, self._session = self._session, None
        connection, self._connection = self._connection, None
        self._root = None
        self._end_claim()
        if session is not None:
            guards.release(session)
            leaving.close(session, connection)

    def _end_claim(self) -> None:
        if self._claim is not None:
            self._claim.end()
