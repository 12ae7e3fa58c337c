"""The declarative base, its column types, and whether rows hold what their columns can.

What ``alembic upgrade`` makes is the schema; the mapped classes follow it, and a test compares
the two. Nothing here creates a table.

Each value is checked by itself, the same for new rows, edits and flushes; the rules of a whole
group are the planning core's (``domain.scheduling.validation.faults``). Faults name fields as documents do:
``contents[0].range``, ``blocks[1].start``, ``factors.level``, ``period.end``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar, Final, TypeVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    MetaData,
    SmallInteger,
    Text,
    cast,
    event,
    extract,
    func,
    inspect,
    text,
    type_coerce,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator

from domain import values
from domain.errors import Fault, InvalidInputError

Input = TypeVar("Input")
SCHEMA: Final = "studyplan"
"""The PostgreSQL schema of all tables; every statement names it, so search paths do not matter."""

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(TypeDecorator[datetime]):
    """A ``timestamptz``, read as an aware ``datetime`` in UTC under every session setting.

    The server sends microseconds since 1970: psycopg can read a ``timestamptz`` only while
    ``DateStyle`` is ISO, and not every ``TimeZone`` of PostgreSQL exists in Python. They are taken
    of the time in UTC, which is immutable: Citus accepts nothing else in a RETURNING clause.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[datetime]:
        in_utc = func.pg_catalog.timezone("UTC", column, type_=DateTime)
        return type_coerce(cast(extract("epoch", in_utc) * 1_000_000, BigInteger), self)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Base(DeclarativeBase):
    """The base of every mapped class of this package, with metadata of its own."""

    metadata = MetaData(schema=SCHEMA, naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: Instant(),
    }


@event.listens_for(Base, "init", propagate=True)
def _give_defaults(row: Base, _: Any, fields: dict[str, Any]) -> None:
    """Defaults hold from the start and not from the flush on: rows are checked before it.

    A group's id above all, for its lock is taken before the group is stored. What may be
    null is null, and what may be empty empty: reading it later asks no database then.
    """
    mapper = inspect(type(row))
    for relation in mapper.relationships:
        if relation.uselist and relation.cascade.delete_orphan:
            fields.setdefault(relation.key, [])
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        default: Any = column.default
        if attribute.key in fields:
            continue
        if default is not None:
            fields[attribute.key] = default.arg(None) if default.is_callable else default.arg
        elif column.nullable and column.server_default is None:
            fields[attribute.key] = None


class Word(TypeDecorator[Any]):
    """A ``StrEnum`` stored as its text; a CHECK constraint of the table has the same words.

    An enum type of PostgreSQL would need ``ALTER TYPE`` for every new word.
    """

    impl = Text
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else self.words(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.words(value)


TenantId = Annotated[UUID, mapped_column(primary_key=True)]
"""The first column of every key: tables are distributed by it, and indexes clustered."""
Id = Annotated[UUID, mapped_column(primary_key=True)]
Small = Annotated[int, mapped_column(SmallInteger)]
SmallZero = Annotated[int, mapped_column(SmallInteger, server_default=text("0"))]
No = Annotated[bool, mapped_column(server_default=text("false"))]


class Versioned:
    """Rows that people edit: a stale ``version`` makes the flush fail instead of overwriting."""

    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805 - SQLAlchemy passes the class
        return {"version_id_col": cls.version}


def input_names(kind: type[Any], but: Collection[str] = ()) -> tuple[str, ...]:
    """The fields of a planning core's input that rows have by the same name: all ``but`` these.

    A field that is neither has no attribute to be read from, which is an error when the package
    is imported or the row is converted, and never a value that is left out silently.
    """
    return tuple(one.name for one in fields(kind) if one.name not in but)


def to_input(row: Base, kind: type[Input], **computed: Any) -> Input:
    """The row as the planning core sees it, each field by the name of the row's attribute."""
    names = input_names(kind, but=computed.keys())
    return kind(**computed, **{name: getattr(row, name) for name in names})


def row_path(kind: type[Base], index: int) -> str:
    """The path of a row in documents and faults, such as ``blocks[1]``."""
    return f"{kind.__tablename__}[{index}]"


def words_check(column: str, words: type[StrEnum]) -> CheckConstraint:
    """The CHECK that lists the words of an enum column."""
    listed = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def span_checks() -> tuple[CheckConstraint, ...]:
    """A weekly span: its weekday, and ``[start, end)`` within one day."""
    return (
        CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
        CheckConstraint(
            "0 <= start_minute AND start_minute < end_minute AND end_minute <= 1440",
            name="span",
        ),
    )


_FIELDS: Final = {
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
class _Field:
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
    also: Iterable[Fault] = (),
) -> dict[str, Any]:
    """The values of an edit as the columns of ``kind`` hold them; words as their enums.

    ``allowed`` is the ``TypedDict`` of what may be edited. A ``new`` row needs every field
    whose column has neither null nor a default. Raises ``InvalidInputError`` with one entry
    per field, under ``path``, and what was found ``also``. A name that is not ``allowed`` is
    such a fault too: ids, versions and states are not edited this way.
    """
    names = allowed.__annotations__.keys()
    editable = [one for one in _fields(kind) if one.key in names]
    unknown = sorted(fields.keys() - names)
    found = [*also, *(Fault(_below(path, name), "is not a known field") for name in unknown)]
    read: dict[str, Any] = {}
    for one in editable:
        if one.key in fields or (new and one.required):
            read[one.key] = _read(one, fields.get(one.key), path, found)
    if found:
        raise InvalidInputError(_first_of_each(found))
    return read


def row_faults(row: Base, path: str = "") -> list[Fault]:
    """What a new row, or the changed values of a stored one, cannot hold.

    Values that are equal to what the column holds but of another type, such as the word of
    an enum, are replaced by it. ``path`` is that of the row, ``contents[0]``; without one the
    fields are reported under the name of the table.
    """
    state = inspect(row)
    new = not state.persistent
    found: list[Fault] = []
    for one in _fields(type(row)):
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
    found = [fault for row in rows for fault in row_faults(row, row.__tablename__)]
    if found:
        raise InvalidInputError(_first_of_each(found))


def _first_of_each(found: Iterable[Fault]) -> list[Fault]:
    """One fault per field: a field's first fault is the cause of its others."""
    return list({fault.field: fault for fault in reversed(list(found))}.values())[::-1]


def _read(one: _Field, value: object, path: str, found: list[Fault]) -> object:
    sentence = "is required"
    if value is None and one.nullable:
        return None
    if value is not None:
        try:
            return one.read(value)
        except values.BadValueError as refused:
            sentence = str(refused)
    found.append(Fault(_below(path, one.name), sentence))
    return None


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@cache
def _fields(kind: type[Base]) -> tuple[_Field, ...]:
    from_parent = _FROM_PARENT.get(kind.__tablename__, frozenset())
    return tuple(_known_fields(kind, from_parent))


def _known_fields(kind: type[Base], from_parent: frozenset[str]) -> Iterator[_Field]:
    for key, attribute in inspect(kind).column_attrs.items():
        column: Any = attribute.columns[0]
        read = _reader(key, column)
        if read is None:
            continue
        given = column.default is not None or column.server_default is not None
        nullable = column.nullable or key in from_parent
        required = not nullable and not given
        yield _Field(key, _FIELDS.get(key, key), read, nullable, required)


def _reader(key: str, column: Column[Any]) -> Callable[[object], object] | None:
    """What a column accepts; ``None`` for columns that only the package writes."""
    if isinstance(column.type, Word):
        return values.word(column.type.words)
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
