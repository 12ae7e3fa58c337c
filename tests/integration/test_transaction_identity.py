"""A unit of work identifies its transaction, and detects that other code has ended it."""

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
from tests.concurrency.overlapping import in_another_thread
from tests.integration.storing import FIRST, generate, stored_group

Factory = sessionmaker[Session]
Ender = Callable[[UnitOfWork], object]


def text(statement: str) -> Ender:
    return lambda uow: uow.session.execute(sa.text(statement))


def driver_sql(statement: str) -> Ender:
    return lambda uow: uow.connection.exec_driver_sql(statement)


def driver(uow: UnitOfWork) -> Any:
    return uow.connection.connection.driver_connection


# Calls that end the transaction without the Session's knowledge: SQL commands, several
# statements in one call, methods of psycopg and of libpq, and the pool's proxy. The last two
# only change the identity of the transaction.
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
    "identity is reset": text("RESET studyplan.transaction"),
    "identity is emptied": text("SELECT set_config('studyplan.transaction', '', false)"),
}
RELEASING = {name: end for name, end in ENDERS.items() if "identity" not in name}
"""The calls that release the lock, so that another client can acquire it."""
each_ender = pytest.mark.parametrize("end", ENDERS.values(), ids=ENDERS)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return stored_group(session_factory, name="before")


def name_of(factory: Factory, group: PlanGroup) -> str:
    with factory() as session:
        return session.get_one(PlanGroup, (group.tenant_id, group.id)).name


def rename(uow: UnitOfWork) -> None:
    uow.session.execute(sa.update(PlanGroup).values(name="after"))


def load_and_rename(uow: UnitOfWork) -> None:
    groups = sa.select(PlanGroup).where(PlanGroup.tenant_id == uow.tenant_id)
    for found in uow.session.scalars(groups):
        found.name = "after"


def rename_by_text(uow: UnitOfWork) -> None:
    uow.session.execute(sa.text("UPDATE studyplan.plan_groups SET name = 'after'"))


def read(uow: UnitOfWork) -> None:
    uow.session.scalar(sa.select(sa.func.count()).select_from(PlanGroup))


LATER_STEPS = [rename, load_and_rename, rename_by_text, read]


def run_steps(factory: Factory, group: PlanGroup, *steps: Ender) -> None:
    """Enter a unit of work for the group, run the steps in order, and exit it."""
    run_steps_under(factory, PlanGroupLock(group.tenant_id, group.id), *steps)


def run_steps_under(factory: Factory, lock: PlanGroupLock | StudentLock, *steps: Ender) -> None:
    """Enter a unit of work for any lock, run the steps in order, and exit it."""
    with UnitOfWork(factory, lock=lock) as uow:
        for step in steps:
            step(uow)


commit = UnitOfWork.commit


def lock_student(group: PlanGroup) -> Ender:
    return lambda uow: uow.lock_student(group.id)


def generation(group: PlanGroup) -> Ender:
    return lambda uow: PlanGenerationService(uow).generate(today=FIRST)


def by_another_client(work: Callable[[], object]) -> Ender:
    """Return a step in which another client does the work."""
    return lambda _: in_another_thread(work)


@each_ender
@pytest.mark.parametrize("later_step", LATER_STEPS)
def test_commit_is_refused_after_the_transaction_was_ended_by_sql_or_the_driver(
    session_factory: Factory, group: PlanGroup, end: Ender, later_step: Ender
) -> None:
    with pytest.raises(LockNotHeldError):
        run_steps(session_factory, group, end, later_step, commit)
    assert name_of(session_factory, group) == "before"


@pytest.mark.parametrize("end", RELEASING.values(), ids=RELEASING)
def test_commit_is_refused_after_another_client_has_generated(
    session_factory: Factory, group: PlanGroup, end: Ender
) -> None:
    other_client = by_another_client(lambda: generate(session_factory, group))
    with pytest.raises(LockNotHeldError):
        run_steps(session_factory, group, end, read, other_client, rename, commit)
    assert name_of(session_factory, group) == "before"
    assert generate(session_factory, group).generation == 2


@each_ender
def test_fence_refuses_a_generation_in_another_transaction(
    session_factory: Factory, group: PlanGroup, end: Ender
) -> None:
    def refused(uow: UnitOfWork) -> None:
        with pytest.raises(GeneratedMeanwhileError):
            generation(group)(uow)
        uow.rollback()

    run_steps(session_factory, group, end, read, refused)
    assert generate(session_factory, group).generation == 1


@each_ender
@pytest.mark.parametrize("later_step", [read, rename_by_text])
def test_exit_without_commit_reports_that_the_transaction_was_ended(
    session_factory: Factory, group: PlanGroup, end: Ender, later_step: Ender
) -> None:
    for steps in ((end,), (end, later_step)):
        with pytest.raises(LockNotHeldError, match="ended inside the block"):
            run_steps(session_factory, group, *steps)
    assert name_of(session_factory, group) == "before"


def test_lock_state_is_what_the_client_knows(session_factory: Factory, group: PlanGroup) -> None:
    states: list[LockState] = []

    def record_state(uow: UnitOfWork) -> None:
        states.append(uow.lock_state())

    steps = (record_state, text("COMMIT"), record_state, read, record_state)
    with pytest.raises(LockNotHeldError):
        run_steps(session_factory, group, *steps)
    assert states == [LockState.HELD, LockState.LOST, LockState.HELD]


def test_changes_that_were_committed_by_sql_are_kept(
    session_factory: Factory, group: PlanGroup
) -> None:
    steps = (load_and_rename, lambda uow: uow.session.flush(), text("COMMIT"), commit)
    with pytest.raises(LockNotHeldError):
        run_steps(session_factory, group, *steps)
    assert name_of(session_factory, group) == "after"


