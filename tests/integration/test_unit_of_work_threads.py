"""A unit of work may move between threads; simultaneous use by two threads is refused."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    StudentLock,
    UnitOfWork,
)
from domain.errors import UnitOfWorkStateError
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request
from domain.testing import assert_lock_free
from domain.testing.contention import TIMEOUT, eventually
from tests.concurrency.overlapping import in_another_thread
from tests.integration.storing import FIRST, enter, stored_group

Factory = sessionmaker[Session]
Use = Callable[[UnitOfWork, PlanGroup], object]
OVERLAPPING = "Another thread is using"


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return stored_group(session_factory, name="before")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def generate(uow: UnitOfWork, group: PlanGroup) -> object:
    return PlanGenerationService(uow).generate(today=FIRST)


# --- sequential use -------------------------------------------------------------------


def test_steps_may_run_in_different_threads(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    uow = UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id))
    in_another_thread(uow.__enter__)
    in_another_thread(lambda: uow.groups.get(group.id))
    in_another_thread(lambda: generate(uow, group))
    in_another_thread(uow.session.flush)
    in_another_thread(uow.commit)
    in_another_thread(lambda: uow.__exit__(None, None, None))
    assert_lock_free(engine, group.id)


STEPS: list[Use] = [
    lambda uow, _: uow.__enter__(),
    lambda uow, group: uow.groups.get(group.id),
    generate,
    lambda uow, _: uow.commit(),
    lambda uow, _: uow.__exit__(None, None, None),
]


def test_unit_of_work_may_be_entered_used_and_exited_in_any_thread_of_a_pool(
    engine: sa.Engine, session_factory: Factory, pool: ThreadPoolExecutor
) -> None:
    """FastAPI runs synchronous dependencies in a thread pool, each in a copied context."""
    groups = [stored_group(session_factory) for _ in range(12)]

    def run(work: Callable[[], Any]) -> Future[Any]:
        return pool.submit(contextvars.copy_context().run, work)

    for _ in range(4):
        units = [
            UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id))
            for group in groups
        ]
        for step in STEPS:
            calls = [
                run(partial(step, uow, group)) for uow, group in zip(units, groups, strict=True)
            ]
            for call in calls:
                call.result(TIMEOUT)
    for group in groups:
        assert_lock_free(engine, group.id)


# --- simultaneous use -----------------------------------------------------------------


class Pausing:
    """A computation that pauses in the middle of a service's call until it is resumed."""

    def __init__(self) -> None:
        self.inside, self.resume = threading.Event(), threading.Event()

    def __call__(self, request: Request) -> Schedule:
        self.inside.set()
        assert self.resume.wait(TIMEOUT)
        return schedule(request)


def flush(uow: UnitOfWork, _: PlanGroup) -> None:
    if not call_is_flushing(uow):
        uow.session.add(PlanGroup())
    uow.session.flush()


def call_is_flushing(uow: UnitOfWork) -> bool:
    """Return whether a flush is running, during which SQLAlchemy warns if an object is added."""
    return uow.session._flushing


USES: dict[str, Use] = {
    "service": generate,
    "repository": lambda uow, group: uow.groups.get(group.id),
    "plans": lambda uow, group: uow.plans.live(group.id),
    "student time": lambda uow, group: uow.student_time.exclusions(group.student_id),
    "flush": flush,
    "commit": lambda uow, _: uow.commit(),
    "rollback": lambda uow, _: uow.rollback(),
}
each_use = pytest.mark.parametrize("use", USES.values(), ids=USES)


@each_use
def test_call_during_a_service_of_another_thread_is_refused(
    session_factory: Factory, group: PlanGroup, pool: ThreadPoolExecutor, use: Use
) -> None:
    pausing = Pausing()
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        service = PlanGenerationService(uow, compute=pausing)
        call = pool.submit(service.generate, today=FIRST)
        assert pausing.inside.wait(TIMEOUT)
        with pytest.raises(UnitOfWorkStateError, match=OVERLAPPING):
            use(uow, group)
        uow.session.expunge_all()
        pausing.resume.set()
        assert call.result(TIMEOUT).generation == 1
        uow.commit()


@contextmanager
def held_row(engine: sa.Engine, group: PlanGroup) -> Iterator[None]:
    """Lock the group's row in another transaction, so that an UPDATE of it waits."""
    with engine.connect() as other, other.begin():
        other.execute(sa.select(PlanGroup.id).where(PlanGroup.id == group.id).with_for_update())
        yield


