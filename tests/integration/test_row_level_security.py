"""The package works for an application role under row-level security."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from domain import (
    AsyncUnitOfWork,
    GenerationResult,
    GroupStatus,
    PlanGenerationService,
    PlanGroup,
    PlanGroupLock,
    UnitOfWork,
    generate_plans,
    generate_plans_async,
    lock_status,
)
from domain.errors import (
    ContentNotFoundError,
    GeneratedMeanwhileError,
    NotFoundError,
    PlanGroupNotFoundError,
    StudentPlansOverlapError,
)
from domain.repositories import StudentPlanRepository
from domain.services import activate, activate_async
from tests.factories import ContentFactory, PlanGroupFactory, lecture
from tests.integration.editing import CALLS, World, each_call, everything, lock_of, new_world
from tests.integration.storing import FIRST, live, plans
from tests.integration.tenants import CLAIMS, Tenants, claims, tenants

STUDENT_ADDITIONS = {"StudentTimeService.add_class", "StudentTimeService.add_exclusion"}
each_api = pytest.mark.parametrize("api", ["sync", "async"])


@pytest.fixture(scope="module")
def secured(engine: sa.Engine) -> Iterator[Tenants]:
    with tenants(
        engine, f"studyplan_app_{os.getpid()}", f"studyplan_owner_{os.getpid()}"
    ) as created:
        yield created


@pytest.fixture
def world(secured: Tenants) -> World:
    return new_world(secured.everything)


def new_group(**fields: Any) -> PlanGroup:
    contents = [lecture(0, [30, None, 45]), ContentFactory.build(position=1)]
    return PlanGroupFactory.build(contents=contents, **fields)


def write(
    secured: Tenants,
    api: str,
    world: World,
    name: str,
    tenant_id: UUID,
    *,
    claimed: UUID | None = None,
) -> None:
    """Call a service's method and commit; the role claims ``claimed`` or the tenant of the lock."""
    claimed = claimed or tenant_id
    lock, work = replace(lock_of(name, world), tenant_id=tenant_id), CALLS[name]

    async def main() -> None:
        engine = create_async_engine(secured.url(claimed), poolclass=sa.NullPool)
        async with AsyncUnitOfWork(async_sessionmaker(engine), lock=lock) as uow:
            await uow.run(work, world, 1)
            await uow.commit()

    if api == "async":
        asyncio.run(main())
        return
    with secured.factory(claimed) as factory, UnitOfWork(factory, lock=lock) as uow:
        work(uow, world, 1)
        uow.commit()


def generate(
    secured: Tenants, api: str, group: PlanGroup, key: str | None = None, today: date = FIRST
) -> GenerationResult:
    options: dict[str, Any] = {"today": today, "idempotency_key": key}
    lock = PlanGroupLock(group.tenant_id, group.id)

    async def main() -> GenerationResult:
        engine = create_async_engine(secured.url(group.tenant_id), poolclass=sa.NullPool)
        return await generate_plans_async(async_sessionmaker(engine), lock, **options)

    if api == "async":
        return asyncio.run(main())
    with secured.factory(group.tenant_id) as factory:
        return generate_plans(factory, lock, **options)


def store(secured: Tenants, group: PlanGroup, role: str = "") -> None:
    with (
        secured.factory(group.tenant_id, role) as factory,
        UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow,
    ):
        uow.session.expire_on_commit = False
        uow.groups.add(group)
        uow.commit()


@each_api
def test_group_is_stored_generated_repeated_and_generated_again(secured: Tenants, api: str) -> None:
    group = new_group()
    store(secured, group)
    first = generate(secured, api, group, "key")
    again = generate(secured, api, group, "key")
    assert again.repeated
    assert again.plan_ids == first.plan_ids
    assert [row.id for row in live(secured.everything, group)] == list(first.plan_ids)
    second = generate(secured, api, group)
    assert second.generation == 2
    assert [row.id for row in live(secured.everything, group)] == list(second.plan_ids)


