"""What all services share: the unit of work that they are made for, and how an edit is written."""

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
    """Works in one open unit of work, on its tenant's rows; the caller commits.

    Each public method raises ``UnitOfWorkStateError`` while another thread uses the unit of
    work. ``group_id`` names the group where several are locked, and is not needed otherwise.

    Raises ``UnitOfWorkStateError`` for what is no ``UnitOfWork``.
    """

    def __init__(self, uow: UnitOfWork) -> None:
        # Callers without a type checker pass an AsyncUnitOfWork, or a Session.
        if not isinstance(uow, UnitOfWork):
            raise errors.UnitOfWorkStateError(
                f"{type(self).__name__} was given {type(uow).__name__} instead of a UnitOfWork. In "
                f"a task: await uow.run(lambda u: {type(self).__name__}(u).…)."
            )
        self._uow = uow

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        guards.run_methods_inside(cls, lambda service, *_, **__: service._uow.exclusive_call())  # noqa: SLF001 - its own

    def _the_group(self, asked: UUID | None) -> UUID:
        """The group that a call is about: the one that is locked, or ``asked`` among several."""
        if asked is not None:
            errors.InvalidInputError.require_uuids(group_id=asked)
            return asked
        match list(self._uow.lock.group_ids):
            case [group_id]:
                return group_id
            case []:
                raise errors.LockNotHeldError(
                    "The unit of work holds no group's lock. Enter one with a PlanGroupLock."
                )
            case _:
                raise errors.InvalidInputError.of("group_id", "must name one of the locked groups")

    def _the_student(self, asked: UUID | None) -> UUID:
        """The student that a call is about: the one that is locked, or ``asked``."""
        lock = self._uow.lock
        if asked is None and isinstance(lock, StudentLock):
            return lock.student_id
        if asked is None:
            raise errors.InvalidInputError.of("student_id", "must be given without a StudentLock")
        errors.InvalidInputError.require_uuids(student_id=asked)
        return asked


@dataclass(frozen=True, slots=True)
class RowVersion:
    """A row as the caller saw it, or as it was just written; the next edit names its version."""

    id: UUID
    version: int


class HasVersion(Protocol):
    """A row with an id and a version."""

    @property
    def id(self) -> UUID: ...
    @property
    def version(self) -> int: ...


def require_version(row: HasVersion, expected: int, group_id: UUID | None = None) -> None:
    """Raise ``EditedMeanwhileError`` if the row is not in the version that the caller saw."""
    if row.version != version(expected):
        raise errors.EditedMeanwhileError(group_id=group_id)


def version(given: object) -> int:
    """The version that a caller saw; raises ``InvalidInputError`` for what is none."""
    return values.checked("expected_version", values.integer(0, values.MAX_INTEGER), given)


def assign(row: Base, changes: Mapping[str, Any]) -> None:
    """Set the row's columns."""
    for name, value in changes.items():
        setattr(row, name, value)


def flush(uow: UnitOfWork, group_id: UUID | None = None) -> None:
    """Write what is pending, while the lock is held; and translate a refusal of the database.

    After an error the unit of work has lost its transaction, and with it the lock.
    """
    uow.require_held()
    with translated(uow.connection, group_id=group_id):
        uow.session.flush()


def written(uow: UnitOfWork, row: HasVersion, group_id: UUID | None = None) -> RowVersion:
    """Write what is pending, and return the row's new version."""
    flush(uow, group_id)
    return RowVersion(row.id, row.version)


def editable_group(uow: UnitOfWork, group_id: UUID) -> PlanGroup:
    """The group with everything it owns, under its lock, unless it is finished."""
    uow.require_lock(group_id)
    group = uow.groups.get(group_id)
    if group.status in FINISHED:
        raise errors.PlanGroupNotEditableError(group_id=group_id, group_status=group.status.value)
    return group


def accept(uow: UnitOfWork, group: PlanGroup, excluded: Sequence[date] = ()) -> None:
    """Check the group as it would be; on an error take every change of it back, and raise."""
    session = uow.session
    with session.no_autoflush:
        found = [*_field_errors(group), *outside(group, excluded)]
    if found:
        session.expire(group)
        raise errors.InvalidInputError(found)


def outside(
    group: PlanGroup, excluded: Sequence[date], first: int = 0
) -> Iterator[errors.FieldError]:
    """The group's own exclusions that are not within its period, counted from ``first``."""
    for index, day in enumerate(excluded, first):
        if not group.period_start <= day <= group.period_end:
            yield errors.FieldError(f"exclusions[{index}].date", "must be within the period")


def _field_errors(group: PlanGroup) -> Sequence[errors.FieldError]:
    try:
        group.check()
    except errors.InvalidInputError as refused:
        return refused.errors
    return ()
