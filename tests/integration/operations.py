"""Every operation of the package, none of which commits a change, and which of them fail."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from domain import PlanGenerationService, PlanGroupLock, PlanGroupService, UnitOfWork, lock_status
from domain.documents import read_json
from domain.errors import SchemaError
from domain.locking.status import functions_version, keys_in_sql
from domain.repositories import (
    HistoryRepository,
    PlanGroupRepository,
    StudentPlanRepository,
    StudentTimeRepository,
)
from domain.repositories.undo import UndoRepository
from domain.scheduling.difference import PlanChanges
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request
from domain.services import GroupEditService, preview_plans
from domain.services.writing import flush
from tests.factories import PlanGroupFactory, lecture
from tests.integration.editing import CALLS, Factory, World, lock_of
from tests.integration.storing import FIRST, changed
from tests.unit.documents.documents import EXAMPLE

Operation = Callable[[Factory, World], object]


def generate(factory: Factory, world: World) -> None:
    with UnitOfWork(factory, lock=world.lock) as uow:
        PlanGenerationService(uow).generate(today=FIRST, idempotency_key="a key")
        uow.rollback()


def store_group(factory: Factory, world: World) -> None:
    group = PlanGroupFactory.build(tenant_id=world.tenant_id, contents=[lecture(0, [30, 40])])
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.groups.add(group)
        flush(uow)
        uow.rollback()


def create(factory: Factory, world: World) -> None:
    with UnitOfWork(factory, lock=PlanGroupLock(world.tenant_id, uuid4())) as uow:
        PlanGroupService(uow).create(read_json(EXAMPLE), student_id=uuid4())
        uow.rollback()


def commit(factory: Factory, world: World) -> None:
    with UnitOfWork(factory, lock=world.lock) as uow:
        uow.commit()


def read(factory: Factory, world: World) -> None:
    tenant_id, group_id = world.tenant_id, world.group.id
    with factory() as session:
        groups = PlanGroupRepository(session, tenant_id)
        plans = StudentPlanRepository(session, tenant_id)
        groups.get(group_id)
        groups.generations(group_id)
        groups.of_student(world.group.student_id)
        plans.live(group_id)
        plans.of_generation(group_id, 1)
        plans.views(FIRST, FIRST, group_id=group_id)
        groups.page(after=groups.page(limit=1).next_page)
        plans.of_student(world.group.student_id, FIRST, FIRST)
        plans.get_all(group_id, [plan.id for plan in world.plans])
        plans.progress(group_id)
        plans.studied_units(group_id, [world.planned.id])
        StudentTimeRepository(session, tenant_id).exclusions(world.group.student_id)
        StudentTimeRepository(session, tenant_id).academy_schedules(world.group.student_id)


def read_history(factory: Factory, world: World) -> None:
    with factory() as session:
        history = HistoryRepository(session, world.tenant_id)
        history.runs(world.group.id, limit=1, before=2)
        history.as_of(world.group.id, 1)
        undo = UndoRepository(session, world.tenant_id)
        undo.last_undo(world.group.id)
        run = undo.last_run(world.group.id)
        assert run.record is not None
        undo.undone_plans(run.fence, run.record)


def remove_history(factory: Factory, world: World) -> None:
    """Undo the generation, generate again, and remove the records of the first two runs."""
    with UnitOfWork(factory, lock=world.lock) as uow:
        CALLS["UndoService.undo"](uow, world, 1)
        PlanGenerationService(uow).generate(today=FIRST)
        history = HistoryRepository(uow.session, uow.tenant_id)
        history.close(world.group.id)
        removed = history.remove_retired_plans(world.group.id, limit=1000)
        assert removed == len(world.plans)
        assert history.remove_closed_runs(world.group.id) == 2
        uow.rollback()


def generate_again(factory: Factory, world: World) -> None:
    """Write a run that retires, recounts and inserts plans."""

    def compute(request: Request) -> Schedule:
        return changed(schedule(replace(request, contents=request.contents[:1])))

    with UnitOfWork(factory, lock=world.lock) as uow:
        result = PlanGenerationService(uow, compute=compute).generate(today=FIRST)
        assert result.changes == PlanChanges(len(world.plans) - 2, moved=1, new=0, dropped=1)
        uow.rollback()


def preview(factory: Factory, world: World) -> None:
    with factory() as session:
        preview_plans(session, tenant_id=world.tenant_id, group_id=world.group.id, today=FIRST)


def read_lock_status(factory: Factory, world: World) -> None:
    with factory() as session:
        lock_status(session, world.group.tenant_id, world.group.id)


def read_functions_version(factory: Factory, _: World) -> None:
    with factory() as session:
        functions_version(session.connection())


def compute_keys(factory: Factory, world: World) -> None:
    with factory() as session:
        keys_in_sql(session.connection(), world.tenant_id, world.group.id)


def edit(name: str) -> Operation:
    def call(factory: Factory, world: World) -> None:
        with UnitOfWork(factory, lock=lock_of(name, world)) as uow:
            CALLS[name](uow, world, 1)
            uow.rollback()

    return call


def replace_episodes(factory: Factory, world: World) -> None:
    """Replace the episodes of units that already have a row, which is updated."""
    with UnitOfWork(factory, lock=world.lock) as uow:
        GroupEditService(uow).change_content(
            content_id=world.unplanned.id,
            expected_version=1,
            first_unit=1,
            last_unit=3,
            episodes=[31, 32, 33],
        )
        uow.rollback()


def choose_day_shifts(factory: Factory, world: World) -> None:
    """Store the shift of a strategy content, and clear it for a cycle that is too short for it."""

    def compute(request: Request) -> Schedule:
        return replace(schedule(request), day_shifts={0: 5})

    fields: dict[str, Any] = {"allocation": "strategy", "weekly_days": 2}
    with UnitOfWork(factory, lock=world.lock) as uow:
        service = GroupEditService(uow)
        service.change_content(content_id=world.planned.id, expected_version=1, **fields)
        PlanGenerationService(uow, compute=compute).generate(today=FIRST)
        service.change_settings(expected_version=1, study_days=2)
        uow.rollback()


OPERATIONS: dict[str, Operation] = {
    "generate": generate,
    "store a group": store_group,
    "create a group": create,
    "commit": commit,
    "read": read,
    "read the history": read_history,
    "remove the history": remove_history,
    "generate again": generate_again,
    "preview": preview,
    "lock_status": read_lock_status,
    "functions_version": read_functions_version,
    "keys_in_sql": compute_keys,
    "replace episodes": replace_episodes,
    "choose day shifts": choose_day_shifts,
    **{name: edit(name) for name in CALLS},
}


def refusals(factory: Factory, world: World) -> dict[str, str]:
    """Return the operations that raise SchemaError, with its text; other errors propagate."""
    found = {}
    for name, operation in OPERATIONS.items():
        try:
            operation(factory, world)
        except SchemaError as error:
            found[name] = str(error)
    return found
