"""The settings of a unit of work only apply to its transaction, not to the shared backend."""

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
from tests.concurrency.overlapping import in_another_thread
from tests.integration.storing import enter, generate
from tests.pooler.pgbouncer import PgBouncer, backend, clients, value_per_backend

Factory = sessionmaker[Session]
SETTINGS = ("lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
# Null for a setting that the server does not know: transaction_timeout is new in PostgreSQL 17.
IN_FORCE = "ARRAY[" + ", ".join(f"current_setting('{name}', true)" for name in SETTINGS) + "]"
SHORT = timedelta(milliseconds=100)


def has_transaction_timeout(direct: sa.Engine) -> bool:
    with direct.connect() as connection:
        version = connection.dialect.server_version_info
    return version is not None and version >= (17,)


def expected_settings(direct: sa.Engine, *values: str) -> list[str | None]:
    return [*values[:2], values[2] if has_transaction_timeout(direct) else None]


def test_limits_are_in_force_inside_the_unit_of_work(
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
    assert found == expected_settings(direct, "33s", "11s", "22s")


@pytest.mark.parametrize("end", [UnitOfWork.commit, UnitOfWork.rollback])
def test_limits_do_not_affect_the_next_client_of_the_backend(
    engine: sa.Engine,
    direct: sa.Engine,
    session_factory: Factory,
    group: PlanGroup,
    end: Callable[[UnitOfWork], None],
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        used = backend(uow.session.connection())
        end(uow)
    found = value_per_backend(engine, IN_FORCE)
    assert used in found
    assert all(values == expected_settings(direct, "0", "0", "0") for values in found.values())


def test_wait_that_times_out_ends_at_its_bound_and_leaves_no_lock_timeout(
    engine: sa.Engine, direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        pid = backend(uow.session.connection())
        impatient = PlanGroupLock(group.tenant_id, group.id, wait=SHORT)
        with pytest.raises(LockTimeoutError) as late:
            in_another_thread(lambda: enter(session_factory, impatient))
    assert late.value.holder is not None
    assert late.value.holder.pid == pid
    assert late.value.waited_ms is not None
    assert 100 <= late.value.waited_ms < TIMEOUT * 1000
    found = value_per_backend(engine, IN_FORCE)
    assert all(values == expected_settings(direct, "0", "0", "0") for values in found.values())


def test_lock_timeout_of_the_database_is_restored_after_a_wait(
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
            in_another_thread(lambda: enter(sessionmaker(engine), impatient))
        with engine.connect() as next_client:
            assert next_client.scalar(sa.text("SHOW lock_timeout")) == "7s"


def test_idle_unit_of_work_is_terminated_by_the_server_and_the_pool_recovers(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    stalling = PlanGroupLock(group.tenant_id, group.id, limits=Limits(idle=SHORT))
    with UnitOfWork(session_factory, lock=stalling) as uow:
        assert_lock_free(direct, group.id, seconds=TIMEOUT)
        with pytest.raises(DBAPIError):
            uow.groups.get(group.id)
    assert generate(session_factory, group).generation == 1


def test_unit_of_work_that_exceeds_the_transaction_limit_is_terminated_by_the_server(
    direct: sa.Engine, session_factory: Factory, group: PlanGroup
) -> None:
    lasting = PlanGroupLock(group.tenant_id, group.id, limits=Limits(transaction=SHORT))
    with UnitOfWork(session_factory, lock=lasting) as uow:
        if not has_transaction_timeout(direct):
            assert_lock_held(direct, group.id)
            return
        assert_lock_free(direct, group.id, seconds=TIMEOUT)
        with pytest.raises(DBAPIError):
            uow.groups.get(group.id)
    assert generate(session_factory, group).generation == 1


def test_session_setting_affects_the_next_client_of_the_backend(
    database_url: sa.URL, new_pooler: Callable[..., PgBouncer]
) -> None:
    with clients(new_pooler(pool_size=1), database_url) as engine, engine.connect() as one:
        one.exec_driver_sql("SET lock_timeout = 1234")
        one.commit()
        with engine.connect() as other:
            assert other.scalar(sa.text("SHOW lock_timeout")) == "1234ms"
