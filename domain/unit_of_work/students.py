"""The locks of students that a unit of work acquires in addition to those of its groups."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from domain.locking import acquiring
from domain.locking.policy import PlanGroupLock, StudentLock
from domain.locking.statements import new_identity


class StudentLocks:
    """The students whose locks a transaction holds, and which groups they were acquired for."""

    def __init__(self, lock: PlanGroupLock | StudentLock) -> None:
        self._lock = lock
        self.held = {lock.student_id} if isinstance(lock, StudentLock) else set[UUID]()
        """The students whose locks are held until the transaction ends."""
        self.of_group: dict[UUID, UUID] = {}
        """The students of the groups that they were last acquired for."""

    def forget(self, *group_ids: UUID) -> None:
        """Read the students of these groups again at the next request for their locks.

        A removed group can be stored again for another student. If that is rolled back with a
        savepoint, the group has its old student again, who is then read again. Nothing that is
        known was read inside a savepoint, where ``lock_student`` is refused.
        """
        for group_id in group_ids:
            self.of_group.pop(group_id, None)

    def acquire(
        self, connection: Connection, group_id: UUID, *, waited_ms: int, identity: str
    ) -> str:
        """Acquire the locks of the students of all groups; return the transaction's new identity.

        Raises the errors of ``acquire_students``.
        """
        lock, renewed = self._lock, new_identity()
        self.of_group = acquiring.acquire_students(
            connection,
            lock.tenant_id,
            lock.group_ids,
            max(timedelta(0), lock.max_wait - timedelta(milliseconds=waited_ms)),
            asked_for=group_id,
            identity=identity,
            renewed=renewed,
        )
        self.held.update(self.of_group.values())
        return renewed