def test_procedure_cannot_commit_inside_a_unit_of_work(
    owner_engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    procedure = "CREATE PROCEDURE committing() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$"
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(procedure)

    def call(uow: UnitOfWork) -> None:
        with pytest.raises(sa.exc.DBAPIError, match="invalid transaction termination"):
            uow.session.execute(sa.text("CALL committing()"))

    with pytest.raises(LockNotHeldError):
        run_steps(session_factory, group, rename, call, commit)
    assert name_of(session_factory, group) == "before"


@pytest.mark.parametrize("end", [sa.Connection.commit, sa.Connection.rollback])
@pytest.mark.parametrize("steps", [(), (read,), (rename_by_text,), (read, commit), (commit,)])
def test_lock_state_is_lost_after_the_connection_of_sqlalchemy_ended_the_transaction(
    session_factory: Factory,
    group: PlanGroup,
    end: Callable[[sa.Connection], None],
    steps: tuple[Ender, ...],
) -> None:
    def end_by_connection(uow: UnitOfWork) -> None:
        end(uow.connection)
        assert uow.lock_state() is LockState.LOST

    with pytest.raises(LockNotHeldError):
        run_steps(session_factory, group, end_by_connection, *steps)
    assert name_of(session_factory, group) == "before"


# --- the student's lock ---------------------------------------------------------------


@each_ender
def test_students_lock_does_not_outlive_its_transaction(
    session_factory: Factory, group: PlanGroup, end: Ender
) -> None:
    with pytest.raises(LockNotHeldError):
        run_steps_under(
            session_factory, StudentLock(group.tenant_id, group.student_id), end, rename, commit
        )
    with pytest.raises(LockNotHeldError):
        run_steps(session_factory, group, lock_student(group), end, rename, commit)
    assert name_of(session_factory, group) == "before"


def test_students_lock_that_is_acquired_in_another_transaction_does_not_allow_the_commit(
    session_factory: Factory, group: PlanGroup
) -> None:
    steps = (text("COMMIT AND CHAIN"), lock_student(group), rename, commit)
    with pytest.raises(LockNotHeldError):
        run_steps(session_factory, group, *steps)
    assert name_of(session_factory, group) == "before"


def test_commit_is_refused_after_a_savepoint_in_sql_released_the_students_lock(
    session_factory: Factory, group: PlanGroup
) -> None:
    savepoint = (text("SAVEPOINT unknown"), lock_student(group), text("ROLLBACK TO unknown"))
    other_client = by_another_client(
        lambda: run_steps_under(
            session_factory, StudentLock(group.tenant_id, group.student_id), commit
        )
    )
    with pytest.raises(LockNotHeldError):
        run_steps(session_factory, group, *savepoint, other_client, rename, commit)
    assert name_of(session_factory, group) == "before"


def test_commit_is_accepted_after_a_savepoint_in_sql_that_keeps_the_locks(
    session_factory: Factory, group: PlanGroup
) -> None:
    savepoint = (text("SAVEPOINT known"), rename, text("ROLLBACK TO known"))
    run_steps(session_factory, group, lock_student(group), *savepoint, commit)
    assert name_of(session_factory, group) == "before"


# --- commit listeners -----------------------------------------------------------------


def test_commit_is_refused_after_a_commit_listener_ended_the_transaction(
    database_url: sa.URL, session_factory: Factory, group: PlanGroup
) -> None:
    """Listeners of the engine run before the check, and nothing is written after the check."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "commit")
    def write(connection: sa.Connection) -> None:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("UPDATE studyplan.plan_groups SET name = 'after'")

    with pytest.raises(LockNotHeldError):
        run_steps(sessionmaker(engine), group, commit)
    assert name_of(session_factory, group) == "before"


def test_refused_commit_returns_a_usable_connection_to_the_pool(
    database_url: sa.URL, group: PlanGroup
) -> None:
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=5)
    pids: set[int] = set()
    steps = (lambda uow: pids.add(driver(uow).info.backend_pid), text("COMMIT"), read, commit)
    for _ in range(3):
        with pytest.raises(LockNotHeldError):
            run_steps(sessionmaker(engine), group, *steps)
        with engine.connect() as connection:
            assert transaction_status(connection).name == "IDLE"
    assert len(pids) == 1
    engine.dispose()


# --- asyncio --------------------------------------------------------------------------

TEXTS = ["COMMIT", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "END"]


@pytest.mark.parametrize("statement", TEXTS)
@pytest.mark.parametrize("finish", ["commit", "exit", "generate"])
def test_async_unit_of_work_is_refused_after_the_transaction_was_ended_by_sql(
    database_url: sa.URL, session_factory: Factory, group: PlanGroup, statement: str, finish: str
) -> None:
    async def request() -> None:
        engine = create_async_engine(database_url)
        lock = PlanGroupLock(group.tenant_id, group.id)
        try:
            async with AsyncUnitOfWork(async_sessionmaker(engine), lock=lock) as uow:
                await uow.run(text(statement))
                await uow.run(rename)
                if finish == "generate":
                    await uow.run(generation(group))
                if finish == "commit":
                    await uow.commit()
        finally:
            await engine.dispose()

    with pytest.raises((LockNotHeldError, GeneratedMeanwhileError)):
        asyncio.run(request())
    assert name_of(session_factory, group) == "before"


def test_identity_differs_between_transactions_of_groups_that_are_not_stored(
    session_factory: Factory,
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        first = uow.identity
        uow.commit()
    with UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        assert uow.identity != first
