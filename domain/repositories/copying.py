"""Binary COPY on a Session's own connection, in its own transaction."""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection, Table
from sqlalchemy.util.concurrency import await_only

_TYPE_NAMES = {"SMALLINT": "int2", "INTEGER": "int4", "TEXT": "text", "BOOLEAN": "bool"}


def copy_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Copy rows into a table: two round trips, whatever their number.

    The transaction is the connection's own. A Session does not learn of it: whatever was
    pending must be flushed before, and after an error the transaction is lost.
    """
    dialect = connection.dialect
    types = [table.c[name].type.compile(dialect) for name in columns]
    types = [_TYPE_NAMES.get(name, name.lower()) for name in types]
    quoted = ", ".join(dialect.identifier_preparer.quote(name) for name in columns)
    target = dialect.identifier_preparer.format_table(table)
    statement = f"COPY {target} ({quoted}) FROM STDIN (FORMAT BINARY)"
    driver = connection.connection.driver_connection
    if isinstance(driver, psycopg.AsyncConnection):
        await_only(_copy_async(driver, statement, types, rows))
        return
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the package is psycopg's
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


async def _copy_async(
    driver: psycopg.AsyncConnection[Any],
    statement: str,
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    async with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            await copy.write_row(row)
