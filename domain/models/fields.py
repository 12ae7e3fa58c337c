"""The one description of fields: what documents, creation, edits and flushes read and check.

A field is a column: its type says what is accepted, its default and nullability whether it may be
left out, and ``NAMES`` how documents and errors call it: ``contents[0].range``,
``blocks[1].start``, ``factors.level``, ``period.end``. Each value is checked by itself; the rules
of a whole group are the planning core's (``domain.scheduling.validation``).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column, SmallInteger, inspect

from domain import values
from domain.errors import FieldError, InvalidInputError
from domain.models.base import Base, EnumText

NAMES: Final = {
    "first_unit": "range",
    "last_unit": "range",
    "start_minute": "start",
    "end_minute": "end",
    "period_start": "period.start",
    "period_end": "period.end",
    "study_days": "cycle.study_days",
    "review_days": "cycle.review_days",
    "level_factor": "factors.level",
    "weakness_factor": "factors.weakness",
    "strategy_factor": "factors.strategy",
    "review_factor": "factors.review",
}
"""The columns that documents and errors call by another name; all the others have one name."""
_READERS: Final[Mapping[type, Callable[[object], object]]] = {
    bool: values.flag,
    date: values.civil_date,
    datetime: values.instant,
    Decimal: values.decimal,
    UUID: values.uuid,
}
# Parts of a group get these from their parent when they are flushed.
_FROM_PARENT: Final = {
    "contents": frozenset({"tenant_id", "group_id"}),
    "blocks": frozenset({"tenant_id", "group_id"}),
    "non_study_blocks": frozenset({"tenant_id", "group_id"}),
    "lecture_episodes": frozenset({"tenant_id", "group_id", "content_id"}),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A column as input: its name in documents, what it accepts, and whether it may be left out."""

    key: str
    name: str
    read: Callable[[object], object]
    nullable: bool
    required: bool


def checked_values(
    kind: type[Base],
    allowed: type,
    fields: Mapping[str, Any],
    path: str = "",
    *,
    new: bool = False,
    also: Iterable[FieldError] = (),
) -> dict[str, Any]:
    """The values of an edit as the columns of ``kind`` hold them; words as their enums.

    ``allowed`` is the ``TypedDict`` of what may be edited. A ``new`` row needs every field
    whose column has neither null nor a default. Raises ``InvalidInputError`` with one entry
    per field, under ``path``, and what was found ``also``. A name that is not ``allowed`` is
    such an error too: ids, versions and states are not edited this way.
    """
    names = allowed.__annotations__.keys()
    editable = [one for one in _fields_of(kind) if one.key in names]
    unknown = sorted(fields.keys() - names)
    found = [*also, *(FieldError(_below(path, name), "is not a known field") for name in unknown)]
    read: dict[str, Any] = {}
    for one in editable:
        if one.key in fields or (new and one.required):
            read[one.key] = _read(one, fields.get(one.key), path, found)
    InvalidInputError.raise_if_any(_first_of_each(found))
    return read


def values_in(entry: object, kind: type[Base]) -> dict[str, Any]:
    """What a document's entry has for the columns of ``kind``, by the names of the fields.

    ``None`` is left out: the column's default, or null, takes its place.
    """
    found: dict[str, Any] = {}
    for one in _fields_of(kind):
        top, *below = one.name.split(".")
        value = getattr(entry, top, None)
        for name in below:
            value = getattr(value, name)
        if value is not None:
            found[one.key] = value
    return found


def row_path(kind: type[Base], index: int) -> str:
    """The path of a row in documents and errors, such as ``blocks[1]``."""
    return f"{kind.__tablename__}[{index}]"


def row_errors(row: Base, path: str = "") -> list[FieldError]:
    """What a new row, or the changed values of a stored one, cannot hold.

    Values that are equal to what the column holds but of another type, such as the word of
    an enum, are replaced by it. ``path`` is that of the row, ``contents[0]``; without one the
    fields are reported under the name of the table.
    """
    state = inspect(row)
    new = not state.persistent
    found: list[FieldError] = []
    for one in _fields_of(type(row)):
        if one.key not in state.dict and not (new and one.required):
            continue
        if not new and one.key not in state.committed_state:
            continue
        given = state.dict.get(one.key)
        value = _read(one, given, path, found)
        if value is not given and value is not None:
            setattr(row, one.key, value)
    return _first_of_each(found)


def refuse_unstorable(rows: Iterable[Base]) -> None:
    """Raise ``InvalidInputError`` for rows that are about to be written and cannot be stored."""
    found = [field_error for row in rows for field_error in row_errors(row, row.__tablename__)]
    InvalidInputError.raise_if_any(_first_of_each(found))


def _first_of_each(found: Iterable[FieldError]) -> list[FieldError]:
    """One error per field: a field's first error is the cause of its others."""
    return list({field_error.field: field_error for field_error in reversed(list(found))}.values())[
        ::-1
    ]


def _read(one: Field, value: object, path: str, found: list[FieldError]) -> object:
    sentence = "is required"
    if value is None and one.nullable:
        return None
    if value is not None:
        try:
            return one.read(value)
        except values.BadValueError as refused:
            sentence = str(refused)
    found.append(FieldError(_below(path, one.name), sentence))
    return None


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@cache
def _fields_of(kind: type[Base]) -> tuple[Field, ...]:
    from_parent = _FROM_PARENT.get(kind.__tablename__, frozenset())
    return tuple(_known_fields(kind, from_parent))


def _known_fields(kind: type[Base], from_parent: frozenset[str]) -> Iterator[Field]:
    for key, attribute in inspect(kind).column_attrs.items():
        column: Any = attribute.columns[0]
        read = _reader(key, column)
        if read is None:
            continue
        given = column.default is not None or column.server_default is not None
        nullable = column.nullable or key in from_parent
        required = not nullable and not given
        yield Field(key, NAMES.get(key, key), read, nullable, required)


def _reader(key: str, column: Column[Any]) -> Callable[[object], object] | None:
    """What a column accepts; ``None`` for columns that only the package writes."""
    if isinstance(column.type, EnumText):
        return values.member(column.type.words)
    if key == "time_zone":
        return values.zone_name
    kind = column.type.python_type
    if kind is str:
        return values.text if column.nullable else values.name
    if kind is int:
        small = isinstance(column.type, SmallInteger)
        high = values.MAX_SMALL_INTEGER if small else values.MAX_INTEGER
        return values.integer(-high, high)
    return _READERS.get(kind)
