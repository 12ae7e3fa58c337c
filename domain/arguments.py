"""Checks of Session, Connection and Engine arguments, with errors that say what to pass instead."""

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.util.concurrency import in_greenlet

from domain.errors import MisuseError, WrongSessionError


def as_connection(given: object, call: str) -> sa.Connection:
    """Return the argument if it is a usable ``Connection``, else raise ``MisuseError``.

    The error's message says what to pass. A connection of an asyncio engine is usable only inside
    ``run_sync``.

    :param call: the call as the user writes it, such as ``schema.grant(connection, roles)``.
    """
    if isinstance(given, sa.Connection) and (not given.dialect.is_async or in_greenlet()):
        return given
    raise MisuseError(_connection_message(given, call))


def as_engine(given: object, function: str) -> sa.Engine:
    """Return the argument if it is a synchronous ``Engine``, else raise ``MisuseError``.

    The error's message says what to pass.
    """
    if isinstance(given, sa.Engine) and not given.dialect.is_async:
        return given
    if _is_asynchronous(given):
        example = f"await asyncio.to_thread({function}, create_engine(url)), with a separate engine"
    elif isinstance(given, sa.Connection):
        example = f"{function}(connection.engine)"
    else:
        example = f"{function}(create_engine(url))"
    raise MisuseError(
        f"A sqlalchemy.Engine is needed, not {_description(given)}. For example: {example}."
    )


def as_session(given: object) -> Session:
    """Return the argument, or that of this thread if it is a registry of Sessions.

    Raises ``WrongSessionError``, whose message says what to pass, if it is anything else.
    """
    if isinstance(given, scoped_session):
        given = given()
    if isinstance(given, Session):
        return given
    example = ""
    if _is_asynchronous(given):
        example = " With an AsyncSession, call the function in `await session.run_sync(...)`."
    elif isinstance(given, sa.Engine | sa.Connection):
        example = f" For example: with Session({type(given).__name__.lower()}) as session."
    raise WrongSessionError(
        f"A sqlalchemy.orm.Session is needed, not {_description(given)}.{example}"
    )


def _connection_message(given: object, call: str) -> str:
    if given is None or isinstance(given, MockConnection):
        return (
            "Alembic has no connection in offline mode (--sql), because it only prints SQL. "
            "Use `python -m domain upgrade --sql` to print the SQL of this package."
        )
    function, _, others = call.partition("(connection")
    if _is_asynchronous(given):
        example = f"await connection.run_sync({function}{others}, with an AsyncConnection"
    elif isinstance(given, sa.Engine):
        example = f"with engine.connect() as connection: {call}"
    elif isinstance(given, Session | scoped_session):
        example = f"{function}(session.connection(){others}, then commit the Session"
    else:
        example = "engine.connect(), or op.get_bind() in a revision"
    return f"A sqlalchemy.Connection is needed, not {_description(given)}. For example: {example}."


def _is_asynchronous(given: object) -> bool:
    if isinstance(given, sa.Engine | sa.Connection):
        return given.dialect.is_async
    return type(given).__module__.startswith("sqlalchemy.ext.asyncio")


def _description(given: object) -> str:
    if given is None:
        return "None"
    name = type(given).__name__
    is_synchronous = isinstance(given, sa.Engine | sa.Connection)
    return (
        f"the {name} of an asyncio driver" if is_synchronous and _is_asynchronous(given) else name
    )
