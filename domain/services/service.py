"""The base class of services."""

from typing import Any
from uuid import UUID

from domain import errors
from domain.locking import guards
from domain.locking.policy import StudentLock
from domain.unit_of_work.unit import UnitOfWork


class Service:
    """A service that works in an open unit of work, on the rows of its tenant; the caller commits.

    Each public method raises ``UnitOfWorkStateError`` while another thread uses the unit of work.
    The parameter ``group_id`` is needed only if the unit of work holds the locks of several groups.

    The constructor raises ``UnitOfWorkStateError`` if its argument is not a ``UnitOfWork``.
    """

    def __init__(self, uow: UnitOfWork) -> None:
        # Callers without a type checker may pass an AsyncUnitOfWork or a Session.
        if not isinstance(uow, UnitOfWork):
            raise errors.UnitOfWorkStateError(
                f"{type(self).__name__} needs a UnitOfWork, not {type(uow).__name__}. With an "
                f"AsyncUnitOfWork, use await uow.run(lambda u: {type(self).__name__}(u).…)."
            )
        self._uow = uow

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        guards.run_methods_inside(cls, lambda service, *_, **__: service._uow.exclusive_call())  # noqa: SLF001 - its own

    def _resolve_group(self, group_id: UUID | None) -> UUID:
        """Return ``group_id``, by default the id of the only locked group."""
        if group_id is not None:
            errors.InvalidInputError.require_uuids(group_id=group_id)
            return group_id
        match list(self._uow.lock.group_ids):
            case [locked_id]:
                return locked_id
            case []:
                raise errors.LockNotHeldError(
                    "The unit of work does not hold the lock of a group. Enter one with a "
                    "PlanGroupLock."
                )
            case _:
                raise errors.InvalidInputError.of("group_id", "must name one of the locked groups")

    def _resolve_student(self, student_id: UUID | None) -> UUID:
        """Return ``student_id``, by default the id of the student whose lock was requested."""
        lock = self._uow.lock
        if student_id is None and isinstance(lock, StudentLock):
            return lock.student_id
        if student_id is None:
            raise errors.InvalidInputError.of("student_id", "is required without a StudentLock")
        errors.InvalidInputError.require_uuids(student_id=student_id)
        return student_id
