"""What to pass instead of an argument that is no Connection, or no Engine."""

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.util.concurrency import in_greenlet

from domain.errors import MisuseError


def as_connection(given: object, call: str) -> sa.Connection:
    """The Connection; raises ``MisuseError`` for anything else, saying what to pass.

    :param call: what was called, such as ``schema.grant(connection, roles)``.
    """
    if isinstance(given, sa.Connection) and (not given.dialect.is_async or in_greenlet()):
        return given
    raise MisuseError(_instead_of(given, call))


def as_engine(given: object, function: str) -> sa.Engine:
    """The Engine, of a driver that is not asyncio's; raises ``MisuseError`` for anything else."""
    if isinstance(given, sa.Engine) and not given.dialect.is_async:
        return given
    if _is_asynchronous(given):
        example = f"await asyncio.to_thread({function}, create_engine(url)), an engine made for it"
    elif isinstance(given, sa.Connection):
        example = f"{function}(connection.engine)"
    else:
        example = f"{function}(create_engine(url))"
    raise MisuseError(
        f"A sqlalchemy.Engine is needed, not {_named(given)}. For example: {example}."
    )


def _instead_of(given: object, call: str) -> str:
    if given is None or isinstance(given, MockConnection):
        return (
            "There is no connection: Alembic runs in offline mode (--sql), which only prints. "
            "`python -m domain upgrade --sql` prints this package's SQL."
        )
    function, _, others = call.partition("(connection")
    if _is_asynchronous(given):
        example = f"await connection.run_sync({function}{others}, of an AsyncConnection"
    elif isinstance(given, sa.Engine):
        example = f"with engine.connect() as connection: {call}"
    elif isinstance(given, Session | scoped_session):
        example = f"{function}(session.connection(){others}, and commit the Session"
    else:
        example = "engine.connect(), or op.get_bind() in a revision"
    return f"A sqlalchemy.Connection is needed, not {_named(given)}. For example: {example}."


def _is_asynchronous(given: object) -> bool:
    if isinstance(given, sa.Engine | sa.Connection):
        return given.dialect.is_async
    return type(given).__module__.startswith("sqlalchemy.ext.asyncio")


def _named(given: object) -> str:
    if given is None:
        return "None"
    name = type(given).__name__
    is_synchronous = isinstance(given, sa.Engine | sa.Connection)
    return (
        f"the {name} of an asyncio driver" if is_synchronous and _is_asynchronous(given) else name
    )
