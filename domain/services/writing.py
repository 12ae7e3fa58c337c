"""Functions that validate edits and write them, in an open unit of work."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

from domain import errors, values
from domain.database_errors import translated
from domain.models import Base, GroupStatus, PlanGroup

if TYPE_CHECKING:  # a shorter chain of imports
    from domain.services.stale_plans import StalePlan
    from domain.unit_of_work.unit import UnitOfWork

FINISHED: Final = frozenset({GroupStatus.COMPLETED, GroupStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class RowVersion:
    """The version of a row that a caller has read or written; the next edit expects it."""

    id: UUID
    version: int


@dataclass(frozen=True, slots=True)
class EditedRow(RowVersion):
    """The new version of an edited row, and the live plans that contradict the data since.

    ``stale_plans`` are in order of time. It also has plans that became stale by earlier edits, as
    long as they were not rescheduled.
    """

    stale_plans: "tuple[StalePlan, ...]" = ()


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


def flush(uow: "UnitOfWork", group_id: UUID | None = None) -> None:
    """Write pending changes, after checking that the lock is held, and translate database errors.

    After an error the transaction of the unit of work is rolled back and its locks are released.
    """
    uow.require_held()
    with translated(uow.connection, group_id=group_id):
        uow.session.flush()


def save(uow: "UnitOfWork", row: HasVersion, group_id: UUID | None = None) -> RowVersion:
    """Write pending changes, and return the row's new version."""
    flush(uow, group_id)
    return RowVersion(row.id, row.version)


def editable_group(uow: "UnitOfWork", group_id: UUID) -> PlanGroup:
    """Return the group with all its parts, after pending changes are written.

    Raises ``LockNotHeldError`` without the group's lock, and ``PlanGroupNotEditableError`` if the
    group is completed or cancelled.
    """
    uow.require_lock(group_id)
    # A refused edit discards all pending changes of the group, and must discard only its own.
    flush(uow, group_id)
    group = uow.groups.get(group_id)
    if group.status in FINISHED:
        raise errors.PlanGroupNotEditableError(group_id=group_id, group_status=group.status.value)
    return group


def accept(uow: "UnitOfWork", group: PlanGroup, excluded: Sequence[date] = ()) -> None:
    """Validate the edited group; if it is invalid, discard all changes of it and raise.

    Raises ``InvalidInputError``. ``excluded`` are the dates of the group's own exclusions.
    """
    session = uow.session
    with session.no_autoflush:
        found = [*_field_errors(group), *exclusion_errors(group, excluded)]
    if found:
        group_id = group.id
        session.expire(group)
        # It is read again, so that it remains readable after the commit, like all that was read.
        # Without autoflush: a flush could fail with an error in place of this one.
        with session.no_autoflush:
            uow.groups.get(group_id)
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
