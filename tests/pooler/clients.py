"""Clients of a pooler, and the server connections that they get."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import sqlalchemy as sa

from tests.pooler.pgbouncer import CONNECT_ARGS, PgBouncer

BACKENDS = 4
"""How many connections to the server the tests' pooler shares out among its clients."""


@contextmanager
def clients(
    pooler: PgBouncer, database: sa.URL, pool_size: int = 8, **connect_args: Any
) -> Iterator[sa.Engine]:
    """An engine whose connections are so many clients of the pooler."""
    engine = sa.create_engine(
        pooler.url_for(database),
        connect_args={**CONNECT_ARGS, **connect_args},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=20,
    )
    try:
        yield engine
    finally:
        engine.dispose()


def backend(client: sa.Connection) -> int:
    """The process that serves the client in its present transaction."""
    return int(client.scalar(sa.text("SELECT pg_backend_pid()")) or 0)


def of_all_backends(engine: sa.Engine, expression: str) -> dict[int, Any]:
    """What an expression is on each backend: so many clients ask that all are taken."""
    statement = sa.text(f"SELECT pg_backend_pid(), {expression}")
    with ExitStack() as stack:
        asking = [stack.enter_context(engine.connect()) for _ in range(BACKENDS)]
        found = [client.execute(statement).one() for client in asking]
    return {row[0]: row[1] for row in found}
