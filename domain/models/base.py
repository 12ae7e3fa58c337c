"""The declarative base, its column types, and the conversion of rows to planning inputs.

The Alembic revisions define the schema. The mapped classes describe the same schema, and a test
compares the two; the tables are never created from the metadata.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, TypeVar
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import INT4MULTIRANGE, Range
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator

from domain.scheduling.spans import Span

Input = TypeVar("Input")
SCHEMA: Final = "studyplan"
"""The PostgreSQL schema of all tables. All statements name it, so search_path has no effect."""

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
}


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A ``timestamptz`` that is read as an aware ``datetime`` in UTC with any session settings.

    The value is selected as microseconds since 1970, because psycopg can parse a ``timestamptz``
    only if ``DateStyle`` is ISO, and because not every ``TimeZone`` of PostgreSQL exists in Python.
    The expression converts the value to a ``timestamp`` in UTC first, which makes it immutable:
    Citus accepts only immutable expressions in a RETURNING clause.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """The type of the values, which a ``TypeDecorator`` does not take from ``impl``."""
        return datetime

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[datetime]:
        in_utc = sa.func.pg_catalog.timezone("UTC", column, type_=sa.DateTime)
        return sa.type_coerce(sa.cast(sa.extract("epoch", in_utc) * 1_000_000, sa.BigInteger), self)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Base(DeclarativeBase):
    """The base of all mapped classes of this package, with its own metadata."""

    metadata = sa.MetaData(schema=SCHEMA, naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: sa.Text, datetime: UtcDateTime()}


@sa.event.listens_for(Base, "init", propagate=True)
def _set_defaults(row: Base, _: Any, fields: dict[str, Any]) -> None:
    """Set the defaults of a new object when it is created, not when it is flushed.

    Rows are validated before the flush. A group's id is also needed before it, because the group's
    lock is acquired before the group is stored. Nullable columns without a default are set to
    ``None`` and owned collections to an empty list, so that reading them does not query the
    database later.
    """
    mapper = sa.inspect(type(row))
    for relation in mapper.relationships:
        if relation.uselist and relation.cascade.delete_orphan:
            fields.setdefault(relation.key, [])
    for key, column in stored_columns(type(row)):
        default: Any = column.default
        if key in fields:
            continue
        if default is not None:
            fields[key] = default.arg(None) if default.is_callable else default.arg
        elif column.nullable and column.server_default is None:
            fields[key] = None


def stored_columns(kind: type[Base]) -> Iterator[tuple[str, sa.Column[Any]]]:
    """Yield the name of each attribute that is a column of the table, with the column.

    An application may add attributes that are computed by the database, with ``column_property``.
    """
    for attribute in sa.inspect(kind).column_attrs:
        if isinstance(column := attribute.columns[0], sa.Column):
            yield attribute.key, column


class EnumText(TypeDecorator[Any]):
    """A ``StrEnum`` that is stored as text; a CHECK constraint of the table lists the same values.

    An enumerated type of PostgreSQL would need ``ALTER TYPE`` for each new value.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, enum_class: type[StrEnum]) -> None:
        super().__init__()
        self.enum_class = enum_class

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else self.enum_class(value).value

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> StrEnum | None:
        return None if value is None else self.enum_class(value)


class MinuteSpans(TypeDecorator[tuple[Span, ...]]):
    """Spans ``[start, end)`` of minutes of a day, as an ``int4multirange``.

    One value holds all spans of a kind, so that a row is read, edited and versioned with them; a
    table of spans would need a second statement and a version of its parent's. PostgreSQL can
    compare a multirange with the limits of a day in a CHECK constraint, which it cannot do with the
    elements of an array or of JSON. It sorts the spans, merges those that overlap or are adjacent,
    omits empty ones, and refuses one that ends before it starts.
    """

    impl = INT4MULTIRANGE
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> list[Range[int]] | None:
        return None if value is None else [Range(start, end) for start, end in value]

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> tuple[Span, ...] | None:
        return None if value is None else tuple((span.lower, span.upper) for span in value)

    @staticmethod
    def of_text(value: str) -> tuple[Span, ...]:
        """Return the spans of a multirange in PostgreSQL's text format, as JSON contains it."""
        return tuple((int(start), int(end)) for start, end in re.findall(r"(\d+),(\d+)", value))


TenantId = Annotated[UUID, mapped_column(primary_key=True)]
"""The first column of all keys: Citus distributes by it, and index entries are grouped by it."""
Id = Annotated[UUID, mapped_column(primary_key=True)]
OwnerId = Annotated[UUID, mapped_column(active_history=True)]
"""The id of the group or the student that a row belongs to. The value before a change is loaded if
it was not: both owners must be locked. Of columns of the primary key it is loaded anyway."""
Small = Annotated[int, mapped_column(sa.SmallInteger)]
SmallZero = Annotated[int, mapped_column(sa.SmallInteger, server_default=sa.text("0"))]
No = Annotated[bool, mapped_column(server_default=sa.text("false"))]


class Versioned:
    """Rows that users edit: a flush with an outdated ``version`` raises ``StaleDataError``."""

    version: Mapped[int] = mapped_column(default=1, server_default=sa.text("1"))

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805 - SQLAlchemy passes the class
        return {"version_id_col": cls.version}


class Keyed(Versioned):
    """Versioned rows whose primary key is the tenant's id and their own id."""

    tenant_id: Mapped[TenantId]
    id: Mapped[Id] = mapped_column(default=uuid4)


class WeeklySpan:
    """A weekly time span: weekday 0 is Sunday; ``[start, end)`` is in minutes since midnight."""

    weekday: Mapped[Small]
    start_minute: Mapped[Small]
    end_minute: Mapped[Small]


def group_foreign_key(*, with_student: bool = False) -> sa.ForeignKeyConstraint:
    """Return the foreign key to the owning group.

    With ``with_student`` it includes the student's id, so that a row and its group always have the
    same student.
    """
    student = ["student_id"] if with_student else []
    return sa.ForeignKeyConstraint(
        ["tenant_id", *student, "group_id"],
        [f"plan_groups.{name}" for name in ("tenant_id", *student, "id")],
        ondelete="CASCADE",
    )


def input_names(kind: type[Any], but: Collection[str] = ()) -> tuple[str, ...]:
    """Return the fields of a planning input that rows have under the same name: all except ``but``.

    A field that is neither in ``but`` nor an attribute of the row raises an error when the package
    is imported or the row is converted; it is never omitted silently.
    """
    return tuple(item.name for item in fields(kind) if item.name not in but)


def to_input(row: Base, kind: type[Input], **computed: Any) -> Input:
    """Convert a row to an input of the planning core.

    Each field that is not in ``computed`` is read from the row's attribute of the same name.
    """
    names = input_names(kind, but=computed.keys())
    return kind(**computed, **{name: getattr(row, name) for name in names})


def enum_check(column: str, enum_class: type[StrEnum]) -> sa.CheckConstraint:
    """Return the CHECK constraint that lists the values of an enum column."""
    listed = ", ".join(f"'{member.value}'" for member in enum_class)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def span_checks() -> tuple[sa.CheckConstraint, ...]:
    """Return the CHECK constraints of a weekly span: its weekday, and its times within one day."""
    return (
        sa.CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
        sa.CheckConstraint(
            "0 <= start_minute AND start_minute < end_minute AND end_minute <= 1440", name="span"
        ),
    )
