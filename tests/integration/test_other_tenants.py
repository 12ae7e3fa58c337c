"""Requests with another tenant's ids write nothing, and disclose neither its rows nor its locks."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from domain import (
    PlanGroupLock,
    PlanGroupLockedError,
    StudentLock,
    UnitOfWork,
    generate_plans,
    lock_status,
)
from domain.errors import LockError, PlanGroupNotFoundError
from domain.events import LockEvent, subscribe
from domain.services import activate, preview_plans
from domain.services.removal import remove_history
from tests.factories import PlanGroupFactory
from tests.integration.asking import acquire
from tests.integration.editing import Factory, World, everything, unknown_tenant_id
from tests.integration.storing import FIRST, enter, generate, stored_group

SHORT = timedelta(milliseconds=20)
NOW = datetime.now(UTC)
APPLICATION = "the other tenant's application"


@pytest.fixture
def busy(database_url: sa.URL, world: World) -> Iterator[int]:
    """Hold the world's lock for its tenant; the value is the process ID of the holder."""
    engine = sa.create_engine(database_url, connect_args={"application_name": APPLICATION})
    with engine.connect() as connection:
        acquire(connection, world.group.id)
        yield int(connection.scalar(sa.select(sa.func.pg_backend_pid())) or 0)
    engine.dispose()


@pytest.fixture
def events() -> Iterator[list[Any]]:
    events: list[Any] = []
    unsubscribe = subscribe(events.append)
    yield events
    unsubscribe()


Request = Callable[[Factory, UUID, World], object]


def read_status(factory: Factory, tenant_id: UUID, world: World) -> object:
    with factory() as session:
        return lock_status(session, tenant_id, world.group.id)


def preview(factory: Factory, tenant_id: UUID, world: World) -> object:
    with factory() as session:
        return preview_plans(session, tenant_id=tenant_id, group_id=world.group.id, today=FIRST)


