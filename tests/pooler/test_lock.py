"""The lock belongs to the transaction, and so does the backend behind a pooler."""

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
from tests.concurrency.overlapping import elsewhere
from tests.integration.storing import generate, live, stored_group, traces
from tests.pooler.pgbouncer import BACKENDS, PgBouncer, backend, clients

Factory = sessionmaker[Session]
CONTENDERS = 32


def holder(direct: sa.Engine, group: PlanGroup) -> int:
    (pid,) = backends_at_key(direct, plan_group_lock_key(group.id))
    return pid


def divide_by_zero() -> None:
    raise ZeroDivisionError


def test_a_client_meets_another_backend_in_its_next_transaction(engine: sa.Engine) -> None:
    with engine.connect() as one, engine.connect() as other:
        first = backend(one)
        one.rollback()
        assert backend(other) == first
        assert backend(one) != first


def test_the_lock_holds_through_the_pooler_until_the_commit(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        for _ in range(BACKENDS):
            with pytest.raises(PlanGroupLockedError) as refused:
                elsewhere(lambda: generate(session_factory, group))
            assert refused.value.holder is not None
            assert refused.value.holder.pid == holder(direct, group)
        assert backend(uow.session.connection()) == holder(direct, group)
        uow.commit()
        assert_lock_free(direct, group.id)


def test_of_two_requests_at_once_one_generates(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    answers = contend(2, lambda hold: generate(session_factory, group, hold=hold))
    (result,), (refusal,) = answers.results, answers.refusals
    assert isinstance(refusal, PlanGroupLockedError)
    assert [row.id for row in live(sessionmaker(direct), group)] == list(result.plan_ids)


def test_of_many_requests_through_few_backends_exactly_one_generates(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    answers = contend(CONTENDERS, lambda hold: generate(session_factory, group, hold=hold))
    assert len(answers.results) == 1
    assert {type(refusal) for refusal in answers.refusals} == {PlanGroupLockedError}
    generation, records, plans = traces(direct, group.id)
    assert generation == len(records) == 1
    assert {row.id for row in plans} == set(answers.results[0].plan_ids)


def test_there_are_more_clients_than_server_connections(
    engine: sa.Engine, pooler: PgBouncer, session_factory: Factory
) -> None:
    free = iter([stored_group(session_factory) for _ in range(CONTENDERS)])
    answers = contend(CONTENDERS, lambda _: generate(session_factory, next(free)))
    assert len(answers.results) == CONTENDERS
    assert pooler.count("CLIENTS", engine.url.database) > 2 * BACKENDS
    assert 1 < pooler.count("SERVERS", engine.url.database) <= BACKENDS


@pytest.mark.parametrize("end", [UnitOfWork.commit, UnitOfWork.rollback])
def test_the_lock_is_free_once_the_transaction_is_over(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup, end: Callable[[UnitOfWork], None]
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        assert_lock_held(direct, group.id)
        end(uow)
        assert_lock_free(direct, group.id)


def test_the_lock_is_free_after_an_exception(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with pytest.raises(ZeroDivisionError):
        generate(session_factory, group, hold=divide_by_zero)
    assert advisory_locks(direct) == 0
    assert live(sessionmaker(direct), group) == []


def test_the_lock_is_free_after_the_client_has_vanished(
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


def test_a_backend_killed_before_the_commit_leaves_nothing_but_a_free_lock(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with pytest.raises(CommitOutcomeUnknownError):
        generate(
            session_factory, group, hold=lambda: terminate_backend(direct, holder(direct, group))
        )
    assert_lock_free(direct, group.id)
    assert traces(direct, group.id) == (0, [], [])
    assert generate(session_factory, group).generation == 1, "and the pool has recovered"


def test_a_backend_killed_amid_the_work_ends_the_work(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        terminate_backend(direct, holder(direct, group))
        with pytest.raises(DBAPIError):
            uow.groups.get(group.id)
    assert_lock_free(direct, group.id)
    assert generate(session_factory, group).generation == 1


def test_a_pooler_that_dies_takes_its_clients_locks_with_it(
    direct: sa.Engine, database_url: sa.URL, group: PlanGroup, new_pooler: Callable[..., PgBouncer]
) -> None:
    mortal = new_pooler(pool_size=2)
    with (
        clients(mortal, database_url) as engine,
        UnitOfWork(sessionmaker(engine), lock=PlanGroupLock(group.tenant_id, group.id)) as uow,
    ):
        assert_lock_held(direct, group.id)
        mortal.kill()
        eventually(lambda: advisory_locks(direct) == 0, "the server has noticed")
        with pytest.raises(DBAPIError):
            uow.groups.get(group.id)
