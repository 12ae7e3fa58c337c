"""Plain INSERT of many rows, for tables where COPY is refused or would do something else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table


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