def waiting_for_a_row(engine: sa.Engine) -> bool:
    statement = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype <> 'advisory'"
    with engine.connect() as connection:
        return bool(connection.scalar(sa.text(statement)))


@each_use
@pytest.mark.parametrize("busy", ["flush", "commit"])
def test_call_during_a_flush_or_commit_of_another_thread_is_refused(
    *,
    engine: sa.Engine,
    session_factory: Factory,
    group: PlanGroup,
    pool: ThreadPoolExecutor,
    use: Use,
    busy: str,
) -> None:
    with (
        ExitStack() as stack,
        UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow,
    ):
        stack.enter_context(holding := ExitStack())
        uow.groups.get(group.id).name = "after"
        holding.enter_context(held_row(engine, group))
        call = pool.submit(uow.session.flush if busy == "flush" else uow.commit)
        eventually(lambda: waiting_for_a_row(engine), "the flush waits for the row")
        with pytest.raises((UnitOfWorkStateError, sa.exc.InvalidRequestError)) as refused:
            use(uow, group)
        if use is not USES["flush"]:
            assert OVERLAPPING in str(refused.value)
        holding.close()
        call.result(TIMEOUT)
        if busy == "flush":
            uow.session.expunge_all()
            uow.commit()
    with session_factory() as session:
        assert session.get_one(PlanGroup, (group.tenant_id, group.id)).name == "after"


def test_exit_while_another_thread_works_cancels_its_call_and_raises(
    engine: sa.Engine, session_factory: Factory, group: PlanGroup, pool: ThreadPoolExecutor
) -> None:
    with ExitStack() as stack:
        uow = stack.enter_context(
            UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id))
        )
        uow.groups.get(group.id).name = "after"
        with held_row(engine, group):
            call = pool.submit(uow.commit)
            eventually(lambda: waiting_for_a_row(engine), "the commit waits for the row")
            with pytest.raises(UnitOfWorkStateError, match="while another thread was using"):
                stack.close()
            with pytest.raises(sa.exc.DBAPIError):
                call.result(TIMEOUT)
    assert_lock_free(engine, group.id)
    with session_factory() as session:
        assert session.get_one(PlanGroup, (group.tenant_id, group.id)).name == "before"


# --- nesting --------------------------------------------------------------------------


def test_copied_context_in_another_thread_is_the_same_request(
    session_factory: Factory, tenant_id: UUID, group_id: UUID
) -> None:
    lock = PlanGroupLock(tenant_id, group_id)
    with UnitOfWork(session_factory, lock=lock):
        context = contextvars.copy_context()
        with pytest.raises(UnitOfWorkStateError, match="of the same request"):
            in_another_thread(lambda: context.run(enter, session_factory, lock))
        with pytest.raises(PlanGroupLockedError):
            in_another_thread(lambda: enter(session_factory, lock))


def test_thread_that_a_task_starts_inside_its_block_is_the_same_request(
    session_factory: Factory,
) -> None:
    lock = PlanGroupLock(uuid4(), uuid4())

    async def request() -> None:
        with UnitOfWork(session_factory, lock=lock):
            await asyncio.to_thread(enter, session_factory, lock)

    with pytest.raises(UnitOfWorkStateError, match="of the same request"):
        asyncio.run(request())


def test_thread_that_is_reused_for_another_request_is_another_client(
    session_factory: Factory, tenant_id: UUID, group_id: UUID
) -> None:
    """The context of the first request has ended, although its block is still open."""
    lock = PlanGroupLock(tenant_id, group_id)
    uow = UnitOfWork(session_factory, lock=lock)
    with ThreadPoolExecutor(1) as executor:
        executor.submit(contextvars.Context().run, uow.__enter__).result(TIMEOUT)
        other = executor.submit(contextvars.Context().run, enter, session_factory, lock)
        with pytest.raises(PlanGroupLockedError):
            other.result(TIMEOUT)
    uow.__exit__(None, None, None)


def test_student_and_group_with_the_same_id_have_different_locks(session_factory: Factory) -> None:
    tenant_id, shared_id = uuid4(), uuid4()
    group, student = PlanGroupLock(tenant_id, shared_id), StudentLock(tenant_id, shared_id)
    for outer, inner in ((group, student), (student, group)):
        with UnitOfWork(session_factory, lock=outer), UnitOfWork(session_factory, lock=inner):
            pass
        with UnitOfWork(session_factory, lock=outer), pytest.raises(UnitOfWorkStateError):
            UnitOfWork(session_factory, lock=outer).__enter__()