REQUESTS: dict[str, Request] = {
    "generate": lambda factory, tenant, world: generate_plans(
        factory, PlanGroupLock(tenant, world.group.id), today=FIRST
    ),
    "generate, waiting": lambda factory, tenant, world: generate_plans(
        factory, PlanGroupLock(tenant, world.group.id, wait=SHORT), today=FIRST
    ),
    "generate by a key of the tenant": lambda factory, tenant, world: generate_plans(
        factory, PlanGroupLock(tenant, world.group.id), today=FIRST, idempotency_key="key"
    ),
    "mark": lambda factory, tenant, world: enter(
        factory, PlanGroupLock(tenant, world.group.id, wait=SHORT, shared=True)
    ),
    "activate": lambda factory, tenant, world: activate(
        factory, tenant_id=tenant, group_id=world.group.id
    ),
    "lock_status": read_status,
    "preview": preview,
    "remove the history": lambda factory, tenant, world: remove_history(
        factory, tenant_id=tenant, before=NOW, group_id=world.group.id, wait=SHORT
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_busy_group_of_another_tenant_is_not_found_and_its_holder_is_not_disclosed(
    session_factory: Factory, world: World, busy: int, events: list[Any], name: str
) -> None:
    before = everything(session_factory)
    with pytest.raises(PlanGroupNotFoundError) as refused:
        REQUESTS[name](session_factory, unknown_tenant_id(), world)
    assert refused.value.group_id == world.group.id
    assert refused.value.http_status == 404
    reported = repr(refused.value) + repr(vars(refused.value)) + repr(events)
    assert str(busy) not in reported
    assert APPLICATION not in reported
    assert everything(session_factory) == before


@pytest.mark.parametrize("name", sorted(REQUESTS.keys() - {"mark"}))
def test_idle_group_of_another_tenant_is_not_found(
    session_factory: Factory, world: World, name: str
) -> None:
    before = everything(session_factory)
    with pytest.raises(PlanGroupNotFoundError) as refused:
        REQUESTS[name](session_factory, unknown_tenant_id(), world)
    assert refused.value.to_problem()["group_id"] == str(world.group.id)
    assert everything(session_factory) == before


def test_holder_of_the_lock_is_reported_to_the_tenant_of_the_group(
    session_factory: Factory, world: World, busy: int
) -> None:
    with pytest.raises(PlanGroupLockedError) as refused:
        enter(session_factory, world.lock)
    assert refused.value.holder is not None
    assert (refused.value.holder.pid, refused.value.holder.application_name) == (busy, APPLICATION)


@pytest.mark.parametrize("wait", [timedelta(0), SHORT])
def test_problem_document_names_no_process_and_no_application(
    session_factory: Factory, world: World, busy: int, wait: timedelta
) -> None:
    lock = PlanGroupLock(world.tenant_id, world.group.id, wait=wait)
    with pytest.raises(LockError) as refused:
        enter(session_factory, lock)
    for language in ("ko", "en"):
        text = json.dumps(refused.value.to_problem(language), ensure_ascii=False)
        assert "holder" not in text
        assert APPLICATION not in text
        assert str(busy) not in text.replace(str(world.group.id), "")
    assert refused.value.holder is not None
    assert refused.value.holder.pid == busy


def test_lock_of_several_groups_reports_a_busy_group_of_another_tenant_as_not_found(
    session_factory: Factory, world: World, busy: int
) -> None:
    own = stored_group(session_factory, tenant_id=unknown_tenant_id())
    with pytest.raises(PlanGroupNotFoundError) as refused:
        enter(session_factory, PlanGroupLock.of(own.tenant_id, [own.id, world.group.id]))
    assert refused.value.group_id == world.group.id


def test_lock_of_a_group_whose_creation_is_not_committed_raises_not_found(
    session_factory: Factory, events: list[Any]
) -> None:
    group = PlanGroupFactory.build()
    lock = PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(session_factory, lock=lock) as uow:
        uow.groups.add(group)
        uow.session.flush()
        with pytest.raises(PlanGroupNotFoundError):
            _in_another_thread(lambda: enter(session_factory, lock))
        uow.commit()
    (refused,) = [event for event in events if isinstance(event, LockEvent) and event.error_type]
    assert (refused.outcome, refused.error_type) == ("busy", "plan_group_not_found")
    assert refused.holder is None


def test_groups_of_two_tenants_may_have_the_same_id_and_exclude_each_other(
    session_factory: Factory,
) -> None:
    one = stored_group(session_factory)
    other = stored_group(session_factory, id=one.id)
    assert generate(session_factory, one).generation == 1
    assert generate(session_factory, other).generation == 1
    with UnitOfWork(session_factory, lock=PlanGroupLock(one.tenant_id, one.id)) as uow:
        assert [group.tenant_id for group in uow.groups.of_student(one.student_id)] == [
            one.tenant_id
        ]
        with pytest.raises(PlanGroupLockedError):
            _in_another_thread(lambda: generate(session_factory, other))


def test_students_of_two_tenants_that_share_an_id_do_not_exclude_each_other(
    session_factory: Factory,
) -> None:
    student_id = uuid4()
    one, other = (stored_group(session_factory, student_id=student_id) for _ in range(2))
    with UnitOfWork(session_factory, lock=StudentLock(one.tenant_id, student_id)):
        assert generate(session_factory, other).generation == 1
        with pytest.raises(PlanGroupLockedError):
            _in_another_thread(lambda: generate(session_factory, one))


def test_students_of_two_tenants_that_share_an_id_have_two_locks_in_one_request(
    session_factory: Factory,
) -> None:
    student_id = uuid4()
    locks = [StudentLock(uuid4(), student_id) for _ in range(2)]
    with UnitOfWork(session_factory, lock=locks[0]):
        enter(session_factory, locks[1])


def _in_another_thread(call: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(20)
