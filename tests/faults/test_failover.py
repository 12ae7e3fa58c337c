"""Advisory locks are not replicated; the fence keeps two holders from storing two sets of plans."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork, schema
from domain.embedded import EmbeddedServer, embedded_postgres
from domain.errors import GeneratedMeanwhileError
from domain.locking import guards
from domain.locking.statements import IDENTITY
from domain.repositories.generations import GenerationRecord, write_generation
from domain.repositories.snapshot import PlanningSnapshot
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import ENGINE_VERSION, schedule
from domain.scheduling.types import Request, fingerprint
from domain.services import PlanGenerationService
from domain.testing import assert_lock_free, assert_lock_held, contend
from domain.testing.contention import TIMEOUT, eventually
from tests.concurrency.overlapping import in_another_thread
from tests.integration.storing import FIRST, generate, live, stored_group, traces
from tests.servers import Standby, binaries, standby_of

Planned = tuple[PlanningSnapshot, Schedule, GenerationRecord]

BY_THE_FENCE = "refused by the fence, before any constraint is checked"


@dataclass(frozen=True)
class Pair:
    """A primary, its standby, and a replicated group with the plans of generation 1."""

    server: EmbeddedServer
    primary: sa.Engine
    follower: Standby
    standby: sa.Engine
    group: PlanGroup

    def fail_over(self, *, primary_dies: bool) -> None:
        """Promote the standby; the primary is killed, or keeps running as a second primary."""
        self.follower.catch_up(self.primary, self.standby)
        if primary_dies:
            os.kill(self.server.pid, signal.SIGQUIT)
        self.follower.promote(self.standby)


@pytest.fixture(scope="module")
def primary() -> Iterator[EmbeddedServer]:
    """A primary that tests may kill; it is running when a test begins."""
    with embedded_postgres(bindir=binaries(), settings={"synchronous_commit": "local"}) as server:
        engine = sa.create_engine(server.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            schema.upgrade(connection)
        yield server


@pytest.fixture
def pair(primary: EmbeddedServer) -> Iterator[Pair]:
    engine = sa.create_engine(primary.url, poolclass=sa.NullPool)
    group = stored_group(sessionmaker(engine))
    generate(sessionmaker(engine), group)
    with standby_of(primary) as follower:
        standby = sa.create_engine(follower.url_for("postgres"), poolclass=sa.NullPool)
        yield Pair(primary, engine, follower, standby, group)
    primary.restart(immediate=True)


def test_lock_can_be_held_on_the_old_primary_and_on_the_promoted_standby(pair: Pair) -> None:
    lock = PlanGroupLock(pair.group.tenant_id, pair.group.id)

    def acquire_on_the_standby() -> None:
        with UnitOfWork(sessionmaker(pair.standby), lock=lock) as second:
            assert_lock_held(pair.primary, pair.group)
            assert_lock_held(pair.standby, pair.group, by=second)

    with UnitOfWork(sessionmaker(pair.primary), lock=lock) as first:
        pair.fail_over(primary_dies=False)
        assert_lock_held(pair.primary, pair.group, by=first)
        assert_lock_free(pair.standby, pair.group)
        in_another_thread(acquire_on_the_standby)


def test_request_that_read_before_the_failover_cannot_write_after_another_generation(
    pair: Pair,
) -> None:
    planned = _read_and_lose_the_connection(pair)
    second = generate(sessionmaker(pair.standby), pair.group)
    with (
        UnitOfWork(
            sessionmaker(pair.standby), lock=PlanGroupLock(pair.group.tenant_id, pair.group.id)
        ) as uow,
        pytest.raises(GeneratedMeanwhileError) as refusal,
    ):
        write_generation(uow.session, *planned)
    assert refusal.value.retryable
    assert refusal.value.__cause__ is None, BY_THE_FENCE
    assert second.generation == 2
    assert [row.id for row in live(sessionmaker(pair.standby), pair.group)] == list(second.plan_ids)


class UncheckedUnitOfWork:
    """A stand-in for a unit of work that claims to hold every lock."""

    identity = "unchecked"

    def __init__(self, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id

    def exclusive_call(self) -> AbstractContextManager[object]:
        return nullcontext()

    def require_held(self) -> None:
        pass

    def refuse_flush(self, session: Session) -> None:
        pass

    def forget_students(self, *group_ids: UUID) -> None:
        pass

    def refuse_second_connection(self, *_: object) -> None:
        pass

    def require_lock(self, group_id: UUID) -> None:
        pass

    def refuse_commit_from_outside(self) -> None:
        pass

    def note_rollback(self, transaction: object) -> None:
        pass


def test_write_without_the_lock_waits_for_the_holder_and_is_refused(pair: Pair) -> None:
    """As after a failover, when a lock that was acquired on the old primary protects nothing."""
    planned = _read_and_lose_the_connection(pair)

    def write_without_the_lock() -> None:
        with Session(pair.standby) as session, session.begin():
            guards.protect(session, UncheckedUnitOfWork(pair.group.tenant_id))
            session.execute(
                sa.select(sa.func.set_config(IDENTITY, UncheckedUnitOfWork.identity, sa.true()))
            )
            write_generation(session, *planned)

    factory, lock = sessionmaker(pair.standby), PlanGroupLock(pair.group.tenant_id, pair.group.id)
    with ThreadPoolExecutor(1) as pool, UnitOfWork(factory, lock=lock) as uow:
        result = PlanGenerationService(uow).generate(today=FIRST)
        late = pool.submit(write_without_the_lock)
        eventually(lambda: _waits_for_a_row(pair.standby), "the late request waits at the fence")
        uow.commit()
        with pytest.raises(GeneratedMeanwhileError) as refusal:
            late.result(TIMEOUT)
    assert refusal.value.__cause__ is None, BY_THE_FENCE
    assert [row.id for row in live(sessionmaker(pair.standby), pair.group)] == list(result.plan_ids)


def test_fence_lets_one_of_two_holders_on_one_server_write(
    template: str, new_database: Callable[[str], sa.URL]
) -> None:
    engine = sa.create_engine(new_database(template), poolclass=sa.NullPool)
    group = stored_group(sessionmaker(engine))
    _disable_the_lock(engine)
    both_have_read = threading.Barrier(2)

    def compute(request: Request) -> Schedule:
        both_have_read.wait(TIMEOUT)
        return schedule(request)

    def request(_: Any) -> Any:
        with UnitOfWork(sessionmaker(engine), lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            result = PlanGenerationService(uow, compute=compute).generate(today=FIRST)
            uow.commit()
        return result

    answers = contend(2, request)
    (result,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, GeneratedMeanwhileError)
    assert refusal.__cause__ is None, BY_THE_FENCE
    generation, records, plans = traces(engine, group.id)
    assert generation == len(records) == 1
    assert {row.id for row in plans} == set(result.plan_ids)


def _read_and_lose_the_connection(pair: Pair) -> Planned:
    """Return what a request on the primary was about to write when the primary was killed."""
    group = pair.group
    factory, lock = sessionmaker(pair.primary), PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(factory, lock=lock) as uow:
        uow.lock_student(group.id)
        snapshot = uow.groups.snapshot(group.id)
        request = snapshot.request(FIRST)
        record = GenerationRecord(FIRST, None, 0, fingerprint(request), ENGINE_VERSION)
        planned = snapshot, schedule(request), record
        pair.fail_over(primary_dies=True)
        with pytest.raises(DBAPIError):
            write_generation(uow.session, *planned)
    return planned


def _waits_for_a_row(engine: sa.Engine) -> bool:
    waiting = (
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted)"
    )
    with engine.connect() as connection:
        return bool(connection.scalar(sa.text(waiting)))


def _disable_the_lock(engine: sa.Engine) -> None:
    """Make the functions report every lock as acquired without acquiring it."""
    functions = ("acquire_plan_locks", "acquire_plan_locks_with_limits")
    query = sa.text("SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = ANY(:names)")
    with engine.begin() as connection:
        for definition in connection.scalars(query, {"names": list(functions)}).all():
            attempt = re.compile(r"ELSE pg_try_advisory_xact_lock\(\w+\)")
            disabled, replacements = attempt.subn("ELSE true", definition)
            assert replacements == 1
            connection.exec_driver_sql(disabled.replace("%", "%%"))
