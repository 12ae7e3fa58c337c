"""Checks of the Session of a unit of work, and of the requests and threads that use it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID
from weakref import ref

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, update
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util.concurrency import in_greenlet

from domain.driver import cancel, transaction_status
from domain.errors import UnitOfWorkStateError, WrongSessionError, WrongTransactionError
from domain.models import Base
from domain.models.base import SCHEMA

_MAPPERS: Final = tuple(Base.registry.mappers)
# An engine's or a Session's options for large results would declare a server-side cursor for
# statements that write.
_CLIENT_SIDE_CURSOR: Final[dict[str, Any]] = {"stream_results": False, "yield_per": None}
_OPTIONS_KEY: Final = "studyplan.options"
_DRIVERS: Final = {("postgresql", "psycopg"), ("postgresql", "psycopg_async")}
_claims: "ContextVar[tuple[Claim, ...]]" = ContextVar("studyplan_claims", default=())
_OVERLAPPING: Final = (
    "Another thread is using this unit of work. A transaction executes one statement at a time: "
    "give each thread its own unit of work, or serialize their calls."
)


def new_session(session_factory: Callable[[], Session]) -> tuple[Session, Engine | Connection]:
    """Create a Session; return it and the bind of all mapped tables.

    A Session that is refused may be in use elsewhere, so it is not changed. Raises
    ``WrongSessionError``, and ``WrongTransactionError`` for a Session on a connection that is
    already in a transaction.
    """
    session = made_session(session_factory)
    bind = _only_bind(session)
    _refuse_driver(bind)
    _refuse_used(session, bind)
    session.info[_OPTIONS_KEY] = session.expire_on_commit, session.execution_options
    # A commit ends the unit of work. The caller must be able to read its objects afterwards, but
    # there is no Session then that could reload expired ones.
    session.expire_on_commit = False
    if not session.execution_options.keys().isdisjoint(_CLIENT_SIDE_CURSOR):
        session.execution_options = session.execution_options.union(_CLIENT_SIDE_CURSOR)
    return session, bind


def restore(session: Session) -> None:
    """Undo what ``new_session`` has set: a Session of a registry is used again after its end."""
    if (options := session.info.pop(_OPTIONS_KEY, None)) is not None:
        session.expire_on_commit, session.execution_options = options


def made_session(session_factory: Callable[[], Session]) -> Session:
    """Return the Session of a factory.

    Raises ``WrongSessionError`` if the argument is not such a factory.
    """
    if not callable(session_factory):
        raise WrongSessionError(expected(session_factory))
    session: object = session_factory()
    if not isinstance(session, Session):
        raise WrongSessionError(expected(session, made=True))
    return session


def made_async_session(async_session_factory: object) -> tuple[Any, Session]:
    """Return the new AsyncSession of a factory, and its Session.

    Raises ``WrongSessionError`` if the argument is not such a factory.
    """
    if not callable(async_session_factory):
        raise WrongSessionError(expected(async_session_factory))
    made: Any = async_session_factory()
    session = getattr(made, "sync_session", None)
    if not isinstance(session, Session):
        raise WrongSessionError(expected(made, made=True))
    return made, session


def begin(session: Session, bind: Engine | Connection) -> Connection:
    """Begin the Session's transaction; the application's listeners may execute statements first.

    Raises ``WrongSessionError`` for an asynchronous engine outside ``AsyncUnitOfWork``, and for a
    ``schema_translate_map`` of the package's schema.
    """
    if bind.dialect.is_async and not in_greenlet():
        raise WrongSessionError(
            "The engine is asynchronous. Use AsyncUnitOfWork with an async_sessionmaker, or an "
            "engine of create_engine()."
        )
    if not session.in_transaction():
        session.begin()  # for a Session with ``autobegin=False``
    connection = session.connection(bind_arguments={"bind": bind})
    options = connection.get_execution_options()
    if (options.get("schema_translate_map") or {}).get(SCHEMA, SCHEMA) != SCHEMA:
        raise WrongSessionError(
            f"The engine or the Session has a schema_translate_map for the schema {SCHEMA}. It has "
            "no effect on the lock functions and on statements that the package writes as text, "
            "so a group would be stored in one schema and looked for in the other."
        )
    if not options.keys().isdisjoint(_CLIENT_SIDE_CURSOR):
        connection = connection.execution_options(**_CLIENT_SIDE_CURSOR)
    return connection


def refuse_inside(transaction: SessionTransaction, root: SessionTransaction | None) -> None:
    """Raise ``WrongSessionError`` if a transaction is a part of the one that has the lock."""
    while transaction.parent is not None:
        transaction = transaction.parent
    if transaction is root:
        raise WrongSessionError(
            "A second connection would join the unit of work: the Session would execute this "
            "statement on another engine, where the lock is not held. Bind the Session to one "
            "engine, and use another Session for other databases."
        )


def expected(found: object, *, made: bool = False) -> str:
    """Return the message for what is no session factory, or was ``made`` by what was given."""
    name = found.__name__ if isinstance(found, type) else type(found).__name__
    return (
        f"The unit of work was given {'a factory of ' if made else ''}{name} instead of a session "
        "factory, such as sessionmaker(engine); AsyncUnitOfWork needs an async_sessionmaker."
    )


@dataclass(slots=True, eq=False)
class Claim:
    """The locks of one unit of work, and the asyncio task that entered it, if any.

    Nested units of work must not acquire the same lock. To the server they are two clients, so
    the inner one would be refused, or would wait for a lock that cannot be released before the
    wait ends. That is a usage error and not a 409.

    Claims are tracked by context and not by thread, because a block may move between threads, and
    a context that was copied for another thread (``asyncio.to_thread``, a framework's thread pool)
    belongs to the same request. A task also has a copy of its creator's context, but it is a
    separate client and may outlive the block.

    The reference to the Session is weak: a unit of work that is dropped without an exit must be
    garbage-collected, because that ends its transaction.
    """

    task: asyncio.Task[Any] | None
    session: ref[Session]
    engine: Engine
    tenant_id: UUID
    group_ids: frozenset[UUID]
    student_ids: set[UUID]
    open: bool = True

    def is_open(self) -> bool:
        """Whether the unit of work has not ended yet."""
        return self.open and self.session() is not None

    def end(self) -> None:
        """Record that the unit of work has ended."""
        self.open = False

    def shares_with(self, earlier: "Claim") -> set[UUID]:
        """Return the ids of groups or students that both lock, in one database and one request."""
        if self.engine is not earlier.engine or self.task not in {None, earlier.task}:
            return set()
        groups = self.group_ids & earlier.group_ids
        if groups or self.tenant_id != earlier.tenant_id:
            return set(groups)
        return self.student_ids & earlier.student_ids


def claim(
    session: Session,
    engine: Engine,
    tenant_id: UUID,
    group_ids: frozenset[UUID],
    student_ids: set[UUID],
) -> Claim:
    """Record the locks that are about to be acquired; ``student_ids`` may grow later.

    Raises ``UnitOfWorkStateError`` if this context already holds one of them in another unit of
    work on the same engine. Nothing is sent to the server.
    """
    new = Claim(_current_task(), ref(session), engine, tenant_id, group_ids, student_ids)
    others = tuple(other for other in _claims.get() if other.is_open())
    for other in others:
        if shared := new.shares_with(other):
            raise UnitOfWorkStateError(
                f"The lock of {next(iter(shared))} is held by another unit of work of the same "
                "request. Pass the open unit of work on to the code that needs it, or exit its "
                "block first: the inner one would wait for the outer one."
            )
    _claims.set((*others, new))
    return new


class CallGuard:
    """Allows one thread at a time to use a unit of work. Calls of one thread may be nested."""

    def __init__(self) -> None:
        self._in_use = threading.RLock()
        self._flushing_thread = 0

    @contextmanager
    def single_thread(self) -> Iterator[None]:
        """A context for one thread; raises ``UnitOfWorkStateError`` if another one is in it."""
        if not self._in_use.acquire(blocking=False):
            raise UnitOfWorkStateError(_OVERLAPPING)
        try:
            yield
        finally:
            self._in_use.release()

    @contextmanager
    def exclusive_call(self, session: Session | None) -> Iterator[None]:
        """Like ``single_thread()``; also raises if another thread is flushing the Session."""
        with self.single_thread():
            # SQLAlchemy has no accessor, and itself refuses only a second flush().
            flushing = session is not None and session._flushing  # noqa: SLF001 - as above
            if flushing and self._flushing_thread != threading.get_ident():
                raise UnitOfWorkStateError(_OVERLAPPING)
            yield

    def note_flush(self) -> None:
        """Record that this thread is flushing; call it inside ``single_thread()``."""
        self._flushing_thread = threading.get_ident()

    @contextmanager
    def at_exit(self, connection: Connection | None, *, failed: bool) -> Iterator[None]:
        """A context for the exit, which waits until a call of another thread has ended.

        The other thread's statement is cancelled. Raises ``UnitOfWorkStateError`` afterwards if
        there was such a call, unless the block has ``failed``.
        """
        overlaps = not self._in_use.acquire(blocking=False)
        if overlaps:
            if connection is not None and not connection.invalidated:
                cancel(connection)
            self._in_use.acquire()
        try:
            yield
        finally:
            self._in_use.release()
        if overlaps and not failed:
            raise UnitOfWorkStateError(
                "The block ended while another thread was using the unit of work. Its work was "
                "cancelled and rolled back. Wait inside the block for the threads that it uses."
            )


def _only_bind(session: Session) -> Engine | Connection:
    """Return the bind of the Session; raise if the tables would not share one connection."""
    if type(session).get_bind is Session.get_bind and not session.binds:
        binds = {session.bind}
    else:
        binds = _all_binds(session)
    binds.discard(None)
    match list(binds):
        case [Engine() | Connection() as bind]:
            return bind
        case []:
            raise WrongSessionError(
                "The Session is not bound to an engine: use sessionmaker(engine)."
            )
        case _:
            raise WrongSessionError(
                "The Session is bound to several engines or connections (binds=, or an overridden "
                "get_bind()). The lock protects only what its own connection writes: bind the "
                "Session and all of the package's tables to one engine."
            )


def _all_binds(session: Session) -> set[Any]:
    found: set[Any] = set()
    arguments: list[dict[str, Any]] = [{}]
    for mapper in _MAPPERS:
        arguments += [{"mapper": mapper}, {"mapper": mapper, "clause": update(mapper)}]
    for argument in arguments:
        try:
            found.add(session.get_bind(**argument))
        except UnboundExecutionError:
            if argument:  # only the mapped tables need to be bound
                raise WrongSessionError(
                    f"The Session has no engine for {argument['mapper'].class_.__name__}."
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
            "The Session has twophase=True. A prepared transaction holds the lock after its client "
            "has disconnected, until it is committed or rolled back manually."
        )
    transaction = session.get_transaction()
    # SQLAlchemy has no accessor for whether a Session in a transaction has a connection yet.
    connected = transaction is not None and bool(transaction._connections)  # noqa: SLF001 - as above
    if connected or next(iter(session), None) is not None:
        raise WrongSessionError(
            "The session factory returned a Session in use: it has a transaction or objects that "
            "are older than the lock. Pass a factory of new Sessions, such as "
            "sessionmaker(engine), not the request's scoped session. The Session was not changed."
        )
    if isinstance(bind, Connection) and (
        bind.in_transaction() or transaction_status(bind) is not TransactionStatus.IDLE
    ):
        raise WrongTransactionError(
            "The connection is already in a transaction: rolling back a savepoint would release "
            "the lock early. Pass a session factory on an engine."
        )


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # there is no event loop in this thread
        return None
