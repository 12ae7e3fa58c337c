"""A student's world with one row of everything that can be edited, and how it is edited."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    AcademySchedule,
    Base,
    Block,
    Content,
    Exclusion,
    InvalidInputError,
    NonStudyBlock,
    PlanGroup,
    PlanGroupLock,
    StudentLock,
    StudentPlan,
    UnitOfWork,
    services,
)
from domain.services import StudentTimeService
from domain.services.service import Service
from tests.factories import AcademyScheduleFactory, ExclusionFactory, lecture
from tests.integration.storing import book_group, generate, live, store

Factory = sessionmaker[Session]


@dataclass(frozen=True)
class World:
    """A generated group of a student with a class and exclusions; all rows are detached."""

    group: PlanGroup
    planned: Content
    unplanned: Content
    block: Block
    lunch: NonStudyBlock
    own_exclusion: Exclusion
    lesson: AcademySchedule
    exclusion: Exclusion
    plans: list[StudentPlan]

    @property
    def tenant_id(self) -> UUID:
        return self.group.tenant_id

    @property
    def lock(self) -> PlanGroupLock:
        return PlanGroupLock(self.group.tenant_id, self.group.id)

    @property
    def student_lock(self) -> StudentLock:
        return StudentLock(self.group.tenant_id, self.group.student_id)


def new_world(factory: Factory) -> World:
    group = book_group(factory)
    whose = {"tenant_id": group.tenant_id, "student_id": group.student_id}
    lesson = AcademyScheduleFactory.build(**whose)
    exclusion = ExclusionFactory.build(**whose)
    own = ExclusionFactory.build(**whose, group_id=group.id, date=date(2025, 1, 9))
    store(factory, lesson, exclusion, own)
    generate(factory, group)
    unplanned = lecture(1, [30, None, 40], tenant_id=group.tenant_id, group_id=group.id)
    for episode in unplanned.episodes:
        episode.tenant_id, episode.group_id = group.tenant_id, group.id
    store(factory, unplanned)
    return World(
        group,
        group.contents[0],
        unplanned,
        group.blocks[0],
        group.non_study_blocks[0],
        own,
        lesson,
        exclusion,
        live(factory, group),
    )


def everything(factory: Factory) -> dict[str, list[str]]:
    """Every row of every table, as PostgreSQL writes it."""
    with factory() as session:
        return {
            table.name: sorted(
                session.scalars(sa.select(sa.text("t::text")).select_from(table.alias("t")))
            )
            for table in Base.metadata.sorted_tables
        }


def edit(factory: Factory, world: World, method: Callable[..., Any], **fields: Any) -> Any:
    """Call a method of a service's class under the lock it needs, and commit."""
    service = _class_of(method)
    with UnitOfWork(factory, lock=_lock(world, service)) as uow:
        result = method(service(uow), **fields)
        uow.commit()
    return result


def refused(
    factory: Factory, world: World, named: set[str], method: Callable[..., Any], **fields: Any
) -> InvalidInputError:
    """The refusal names these fields; nothing is written, though the caller commits."""
    before = everything(factory)
    service = _class_of(method)
    with UnitOfWork(factory, lock=_lock(world, service)) as uow:
        with pytest.raises(InvalidInputError) as error:
            method(service(uow), **fields)
        uow.commit()
    assert {fault.field for fault in error.value.faults} == named
    assert everything(factory) == before
    return error.value


def stranger() -> UUID:
    """A tenant that owns nothing."""
    return uuid4()


def _class_of(method: Callable[..., Any]) -> type[Service]:
    found: type[Service] = getattr(services, method.__qualname__.split(".")[0])
    return found


def _lock(world: World, service: type[Service]) -> PlanGroupLock | StudentLock:
    return world.student_lock if service is StudentTimeService else world.lock
