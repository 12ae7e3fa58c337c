"""The lock is held by a transaction, for which a pooler reserves one backend."""

from collections.abc import Callable

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import CommitOutcomeUnknownError
from domain.locking import plan_group_lock_key
from domain.testing import assert_lock_free, assert_lock_held, contend
from domain.testing.contention import (
    TIMEOUT,
    advisory_locks,
    backends_at_key,
    eventually,
    terminate_backend,
)
from tests.concurrency.overlapping import in_another_thread
from tests.integration.storing import generate, live, stored_group, traces
from tests.pooler.pgbouncer import BACKENDS, PgBouncer, backend, clients

Factory = sessionmaker[Session]
CONTENDERS = 32


def holder(direct: sa.Engine, group: PlanGroup) -> int:
    (pid,) = backends_at_key(direct, plan_group_lock_key(group.id))
    return pid


def divide_by_zero() -> None:
    raise ZeroDivisionError


def test_client_gets_another_backend_in_its_next_transaction(engine: sa.Engine) -> None:
    with engine.connect() as one, engine.connect() as other:
        first = backend(one)
        one.rollback()
        assert backend(other) == first
        assert backend(one) != first


def test_lock_is_held_through_the_pooler_until_the_commit(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        for _ in range(BACKENDS):
            with pytest.raises(PlanGroupLockedError) as refused:
                in_another_thread(lambda: generate(session_factory, group))
            assert refused.value.holder is not None
            assert refused.value.holder.pid == holder(direct, group)
        assert backend(uow.session.connection()) == holder(direct, group)
        uow.commit()
        assert_lock_free(direct, group.id)


def test_generation_succeeds_in_one_of_two_simultaneous_requests(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    answers = contend(2, lambda hold: generate(session_factory, group, hold=hold))
    (result,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert [row.id for row in live(sessionmaker(direct), group)] == list(result.plan_ids)


def test_generation_succeeds_in_exactly_one_of_many_requests_through_few_backends(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    answers = contend(CONTENDERS, lambda hold: generate(session_factory, group, hold=hold))
    assert len(answers.results) == 1
    assert {type(refusal) for refusal in answers.refusals} == {PlanGroupLockedError}
    generation, records, plans = traces(direct, group.id)
    assert generation == len(records) == 1
    assert {row.id for row in plans} == set(answers.results[0].plan_ids)


def test_pooler_serves_more_clients_than_it_has_server_connections(
    engine: sa.Engine, pooler: PgBouncer, session_factory: Factory
) -> None:
    remaining = iter([stored_group(session_factory) for _ in range(CONTENDERS)])
    answers = contend(CONTENDERS, lambda _: generate(session_factory, next(remaining)))
    assert len(answers.results) == CONTENDERS
    assert pooler.count("CLIENTS", engine.url.database) > 2 * BACKENDS
    assert 1 < pooler.count("SERVERS", engine.url.database) <= BACKENDS


@pytest.mark.parametrize("end", [UnitOfWork.commit, UnitOfWork.rollback])
def test_lock_is_released_by_the_end_of_the_transaction(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup, end: Callable[[UnitOfWork], None]
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        assert_lock_held(direct, group.id)
        end(uow)
        assert_lock_free(direct, group.id)


def test_lock_is_released_by_an_exception(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with pytest.raises(ZeroDivisionError):
        generate(session_factory, group, hold=divide_by_zero)
    assert advisory_locks(direct) == 0
    assert live(sessionmaker(direct), group) == []


def test_lock_is_released_when_the_client_disconnects(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        driver = uow.session.connection().connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.pgconn.finish()
        with pytest.raises(DBAPIError):
            uow.groups.get(group.id)
    assert_lock_free(direct, group.id, seconds=TIMEOUT)
    assert generate(session_factory, group).generation == 1


def test_backend_terminated_before_the_commit_releases_the_lock_and_stores_nothing(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with pytest.raises(CommitOutcomeUnknownError):
        generate(
            session_factory, group, hold=lambda: terminate_backend(direct, holder(direct, group))
        )
    assert_lock_free(direct, group.id)
    assert traces(direct, group.id) == (0, [], [])
    assert generate(session_factory, group).generation == 1, "the pool has recovered"


def test_backend_terminated_during_the_work_releases_the_lock(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        terminate_backend(direct, holder(direct, group))
        with pytest.raises(DBAPIError):
            uow.groups.get(group.id)
    assert_lock_free(direct, group.id)
    assert generate(session_factory, group).generation == 1


def test_pooler_crash_releases_the_locks_of_its_clients(
    direct: sa.Engine, database_url: sa.URL, group: PlanGroup, new_pooler: Callable[..., PgBouncer]
) -> None:
    crashing_pooler = new_pooler(pool_size=2)
    with (
        clients(crashing_pooler, database_url) as engine,
        UnitOfWork(sessionmaker(engine), lock=PlanGroupLock(group.tenant_id, group.id)) as uow,
    ):
        assert_lock_held(direct, group.id)
        crashing_pooler.kill()
        eventually(lambda: advisory_locks(direct) == 0, "the server has released the locks")
        with pytest.raises(DBAPIError):
            uow.groups.get(group.id)
