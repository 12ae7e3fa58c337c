"""Every statement of the package filters each of its tables by the tenant, as a value.

The tests use PostgreSQL's parser. Citus sends such a statement to one node; on every server such
a statement cannot read or change rows of another tenant.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeAlias
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from domain import (
    AsyncUnitOfWork,
    GroupStatus,
    PlanGenerationService,
    PlanGroupLock,
    PlanGroupLockedError,
    PlanState,
    StudentLock,
    UnitOfWork,
    generate_plans,
    generate_plans_async,
)
from domain.scheduling.types import ExclusionType
from domain.services import (
    GroupStateService,
    PlanGroupService,
    PlanProgressService,
    StudentTimeService,
    activate,
    activate_async,
)
from domain.services.removal import remove_history, remove_student, remove_tenant
from tests.factories import PlanGroupFactory, lecture
from tests.integration.asking import acquire
from tests.integration.editing import CALLS, Factory, World
from tests.integration.operations import OPERATIONS
from tests.integration.statements import Statement, engine_at, recorded, violations
from tests.integration.storing import FIRST, stored_group

AsyncFactory: TypeAlias = async_sessionmaker[AsyncSession]
Lock: TypeAlias = PlanGroupLock | StudentLock
CANCELLED: Final = GroupStatus.CANCELLED
# They check the functions' version and the derivation of keys at start-up, without any row or lock.
WITHOUT_A_TENANT = {"functions_version", "keys_in_sql"}
LOCK_CALLS = ("studyplan.acquire_", "studyplan.require_", "studyplan.check_", "xact_id")

each_number_of_nodes = pytest.mark.parametrize(
    "nodes", [False, True], ids=["one node", "several nodes"]
)


@pytest.fixture
def sent() -> list[Statement]:
    return []


def url_of(database_url: sa.URL, nodes: bool) -> sa.URL:
    """Return the URL; with ``nodes``, a setting of Citus says that there may be several nodes."""
    options = {"options": "-c citus.shard_count=32"} if nodes else {}
    return database_url.update_query_dict(options)


@pytest.fixture
def recording(
    database_url: sa.URL, world: World, nodes: bool, sent: list[Statement]
) -> Iterator[Factory]:
    """Return a session factory whose statements are recorded; the world is already stored."""
    with recorded(sent) as connect_args:
        engine = engine_at(url_of(database_url, nodes), connect_args())
        factory = sessionmaker(engine)
        acquire_first_lock(factory)
        sent.clear()
        yield factory
        engine.dispose()


def acquire_first_lock(factory: Factory) -> None:
    """Acquire the first lock of a pool, from which the package learns whether there are nodes."""
    with UnitOfWork(factory, lock=PlanGroupLock(uuid4(), uuid4())):
        pass


def assert_all_filtered(sent: list[Statement], tenant_id: UUID, *, nodes: bool) -> None:
    assert sent
    found = {
        statement.text: wrong for statement in sent if (wrong := violations(statement, tenant_id))
    }
    assert found == {}
    if nodes:
        unrouted = [
            statement.text
            for statement in sent
            if any(name in statement.text for name in LOCK_CALLS)
            and "FROM studyplan.plan_groups" not in statement.text
        ]
        assert unrouted == []


@each_number_of_nodes
@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - WITHOUT_A_TENANT))
def test_operation_filters_every_table_by_the_tenant(
    recording: Factory, world: World, sent: list[Statement], name: str, nodes: bool
) -> None:
    OPERATIONS[name](recording, world)
    assert_all_filtered(sent, world.tenant_id, nodes=nodes)


@each_number_of_nodes
def test_committed_flow_filters_every_table_by_the_tenant(
    recording: Factory, world: World, sent: list[Statement], nodes: bool
) -> None:
    tenant_id = world.tenant_id
    group = PlanGroupFactory.build(
        tenant_id=tenant_id, student_id=world.group.student_id, contents=[lecture(0, [30, None])]
    )
    lock = PlanGroupLock(tenant_id, group.id)
    with UnitOfWork(recording, lock=lock) as uow:
        uow.groups.add(group)
        uow.commit()
    first = generate_plans(recording, lock, today=FIRST, idempotency_key="the key")
    assert generate_plans(recording, lock, today=FIRST, idempotency_key="the key") == first
    with UnitOfWork(recording, lock=replace(lock, shared=True)) as uow:
        mark_first(uow)
        uow.commit()
    activate(recording, tenant_id=tenant_id, group_id=lock.group_id)
    changed = activate(recording, tenant_id=tenant_id, group_id=world.group.id)
    assert changed.paused_group_id == lock.group_id
    both = PlanGroupLock.of(tenant_id, [lock.group_id, world.group.id])
    with UnitOfWork(recording, lock=both) as uow:
        PlanGenerationService(uow).generate(today=FIRST, group_id=world.group.id)
        uow.commit()
    with UnitOfWork(recording, lock=lock) as uow:
        version = uow.groups.get(lock.group_id).version
        PlanGroupService(uow).delete(expected_version=version)
        uow.commit()
    assert_all_filtered(sent, tenant_id, nodes=nodes)


@each_number_of_nodes
def test_refusal_filters_every_table_by_the_tenant(
    connection: sa.Connection, recording: Factory, world: World, sent: list[Statement], nodes: bool
) -> None:
    acquire(connection, world.group.id)
    with pytest.raises(PlanGroupLockedError), UnitOfWork(recording, lock=world.lock):
        pass
    assert_all_filtered(sent, world.tenant_id, nodes=nodes)


@each_number_of_nodes
def test_removal_filters_every_table_by_the_tenant(
    recording: Factory, world: World, sent: list[Statement], nodes: bool
) -> None:
    tenant_id = world.tenant_id
    for name in ("UndoService.undo", "GroupTimeService.add_exclusion"):
        with UnitOfWork(recording, lock=world.lock) as uow:
            CALLS[name](uow, world, 1)
            uow.commit()
    removed = remove_history(recording, tenant_id=tenant_id, before=datetime.now(UTC))
    assert (removed.plans, removed.runs) == (len(world.plans), 0)
    removed = remove_student(recording, tenant_id=tenant_id, student_id=world.group.student_id)
    assert removed.groups == 1
    stored_group(recording, tenant_id=tenant_id)
    assert remove_tenant(recording, tenant_id=tenant_id).groups == 1
    assert_all_filtered(sent, tenant_id, nodes=nodes)


@each_number_of_nodes
def test_async_flow_filters_every_table_by_the_tenant(
    database_url: sa.URL, world: World, sent: list[Statement], nodes: bool
) -> None:
    tenant_id = world.tenant_id
    group = PlanGroupFactory.build(
        tenant_id=tenant_id, student_id=world.group.student_id, contents=[lecture(0, [30, None])]
    )
    lock = PlanGroupLock(tenant_id, group.id)

    async def run(factory: AsyncFactory, lock: Lock, work: Callable[[UnitOfWork], object]) -> None:
        async with AsyncUnitOfWork(factory, lock=lock) as uow:
            await uow.run(work)
            await uow.commit()

    async def main() -> None:
        engine = create_async_engine(
            url_of(database_url, nodes), connect_args=connect_args(is_async=True)
        )
        factory = async_sessionmaker(engine)
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(uuid4(), uuid4())):
            pass
        sent.clear()
        await run(factory, lock, lambda uow: uow.groups.add(group))
        for _ in range(2):
            await generate_plans_async(factory, lock, today=FIRST, idempotency_key="tasks")
        await run(factory, replace(lock, shared=True), mark_first)
        await activate_async(factory, tenant_id=tenant_id, group_id=lock.group_id)
        await run(factory, lock, lambda uow: GroupStateService(uow).change(to=CANCELLED))
        await run(factory, lock, lambda uow: PlanGroupService(uow).delete(expected_version=3))
        await run(factory, world.student_lock, exclude_first)
        await engine.dispose()

    with recorded(sent) as connect_args:
        asyncio.run(main())
    assert_all_filtered(sent, tenant_id, nodes=nodes)


def mark_first(uow: UnitOfWork) -> object:
    (group_id,) = uow.lock.group_ids
    plan = uow.plans.live(group_id)[0]
    return PlanProgressService(uow).mark(
        plan_id=plan.id, expected_version=plan.version, state=PlanState.DONE
    )


def exclude_first(uow: UnitOfWork) -> object:
    return StudentTimeService(uow).add_exclusion(date=FIRST, type=ExclusionType.VACATION)


WRONG = {
    "SELECT FROM studyplan.plan_groups WHERE id = '{id}'": "not filtered",
    "SELECT FROM studyplan.plan_groups g WHERE g.tenant_id = '{other}'": "not filtered",
    "SELECT FROM studyplan.plan_groups g, studyplan.contents c "
    "WHERE g.tenant_id = '{tenant}' AND c.tenant_id = g.tenant_id": "contents is not filtered",
    "SELECT (SELECT pg_catalog.count(*) FROM studyplan.blocks) FROM studyplan.plan_groups "
    "WHERE tenant_id = '{tenant}'": "blocks is not filtered",
    "SELECT FROM studyplan.blocks WHERE tenant_id = '{tenant}' OR id = '{id}'": "not filtered",
    "UPDATE studyplan.blocks SET weekday = 1 WHERE id = '{id}'": "not filtered",
    "DELETE FROM studyplan.blocks": "not filtered",
    "INSERT INTO studyplan.blocks (id) VALUES ('{id}')": "written without tenant_id",
    "COPY studyplan.student_plans (id) FROM STDIN": "written without tenant_id",
    "SELECT FROM plan_groups WHERE tenant_id = '{tenant}'": "not named with its schema",
    "SELECT acquire_plan_group_lock('{id}')": "not named with its schema",
}


@pytest.mark.parametrize("text", WRONG)
def test_violations_reports_a_missing_tenant_or_schema(text: str) -> None:
    tenant_id = uuid4()
    statement = Statement(text.format(tenant=tenant_id, other=uuid4(), id=uuid4()))
    assert any(WRONG[text] in found for found in violations(statement, tenant_id))


def test_violations_accepts_a_statement_that_filters_every_table_by_the_tenant() -> None:
    tenant_id = uuid4()
    text = (
        "WITH raised AS "
        "(UPDATE studyplan.plan_groups SET name = '' WHERE tenant_id = $1 RETURNING id) "
        "SELECT pg_catalog.count(*) FROM raised, studyplan.contents c "
        "LEFT JOIN studyplan.blocks b ON b.tenant_id = $1 AND (c.tenant_id, c.id) IN (($1, $2))"
    )
    assert violations(Statement(text, [tenant_id, uuid4()]), tenant_id) == []
