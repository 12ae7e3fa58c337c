"""The transaction that took the lock, known by its identity, whatever ended it."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    AsyncUnitOfWork,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    StudentLock,
    UnitOfWork,
)
from domain.driver import transaction_status
from domain.errors import GeneratedMeanwhileError, LockNotHeldError
from domain.unit_of_work.ending import LockState
from tests.concurrency.overlapping import elsewhere
from tests.integration.storing import FIRST, generate, stored_group

Factory = sessionmaker[Session]
Ender = Callable[[UnitOfWork], object]


def text(statement: str) -> Ender:
    return lambda uow: uow.session.execute(sa.text(statement))


def driver_sql(statement: str) -> Ender:
    return lambda uow: uow.connection.exec_driver_sql(statement)


def driver(uow: UnitOfWork) -> Any:
    return uow.connection.connection.driver_connection


# What ends the transaction beneath the Session: the words of SQL, several statements in one
# call, psycopg's own methods and cursors, the pool's proxy.
ENDERS: dict[str, Ender] = {
    "COMMIT": text("COMMIT"),
    "COMMIT AND CHAIN": text("COMMIT AND CHAIN"),
    "END": text("END"),
    "END TRANSACTION AND CHAIN": text("END TRANSACTION AND CHAIN"),
    "ROLLBACK": text("ROLLBACK"),
    "ROLLBACK AND CHAIN": text("ROLLBACK AND CHAIN"),
    "ABORT": text("ABORT"),
    "COMMIT; BEGIN": driver_sql("COMMIT; BEGIN"),
    "ROLLBACK; BEGIN": driver_sql("ROLLBACK; BEGIN"),
    "COMMIT; SELECT": driver_sql("COMMIT; SELECT 1"),
    "driver.commit()": lambda uow: driver(uow).commit(),
    "driver.rollback()": lambda uow: driver(uow).rollback(),
    "driver.execute": lambda uow: driver(uow).execute("COMMIT"),
    "pgconn.exec_": lambda uow: driver(uow).pgconn.exec_(b"COMMIT AND CHAIN"),
    "proxy.commit()": lambda uow: uow.connection.connection.commit(),
    "RESET of the identity": text("RESET studyplan.transaction"),
    "DISCARD of it": text("SELECT set_config('studyplan.transaction', '', false)"),
}
RELEASING = {name: end for name, end in ENDERS.items() if "of" not in name}
"""Those after which a rival gets the lock."""
each_ender = pytest.mark.parametrize("end", ENDERS.values(), ids=ENDERS)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return stored_group(session_factory, name="before")


def name_of(factory: Factory, group: PlanGroup) -> str:
    with factory() as session:
        return session.get_one(PlanGroup, (group.tenant_id, group.id)).name


def renamed(uow: UnitOfWork) -> None:
    uow.session.execute(sa.update(PlanGroup).values(name="after"))


def loaded_and_renamed(uow: UnitOfWork) -> None:
    mine = sa.select(PlanGroup).where(PlanGroup.tenant_id == uow.tenant_id)
    for found in uow.session.scalars(mine):
        found.name = "after"


def renamed_by_text(uow: UnitOfWork) -> None:
    uow.session.execute(sa.text("UPDATE studyplan.plan_groups SET name = 'after'"))


def read(uow: UnitOfWork) -> None:
    uow.session.scalar(sa.select(sa.func.count()).select_from(PlanGroup))


AFTERWARDS = [renamed, loaded_and_renamed, renamed_by_text, read]


def block(factory: Factory, group: PlanGroup, *steps: Ender) -> None:
    """A unit of work that does one step after the other, and is left."""
    under(factory, PlanGroupLock(group.tenant_id, group.id), *steps)


def under(factory: Factory, lock: PlanGroupLock | StudentLock, *steps: Ender) -> None:
    """The same under any lock."""
    with UnitOfWork(factory, lock=lock) as uow:
        for step in steps:
            step(uow)


commit = UnitOfWork.commit


def lock_student(group: PlanGroup) -> Ender:
    return lambda uow: uow.lock_student(group.id)


def generated(group: PlanGroup) -> Ender:
    return lambda uow: PlanGenerationService(uow).generate(today=FIRST)


def meanwhile(work: Callable[[], object]) -> Ender:
    """A step that another client takes."""
    return lambda _: elsewhere(work)


@each_ender
@pytest.mark.parametrize("afterwards", AFTERWARDS)
def test_commit_is_refused_after_the_transaction_was_ended_beneath(
    session_factory: Factory, group: PlanGroup, end: Ender, afterwards: Ender
) -> None:
    with pytest.raises(LockNotHeldError):
        block(session_factory, group, end, afterwards, commit)
    assert name_of(session_factory, group) == "before"


@pytest.mark.parametrize("end", RELEASING.values(), ids=RELEASING)
def test_commit_is_refused_although_a_rival_has_generated(
    session_factory: Factory, group: PlanGroup, end: Ender
) -> None:
    rival = meanwhile(lambda: generate(session_factory, group))
    with pytest.raises(LockNotHeldError):
        block(session_factory, group, end, read, rival, renamed, commit)
    assert name_of(session_factory, group) == "before"
    assert generate(session_factory, group).generation == 2


@each_ender
def test_fence_refuses_a_generation_in_another_transaction(
    session_factory: Factory, group: PlanGroup, end: Ender
) -> None:
    def refused(uow: UnitOfWork) -> None:
        with pytest.raises(GeneratedMeanwhileError):
            generated(group)(uow)
        uow.rollback()

    block(session_factory, group, end, read, refused)
    assert generate(session_factory, group).generation == 1


@each_ender
@pytest.mark.parametrize("afterwards", [read, renamed_by_text])
def test_leaving_without_commit_reports_that_the_transaction_was_ended(
    session_factory: Factory, group: PlanGroup, end: Ender, afterwards: Ender
) -> None:
    for steps in ((end,), (end, afterwards)):
        with pytest.raises(LockNotHeldError, match="ended inside the block"):
            block(session_factory, group, *steps)
    assert name_of(session_factory, group) == "before"


def test_lock_state_is_the_clients_view(session_factory: Factory, group: PlanGroup) -> None:
    seen: list[LockState] = []

    def look(uow: UnitOfWork) -> None:
        seen.append(uow.lock_state())

    steps = (look, text("COMMIT"), look, read, look)
    with pytest.raises(LockNotHeldError):
        block(session_factory, group, *steps)
    assert seen == [LockState.HELD, LockState.LOST, LockState.HELD]


def test_what_was_written_before_a_foreign_commit_stays(
    session_factory: Factory, group: PlanGroup
) -> None:
    steps = (loaded_and_renamed, lambda uow: uow.session.flush(), text("COMMIT"), commit)
    with pytest.raises(LockNotHeldError):
        block(session_factory, group, *steps)
    assert name_of(session_factory, group) == "after"


def test_procedure_that_commits_cannot_do_so_inside(
    owner_engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    procedure = "CREATE PROCEDURE committing() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$"
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(procedure)

    def call(uow: UnitOfWork) -> None:
        with pytest.raises(sa.exc.DBAPIError, match="invalid transaction termination"):
            uow.session.execute(sa.text("CALL committing()"))

    with pytest.raises(LockNotHeldError):
        block(session_factory, group, renamed, call, commit)
    assert name_of(session_factory, group) == "before"


@pytest.mark.parametrize("end", [sa.Connection.commit, sa.Connection.rollback])
@pytest.mark.parametrize("steps", [(), (read,), (renamed_by_text,), (read, commit), (commit,)])
def test_transaction_ended_by_the_connection_of_sqlalchemy_is_known_to_the_client(
    session_factory: Factory,
    group: PlanGroup,
    end: Callable[[sa.Connection], None],
    steps: tuple[Ender, ...],
) -> None:
    def ended(uow: UnitOfWork) -> None:
        end(uow.connection)
        assert uow.lock_state() is LockState.LOST

    with pytest.raises(LockNotHeldError):
        block(session_factory, group, ended, *steps)
    assert name_of(session_factory, group) == "before"


# --- the student's lock ---------------------------------------------------------------


@each_ender
def test_students_lock_does_not_outlive_its_transaction(
    session_factory: Factory, group: PlanGroup, end: Ender
) -> None:
    with pytest.raises(LockNotHeldError):
        under(session_factory, StudentLock(group.tenant_id, group.student_id), end, renamed, commit)
    with pytest.raises(LockNotHeldError):
        block(session_factory, group, lock_student(group), end, renamed, commit)
    assert name_of(session_factory, group) == "before"


def test_students_lock_taken_in_another_transaction_does_not_make_it_this_one(
    session_factory: Factory, group: PlanGroup
) -> None:
    steps = (text("COMMIT AND CHAIN"), lock_student(group), renamed, commit)
    with pytest.raises(LockNotHeldError):
        block(session_factory, group, *steps)
    assert name_of(session_factory, group) == "before"


def test_students_lock_released_by_a_savepoint_of_the_server_is_missed(
    session_factory: Factory, group: PlanGroup
) -> None:
    back = (text("SAVEPOINT unknown"), lock_student(group), text("ROLLBACK TO unknown"))
    rival = meanwhile(
        lambda: under(session_factory, StudentLock(group.tenant_id, group.student_id), commit)
    )
    with pytest.raises(LockNotHeldError):
        block(session_factory, group, *back, rival, renamed, commit)
    assert name_of(session_factory, group) == "before"


def test_savepoint_of_the_server_that_keeps_the_locks_does_no_harm(
    session_factory: Factory, group: PlanGroup
) -> None:
    back = (text("SAVEPOINT known"), renamed, text("ROLLBACK TO known"))
    block(session_factory, group, lock_student(group), *back, commit)
    assert name_of(session_factory, group) == "before"


# --- commit listeners -----------------------------------------------------------------


def test_commit_listener_that_writes_is_checked_too(
    database_url: sa.URL, session_factory: Factory, group: PlanGroup
) -> None:
    """Listeners of the engine run before the check, and after them nothing is written."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "commit")
    def write(connection: sa.Connection) -> None:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("UPDATE studyplan.plan_groups SET name = 'after'")

    with pytest.raises(LockNotHeldError):
        block(sessionmaker(engine), group, commit)
    assert name_of(session_factory, group) == "before"


