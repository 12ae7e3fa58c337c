"""What an engine sends to the server, written down on its way through the driver."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from domain import driver
from tests.integration.tenant_filter import Statement


@contextmanager
def recorded(statements: list[Statement]) -> Iterator[Callable[..., dict[str, Any]]]:
    """Record whatever the package sends past SQLAlchemy, and what cursors send.

    Gives the ``connect_args`` of engines whose cursors are to be recorded.
    """
    execute = driver._execute

    def record(connection: Any, text: str) -> Any:
        statements.append(Statement(text))
        return execute(connection, text)

    def connect_args(*, is_async: bool = False) -> dict[str, Any]:
        base: Any = psycopg.AsyncCursor if is_async else psycopg.Cursor
        return {"cursor_factory": _recording(base, statements)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_execute", record)
        yield connect_args


def engine_at(url: sa.URL, connect_args: dict[str, Any]) -> sa.Engine:
    return sa.create_engine(url, connect_args=connect_args, pool_size=2)


def _recording(base: Any, statements: list[Statement]) -> Any:
    def execute(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
        statements.append(Statement.of(query, params))
        return base.execute(self, query, params, **options)

    def executemany(self: Any, query: Any, rows: Any, **options: Any) -> Any:
        rows = list(rows)
        statements.extend(Statement.of(query, params) for params in rows)
        return base.executemany(self, query, rows, **options)

    def copy(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        statements.append(Statement.of(query, None))
        return base.copy(self, query, *arguments, **options)

    methods = {"execute": execute, "executemany": executemany, "copy": copy}
    return type("Recording", (base,), methods)
