"""The base class of services, and functions that validate and write edits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Protocol
from uuid import UUID

from domain import errors, values
from domain.database_errors import translated
from domain.locking import guards
from domain.locking.policy import StudentLock
from domain.models import Base, GroupStatus, PlanGroup
from domain.unit_of_work.unit import UnitOfWork

FINISHED: Final = frozenset({GroupStatus.COMPLETED, GroupStatus.CANCELLED})


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


@dataclass(frozen=True, slots=True)
class RowVersion:
    """The version of a row that a caller has read or written; the next edit expects it."""

    id: UUID
    version: int


class HasVersion(Protocol):
    """A row with an id and a version."""

    @property
    def id(self) -> UUID: ...
    @property
    def version(self) -> int: ...


def require_version(row: HasVersion, expected: int, group_id: UUID | None = None) -> None:
    """Raise ``EditedMeanwhileError`` unless the row has the version that the caller has read."""
    if row.version != version(expected):
        raise errors.EditedMeanwhileError(group_id=group_id)


def version(given: object) -> int:
    """Return a version number; raise ``InvalidInputError`` if it is not one."""
    return values.validate("expected_version", values.integer(0, values.MAX_INTEGER), given)


def assign(row: Base, changes: Mapping[str, Any]) -> None:
    """Set the row's columns."""
    for name, value in changes.items():
        setattr(row, name, value)


def flush(uow: UnitOfWork, group_id: UUID | None = None) -> None:
    """Write pending changes, after checking that the lock is held, and translate database errors.

    After an error the transaction of the unit of work is rolled back and its locks are released.
    """
    uow.require_held()
    with translated(uow.connection, group_id=group_id):
        uow.session.flush()


def save(uow: UnitOfWork, row: HasVersion, group_id: UUID | None = None) -> RowVersion:
    """Write pending changes, and return the row's new version."""
    flush(uow, group_id)
    return RowVersion(row.id, row.version)


def editable_group(uow: UnitOfWork, group_id: UUID) -> PlanGroup:
    """Return the group with all its parts.

    Raises ``LockNotHeldError`` without the group's lock, and ``PlanGroupNotEditableError`` if the
    group is completed or cancelled.
    """
    uow.require_lock(group_id)
    group = uow.groups.get(group_id)
    if group.status in FINISHED:
        raise errors.PlanGroupNotEditableError(group_id=group_id, group_status=group.status.value)
    return group


def accept(uow: UnitOfWork, group: PlanGroup, excluded: Sequence[date] = ()) -> None:
    """Validate the edited group; if it is invalid, discard all changes of it and raise.

    Raises ``InvalidInputError``. ``excluded`` are the dates of the group's own exclusions.
    """
    session = uow.session
    with session.no_autoflush:
        found = [*_field_errors(group), *exclusion_errors(group, excluded)]
    if found:
        session.expire(group)
        raise errors.InvalidInputError(found)


def exclusion_errors(
    group: PlanGroup, excluded: Sequence[date], first: int = 0
) -> Iterator[errors.FieldError]:
    """Yield an error for each date outside the group's period; indexes start with ``first``."""
    for index, day in enumerate(excluded, first):
        if not group.period_start <= day <= group.period_end:
            yield errors.FieldError(f"exclusions[{index}].date", "must be within the period")


def _field_errors(group: PlanGroup) -> Sequence[errors.FieldError]:
    try:
        group.check()
    except errors.InvalidInputError as error:
        return error.errors
    return ()
