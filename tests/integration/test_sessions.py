"""Session factories that a unit of work accepts; those that it refuses stay unchanged."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from types import ModuleType
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import namedtuple_row
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from domain import (
    AsyncUnitOfWork,
    Base,
    PlanGroup,
    PlanGroupLock,
    StudentPlan,
    UnitOfWork,
    lock_status,
)
from domain.errors import WrongSessionError, WrongTransactionError
from domain.repositories import HistoryRepository, PlanGroupRepository, StudentPlanRepository
from domain.services import preview_plans, stale_plans
from domain.testing import assert_lock_free
from tests.integration.storing import FIRST, generate, stored_group

Factory = sessionmaker[Session]
NewEngine = Callable[..., sa.Engine]


@pytest.fixture
def new_engine(database_url: sa.URL) -> Iterator[NewEngine]:
    """Return a function that creates engines, which are disposed of after the test."""
    engines: list[sa.Engine] = []

    def new(**options: Any) -> sa.Engine:
        engines.append(sa.create_engine(database_url, **options))
        return engines[-1]

    yield new
    for engine in engines:
        engine.dispose()


def enter(factory: Any, lock: PlanGroupLock) -> None:
    with UnitOfWork(factory, lock=lock) as uow:
        uow.commit()


def enter_async(factory: Any, lock: PlanGroupLock) -> None:
    async def request() -> None:
        async with AsyncUnitOfWork(factory, lock=lock) as uow:
            await uow.commit()

    asyncio.run(request())


# --- objects that are not session factories -------------------------------------------

NOT_FACTORIES: dict[str, Callable[[sa.Engine], Any]] = {
    "a Session": Session,
    "an engine": lambda engine: engine,
    "a URL": lambda engine: engine.url.render_as_string(),
    "None": lambda _: None,
    "Session without a bind": lambda _: Session,
    "sessionmaker without a bind": lambda _: sessionmaker(),
    "sessionmaker.begin": lambda engine: sessionmaker(engine).begin,
    "engine.connect": lambda engine: engine.connect,
    "async factory": lambda engine: async_sessionmaker(create_async_engine(engine.url)),
    "sync engine of an async engine": lambda engine: sessionmaker(
        create_async_engine(engine.url).sync_engine
    ),
    "factory of None": lambda _: lambda: None,
    "factory of a factory": lambda engine: lambda: sessionmaker(engine),
    "two-phase commits": lambda engine: sessionmaker(engine, twophase=True),
    "another database": lambda _: sessionmaker(sa.create_engine("sqlite://")),
}


@pytest.mark.parametrize("make", NOT_FACTORIES.values(), ids=NOT_FACTORIES)
def test_wrong_factory_is_refused(
    engine: sa.Engine, lock: PlanGroupLock, make: Callable[[sa.Engine], Any]
) -> None:
    with pytest.raises(WrongSessionError):
        enter(make(engine), lock)


NOT_ASYNC_FACTORIES: dict[str, Callable[[sa.Engine], Any]] = {
    "sync factory": sessionmaker,
    "a sync Session": Session,
    "an AsyncSession": lambda engine: async_sessionmaker(create_async_engine(engine.url))(),
    "an engine": lambda engine: create_async_engine(engine.url),
    "None": lambda _: None,
    "without a bind": lambda _: async_sessionmaker(),
}


@pytest.mark.parametrize("make", NOT_ASYNC_FACTORIES.values(), ids=NOT_ASYNC_FACTORIES)
def test_wrong_async_factory_is_refused(
    engine: sa.Engine, lock: PlanGroupLock, make: Callable[[sa.Engine], Any]
) -> None:
    with pytest.raises(WrongSessionError):
        enter_async(make(engine), lock)


@pytest.mark.parametrize("make", [Session, lambda engine: lambda: create_async_engine(engine.url)])
def test_refusal_of_a_wrong_factory_says_what_was_given(
    engine: sa.Engine, lock: PlanGroupLock, make: Callable[[sa.Engine], Any]
) -> None:
    given = "Session" if make is Session else "a factory of AsyncEngine"
    message = f"was given {given} instead of a session factory"
    with pytest.raises(WrongSessionError, match=message):
        enter(make(engine), lock)
    with pytest.raises(WrongSessionError, match=message):
        enter_async(make(engine), lock)
    with pytest.raises(WrongSessionError, match="was given a factory of Session instead of"):
        enter_async(sessionmaker(engine), lock)


NOT_SESSIONS: dict[str, tuple[Callable[[sa.Engine], Any], str]] = {
    "None": (lambda _: None, "not None"),
    "a factory": (sessionmaker, "not sessionmaker"),
    "an engine": (lambda engine: engine, r"not Engine\. For example: with Session\(engine\)"),
    "an AsyncSession": (NOT_ASYNC_FACTORIES["an AsyncSession"], r"session\.run_sync"),
}
READERS: dict[str, Callable[[Any, UUID, UUID], object]] = {
    "preview_plans": lambda session, tenant_id, group_id: preview_plans(
        session, tenant_id=tenant_id, group_id=group_id, today=date(2026, 1, 5)
    ),
    "stale_plans": lambda session, tenant_id, group_id: stale_plans(
        session, tenant_id=tenant_id, group_id=group_id
    ),
    "lock_status": lock_status,
    "plan groups": lambda session, tenant_id, _: PlanGroupRepository(session, tenant_id),
    "plans": lambda session, tenant_id, _: StudentPlanRepository(session, tenant_id),
    "history": lambda session, tenant_id, _: HistoryRepository(session, tenant_id),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("given", NOT_SESSIONS.values(), ids=NOT_SESSIONS)
def test_reading_without_a_session_is_refused_with_what_to_pass(
    engine: sa.Engine,
    tenant_id: UUID,
    group_id: UUID,
    reader: Callable[[Any, UUID, UUID], object],
    given: tuple[Callable[[sa.Engine], Any], str],
) -> None:
    make, message = given
    with pytest.raises(WrongSessionError, match=message):
        reader(make(engine), tenant_id, group_id)


def test_registry_of_sessions_is_read_like_its_session(
    engine: sa.Engine, tenant_id: UUID, group_id: UUID
) -> None:
    registry: Any = scoped_session(sessionmaker(engine))
    assert stale_plans(registry, tenant_id=tenant_id, group_id=group_id) == ()
    assert not lock_status(registry, tenant_id, group_id).held
    registry.remove()


@pytest.mark.parametrize("driver", ["psycopg2", "pg8000", "asyncpg"])
def test_engine_of_another_driver_is_refused_with_its_name(
    database_url: sa.URL, lock: PlanGroupLock, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The drivers are not installed; an engine that never connects needs only these attributes.
    stub: Any = ModuleType(driver)
    stub.paramstyle, stub.__version__, stub.version = "pyformat", "9.9.9", "9.9.9"
    for part in ("extras", "extensions"):
        setattr(stub, part, ModuleType(part))
        monkeypatch.setitem(sys.modules, f"{driver}.{part}", getattr(stub, part))
    monkeypatch.setitem(sys.modules, driver, stub)
    engine = sa.create_engine(
        database_url.set(drivername=f"postgresql+{driver}"), module=stub, poolclass=sa.NullPool
    )
    with pytest.raises(WrongSessionError, match=f"{driver}; the package needs postgresql.psycopg"):
        enter(sessionmaker(engine), lock)


# --- Sessions in use ------------------------------------------------------------------


def used_by_reading(session: Session) -> None:
    session.scalar(sa.select(sa.func.now()))


def used_by_loading(session: Session) -> None:
    session.scalars(sa.select(PlanGroup)).first()


def used_by_adding(session: Session) -> None:
    session.add(StudentPlan())


def used_by_loading_before_a_commit(session: Session) -> None:
    session.info["kept"] = session.scalars(sa.select(PlanGroup)).first()
    session.commit()


USES = [used_by_reading, used_by_loading, used_by_adding, used_by_loading_before_a_commit]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("scoped", [True, False])
def test_session_in_use_is_refused_and_left_unchanged(
    engine: sa.Engine, session_factory: Factory, use: Callable[[Session], None], *, scoped: bool
) -> None:
    group = stored_group(session_factory)
    factory = scoped_session(sessionmaker(engine))
    session = factory()
    use(session)
    before = (session.in_transaction(), list(session), dict(session.info))
    with pytest.raises(WrongSessionError, match="in use"):
        enter(factory if scoped else lambda: session, PlanGroupLock(group.tenant_id, group.id))
    assert (session.in_transaction(), list(session), dict(session.info)) == before
    factory.remove()


def test_session_in_use_keeps_its_uncommitted_changes(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory, name="before")
    db = scoped_session(sessionmaker(engine))
    db.execute(sa.update(PlanGroup).where(PlanGroup.id == group.id).values(name="its own"))
    with pytest.raises(WrongSessionError):
        enter(db, PlanGroupLock(group.tenant_id, group.id))
    db.commit()
    assert db.get_one(PlanGroup, (group.tenant_id, group.id)).name == "its own"
    db.remove()


def test_session_on_a_connection_in_a_transaction_is_refused(
    engine: sa.Engine, lock: PlanGroupLock
) -> None:
    with engine.connect() as connection, connection.begin() as outer:
        for mode in ("create_savepoint", "control_fully", "rollback_only"):
            with pytest.raises(WrongTransactionError, match="already in a transaction"):
                enter(lambda: Session(connection, join_transaction_mode=mode), lock)  # noqa: B023 - called immediately
        assert outer.is_active


def test_scoped_session_that_is_unused_is_accepted(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    db = scoped_session(sessionmaker(engine))
    factory: Any = db  # calling a scoped_session returns its Session
    assert generate(factory, group).generation == 1
    db.remove()


# --- options --------------------------------------------------------------------------


def _begun(factory: Factory) -> Callable[[], Session]:
    def begun() -> Session:
        session = factory()
        session.begin()
        return session

    return begun


def _bound_twice(engine: sa.Engine) -> Factory:
    return sessionmaker(bind=engine, binds={Base: engine})


def _preparing(threshold: int | None, new: NewEngine) -> Factory:
    arguments = {"prepare_threshold": threshold}
    return sessionmaker(new(pool_size=1, connect_args=arguments))


OPTIONS: dict[str, Callable[[NewEngine], Callable[[], Session]]] = {
    "plain": lambda new: sessionmaker(new()),
    "autobegin=False": lambda new: sessionmaker(new(), autobegin=False),
    "begun": lambda new: _begun(sessionmaker(new())),
    "only binds": lambda new: sessionmaker(binds={Base: new()}),
    "binds to the same engine": lambda new: _bound_twice(new()),
    "no autoflush, no expiry": lambda new: sessionmaker(
        new(), autoflush=False, expire_on_commit=False
    ),
    "no pool": lambda new: sessionmaker(new(poolclass=sa.NullPool)),
    "static pool": lambda new: sessionmaker(new(poolclass=sa.StaticPool)),
    "no reset": lambda new: sessionmaker(new(pool_reset_on_return=None)),
    "stream_results": lambda new: sessionmaker(new().execution_options(stream_results=True)),
    "yield_per": lambda new: sessionmaker(new().execution_options(yield_per=10)),
    "echo": lambda new: sessionmaker(new(echo=True)),
    "isolation_level": lambda new: sessionmaker(new(isolation_level="READ COMMITTED")),
    "insertmanyvalues off": lambda new: sessionmaker(new(use_insertmanyvalues=False)),
    "ClientCursor": lambda new: sessionmaker(
        new(connect_args={"cursor_factory": psycopg.ClientCursor})
    ),
    **{f"prepare_threshold={n}": partial(_preparing, n) for n in (None, 0, 1, 5)},
}


@pytest.mark.parametrize("make", OPTIONS.values(), ids=OPTIONS)
def test_session_with_options_generates(
    engine: sa.Engine,
    session_factory: Factory,
    new_engine: NewEngine,
    make: Callable[[NewEngine], Callable[[], Session]],
) -> None:
    """Generates repeatedly because psycopg prepares a statement after several executions."""
    factory: Any = make(new_engine)
    group = stored_group(session_factory)
    for number in range(1, 9):
        assert generate(factory, group, FIRST).generation == number
        with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            assert uow.groups.get(group.id).generation == number
            assert lock_status(uow.session, group.tenant_id, group.id).held_by_me
    assert_lock_free(engine, group.id)


def test_connection_with_another_row_factory_generates(
    session_factory: Factory, new_engine: NewEngine
) -> None:
    """With this row factory SQLAlchemy cannot load two columns that have the same name."""
    engine = new_engine(connect_args={"row_factory": namedtuple_row})
    group = stored_group(session_factory)
    assert generate(sessionmaker(engine), group).generation == 1


def test_session_on_a_connection_without_a_transaction_generates(
    engine: sa.Engine, session_factory: Factory
) -> None:
    group = stored_group(session_factory)
    with engine.connect() as connection:
        for number in (1, 2):
            assert generate(sessionmaker(connection), group).generation == number
            assert not connection.in_transaction()
