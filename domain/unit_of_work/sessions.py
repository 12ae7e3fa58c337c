"""Which Sessions a unit of work accepts: unused ones, on one engine, through psycopg."""

from collections.abc import Callable
from typing import Any, Final

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, update
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session
from sqlalchemy.util.concurrency import in_greenlet

from domain.driver import transaction_status
from domain.errors import WrongSessionError, WrongTransactionError
from domain.models import Base

_MAPPERS: Final = tuple(Base.registry.mappers)
# An engine's options for large results would declare a server-side cursor for statements that
# write.
_FOR_LARGE_RESULTS: Final[dict[str, Any]] = {"stream_results": False, "yield_per": None}
_DRIVERS: Final = {("postgresql", "psycopg"), ("postgresql", "psycopg_async")}


def new_session(session_factory: Callable[[], Session]) -> tuple[Session, Engine | Connection]:
    """A Session that the factory makes, and what all the mapped tables are bound to.

    One that cannot hold the lock may be in use by somebody else, so it is left as it is.
    Raises ``WrongSessionError``, and ``WrongTransactionError`` for a Session that joins a
    transaction which is already open.
    """
    if not callable(session_factory):
        raise WrongSessionError(expected(session_factory))
    session: object = session_factory()
    if not isinstance(session, Session):
        raise WrongSessionError(expected(session))
    bind = _only_bind(session)
    _refuse_driver(bind)
    _refuse_used(session, bind)
    # A commit ends the unit of work: what was read and written in it is for the caller to
    # read afterwards, and no Session would load it again.
    session.expire_on_commit = False
    return session, bind


def begin(session: Session, bind: Engine | Connection) -> Connection:
    """Begin the Session's transaction; listeners of the application may execute in it first.

    Raises ``WrongSessionError`` for an asynchronous engine outside ``AsyncUnitOfWork``.
    """
    if bind.dialect.is_async and not in_greenlet():
        raise WrongSessionError(
            "The engine is an asynchronous one. Use AsyncUnitOfWork with an async_sessionmaker, "
            "or an engine made by create_engine()."
        )
    if not session.in_transaction():
        session.begin()  # a Session may have been made with ``autobegin=False``
    connection = session.connection(bind_arguments={"bind": bind})
    options = connection.get_execution_options()
    if not options.keys().isdisjoint(_FOR_LARGE_RESULTS):
        connection = connection.execution_options(**_FOR_LARGE_RESULTS)
    return connection


def _only_bind(session: Session) -> Engine | Connection:
    """What the Session is bound to; refused if the tables would not share one connection."""
    if type(session).get_bind is Session.get_bind and not session.binds:
        binds = {session.bind}
    else:
        binds = _all_binds(session)
    binds.discard(None)
    match list(binds):
        case [Engine() | Connection() as bind]:
            return bind
        case []:
            raise WrongSessionError("The Session is bound to no engine: sessionmaker(engine).")
        case _:
            raise WrongSessionError(
                "The Session is bound to several engines or connections (binds=, or a get_bind() "
                "of its own). The lock protects only what its own connection writes: bind all "
                "of the package's tables, and the Session itself, to one engine."
            )


def _all_binds(session: Session) -> set[Any]:
    found: set[Any] = set()
    arguments: list[dict[str, Any]] = [{}]
    for mapper in _MAPPERS:
        arguments += [{"mapper": mapper}, {"mapper": mapper, "clause": update(mapper)}]
    for one in arguments:
        try:
            found.add(session.get_bind(**one))
        except UnboundExecutionError:
            if one:  # only the mapped tables need to be bound
                raise WrongSessionError(
                    f"The Session has no engine for {one['mapper'].class_.__name__}."
                ) from None
    return found


def _refuse_driver(bind: Engine | Connection) -> None:
    dialect = bind.dialect
    if (dialect.name, dialect.driver) not in _DRIVERS:
        raise WrongSessionError(
            f"The engine uses {dialect.name}+{dialect.driver}; the package needs "
            "postgresql+psycopg (psycopg 3)."
        )


def _refuse_used(session: Session, bind: Engine | Connection) -> None:
    if session.twophase:
        raise WrongSessionError(
            "The Session has twophase=True. A prepared transaction keeps the lock after its "
            "client is gone, until somebody ends it by hand."
        )
    transaction = session.get_transaction()
    # SQLAlchemy has no accessor for whether a Session that has begun has a connection yet.
    connected = transaction is not None and bool(transaction._connections)  # noqa: SLF001 - as above
    if connected or next(iter(session), None) is not None:
        raise WrongSessionError(
            "The session factory gave a Session that is in use: it has a transaction or objects "
            "that are older than the lock. Give a factory of new ones, such as "
            "sessionmaker(engine), not a scoped session of the request. It was left as it is."
        )
    if isinstance(bind, Connection) and (
        bind.in_transaction() or transaction_status(bind) is not TransactionStatus.IDLE
    ):
        raise WrongTransactionError(
            "The connection is inside a transaction already: rolling back a savepoint would "
            "release the lock early. Give a session factory on an engine."
        )


def expected(found: object) -> str:
    """The sentence for something that is no Session."""
    name = found.__name__ if isinstance(found, type) else type(found).__name__
    return (
        f"The unit of work was given {name} instead of a Session. It needs a session factory, "
        "such as sessionmaker(engine); AsyncUnitOfWork needs an async_sessionmaker."
    )
