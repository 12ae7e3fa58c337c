"""A network that stops without closing its connections, and a pool without ``pool_pre_ping``."""

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
from tests.concurrency.overlapping import in_another_thread
from tests.faults.stage import POOL, Outcome, Stage, pool_of
from tests.integration.storing import FIRST, generate, traces

BRIEFLY = Limits(idle=timedelta(seconds=1))
SHORT = timedelta(milliseconds=200)


@pytest.fixture
def without_pre_ping(stage: Stage) -> Iterator[sa.Engine]:
    engine = sa.create_engine(stage.engine.url, pool_size=POOL, max_overflow=0)
    for connection in [engine.connect() for _ in range(POOL)]:
        connection.close()
    yield engine
    engine.dispose()


def test_holder_behind_a_frozen_network_keeps_the_lock_only_for_its_limit(stage: Stage) -> None:
    group = stage.planned_group(Step.AFTER_THE_LOCK)
    direct = sessionmaker(stage.direct)
    before = traces(stage.direct, group.id)
    with UnitOfWork(
        stage.factory, lock=PlanGroupLock(group.tenant_id, group.id, limits=BRIEFLY)
    ) as uow:
        with _frozen(stage.proxy):
            assert_lock_held(stage.direct, group.id)
            with pytest.raises(PlanGroupLockedError):
                in_another_thread(lambda: generate(direct, group))
            assert_lock_free(stage.direct, group.id, seconds=10)
            assert in_another_thread(lambda: generate(direct, group)).generation == before[0] + 1
        with pytest.raises(DBAPIError):
            PlanGenerationService(uow).generate(today=FIRST)
    assert stage.outcome(group, before) is Outcome.NEW, "stored by the other request"
    stage.assert_the_next_request_succeeds(group)


def _knows_transaction_timeout(engine: sa.Engine) -> bool:
    """Return whether the server has ``transaction_timeout``, which is new in PostgreSQL 17."""
    with engine.connect() as connection:
        setting = sa.text("SELECT current_setting('transaction_timeout', true)")
        return connection.scalar(setting) is not None


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (Limits(idle=SHORT), psycopg.errors.IdleInTransactionSessionTimeout),
        (Limits(transaction=SHORT), psycopg.errors.TransactionTimeout),
    ],
    ids=["25P03", "25P04"],
)
def test_holder_that_exceeds_a_limit_is_terminated_with_the_error_of_that_limit(
    stage: Stage, limits: Limits, error: type[psycopg.Error]
) -> None:
    group = stage.planned_group(Step.AFTER_THE_LOCK)
    unknown = error is psycopg.errors.TransactionTimeout and not _knows_transaction_timeout(
        stage.direct
    )
    with UnitOfWork(
        stage.factory, lock=PlanGroupLock(group.tenant_id, group.id, limits=limits)
    ) as uow:
        if unknown:
            uow.session.scalar(sa.text("SELECT pg_sleep(0.5)"))
            assert_lock_held(stage.direct, group)
            return
        assert_lock_free(stage.direct, group, seconds=10)
        with pytest.raises(DBAPIError) as failure:
            PlanGenerationService(uow).generate(today=FIRST)
    assert isinstance(failure.value.orig, error)
    stage.assert_the_next_request_succeeds(group)


def test_network_that_resumes_within_the_limit_has_no_effect(stage: Stage) -> None:
    group = stage.planned_group(Step.AFTER_THE_READ)

    def freeze_briefly(_: int) -> None:
        with _frozen(stage.proxy):
            assert_lock_held(stage.direct, group.id)

    with stage.fault(Step.AFTER_THE_READ, freeze_briefly):
        assert generate(stage.factory, group).generation == 2


def test_pool_without_pre_ping_fails_at_most_once_per_dead_connection(
    stage: Stage, without_pre_ping: sa.Engine
) -> None:
    group = stage.planned_group(Step.BEFORE_THE_LOCK)
    stage.server.restart(immediate=True)
    failures = 0
    while _fails_on_a_dead_connection(without_pre_ping, group):
        failures += 1
    assert 1 <= failures <= POOL
    assert pool_of(without_pre_ping).checkedout() == 0
    stage.assert_locks_are_free(group)


def test_connection_lost_on_a_lock_request_is_discarded_without_a_log_message(
    stage: Stage, without_pre_ping: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with without_pre_ping.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        terminate_backend(stage.direct, driver.info.backend_pid)
        with pytest.raises(DBAPIError) as failure:
            acquiring.acquire(connection, PlanGroupLock(uuid4(), uuid4()))
        assert failure.value.connection_invalidated
        assert connection.invalidated
    assert not [record for record in caplog.records if record.name.startswith("sqlalchemy.pool")]


def test_refusal_returns_its_connection_to_the_pool(stage: Stage) -> None:
    group = stage.planned_group(Step.AFTER_THE_LOCK)
    with UnitOfWork(sessionmaker(stage.direct), lock=PlanGroupLock(group.tenant_id, group.id)):
        for _ in range(POOL + 1):
            with pytest.raises(PlanGroupLockedError):
                in_another_thread(lambda: generate(stage.factory, group))
    group.tenant_id = group.id
    with pytest.raises(PlanGroupNotFoundError):
        generate(stage.factory, group)
    stage.assert_pool_is_complete()


@contextmanager
def _frozen(proxy: CuttingProxy) -> Iterator[None]:
    """Freeze the network during the block.

    It is resumed even if the test fails, because the cleanup of the test would block otherwise.
    """
    proxy.freeze()
    try:
        yield
    finally:
        proxy.thaw()


def _fails_on_a_dead_connection(engine: sa.Engine, group: PlanGroup) -> bool:
    try:
        generate(sessionmaker(engine), group)
    except DBAPIError as failure:
        if failure.connection_invalidated:
            return True
        raise
    return False