def test_refused_commit_gives_the_connection_back_in_order(
    database_url: sa.URL, group: PlanGroup
) -> None:
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=5)
    pids: set[int] = set()
    steps = (lambda uow: pids.add(driver(uow).info.backend_pid), text("COMMIT"), read, commit)
    for _ in range(3):
        with pytest.raises(LockNotHeldError):
            block(sessionmaker(engine), group, *steps)
        with engine.connect() as connection:
            assert transaction_status(connection).name == "IDLE"
    assert len(pids) == 1
    engine.dispose()


# --- tasks ----------------------------------------------------------------------------

TEXTS = ["COMMIT", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "END"]


@pytest.mark.parametrize("statement", TEXTS)
@pytest.mark.parametrize("finish", ["commit", "leave", "generate"])
def test_task_is_refused_after_the_transaction_was_ended_beneath(
    database_url: sa.URL, session_factory: Factory, group: PlanGroup, statement: str, finish: str
) -> None:
    async def request() -> None:
        engine = create_async_engine(database_url)
        lock = PlanGroupLock(group.tenant_id, group.id)
        try:
            async with AsyncUnitOfWork(async_sessionmaker(engine), lock=lock) as uow:
                await uow.run(text(statement))
                await uow.run(renamed)
                if finish == "generate":
                    await uow.run(generated(group))
                if finish == "commit":
                    await uow.commit()
        finally:
            await engine.dispose()

    with pytest.raises((LockNotHeldError, GeneratedMeanwhileError)):
        asyncio.run(request())
    assert name_of(session_factory, group) == "before"


def test_group_that_nobody_stored_has_a_transaction_of_its_own(session_factory: Factory) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        first = uow.identity
        uow.commit()
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        assert uow.identity != first
