"""Helpers for requests that overlap in time, for both lock modes, and for the rows they leave."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GenerationResult,
    GroupStatus,
    PlanGroup,
    PlanGroupLock,
    PlanGroupService,
    UnitOfWork,
)
from domain.services import GroupStateService, activate
from domain.services.group_states import StateChange
from domain.testing import contend
from domain.testing.contention import TIMEOUT, Outcomes
from tests.factories import ContentFactory
from tests.integration.storing import generate, stored_group

Factory = sessionmaker[Session]
T = TypeVar("T")
Hold = Callable[[], None]
repeatedly = pytest.mark.usefixtures("repetition")
LONG = timedelta(seconds=TIMEOUT)


def groups_of_one_student(factory: Factory, *statuses: GroupStatus) -> list[PlanGroup]:
    """Store one group per status, all of the same new student."""
    owner = {"tenant_id": uuid4(), "student_id": uuid4()}
    return [stored_group(factory, status=status, **owner) for status in statuses]


def statuses(engine: sa.Engine, groups: list[PlanGroup]) -> list[str]:
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT id, status FROM studyplan.plan_groups")).all()
    by_id: dict[UUID, str] = {row.id: row.status for row in found}
    return [by_id[group.id] for group in groups]


def change(
    factory: Factory,
    group: PlanGroup,
    to: GroupStatus,
    hold: Hold = lambda: None,
    wait: timedelta | None = None,
) -> StateChange:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id, wait=wait)) as uow:
        changed = GroupStateService(uow).change(to=to)
        hold()
        uow.commit()
    return changed


def generate_after_waiting(factory: Factory, group: PlanGroup) -> GenerationResult:
    """Generate after all requests that hold the lock or already wait for it."""
    return generate(factory, group, wait=LONG)


def delete_after_waiting(factory: Factory, group: PlanGroup, wait: timedelta = LONG) -> str:
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id, wait=wait)) as uow:
        PlanGroupService(uow).delete(expected_version=1)
        uow.commit()
    return "deleted"


def activate_group(
    factory: Callable[[], Session], group: PlanGroup, wait: timedelta = LONG
) -> StateChange:
    return activate(factory, tenant_id=group.tenant_id, group_id=group.id, wait=wait)


def run_simultaneously(*requests: Callable[[Hold], Any]) -> Outcomes[Any]:
    """Run the requests at the same time, each in a separate thread."""
    remaining = iter(requests)

    def run_next(hold: Hold) -> Any:
        return next(remaining)(hold)

    return contend(len(requests), run_next)


def in_another_thread(call: Callable[[], T]) -> T:
    """Run ``call`` as another client and return its result.

    It runs in a separate thread, because a nested request for a lock that the thread holds is a
    usage error.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(TIMEOUT)


def generated_group(factory: sessionmaker[Session]) -> PlanGroup:
    """Store a group and generate it once; it has at least 20 plans that can be marked."""
    contents = [ContentFactory.build(position=0, last_unit=200)]
    group = stored_group(factory, period_end=date(2025, 2, 28), contents=contents)
    generate(factory, group)
    return group


def shared(group: PlanGroup, wait: timedelta | None = None) -> PlanGroupLock:
    return PlanGroupLock(group.tenant_id, group.id, wait=wait, shared=True)


def exclusive(group: PlanGroup, wait: timedelta | None = None) -> PlanGroupLock:
    return PlanGroupLock(group.tenant_id, group.id, wait=wait)