@each_api
def test_plans_equal_those_that_an_unrestricted_role_writes(secured: Tenants, api: str) -> None:
    written = []
    for unrestricted in (False, True):
        group = new_group()
        store(secured, group)
        if unrestricted:
            lock = PlanGroupLock(group.tenant_id, group.id)
            generate_plans(secured.everything, lock, today=FIRST)
        else:
            generate(secured, api, group)
        position = {content.id: content.position for content in group.contents}
        ids = {"id", "tenant_id", "student_id", "group_id", "content_id", "lineage"}
        written.append(
            [
                [position[row.content_id]]
                + [getattr(row, name) for name in row.__table__.columns.keys() if name not in ids]  # noqa: SIM118 - iteration yields columns
                for row in plans(secured.everything, group)
            ]
        )
    assert written[0] == written[1]
    assert written[0]


@each_api
@each_call
def test_service_writes_the_tenants_rows(
    secured: Tenants, world: World, api: str, name: str
) -> None:
    before = everything(secured.everything)
    write(secured, api, world, name, world.tenant_id)
    assert everything(secured.everything) != before


# Adding a row of a student does not look for another row: it belongs to the tenant of the lock.
@pytest.mark.parametrize("name", [name for name in CALLS if name not in STUDENT_ADDITIONS])
def test_service_does_not_find_another_tenants_rows(
    secured: Tenants, world: World, name: str
) -> None:
    before = everything(secured.everything)
    with pytest.raises(NotFoundError):
        write(secured, "sync", world, name, uuid4())
    assert everything(secured.everything) == before


@each_call
def test_claims_of_another_tenant_hide_the_rows_of_the_named_tenant(
    secured: Tenants, world: World, name: str
) -> None:
    """The policies protect the rows even if the application passes another user's tenant."""
    before = everything(secured.everything)
    with pytest.raises((NotFoundError, DBAPIError)) as refused:
        write(secured, "sync", world, name, world.tenant_id, claimed=uuid4())
    if isinstance(refused.value, DBAPIError):
        assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)
    assert everything(secured.everything) == before


def test_plans_of_another_tenant_are_neither_read_nor_generated(
    secured: Tenants, world: World
) -> None:
    before = everything(secured.everything)
    with secured.factory(uuid4()) as factory:
        with factory() as session:
            assert StudentPlanRepository(session, world.tenant_id).live(world.group.id) == []
        with pytest.raises(PlanGroupNotFoundError):
            generate_plans(factory, world.lock, today=FIRST)
    assert everything(secured.everything) == before


@each_api
def test_activation_pauses_the_students_other_group(secured: Tenants, api: str) -> None:
    ids = {"tenant_id": uuid4(), "student_id": uuid4()}
    groups = [new_group(**ids), new_group(**ids)]
    for group in groups:
        store(secured, group)

    async def main(group: PlanGroup) -> None:
        engine = create_async_engine(secured.url(group.tenant_id), poolclass=sa.NullPool)
        factory = async_sessionmaker(engine)
        await activate_async(factory, tenant_id=group.tenant_id, group_id=group.id)

    for group in groups:
        if api == "async":
            asyncio.run(main(group))
        else:
            with secured.factory(group.tenant_id) as factory:
                activate(factory, tenant_id=group.tenant_id, group_id=group.id)
    with secured.everything() as session:
        states = [
            session.get_one(PlanGroup, (group.tenant_id, group.id)).status for group in groups
        ]
    assert states == [GroupStatus.PAUSED, GroupStatus.ACTIVE]


def test_lock_status_is_available_to_the_role(secured: Tenants, world: World) -> None:
    with (
        secured.factory(world.tenant_id) as factory,
        UnitOfWork(factory, lock=world.lock) as uow,
        factory() as session,
    ):
        assert lock_status(session, world.tenant_id, world.group.id).held
        assert lock_status(uow.session, world.tenant_id, world.group.id).held_by_me


