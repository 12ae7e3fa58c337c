"""INSERT of many rows at once: of several mapped classes, or of a table that COPY is not for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, inspect
from sqlalchemy.orm import Session, make_transient_to_detached

from domain.driver import pipelined
from domain.models import Base


def insert_new(session: Session, connection: Connection, rows: Sequence[Base]) -> None:
    """Insert new rows in one round trip, parents first; they are the Session's afterwards.

    What a flush does with a round trip per table. Every column must have its value already,
    keys of parents included. Raises ``DBAPIError``.
    """
    values: dict[Table, list[dict[str, Any]]] = {}
    for row in rows:
        mapper: Any = inspect(type(row))
        columns = {
            attribute.columns[0].name: getattr(row, attribute.key)
            for attribute in mapper.column_attrs
        }
        values.setdefault(mapper.local_table, []).append(columns)
    with pipelined(connection):
        for table, listed in values.items():
            connection.execute(table.insert(), listed)
    for row in rows:
        make_transient_to_detached(row)
    session.add_all(rows)


def insert_rows(
    connection: Connection,
    table: Table,
    columns: Mapping[str, str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Insert rows into ``columns`` (name → type) of a table: one round trip for any number.

    The rows travel as one array for each column, so the statement's text does not depend on
    their number, and nulls may be anywhere. Raises ``DBAPIError``.
    """
    arrays = [list(values) for values in zip(*rows, strict=True)]
    if not arrays:
        return
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(map(preparer.quote, columns))
    given = ", ".join(f"%s::pg_catalog.{kind}[]" for kind in columns.values())
    # Not pg_catalog.unnest: only the bare name takes several arrays, and the parser resolves it
    # itself, whatever the search path.
    into = f"INSERT INTO {preparer.format_table(table)} ({names})"
    statement = f"{into} SELECT * FROM unnest({given})"  # noqa: S608 - no values in it
    connection.exec_driver_sql(statement, tuple(arrays))
