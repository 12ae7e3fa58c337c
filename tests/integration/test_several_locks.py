"""Several keys at once: all or none, in the order of the keys, under one bound."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    InvalidInputError,
    PlanGenerationService,
    PlanGroupLock,
    PlanGroupLockedError,
    StudentLock,
    UnitOfWork,
    generate_plans,
    generate_plans_async,
)
from domain.errors import LockNotHeldError
from domain.locking import plan_group_lock_key
from tests.integration.asking import acquire, backend_pid, check, locks_held, sqlstate
from tests.integration.storing import FIRST, dump, stored_group

Factory = sessionmaker[Session]
MANY = sa.text("SELECT * FROM studyplan.acquire_plan_locks(CAST(:keys AS bigint[]), :wait_ms)")
LONG_ENOUGH = 20_000


def take(connection: sa.Connection, keys: list[int], wait_ms: int = 0) -> sa.Row[Any]:
    return connection.execute(MANY, {"keys": keys, "wait_ms": wait_ms}).one()


def fresh(count: int) -> list[int]:
    return [plan_group_lock_key(uuid4()) for _ in range(count)]


def test_all_keys_are_taken_doubles_once(connection: sa.Connection) -> None:
    keys = fresh(5)
    taken = take(connection, keys + keys)
    assert (taken.acquired, taken.outcome, taken.waited_ms) == (True, "acquired", 0)
    assert locks_held(connection) == 5


@pytest.mark.parametrize("wait_ms", [0, 30])
def test_one_that_is_busy_leaves_none_taken_and_is_named(
    connection: sa.Connection, other: sa.Connection, wait_ms: int
) -> None:
    keys = sorted(fresh(3))
    take(connection, keys[1:2])
    refused = take(other, keys, wait_ms)
    assert (refused.acquired, refused.lock_key) == (False, keys[1])
    assert refused.outcome == ("timeout" if wait_ms else "busy")
    assert refused.holder_pid == backend_pid(connection)
    assert locks_held(other) == 0
    assert other.scalar(sa.text("SHOW lock_timeout")) == "0"


def test_a_refusal_keeps_what_the_transaction_held_before(
    connection: sa.Connection, other: sa.Connection
) -> None:
    free, busy = fresh(2)
    take(connection, [busy])
    take(other, [free])
    assert not take(other, [free, busy]).acquired
    assert locks_held(other) == 1


def test_the_bound_is_one_for_all_keys(engine: sa.Engine, other: sa.Connection) -> None:
    keys = sorted(fresh(4))
    holders = [engine.connect() for _ in keys]
    for holder, key in zip(holders, keys, strict=True):
        take(holder, [key])
    assert take(other, keys, 50).waited_ms < 4 * 50
    for holder in holders:
        holder.close()


@pytest.mark.parametrize(
    ("keys", "state"), [([], "22023"), (list(range(101)), "22023"), (None, "22004")]
)
def test_too_few_too_many_or_no_keys_are_refused(
    connection: sa.Connection, keys: list[int], state: str
) -> None:
    with pytest.raises(sa.exc.DBAPIError) as refused:
        take(connection, keys)
    assert sqlstate(refused.value) == state


def test_a_hundred_keys_are_allowed(connection: sa.Connection) -> None:
    assert take(connection, fresh(100)).acquired


def test_requests_for_the_same_keys_in_any_order_never_deadlock(engine: sa.Engine) -> None:
    keys = fresh(12)

    def work(seed: int) -> str:
        shuffled = Random(seed).sample(keys, len(keys))  # noqa: S311 - an order, no secret
        with engine.connect() as connection:
            return str(take(connection, shuffled, LONG_ENOUGH).outcome)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(80))) <= {"acquired", "waited"}


def test_a_unit_of_work_may_hold_several_groups(
    session_factory: Factory, connection: sa.Connection, tenant_id: UUID
) -> None:
    ids = [uuid4() for _ in range(3)]
    with UnitOfWork(session_factory, lock=PlanGroupLock.of(tenant_id, [*ids, ids[0]])) as uow:
        for group_id in ids:
            uow.require_lock(group_id)
            assert check(connection, group_id).held
        assert locks_held(uow.session.connection()) == 3
        with pytest.raises(LockNotHeldError):
            uow.require_lock(uuid4())
    assert not any(check(connection, group_id).held for group_id in ids)


def test_the_group_that_was_busy_is_the_one_that_is_named(
    session_factory: Factory, connection: sa.Connection, tenant_id: UUID
) -> None:
    ids = [stored_group(session_factory, tenant_id=tenant_id).id for _ in range(4)]
    acquire(connection, ids[2])
    uow = UnitOfWork(session_factory, lock=PlanGroupLock.of(tenant_id, ids))
    with pytest.raises(PlanGroupLockedError) as refused, uow:
        pass
    assert (refused.value.group_id, refused.value.scope) == (ids[2], "group")


@pytest.mark.parametrize(
    "ids", [[], [UUID(int=n) for n in range(101)], ["no uuid"]], ids=["none", "101", "text"]
)
def test_no_group_too_many_or_something_else_is_refused(ids: Any, tenant_id: UUID) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock.of(tenant_id, ids, wait=timedelta(seconds=1))
    assert refused.value.field == "group_id"


def test_generation_in_one_call_is_of_one_group(session_factory: Factory, tenant_id: UUID) -> None:
    ids = [stored_group(session_factory, tenant_id=tenant_id).id for _ in range(2)]
    wrong: list[Any] = [
        PlanGroupLock.of(tenant_id, ids),
        PlanGroupLock(tenant_id, ids[0], shared=True),
        StudentLock(tenant_id, uuid4()),
        ids[0],
    ]
    for lock in wrong:
        with pytest.raises(InvalidInputError) as refused:
            generate_plans(session_factory, lock, today=FIRST)
        assert refused.value.field == "lock"
        with pytest.raises(InvalidInputError) as refused:
            asyncio.run(generate_plans_async(async_sessionmaker(), lock, today=FIRST))
        assert refused.value.field == "lock"
    assert generate_plans(session_factory, PlanGroupLock.of(tenant_id, ids[:1]), today=FIRST)
    assert [len(dump(session_factory, id_)["plan_generations"]) for id_ in ids] == [1, 0]


def test_several_groups_are_generated_in_one_unit_of_work(
    session_factory: Factory, tenant_id: UUID
) -> None:
    ids = [stored_group(session_factory, tenant_id=tenant_id).id for _ in range(2)]
    with UnitOfWork(session_factory, lock=PlanGroupLock.of(tenant_id, ids)) as uow:
        service = PlanGenerationService(uow)
        with pytest.raises(InvalidInputError) as refused:
            service.generate(today=FIRST)
        assert refused.value.field == "group_id"
        made = [service.generate(today=FIRST, group_id=group_id) for group_id in ids]
        uow.commit()
    assert [(one.group_id, one.generation) for one in made] == [(id_, 1) for id_ in ids]
