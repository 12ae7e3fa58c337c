"""Rows of a table that are read as JSON arrays, and converted to inputs of the planning core."""

from collections.abc import Callable, Collection, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_args, get_type_hints

import sqlalchemy as sa
from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute

from domain.models.base import Base, MinuteSpans, input_names
from domain.scheduling.spans import Span

Input = TypeVar("Input")
Condition: TypeAlias = sa.ColumnElement[bool] | InstrumentedAttribute[bool]
TENANT_ID: Final = sa.bindparam("tenant_id", type_=sa.Uuid)


class Rows(Generic[Input]):
    """Rows of a table that are read as JSON arrays and converted to inputs of the planning core.

    An array has the columns ``others``, followed by one column per field of ``kind``, with the same
    name, except for the ``computed`` ones. One list of names is used to select and to read the
    columns, so that the two cannot differ.
    """

    def __init__(
        self, kind: type[Input], table: type[Base], *others: str, computed: Collection[str] = ()
    ) -> None:
        self._kind = kind
        self._others = others
        self._names = input_names(kind, but=computed)
        self._table: Any = table
        hints = get_type_hints(kind)
        converters = {name: _from_json(hints[name]) for name in self._names}
        self._converters = {name: call for name, call in converters.items() if call is not None}

    def select(self, *where: Condition) -> sa.ColumnElement[list[list[Any]]]:
        """Return a scalar subquery: an array of the tenant's rows that meet the conditions."""
        columns = [getattr(self._table, name) for name in (*self._others, *self._names)]
        return arrays(columns, self._table.tenant_id == TENANT_ID, *where)

    def split(self, values: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return the values of ``others`` in an array, and the fields of the input by name."""
        count = len(self._others)
        given = dict(zip(self._names, values[count:], strict=True))
        for name, convert in self._converters.items():
            if given[name] is not None:
                given[name] = convert(given[name])
        return values[:count], given

    def inputs(self, arrays: Sequence[Sequence[Any]]) -> tuple[Input, ...]:
        """Return the inputs for arrays of a table that has no computed fields."""
        return tuple(self._kind(**self.split(values)[1]) for values in arrays)


def _from_json(hint: Any) -> Callable[[str], Any] | None:
    """Return the function that converts a field's JSON value; ``None`` if none is needed."""
    if hint == tuple[Span, ...]:
        return MinuteSpans.of_text
    for kind in (hint, *get_args(hint)):
        if kind is date:
            return date.fromisoformat
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return kind
    return None


def arrays(
    columns: Sequence[InstrumentedAttribute[Any]], *where: Condition
) -> sa.ColumnElement[list[list[Any]]]:
    """Return a scalar subquery: a JSON array with an array of the columns per row."""
    row = sa.func.pg_catalog.json_build_array(*columns)
    rows = sa.func.coalesce(
        sa.func.pg_catalog.json_agg(row, type_=sa.JSON),
        sa.literal_column("'[]'::json"),
        type_=sa.JSON,
    )
    return select(rows).where(*where).scalar_subquery()
