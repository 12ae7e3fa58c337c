"""The status of a lock in Python, as far as the role may see it."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import InvalidInputError, PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import LockError, SchemaError
from domain.locking import lock_status
from tests.integration.asking import acquire, backend_pid, locks_held, until_waiting

ROLE = f"studyplan_test_reader_{os.getpid()}"


@pytest.fixture
def restricted(owner_engine: sa.Engine, maintenance: sa.Connection) -> Iterator[sa.Engine]:
    """An engine whose sessions have a new role that may acquire the lock and do nothing else."""
    maintenance.exec_driver_sql(f"CREATE ROLE {ROLE}")
    with owner_engine.begin() as setup:
        setup.exec_driver_sql(f"GRANT USAGE ON SCHEMA studyplan TO {ROLE}")
        setup.exec_driver_sql(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA studyplan TO {ROLE}")
        setup.exec_driver_sql(f"GRANT SELECT ON studyplan.plan_groups TO {ROLE}")
    restricted_engine = sa.create_engine(
        owner_engine.url, connect_args={"options": f"-c role={ROLE}"}
    )
    yield restricted_engine
    restricted_engine.dispose()
    with owner_engine.begin() as setup:
        setup.exec_driver_sql(f"DROP OWNED BY {ROLE}")
    maintenance.exec_driver_sql(f"DROP ROLE {ROLE}")


def test_lock_status_is_the_same_for_a_session_and_a_connection(
    engine: sa.Engine,
    connection: sa.Connection,
    other: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    connection.exec_driver_sql("SET LOCAL application_name = 'first'")
    acquire(connection, group_id)
    with Session(engine) as session:
        by_session = lock_status(session, tenant_id, group_id)
    by_connection = lock_status(other, tenant_id, group_id)
    for status in (by_session, by_connection):
        assert (status.held, status.held_by_me, status.waiting) == (True, False, 0)
        assert status.holder is not None
        assert status.holder.pid == backend_pid(connection)
        assert status.holder.application_name == "first"
        assert status.holder.held_ms is not None
    assert lock_status(connection, tenant_id, group_id).held_by_me


def test_lock_status_of_a_free_lock_has_no_holder_and_acquires_nothing(
    connection: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    status = lock_status(connection, tenant_id, group_id)
    assert (status.held, status.held_by_me, status.holder, status.waiting) == (
        False, False, None, 0,
    )  # fmt: skip
    assert locks_held(connection) == 0
    connection.rollback()
    assert not connection.in_transaction()


def test_lock_status_in_a_unit_of_work_is_held_by_me(
    session_factory: sessionmaker[Session], tenant_id: UUID, group_id: UUID
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, group_id)) as uow:
        assert lock_status(uow.session, tenant_id, group_id).held_by_me
        uow.rollback()


def test_lock_status_of_a_group_not_yet_stored_omits_waiting_requests(
    engine: sa.Engine, connection: sa.Connection, tenant_id: UUID
) -> None:
    """The key is derived from the id only, and another tenant may use the same id."""
    id_ = uuid4()
    acquire(connection, id_)
    with engine.connect() as waiter, engine.connect() as observer, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(acquire, waiter, id_, 20_000)
        until_waiting(observer, id_, 1)
        status = lock_status(connection, tenant_id, id_)
        assert (status.held_by_me, status.waiting) == (True, 0)
        assert status.holder is not None
        assert status.holder.pid == backend_pid(connection)
        connection.rollback()
        assert waiting.result(20).acquired


def test_missing_functions_are_an_error_that_says_what_to_run(
    empty_engine: sa.Engine, tenant_id: UUID, group_id: UUID
) -> None:
    with empty_engine.connect() as connection, pytest.raises(SchemaError, match="domain upgrade"):
        lock_status(connection, tenant_id, group_id)


def test_lock_status_for_a_restricted_role_names_the_process_but_no_time(
    restricted: sa.Engine, connection: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    acquire(connection, group_id)
    with restricted.connect() as requester:
        status = lock_status(requester, tenant_id, group_id)
    assert (status.held, status.held_by_me) == (True, False)
    assert status.holder is not None
    assert status.holder.pid == backend_pid(connection)
    assert (status.holder.since, status.holder.held_ms) == (None, None)


def test_refusal_for_a_restricted_role_names_the_process(
    restricted: sa.Engine, connection: sa.Connection, tenant_id: UUID, group_id: UUID
) -> None:
    acquire(connection, group_id)
    uow = UnitOfWork(sessionmaker(restricted), lock=PlanGroupLock(tenant_id, group_id))
    with pytest.raises(PlanGroupLockedError) as refused, uow:
        pass
    assert (refused.value.http_status, refused.value.retry_after) == (409, 1)
    assert refused.value.holder is not None
    assert refused.value.holder.pid == backend_pid(connection)
    assert refused.value.holder.held_ms is None


@pytest.mark.parametrize("wait", [timedelta(0), timedelta(milliseconds=20)])
def test_retry_after_does_not_depend_on_how_long_the_lock_has_been_held(
    session_factory: sessionmaker[Session],
    connection: sa.Connection,
    tenant_id: UUID,
    group_id: UUID,
    wait: timedelta,
) -> None:
    acquire(connection, group_id)
    connection.exec_driver_sql("SELECT pg_sleep(1.2)")
    uow = UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, group_id, wait=wait))
    with pytest.raises(LockError) as refused, uow:
        pass
    assert refused.value.holder is not None
    assert (refused.value.holder.held_ms or 0) > 1000
    assert refused.value.retry_after == refused.value.to_problem()["retry_after"] == 1


@pytest.mark.parametrize("group_id", [None, "not a uuid"])
def test_invalid_group_id_is_refused_with_the_name_of_the_field(
    connection: sa.Connection, tenant_id: UUID, group_id: Any
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        lock_status(connection, tenant_id, group_id)
    assert refused.value.field == "group_id"
