"""Rows that people edit: the version they saw, and how a change of it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from domain import values
from domain.database_errors import translated
from domain.errors import (
    EditedMeanwhileError,
    TimeEntryNotFoundError,
)
from domain.models import AcademySchedule, Base, Block, Exclusion, NonStudyBlock
from domain.unit_of_work import UnitOfWork

Entry = TypeVar("Entry", AcademySchedule, Block, Exclusion, NonStudyBlock)


@dataclass(frozen=True, slots=True)
class RowVersion:
    """A row as somebody saw it, or as it was just written; the next edit names its version."""

    id: UUID
    version: int


class Versioned(Protocol):
    """A row with an id and a version."""

    @property
    def id(self) -> UUID: ...
    @property
    def version(self) -> int: ...


def require_version(row: Versioned, expected: int, group_id: UUID | None = None) -> None:
    """Raise ``EditedMeanwhileError`` if the row is not in the version that the caller saw."""
    if row.version != version(expected):
        raise EditedMeanwhileError(group_id=group_id)


def version(given: object) -> int:
    """The version that a caller saw; raises ``InvalidInputError`` for what is none."""
    return values.checked("expected_version", values.integer(0, values.MAX_INTEGER), given)


def assign(row: Base, changes: Mapping[str, Any]) -> None:
    """Set the row's columns."""
    for name, value in changes.items():
        setattr(row, name, value)


def entry(
    kind: type[Entry], entries: Sequence[Entry], seen: RowVersion, group_id: UUID | None = None
) -> tuple[int, Entry]:
    """The row that somebody saw among ``entries``, with its index.

    Raises ``TimeEntryNotFoundError`` and ``EditedMeanwhileError``.
    """
    for index, row in enumerate(entries):
        if row.id == seen.id:
            require_version(row, seen.version, group_id)
            return index, row
    raise TimeEntryNotFoundError(entry_id=seen.id, kind=kind.__tablename__)


def flush(uow: UnitOfWork, group_id: UUID | None = None) -> None:
    """Write what is pending, while the lock is held; the database's refusals in our words.

    After an error the unit of work has lost its transaction, and with it the lock.
    """
    uow.require_held()
    with translated(uow.connection, group_id=group_id):
        uow.session.flush()


def written(uow: UnitOfWork, row: Versioned, group_id: UUID | None = None) -> RowVersion:
    """Write what is pending, and tell the row's new version."""
    flush(uow, group_id)
    return RowVersion(row.id, row.version)
