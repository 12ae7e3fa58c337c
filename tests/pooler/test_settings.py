"""The settings of a unit of work are its transaction's, and leave nothing on a shared backend."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import LockTimeoutError
from domain.locking import Limits
from domain.testing import assert_lock_free, assert_lock_held
from domain.testing.contention import TIMEOUT
from tests.concurrency.overlapping import elsewhere
from tests.integration.storing import enter, generate
from tests.pooler.pgbouncer import PgBouncer, backend, clients, of_all_backends

Factory = sessionmaker[Session]
SETTINGS = ("lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
# Null for a setting that the server does not know: the last came with PostgreSQL 17.
IN_FORCE = "ARRAY[" + ", ".join(f"current_setting('{name}', true)" for name in SETTINGS) + "]"
SHORT = timedelta(milliseconds=100)


def knows_transaction_timeout(direct: sa.Engine) -> bool:
    with direct.connect() as connection:
        version = connection.dialect.server_version_info
    return version is not None and version >= (17,)


def as_known(direct: sa.Engine, *values: str) -> list[str | None]:
    return [*values[:2], values[2] if knows_transaction_timeout(direct) else None]


def test_the_limits_are_in_force_inside_the_unit_of_work(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    limits = Limits(
        idle=timedelta(seconds=11),
        transaction=timedelta(seconds=22),
        row_lock=timedelta(seconds=33),
    )
    with UnitOfWork(
        session_factory, lock=PlanGroupLock(group.tenant_id, group.id, limits=limits)
    ) as uow:
        found = uow.session.scalar(sa.text(f"SELECT {IN_FORCE}"))
    assert found == as_known(direct, "33s", "11s", "22s")


@pytest.mark.parametrize("end", [UnitOfWork.commit, UnitOfWork.rollback])
def test_no_limit_stays_for_the_backends_next_client(
    engine: sa.Engine,
    direct: sa.Engine,
    session_factory: Factory,
    group: PlanGroup,
    end: Callable[[UnitOfWork], None],
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        used = backend(uow.session.connection())
        end(uow)
    found = of_all_backends(engine, IN_FORCE)
    assert used in found
    assert all(values == as_known(direct, "0", "0", "0") for values in found.values())


def test_a_wait_in_vain_ends_at_its_bound_and_leaves_no_lock_timeout(
    engine: sa.Engine, direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        pid = backend(uow.session.connection())
        impatient = PlanGroupLock(group.tenant_id, group.id, wait=SHORT)
        with pytest.raises(LockTimeoutError) as late:
            elsewhere(lambda: enter(session_factory, impatient))
    assert late.value.holder is not None
    assert late.value.holder.pid == pid
    assert late.value.waited_ms is not None
    assert 100 <= late.value.waited_ms < TIMEOUT * 1000
    found = of_all_backends(engine, IN_FORCE)
    assert all(values == as_known(direct, "0", "0", "0") for values in found.values())


def test_a_lock_timeout_of_the_databases_own_is_what_it_was_after_a_wait(
    direct: sa.Engine, database_url: sa.URL, group: PlanGroup, new_pooler: Callable[..., PgBouncer]
) -> None:
    impatient = PlanGroupLock(group.tenant_id, group.id, wait=SHORT)
    with direct.begin() as connection:
        connection.exec_driver_sql(
            f"ALTER DATABASE {database_url.database} SET lock_timeout = 7000"
        )
    with (
        clients(new_pooler(pool_size=2), database_url) as engine,
        UnitOfWork(sessionmaker(engine), lock=PlanGroupLock(group.tenant_id, group.id)),
    ):
        with pytest.raises(LockTimeoutError):
            elsewhere(lambda: enter(sessionmaker(engine), impatient))
        with engine.connect() as next_client:
            assert next_client.scalar(sa.text("SHOW lock_timeout")) == "7s"


def test_the_server_ends_a_unit_of_work_that_stalls_and_the_pool_recovers(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    stalling = PlanGroupLock(group.tenant_id, group.id, limits=Limits(idle=SHORT))
    with UnitOfWork(session_factory, lock=stalling) as uow:
        assert_lock_free(direct, group.id, seconds=TIMEOUT)
        with pytest.raises(DBAPIError):
            uow.groups.get(group.id)
    assert generate(session_factory, group).generation == 1


def test_a_server_that_knows_the_limit_ends_a_unit_of_work_that_lasts_too_long(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    lasting = PlanGroupLock(group.tenant_id, group.id, limits=Limits(transaction=SHORT))
    with UnitOfWork(session_factory, lock=lasting) as uow:
        if not knows_transaction_timeout(direct):
            assert_lock_held(direct, group.id)
            return
        assert_lock_free(direct, group.id, seconds=TIMEOUT)
        with pytest.raises(DBAPIError):
            uow.groups.get(group.id)
    assert generate(session_factory, group).generation == 1


def test_a_setting_of_a_session_binds_whoever_gets_its_backend_next(
    database_url: sa.URL, new_pooler: Callable[..., PgBouncer]
) -> None:
    with clients(new_pooler(pool_size=1), database_url) as engine, engine.connect() as one:
        one.exec_driver_sql("SET lock_timeout = 1234")
        one.commit()
        with engine.connect() as other:
            assert other.scalar(sa.text("SHOW lock_timeout")) == "1234ms"
