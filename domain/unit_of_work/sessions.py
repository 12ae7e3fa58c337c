"""Which Sessions a unit of work accepts, and which requests and threads may use it."""

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
from sqlalchemy.orm import Session
from sqlalchemy.util.concurrency import in_greenlet

from domain.driver import cancel, transaction_status
from domain.errors import UnitOfWorkStateError, WrongSessionError, WrongTransactionError
from domain.models import Base

_MAPPERS: Final = tuple(Base.registry.mappers)
# An engine's options for large results would declare a server-side cursor for statements that
# write.
_FOR_LARGE_RESULTS: Final[dict[str, Any]] = {"stream_results": False, "yield_per": None}
_DRIVERS: Final = {("postgresql", "psycopg"), ("postgresql", "psycopg_async")}
_claims: "ContextVar[tuple[Claim, ...]]" = ContextVar("studyplan_claims", default=())
_OVERLAPPING: Final = (
    "Another thread is using this unit of work at this moment. One transaction does one thing "
    "at a time: give each thread a unit of work of its own, or let the threads take turns."
)


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


def expected(found: object) -> str:
    """The sentence for something that is no Session."""
    name = found.__name__ if isinstance(found, type) else type(found).__name__
    return (
        f"The unit of work was given {name} instead of a Session. It needs a session factory, "
        "such as sessionmaker(engine); AsyncUnitOfWork needs an async_sessionmaker."
    )


@dataclass(slots=True, eq=False)
class Claim:
    """What one unit of work has locked, and the task that entered it, if one did.

    Two units of work inside each other must not need one lock. To the server they are two
    clients, so the inner one would be refused, or wait for a lock that cannot be released before
    its wait is over: an error of the caller and no 409. Open ones are tracked by context and not
    by thread, since a block may move between threads, and a context that was copied for another
    thread (``asyncio.to_thread``, a framework's thread pool) belongs to the same request. A task
    has a copy of its creator's context too, but is a client of its own and may outlive the block.

    Refers weakly to the Session: a unit of work that is dropped without being left must be
    collected, for that is what ends its transaction.
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
        """The unit of work has ended."""
        self.open = False

    def shares_with(self, earlier: "Claim") -> set[UUID]:
        """The ids that both lock, as groups or as students, in one database and request."""
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
    """Record what is about to be locked; ``student_ids`` may grow.

    Raises ``UnitOfWorkStateError`` if this context holds some of it in another unit of work
    on the same engine, before anything is asked of the server.
    """
    mine = Claim(_current_task(), ref(session), engine, tenant_id, group_ids, student_ids)
    others = tuple(one for one in _claims.get() if one.is_open())
    for other in others:
        if shared := mine.shares_with(other):
            raise UnitOfWorkStateError(
                f"The lock of {next(iter(shared))} is held by another unit of work of this very "
                "request. Pass the open unit of work on to what needs it, or leave its block "
                "first: the inner one would wait for the outer one."
            )
    _claims.set((*others, mine))
    return mine


class CallGuard:
    """Which thread is using a unit of work. Calls of one thread may be nested."""

    def __init__(self) -> None:
        self._in_use = threading.RLock()
        self._flushing_thread = 0

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """A block for one thread; raises ``UnitOfWorkStateError`` if another one is in it."""
        if not self._in_use.acquire(blocking=False):
            raise UnitOfWorkStateError(_OVERLAPPING)
        try:
            yield
        finally:
            self._in_use.release()

    @contextmanager
    def exclusive_call(self, session: Session | None) -> Iterator[None]:
        """The same, and no other thread may be flushing the Session."""
        with self.one_thread():
            # SQLAlchemy has no accessor; a second flush() raises an error of its own.
            flushing = session is not None and session._flushing  # noqa: SLF001 - as above
            if flushing and self._flushing_thread != threading.get_ident():
                raise UnitOfWorkStateError(_OVERLAPPING)
            yield

    def note_flush(self) -> None:
        """Record that this thread flushes, inside ``one_thread()``."""
        self._flushing_thread = threading.get_ident()

    @contextmanager
    def last(self, connection: Connection | None, *, failed: bool) -> Iterator[None]:
        """The last turn; waits for the end of another thread's.

        What that thread executes is cancelled, so it is the end of one call. Raises
        ``UnitOfWorkStateError`` afterwards if there was one, unless the block has ``failed``.
        """
        overtaken = not self._in_use.acquire(blocking=False)
        if overtaken:
            if connection is not None and not connection.invalidated:
                cancel(connection)
            self._in_use.acquire()
        try:
            yield
        finally:
            self._in_use.release()
        if overtaken and not failed:
            raise UnitOfWorkStateError(
                "The block ended while another thread was using the unit of work. What it did "
                "was cancelled and rolled back. Wait inside the block for the threads it uses."
            )


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


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # there is no event loop in this thread
        return None
