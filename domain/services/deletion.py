"""Deleting a group."""

from uuid import UUID

from domain.errors import EditedMeanwhileError
from domain.services.turns import one_call_at_a_time
from domain.unit_of_work import UnitOfWork


@one_call_at_a_time
class GroupDeletionService:
    """Removes a group for good; to keep its history, cancel it instead."""

    def delete(
        self, uow: UnitOfWork, *, tenant_id: UUID, group_id: UUID, expected_version: int
    ) -> None:
        """Delete a group in any state with everything it owns: one statement.

        Contents, blocks, its own exclusions, plans of every state and the records of its
        generations go with it; the student's classes and exclusions stay. Needs the group's
        lock and takes the student's, for the time of its plans becomes free; the caller
        commits.

        Raises ``PlanGroupNotFoundError``, ``EditedMeanwhileError``, ``LockNotHeldError``
        and, for the student's lock, ``PlanGroupLockedError`` and ``LockTimeoutError``.
        """
        uow.lock_student(tenant_id, group_id)
        uow.require_lock(group_id)
        if not uow.groups.remove(tenant_id, group_id, expected_version):
            raise EditedMeanwhileError(group_id=group_id)
