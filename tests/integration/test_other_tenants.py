"""Requests with another tenant's ids write nothing, and disclose neither its rows nor its locks."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from domain import (
    DomainError,
    InvalidInputError,
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    StudentLock,
    UnitOfWork,
    generate_plans,
    lock_status,
)
from domain.errors import LockError, LockNotHeldError, PlanGroupNotFoundError
from domain.events import LockEvent, subscribe
from domain.repositories import PlanGroupRepository, StudentPlanRepository, StudentTimeRepository
from domain.services import PlanProgressService, StudentTimeService, activate, preview_plans
from tests.factories import PlanGroupFactory
from tests.integration.asking import acquire
from tests.integration.editing import Factory, World, everything, unknown_tenant_id
from tests.integration.storing import FIRST, enter, generate, stored_group

SHORT = timedelta(milliseconds=20)
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


@pytest.mark.parametrize("name", REQUESTS.keys() - {"mark"})
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


def test_repositories_find_no_rows_of_another_tenant(
    session_factory: Factory, world: World
) -> None:
    tenant_id, group_id = unknown_tenant_id(), world.group.id
    student_id = world.group.student_id
    with session_factory() as session:
        groups = PlanGroupRepository(session, tenant_id)
        plans = StudentPlanRepository(session, tenant_id)
        time = StudentTimeRepository(session, tenant_id)
        for find in (groups.get, groups.get_row, groups.find_other_active, groups.snapshot):
            with pytest.raises(PlanGroupNotFoundError):
                find(group_id)
        with pytest.raises(DomainError):
            plans.get(group_id, world.plans[0].id)
        history = plans.content_history(world.planned.id)
        assert (history.plans, history.first_kept) == (0, None)
        assert [
            *groups.of_student(student_id),
            *groups.generations(group_id),
            *plans.live(group_id),
            *plans.of_generation(group_id, 1),
            *plans.of_student(student_id, FIRST, FIRST + timedelta(days=30)),
            *time.exclusions(student_id),
            *time.exclusions_of_student(student_id),
            *time.exclusions_of_group(group_id),
            *time.academy_schedules(student_id),
        ] == []


@pytest.mark.parametrize(
    "kind", [PlanGroupRepository, StudentPlanRepository, StudentTimeRepository]
)
@pytest.mark.parametrize("tenant_id", [None, "tenant", 1])
def test_repository_with_an_invalid_tenant_id_is_refused(
    session_factory: Factory, kind: Any, tenant_id: Any
) -> None:
    with session_factory() as session, pytest.raises(InvalidInputError) as refused:
        kind(session, tenant_id)
    assert refused.value.field == "tenant_id"


def test_repositories_of_another_tenant_write_nothing_in_a_unit_of_work(
    session_factory: Factory, world: World
) -> None:
    """Holding the lock of the same group ID for another tenant is not sufficient."""
    other = stored_group(session_factory, id=world.group.id)
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(other.tenant_id, other.id)) as uow:
        groups = PlanGroupRepository(uow.session, world.tenant_id)
        plans = StudentPlanRepository(uow.session, world.tenant_id)
        writes: list[Callable[[], object]] = [
            lambda: groups.remove(world.group.id, 1),
            lambda: groups.move_contents(world.group.id, {}),
            lambda: plans.retire_as_cancelled(world.group.id),
        ]
        for write in writes:
            with pytest.raises(LockNotHeldError, match="of tenant"):
                write()
        uow.rollback()
    assert everything(session_factory) == before


def change_name(uow: UnitOfWork, world: World) -> None:
    group = uow.session.get(PlanGroup, (world.tenant_id, world.group.id))
    assert group is not None
    group.name = "another name"


def change_tenant(uow: UnitOfWork, world: World) -> None:
    group = uow.session.get(PlanGroup, (world.tenant_id, world.group.id))
    assert group is not None
    group.tenant_id = uow.tenant_id


def add_row(uow: UnitOfWork, world: World) -> None:
    uow.session.add(PlanGroupFactory.build(tenant_id=world.tenant_id))


def delete_row(uow: UnitOfWork, world: World) -> None:
    group = uow.session.get(PlanGroup, (world.tenant_id, world.group.id))
    uow.session.delete(group)


@pytest.mark.parametrize("write", [change_name, change_tenant, add_row, delete_row])
def test_rows_of_another_tenant_are_not_flushed(
    session_factory: Factory, world: World, write: Callable[[UnitOfWork, World], None]
) -> None:
    own = stored_group(session_factory)
    before = everything(session_factory)
    with UnitOfWork(session_factory, lock=PlanGroupLock(own.tenant_id, own.id)) as uow:
        with uow.session.no_autoflush:
            write(uow, world)
        with pytest.raises(LockNotHeldError, match="another tenant"):
            uow.commit()
    assert everything(session_factory) == before


def test_group_of_another_tenant_is_not_added(session_factory: Factory) -> None:
    group = PlanGroupFactory.build()
    with UnitOfWork(session_factory, lock=PlanGroupLock(unknown_tenant_id(), group.id)) as uow:
        with pytest.raises(InvalidInputError) as refused:
            uow.groups.add(group)
        uow.commit()
    assert refused.value.field == "tenant_id"
    with session_factory() as session:
        assert session.get(PlanGroup, (group.tenant_id, group.id)) is None


def test_student_of_another_tenant_is_not_edited(session_factory: Factory, world: World) -> None:
    before = everything(session_factory)
    with UnitOfWork(
        session_factory, lock=StudentLock(unknown_tenant_id(), world.group.student_id)
    ) as uow:
        with pytest.raises(DomainError):
            StudentTimeService(uow).remove_class(class_id=world.lesson.id, expected_version=1)
        uow.commit()
    assert everything(session_factory) == before


def test_plan_of_another_tenant_is_not_marked(session_factory: Factory, world: World) -> None:
    before = everything(session_factory)
    lock = PlanGroupLock(unknown_tenant_id(), world.group.id, shared=True)
    with UnitOfWork(session_factory, lock=lock) as uow:
        with pytest.raises(DomainError) as refused:
            PlanProgressService(uow).pin(plan_id=world.plans[0].id, expected_version=1)
        uow.commit()
    assert refused.value.http_status == 404
    assert everything(session_factory) == before


def _in_another_thread(call: Callable[[], object]) -> object:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(20)
