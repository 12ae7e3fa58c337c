"""A network that fails without a word, and a pool that does not ask its connections."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from domain import Limits, PlanGroup, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import PlanGroupNotFoundError
from domain.locking import acquiring
from domain.services import PlanGenerationService
from domain.testing import CuttingProxy, Step, assert_lock_free, assert_lock_held
from domain.testing.contention import terminate_backend
from tests.concurrency.overlapping import elsewhere
from tests.faults.stage import POOL, Outcome, Stage, pool_of
from tests.integration.storing import FIRST, generate, traces

BRIEFLY = Limits(idle=timedelta(seconds=1))
SHORT = timedelta(milliseconds=200)


@pytest.fixture
def without_a_ping(stage: Stage) -> Iterator[sa.Engine]:
    engine = sa.create_engine(stage.engine.url, pool_size=POOL, max_overflow=0)
    for connection in [engine.connect() for _ in range(POOL)]:
        connection.close()
    yield engine
    engine.dispose()


def test_behind_a_frozen_network_a_holder_keeps_the_lock_for_its_limit_and_no_longer(
    stage: Stage,
) -> None:
    group = stage.planned_group(Step.AFTER_THE_LOCK)
    aside = sessionmaker(stage.aside)
    before = traces(stage.aside, group.id)
    with UnitOfWork(
        stage.factory, lock=PlanGroupLock(group.tenant_id, group.id, limits=BRIEFLY)
    ) as uow:
        with _frozen(stage.proxy):
            assert_lock_held(stage.aside, group.id)
            with pytest.raises(PlanGroupLockedError):
                elsewhere(lambda: generate(aside, group))
            assert_lock_free(stage.aside, group.id, seconds=10)
            assert elsewhere(lambda: generate(aside, group)).generation == before[0] + 1
        with pytest.raises(DBAPIError):
            PlanGenerationService(uow).generate(today=FIRST)
    assert stage.outcome(group, before) is Outcome.NEW, "and it is the other's"
    stage.assert_the_next_request_succeeds(group)


def _knows_transaction_timeout(engine: sa.Engine) -> bool:
    """Before PostgreSQL 17 nothing ends a transaction that is at work for too long."""
    with engine.connect() as connection:
        asked = sa.text("SELECT current_setting('transaction_timeout', true)")
        return connection.scalar(asked) is not None


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(idle=SHORT), psycopg.errors.IdleInTransactionSessionTimeout),
        (Limits(transaction=SHORT), psycopg.errors.TransactionTimeout),
    ],
    ids=["25P03", "25P04"],
)
def test_a_holder_that_outstays_its_limit_is_ended_by_the_server_and_told_why(
    stage: Stage, limits: Limits, told: type[psycopg.Error]
) -> None:
    group = stage.planned_group(Step.AFTER_THE_LOCK)
    unknown = told is psycopg.errors.TransactionTimeout and not _knows_transaction_timeout(
        stage.aside
    )
    with UnitOfWork(
        stage.factory, lock=PlanGroupLock(group.tenant_id, group.id, limits=limits)
    ) as uow:
        if unknown:
            uow.session.scalar(sa.text("SELECT pg_sleep(0.5)"))
            assert_lock_held(stage.aside, group)
            return
        assert_lock_free(stage.aside, group, seconds=10)
        with pytest.raises(DBAPIError) as failure:
            PlanGenerationService(uow).generate(today=FIRST)
    assert isinstance(failure.value.orig, told)
    stage.assert_the_next_request_succeeds(group)


def test_a_network_that_thaws_in_time_has_cost_nothing(stage: Stage) -> None:
    group = stage.planned_group(Step.AFTER_THE_READ)

    def freeze_and_thaw(_: int) -> None:
        with _frozen(stage.proxy):
            assert_lock_held(stage.aside, group.id)

    with stage.fault(Step.AFTER_THE_READ, freeze_and_thaw):
        assert generate(stage.factory, group).generation == 2


def test_a_pool_that_does_not_ping_fails_at_most_once_for_each_connection_that_died(
    stage: Stage, without_a_ping: sa.Engine
) -> None:
    group = stage.planned_group(Step.BEFORE_THE_LOCK)
    stage.server.restart(immediate=True)
    failures = 0
    while _is_refused_by_a_dead_connection(without_a_ping, group):
        failures += 1
    assert 1 <= failures <= POOL
    assert pool_of(without_a_ping).checkedout() == 0
    stage.assert_locks_are_free(group)


def test_a_connection_that_is_lost_when_it_asks_for_the_lock_leaves_the_pool_without_a_word(
    stage: Stage, without_a_ping: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with without_a_ping.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        terminate_backend(stage.aside, driver.info.backend_pid)
        with pytest.raises(DBAPIError) as failure:
            acquiring.acquire(connection, PlanGroupLock(uuid4(), uuid4()))
        assert failure.value.connection_invalidated
        assert connection.invalidated
    assert not [record for record in caplog.records if record.name.startswith("sqlalchemy.pool")]


def test_a_refusal_gives_its_connection_back(stage: Stage) -> None:
    group = stage.planned_group(Step.AFTER_THE_LOCK)
    with UnitOfWork(sessionmaker(stage.aside), lock=PlanGroupLock(group.tenant_id, group.id)):
        for _ in range(POOL + 1):
            with pytest.raises(PlanGroupLockedError):
                elsewhere(lambda: generate(stage.factory, group))
    group.tenant_id = group.id
    with pytest.raises(PlanGroupNotFoundError):
        generate(stage.factory, group)
    stage.assert_pool_is_whole()


@contextmanager
def _frozen(proxy: CuttingProxy) -> Iterator[None]:
    """Thawed in any case: behind a frozen network not even a failed test comes to its end."""
    proxy.freeze()
    try:
        yield
    finally:
        proxy.thaw()


def _is_refused_by_a_dead_connection(engine: sa.Engine, group: PlanGroup) -> bool:
    try:
        generate(sessionmaker(engine), group)
    except DBAPIError as failure:
        if failure.connection_invalidated:
            return True
        raise
    return False
