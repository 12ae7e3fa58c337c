"""Deleting a group."""

from uuid import UUID

from domain.errors import EditedMeanwhileError
from domain.services.row_versions import version
from domain.services.service import Service


class GroupDeletionService(Service):
    """Removes a group for good; to keep its history, cancel it instead."""

    def delete(self, *, expected_version: int, group_id: UUID | None = None) -> None:
        """Delete a group in any state with everything it owns: one statement.

        Contents, blocks, its own exclusions, plans of every state and the records of its
        generations go with it; the student's classes and exclusions stay. Needs the group's
        lock and takes the student's, for the time of its plans becomes free; the caller
        commits.

        Raises ``PlanGroupNotFoundError``, ``EditedMeanwhileError``, ``LockNotHeldError``
        and, for the student's lock, ``PlanGroupLockedError`` and ``LockTimeoutError``.
        """
        group_id = self._the_group(group_id)
        self._uow.lock_student(group_id)
        if not self._uow.groups.remove(group_id, version(expected_version)):
            raise EditedMeanwhileError(group_id=group_id)
