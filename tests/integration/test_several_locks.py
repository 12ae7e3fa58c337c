"""A request for several keys acquires all or none, in key order, with one limit for the wait."""

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


def acquire_keys(connection: sa.Connection, keys: list[int], wait_ms: int = 0) -> sa.Row[Any]:
    return connection.execute(MANY, {"keys": keys, "wait_ms": wait_ms}).one()


def new_keys(count: int) -> list[int]:
    return [plan_group_lock_key(uuid4()) for _ in range(count)]


def test_keys_are_all_acquired_and_duplicates_only_once(connection: sa.Connection) -> None:
    keys = new_keys(5)
    result = acquire_keys(connection, keys + keys)
    assert (result.acquired, result.outcome, result.waited_ms) == (True, "acquired", 0)
    assert locks_held(connection) == 5


@pytest.mark.parametrize("wait_ms", [0, 30])
def test_busy_key_is_named_and_no_key_is_acquired(
    connection: sa.Connection, other: sa.Connection, wait_ms: int
) -> None:
    keys = sorted(new_keys(3))
    acquire_keys(connection, keys[1:2])
    refused = acquire_keys(other, keys, wait_ms)
    assert (refused.acquired, refused.lock_key) == (False, keys[1])
    assert refused.outcome == ("timeout" if wait_ms else "busy")
    assert refused.holder_pid == backend_pid(connection)
    assert locks_held(other) == 0
    assert other.scalar(sa.text("SHOW lock_timeout")) == "0"


def test_refusal_keeps_the_locks_that_the_transaction_already_holds(
    connection: sa.Connection, other: sa.Connection
) -> None:
    free, busy = new_keys(2)
    acquire_keys(connection, [busy])
    acquire_keys(other, [free])
    assert not acquire_keys(other, [free, busy]).acquired
    assert locks_held(other) == 1


def test_wait_limit_applies_to_all_keys_together(engine: sa.Engine, other: sa.Connection) -> None:
    keys = sorted(new_keys(4))
    holders = [engine.connect() for _ in keys]
    for holder, key in zip(holders, keys, strict=True):
        acquire_keys(holder, [key])
    assert acquire_keys(other, keys, 50).waited_ms < 4 * 50
    for holder in holders:
        holder.close()


@pytest.mark.parametrize(
    ("keys", "state"), [([], "22023"), (list(range(101)), "22023"), (None, "22004")]
)
def test_keys_that_are_empty_too_many_or_null_are_refused(
    connection: sa.Connection, keys: list[int], state: str
) -> None:
    with pytest.raises(sa.exc.DBAPIError) as refused:
        acquire_keys(connection, keys)
    assert sqlstate(refused.value) == state


def test_request_for_a_hundred_keys_is_accepted(connection: sa.Connection) -> None:
    assert acquire_keys(connection, new_keys(100)).acquired


def test_requests_for_the_same_keys_in_any_order_do_not_deadlock(engine: sa.Engine) -> None:
    # The function acquires keys in key order, not in the order of the request. A request never
    # waits for a key below one that it holds, so no cycle of waits can arise.
    keys = new_keys(12)

    def work(seed: int) -> str:
        shuffled = Random(seed).sample(keys, len(keys))  # noqa: S311 - an order, not a secret
        with engine.connect() as connection:
            return str(acquire_keys(connection, shuffled, LONG_ENOUGH).outcome)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(80))) <= {"acquired", "waited"}


def test_unit_of_work_may_hold_the_locks_of_several_groups(
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


def test_refusal_names_the_group_that_is_busy(
    session_factory: Factory, connection: sa.Connection, tenant_id: UUID
) -> None:
    ids = [stored_group(session_factory, tenant_id=tenant_id).id for _ in range(4)]
    acquire(connection, ids[2])
    uow = UnitOfWork(session_factory, lock=PlanGroupLock.of(tenant_id, ids))
    with pytest.raises(PlanGroupLockedError) as refused, uow:
        pass
    assert (refused.value.group_id, refused.value.scope) == (ids[2], "group")


@pytest.mark.parametrize(
    "ids", [[], [UUID(int=n) for n in range(101)], ["not a UUID"]], ids=["none", "101", "text"]
)
def test_lock_of_no_group_too_many_groups_or_a_wrong_type_is_refused(
    ids: Any, tenant_id: UUID
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock.of(tenant_id, ids, wait=timedelta(seconds=1))
    assert refused.value.field == "group_id"


def test_generate_plans_accepts_only_an_exclusive_lock_of_one_group(
    session_factory: Factory, tenant_id: UUID
) -> None:
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


def test_unit_of_work_may_generate_several_groups(
    session_factory: Factory, tenant_id: UUID
) -> None:
    ids = [stored_group(session_factory, tenant_id=tenant_id).id for _ in range(2)]
    with UnitOfWork(session_factory, lock=PlanGroupLock.of(tenant_id, ids)) as uow:
        service = PlanGenerationService(uow)
        with pytest.raises(InvalidInputError) as refused:
            service.generate(today=FIRST)
        assert refused.value.field == "group_id"
        results = [service.generate(today=FIRST, group_id=group_id) for group_id in ids]
        uow.commit()
    assert [(result.group_id, result.generation) for result in results] == [(id_, 1) for id_ in ids]
