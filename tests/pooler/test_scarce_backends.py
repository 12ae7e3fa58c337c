"""A request that waits for a lock occupies a backend, which the clients of a pooler share."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork
from domain.probe import probe
from domain.testing.contention import TIMEOUT, advisory_locks, eventually, wait_until_waiting
from tests.concurrency.overlapping import generate_after_waiting, in_another_thread
from tests.integration.storing import stored_group
from tests.pooler.pgbouncer import BACKENDS, PgBouncer, clients

Factory = sessionmaker[Session]
LONG = timedelta(seconds=TIMEOUT)


def clients_waiting_for_a_backend(pooler: PgBouncer, database: str | None) -> int:
    pools = (row for row in pooler.show("POOLS") if row["database"] == database)
    return sum(int(row["cl_waiting"]) for row in pools)


def test_holder_commits_while_all_other_backends_wait_for_its_lock(
    direct: sa.Engine,
    engine: sa.Engine,
    pooler: PgBouncer,
    session_factory: Factory,
    group: PlanGroup,
) -> None:
    requests = 2 * BACKENDS
    with ThreadPoolExecutor(requests) as threads:
        with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
            waiting = [
                threads.submit(generate_after_waiting, session_factory, group)
                for _ in range(requests)
            ]
            wait_until_waiting(direct, group.id, waiters=BACKENDS - 1)
            eventually(
                lambda: clients_waiting_for_a_backend(pooler, engine.url.database) == BACKENDS + 1,
                "the others wait for a backend",
            )
            uow.commit()
        generations = {waiter.result(TIMEOUT).generation for waiter in waiting}
    assert generations == set(range(1, requests + 1))


def test_waiters_can_occupy_every_backend_until_their_wait_ends(
    direct: sa.Engine,
    engine: sa.Engine,
    pooler: PgBouncer,
    session_factory: Factory,
    group: PlanGroup,
) -> None:
    unrelated = stored_group(session_factory)
    with ThreadPoolExecutor(BACKENDS) as threads, direct.connect() as holder:
        holder.execute(
            sa.text("SELECT public.acquire_plan_group_lock(:group)"), {"group": group.id}
        )
        waiting = [
            threads.submit(generate_after_waiting, session_factory, group) for _ in range(BACKENDS)
        ]
        wait_until_waiting(direct, group.id, waiters=BACKENDS)
        with ThreadPoolExecutor(1) as other:
            starved = other.submit(generate_after_waiting, session_factory, unrelated)
            eventually(
                lambda: clients_waiting_for_a_backend(pooler, engine.url.database) == 1,
                "the unrelated request waits for a backend",
            )
            holder.rollback()
            assert starved.result(TIMEOUT).generation == 1
        for waiter in waiting:
            waiter.result(TIMEOUT)


def test_request_that_gets_no_backend_in_time_fails_and_holds_no_lock(
    direct: sa.Engine, database_url: sa.URL, group: PlanGroup, new_pooler: Callable[..., PgBouncer]
) -> None:
    pooler = new_pooler(pool_size=1, query_wait_timeout=1)
    with clients(pooler, database_url) as engine:
        factory = sessionmaker(engine)
        with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)):
            with pytest.raises(DBAPIError, match="query_wait_timeout"):
                in_another_thread(lambda: generate_after_waiting(factory, group))
            assert advisory_locks(direct) == 1
        assert generate_after_waiting(factory, group).generation == 1


def test_probe_passes_behind_a_transaction_pooler(direct: sa.Engine, engine: sa.Engine) -> None:
    probe(engine)
    assert advisory_locks(direct) == 0


def test_probe_fails_if_the_pooler_has_one_backend_for_two_clients(
    database_url: sa.URL, direct: sa.Engine, new_pooler: Callable[..., PgBouncer]
) -> None:
    with (
        clients(new_pooler(pool_size=1, query_wait_timeout=1), database_url) as engine,
        pytest.raises(DBAPIError, match="query_wait_timeout"),
    ):
        probe(engine)
    eventually(lambda: advisory_locks(direct) == 0, "the lock of the probe is released")


def test_probe_fails_behind_a_statement_pooler(
    database_url: sa.URL, direct: sa.Engine, new_pooler: Callable[..., PgBouncer]
) -> None:
    with (
        clients(new_pooler(pool_size=2, pool_mode="statement"), database_url) as engine,
        pytest.raises(DBAPIError, match="statement pooling"),
    ):
        probe(engine)
    assert advisory_locks(direct) == 0