def test_role_may_be_set_inside_the_block(secured: Tenants, world: World) -> None:
    """``SET LOCAL`` sets the role for this transaction only, as PostgREST does."""
    with UnitOfWork(secured.everything, lock=world.lock) as uow:
        set_role(uow.session, secured.role, world.tenant_id)
        result = PlanGenerationService(uow).generate(today=FIRST)
        uow.commit()
    assert [row.id for row in live(secured.everything, world.group)] == list(result.plan_ids)


def test_hook_restricts_a_session_to_the_rows_of_its_tenant(secured: Tenants, world: World) -> None:
    """The hook runs before the lock is acquired, so the role executes the complete request."""
    factory = secured.everything
    claimed = [world.tenant_id]

    @sa.event.listens_for(factory, "after_begin")
    def set_role_of_tenant(session: Session, _: object, connection: sa.Connection) -> None:
        set_role(connection, secured.role, claimed[0])

    with factory() as session:
        assert len(StudentPlanRepository(session, world.tenant_id).live(world.group.id)) > 1
    result = generate_plans(factory, world.lock, today=FIRST)
    assert result.generation == 2
    assert [row.id for row in live(secured.everything, world.group)] == list(result.plan_ids)
    claimed[0] = uuid4()
    with factory() as session:
        assert StudentPlanRepository(session, world.tenant_id).live(world.group.id) == []
    with pytest.raises(PlanGroupNotFoundError):
        generate_plans(factory, world.lock, today=FIRST)


def test_owner_can_generate_under_forced_policies(secured: Tenants) -> None:
    group = new_group()
    store(secured, group, secured.owner)
    with secured.factory(group.tenant_id, secured.owner) as factory:
        result = generate_plans(factory, PlanGroupLock(group.tenant_id, group.id), today=FIRST)
    assert [row.id for row in live(secured.everything, group)] == list(result.plan_ids)


POLICIES = {
    "studyplan.student_plans AS RESTRICTIVE FOR INSERT WITH CHECK (false)": DBAPIError,
    "studyplan.plan_generations AS RESTRICTIVE FOR INSERT WITH CHECK (false)": DBAPIError,
    "studyplan.plan_groups AS RESTRICTIVE FOR SELECT USING (false)": PlanGroupNotFoundError,
    "studyplan.plan_groups AS RESTRICTIVE FOR UPDATE USING (false)": GeneratedMeanwhileError,
    "studyplan.contents AS RESTRICTIVE FOR SELECT USING (false)": ContentNotFoundError,
    "studyplan.student_plans AS RESTRICTIVE FOR SELECT USING (false)": StudentPlansOverlapError,
    "studyplan.student_plans AS RESTRICTIVE FOR UPDATE USING (false)": GeneratedMeanwhileError,
}


@pytest.mark.parametrize("policy", POLICIES)
@each_api
def test_policy_that_hides_or_refuses_rows_leaves_the_old_plans(
    secured: Tenants, policy: str, api: str
) -> None:
    group = new_group()
    store(secured, group)
    generate(secured, api, group)
    before = everything(secured.everything)
    later = FIRST + timedelta(days=1)
    with secured.policy(policy), pytest.raises(POLICIES[policy]) as refused:
        generate(secured, api, group, today=later)
    assert everything(secured.everything) == before
    if isinstance(refused.value, DBAPIError):
        assert isinstance(refused.value.orig, psycopg.errors.InsufficientPrivilege)
        assert "violates row-level security policy" in str(refused.value)
    assert generate(secured, api, group, today=later).generation == 2


def set_role(executor: Session | sa.Connection, role: str, tenant_id: UUID) -> None:
    """Set the role and the claims of a transaction, as a hook does when it begins."""
    executor.execute(sa.text(f"SET LOCAL ROLE {role}"))
    executor.execute(
        sa.text("SELECT set_config(:name, :claims, true)"),
        {"name": CLAIMS, "claims": claims(tenant_id)},
    )
