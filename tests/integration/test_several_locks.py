"""Several keys at once: all or none, in the order of the keys, under one bound."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import InvalidInputError, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import LockNotHeldError
from domain.locking import plan_group_lock_key
from tests.integration.asking import acquire, backend_pid, check, locks_held, sqlstate

Factory = sessionmaker[Session]
MANY = sa.text("SELECT * FROM public.acquire_plan_locks(CAST(:keys AS bigint[]), :wait_ms)")
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
    session_factory: Factory, connection: sa.Connection
) -> None:
    ids = [uuid4() for _ in range(3)]
    with UnitOfWork(session_factory, lock=PlanGroupLock.of([*ids, ids[0]])) as uow:
        for group_id in ids:
            uow.require_lock(group_id)
            assert check(connection, group_id).held
        assert locks_held(uow.session.connection()) == 3
        with pytest.raises(LockNotHeldError):
            uow.require_lock(uuid4())
    assert not any(check(connection, group_id).held for group_id in ids)


def test_the_group_that_was_busy_is_the_one_that_is_named(
    session_factory: Factory, connection: sa.Connection
) -> None:
    ids = [uuid4() for _ in range(4)]
    acquire(connection, ids[2])
    uow = UnitOfWork(session_factory, lock=PlanGroupLock.of(ids))
    with pytest.raises(PlanGroupLockedError) as refused, uow:
        pass
    assert (refused.value.group_id, refused.value.scope) == (ids[2], "group")


@pytest.mark.parametrize(
    "ids", [[], [UUID(int=n) for n in range(101)], ["no uuid"]], ids=["none", "101", "text"]
)
def test_no_group_too_many_or_something_else_is_refused(ids: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        PlanGroupLock.of(ids, wait=timedelta(seconds=1))
    assert refused.value.field == "group_id"
