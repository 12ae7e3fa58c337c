"""The declarative base, its column types, and rows as the planning core sees them.

What ``alembic upgrade`` makes is the schema; the mapped classes follow it, and a test compares
the two. Nothing here creates a table.
"""

from collections.abc import Collection
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, TypeVar
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator

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


class UtcDateTime(TypeDecorator[datetime]):
    """A ``timestamptz``, read as an aware ``datetime`` in UTC under every session setting.

    The server sends microseconds since 1970: psycopg can read a ``timestamptz`` only while
    ``DateStyle`` is ISO, and not every ``TimeZone`` of PostgreSQL exists in Python. They are taken
    of the time in UTC, which is immutable: Citus accepts nothing else in a RETURNING clause.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[datetime]:
        in_utc = sa.func.pg_catalog.timezone("UTC", column, type_=sa.DateTime)
        return sa.type_coerce(sa.cast(sa.extract("epoch", in_utc) * 1_000_000, sa.BigInteger), self)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Base(DeclarativeBase):
    """The base of every mapped class of this package, with metadata of its own."""

    metadata = sa.MetaData(schema=SCHEMA, naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: sa.Text, datetime: UtcDateTime()}


@sa.event.listens_for(Base, "init", propagate=True)
def _give_defaults(row: Base, _: Any, fields: dict[str, Any]) -> None:
    """Defaults hold from the start and not from the flush on: rows are checked before it.

    A group's id above all, for its lock is taken before the group is stored. What may be
    null is null, and what may be empty empty: reading it later asks no database then.
    """
    mapper = sa.inspect(type(row))
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


class EnumText(TypeDecorator[Any]):
    """A ``StrEnum`` stored as its text; a CHECK constraint of the table has the same words.

    An enum type of PostgreSQL would need ``ALTER TYPE`` for every new word.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else self.words(value).value

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> StrEnum | None:
        return None if value is None else self.words(value)


TenantId = Annotated[UUID, mapped_column(primary_key=True)]
"""The first column of every key: tables are distributed by it, and indexes clustered."""
Id = Annotated[UUID, mapped_column(primary_key=True)]
Small = Annotated[int, mapped_column(sa.SmallInteger)]
SmallZero = Annotated[int, mapped_column(sa.SmallInteger, server_default=sa.text("0"))]
No = Annotated[bool, mapped_column(server_default=sa.text("false"))]


class Versioned:
    """Rows that people edit: a stale ``version`` makes the flush fail instead of overwriting."""

    version: Mapped[int] = mapped_column(default=1, server_default=sa.text("1"))

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805 - SQLAlchemy passes the class
        return {"version_id_col": cls.version}


class Keyed(Versioned):
    """Versioned rows with a key of tenant and id."""

    tenant_id: Mapped[TenantId]
    id: Mapped[Id] = mapped_column(default=uuid4)


class Span:
    """A weekly span: 0 is Sunday, ``[start, end)`` in minutes of the day."""

    weekday: Mapped[Small]
    start_minute: Mapped[Small]
    end_minute: Mapped[Small]


def group_foreign_key(*, with_student: bool = False) -> sa.ForeignKeyConstraint:
    """The foreign key to the owning group; with the student's id, so that the two agree."""
    student = ["student_id"] if with_student else []
    return sa.ForeignKeyConstraint(
        ["tenant_id", *student, "group_id"],
        [f"plan_groups.{name}" for name in ("tenant_id", *student, "id")],
        ondelete="CASCADE",
    )


def input_names(kind: type[Any], but: Collection[str] = ()) -> tuple[str, ...]:
    """The fields of a planning core's input that rows have by the same name: all ``but`` these.

    A field that is neither in ``but`` nor an attribute of the row is an error, when the package is
    imported or the row is converted; it is never left out silently.
    """
    return tuple(one.name for one in fields(kind) if one.name not in but)


def to_input(row: Base, kind: type[Input], **computed: Any) -> Input:
    """The row as the planning core sees it, each field by the name of the row's attribute."""
    names = input_names(kind, but=computed.keys())
    return kind(**computed, **{name: getattr(row, name) for name in names})


def enum_check(column: str, words: type[StrEnum]) -> sa.CheckConstraint:
    """The CHECK that lists the words of an enum column."""
    listed = ", ".join(f"'{word.value}'" for word in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def span_checks() -> tuple[sa.CheckConstraint, ...]:
    """A weekly span: its weekday, and ``[start, end)`` within one day."""
    return (
        sa.CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
        sa.CheckConstraint(
            "0 <= start_minute AND start_minute < end_minute AND end_minute <= 1440", name="span"
        ),
    )
