"""The description of all input fields, which documents, creation, edits and flushes share.

Each field is a column. The type of the column determines the accepted values, its default and
nullability determine whether the field may be omitted, and ``NAMES`` has the name that documents
and errors use, for example in ``contents[0].range``, ``blocks[1].start``, ``factors.level`` and
``period.end``. Only single values are checked here; the planning core checks the rules that involve
an entire group (``domain.scheduling.validation``).
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
from domain.models.base import Base, EnumText, MinuteSpans, stored_columns

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
"""The names of columns in documents and errors, if they differ from the name of the column."""
_READERS: Final[Mapping[type, Callable[[object], object]]] = {
    bool: values.flag,
    date: values.civil_date,
    datetime: values.instant,
    Decimal: values.decimal,
    UUID: values.uuid,
}
_COUNTER: Final = values.integer(0, values.MAX_INTEGER)
_READERS_BY_KEY: Final[Mapping[str, Callable[[object], object]]] = {
    "time_zone": values.zone_name,
    "generation": _COUNTER,
    "version": _COUNTER,
}
# The flush copies these columns from the parent, so a new part of a group may omit them.
_FROM_PARENT: Final = {
    "contents": frozenset({"tenant_id", "group_id"}),
    "blocks": frozenset({"tenant_id", "group_id"}),
    "non_study_blocks": frozenset({"tenant_id", "group_id"}),
    "special_days": frozenset({"tenant_id", "group_id"}),
    "lecture_episodes": frozenset({"tenant_id", "group_id", "content_id"}),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A column as input: its name in documents, its check, and whether it may be omitted."""

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
    """Return the values of an edit as they are assigned to ``kind``, for example enum members.

    ``allowed`` is the ``TypedDict`` of the fields that can be edited. A ``new`` row needs all
    fields whose column is not nullable and has no default. Raises ``InvalidInputError`` with one
    error per field, prefixed with ``path``, and with the errors in ``also``. A name that is not in
    ``allowed`` is an error too: ids, versions and states cannot be edited like this.
    """
    names = allowed.__annotations__.keys()
    editable = [field for field in _fields_of(kind) if field.key in names]
    unknown = sorted(fields.keys() - names)
    found = [*also, *(FieldError(_join(path, name), "is not a known field") for name in unknown)]
    read: dict[str, Any] = {}
    for field in editable:
        if field.key in fields or (new and field.required):
            read[field.key] = _read(field, fields.get(field.key), path, found)
    InvalidInputError.raise_if_any(_first_per_field(found))
    return read


def values_in(entry: object, kind: type[Base]) -> dict[str, Any]:
    """Return the values that an entry of a document has for the columns of ``kind``, by column.

    ``None`` is omitted, so that the column gets its default or null.
    """
    found: dict[str, Any] = {}
    for field in _fields_of(kind):
        top, *nested = field.name.split(".")
        value = getattr(entry, top, None)
        for name in nested:
            value = getattr(value, name)
        if value is not None:
            found[field.key] = value
    return found


def row_path(kind: type[Base], index: int) -> str:
    """Return the path of a row in documents and errors, such as ``blocks[1]``."""
    return f"{kind.__tablename__}[{index}]"


def row_errors(row: Base, path: str = "") -> list[FieldError]:
    """Return the errors in the fields of a new row, or in the changed fields of a stored row.

    A valid value of another type than the column's, such as the text of an enum member, is
    replaced by the value that the column holds. ``path`` is the path of the row, such as
    ``contents[0]``; by default the fields have no prefix.
    """
    state = inspect(row)
    new = not state.persistent
    found: list[FieldError] = []
    for field in _fields_of(type(row)):
        if field.key not in state.dict and not (new and field.required):
            continue
        if not new and field.key not in state.committed_state:
            continue
        given = state.dict.get(field.key)
        value = _read(field, given, path, found)
        if value is not given and value is not None:
            setattr(row, field.key, value)
    return _first_per_field(found)


def part_errors(row: Base, path: str = "") -> Iterator[FieldError]:
    """Yield an error for each part of a row that is no row, or a row of another kind.

    The parts are those that have been loaded or assigned, and their own parts.
    """
    state = inspect(row)
    for relation in state.mapper.relationships:
        kind = relation.mapper.class_
        if not (issubclass(kind, Base) and relation.cascade.delete_orphan):
            continue  # added by an application
        for index, part in enumerate(state.dict.get(relation.key, ())):
            at = _join(path, f"{relation.key}[{index}]")
            if isinstance(part, kind):
                yield from part_errors(part, at)
            else:
                yield FieldError(at, f"must be a {kind.__name__}")


def refuse_unstorable(rows: Iterable[Base]) -> None:
    """Raise ``InvalidInputError`` if any of the rows has values that cannot be stored.

    The errors name fields by table, because rows of a flush have no path in a document.
    """
    found = [field_error for row in rows for field_error in row_errors(row, row.__tablename__)]
    InvalidInputError.raise_if_any(_first_per_field(found))


def _first_per_field(found: Iterable[FieldError]) -> list[FieldError]:
    """Return the first error of each field, in order; later errors usually follow from it."""
    # A dictionary keeps the last value of a key, hence the two reversals.
    return list({field_error.field: field_error for field_error in reversed(list(found))}.values())[
        ::-1
    ]


def _read(field: Field, value: object, path: str, found: list[FieldError]) -> object:
    """Return the accepted value; for an invalid one append an error to ``found``."""
    message = "is required"
    if value is None and field.nullable:
        return None
    if value is not None:
        try:
            return field.read(value)
        except values.BadValueError as error:
            message = str(error)
    found.append(FieldError(_join(path, field.name), message))
    return None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@cache
def _fields_of(kind: type[Base]) -> tuple[Field, ...]:
    from_parent = _FROM_PARENT.get(kind.__tablename__, frozenset())
    return tuple(_known_fields(kind, from_parent))


def _known_fields(kind: type[Base], from_parent: frozenset[str]) -> Iterator[Field]:
    for key, column in stored_columns(kind):
        read = _reader(key, column)
        if read is None:
            continue
        has_default = column.default is not None or column.server_default is not None
        nullable = column.nullable or key in from_parent
        required = not nullable and not has_default
        yield Field(key, NAMES.get(key, key), read, nullable, required)


def _reader(key: str, column: Column[Any]) -> Callable[[object], object] | None:
    """Return the check for a column's values; ``None`` if only the package writes the column."""
    if isinstance(column.type, EnumText):
        return values.member(column.type.enum_class)
    if isinstance(column.type, MinuteSpans):
        return values.spans
    if key in _READERS_BY_KEY:
        return _READERS_BY_KEY[key]
    kind = column.type.python_type
    if kind is str:
        return values.text if column.nullable else values.name
    if kind is int:
        small = isinstance(column.type, SmallInteger)
        high = values.MAX_SMALL_INTEGER if small else values.MAX_INTEGER
        return values.integer(-high, high)
    return _READERS.get(kind)
