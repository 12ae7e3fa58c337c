"""Binary COPY on a Session's own connection, in its own transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.util.concurrency import await_only


def copy_rows(
    connection: Connection,
    table: str,
    columns: Mapping[str, str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Copy rows into ``columns`` (name → type) of a table: two round trips for any number.

    The transaction is the connection's own. A Session does not learn of it: whatever was
    pending must be flushed before, and after an error the transaction is lost.
    """
    quoted = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quoted, columns))
    statement = f"COPY {quoted(table)} ({names}) FROM STDIN (FORMAT BINARY)"
    types = list(columns.values())
    driver = connection.connection.driver_connection
    if isinstance(driver, psycopg.AsyncConnection):
        await_only(_copy_async(driver, statement, types, rows))
        return
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the package is psycopg's
    with _loss_told(driver), driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


async def _copy_async(
    driver: psycopg.AsyncConnection[Any],
    statement: str,
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    with _loss_told(driver):
        async with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                await copy.write_row(row)


@contextmanager
def _loss_told(driver: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> Iterator[None]:
    """A lost connection is the driver's error, however the loss was told.

    A pooler tells it twice, as the server did and then in its own words. Psycopg expects one
    answer at the end of a COPY, and says nothing but "too many values to unpack".
    """
    try:
        yield
    except ValueError as error:
        if not driver.closed:
            raise
        raise psycopg.OperationalError("the connection was lost in a COPY") from error
