"""A student with one row of everything that can be edited, and the calls that edit it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
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
    GroupStatus,
    InvalidInputError,
    NonStudyBlock,
    PlanGroup,
    PlanGroupLock,
    PlanState,
    StudentLock,
    StudentPlan,
    UnitOfWork,
    services,
)
from domain.models import SpecialDay
from domain.repositories import PlanGroupRepository
from domain.scheduling.types import Allocation, BlockKind, ContentType, ExclusionType
from domain.services import (
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    Mark,
    PlanGroupService,
    PlanProgressService,
    RowVersion,
    StudentTimeService,
    UndoService,
)
from domain.services.service import Service
from tests.factories import AcademyScheduleFactory, ExclusionFactory, SpecialDayFactory, lecture
from tests.integration.storing import FIRST, book_group, generate, live, store

Factory = sessionmaker[Session]


@dataclass(frozen=True)
class World:
    """A generated group of a student with a class and exclusions; all rows are detached."""

    group: PlanGroup
    planned: Content
    unplanned: Content
    block: Block
    lunch: NonStudyBlock
    special_day: SpecialDay
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
    """Store the rows and generate the plans of a new student."""
    group = book_group(factory, special_days=[SpecialDayFactory.build()])
    ids = {"tenant_id": group.tenant_id, "student_id": group.student_id}
    lesson = AcademyScheduleFactory.build(**ids)
    exclusion = ExclusionFactory.build(**ids)
    own = ExclusionFactory.build(**ids, group_id=group.id, date=date(2025, 1, 9))
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
        group.special_days[0],
        own,
        lesson,
        exclusion,
        live(factory, group),
    )


def everything(factory: Factory) -> dict[str, list[str]]:
    """Return every row of every table in PostgreSQL's text format."""
    with factory() as session:
        return {
            table.name: sorted(
                session.scalars(sa.select(sa.text("t::text")).select_from(table.alias("t")))
            )
            for table in Base.metadata.sorted_tables
        }


def edit(factory: Factory, world: World, method: Callable[..., Any], **fields: Any) -> Any:
    """Call a method of a service class under the lock that it needs, and commit."""
    service = _class_of(method)
    with UnitOfWork(factory, lock=_lock(world, service)) as uow:
        result = method(service(uow), **fields)
        uow.commit()
    return result


def refused(
    factory: Factory, world: World, expected: set[str], method: Callable[..., Any], **fields: Any
) -> InvalidInputError:
    """Assert that a call is refused for the expected fields and writes nothing.

    The caller commits after the refusal.
    """
    before = everything(factory)
    service = _class_of(method)
    with UnitOfWork(factory, lock=_lock(world, service)) as uow:
        with pytest.raises(InvalidInputError) as error:
            method(service(uow), **fields)
        uow.commit()
    assert {field_error.field for field_error in error.value.errors} == expected
    assert everything(factory) == before
    return error.value


def unknown_tenant_id() -> UUID:
    """Return the id of a tenant that owns nothing."""
    return uuid4()


def _class_of(method: Callable[..., Any]) -> type[Service]:
    found: type[Service] = getattr(services, method.__qualname__.split(".")[0])
    return found


def _lock(world: World, service: type[Service]) -> PlanGroupLock | StudentLock:
    return world.student_lock if service is StudentTimeService else world.lock


SERVICE = GroupEditService
BOOK: dict[str, Any] = {
    "type": ContentType.BOOK,
    "title": "영어",
    "allocation": Allocation.WEAKNESS,
    "first_unit": 1,
    "last_unit": 50,
}


def stored(factory: Factory, world: World) -> PlanGroup:
    with factory() as session:
        return PlanGroupRepository(session, world.tenant_id).get(world.group.id)


def content(factory: Factory, world: World, which: str = "planned", **fields: Any) -> RowVersion:
    written: RowVersion = edit(
        factory,
        world,
        SERVICE.change_content,
        content_id=getattr(world, which).id,
        **{"expected_version": 1, **fields},
    )
    return written


Call = Callable[[UnitOfWork, World, int], object]
"""A valid call by a client that read the rows in the given version."""
_WITHOUT_A_VERSION = ("add_", "reorder_")


def _call(method: Callable[..., object], case: str = "", **fields: Any) -> tuple[str, Call]:
    """Return the name of a call, and the call; a callable field is computed from the world."""

    def call(uow: UnitOfWork, world: World, version: int) -> object:
        given = {name: value(world) if callable(value) else value for name, value in fields.items()}
        if not method.__name__.startswith(_WITHOUT_A_VERSION):
            given["expected_version"] = version
        if method.__name__ == "reorder_contents":
            given["order"] = [RowVersion(row_id, version) for row_id in given["order"]]
        return method(_class_of(method)(uow), **given)

    return method.__qualname__ + (case and f" ({case})"), call


def mark_all(uow: UnitOfWork, world: World, version: int) -> object:
    marks = [
        Mark(plan_id=plan.id, expected_version=version, state=PlanState.DONE)
        for plan in world.plans[:2]
    ]
    return PlanProgressService(uow).mark_all(marks)


def undo(uow: UnitOfWork, _: World, version: int) -> object:
    """Undo the generation of the world, whose number is that of the first version."""
    return UndoService(uow).undo(expected_generation=version)


def redo(uow: UnitOfWork, world: World, version: int) -> object:
    """Redo the generation after an undo, of which only the counts and the records remain."""
    undo(uow, world, version)
    return UndoService(uow).redo(expected_generation=version + 1)


# At least one call of every public method; a test compares the names with those of the classes.
GROUP_CALLS: Final = dict(
    (
        _call(GroupStateService.change, "back to draft", to=GroupStatus.DRAFT),
        _call(GroupStateService.change, "cancel", to=GroupStatus.CANCELLED),
        _call(GroupStateService.change, "activate", to=GroupStatus.ACTIVE),
        _call(PlanGroupService.delete),
        _call(GroupEditService.change_settings, name="여름방학"),
        _call(
            GroupEditService.add_content,
            **BOOK | {"allocation": Allocation.STRATEGY, "weekly_days": 3},
        ),
        _call(GroupEditService.change_content, content_id=lambda w: w.planned.id, title="수학"),
        _call(GroupEditService.remove_content, content_id=lambda w: w.unplanned.id),
        _call(GroupEditService.reorder_contents, order=lambda w: [w.unplanned.id, w.planned.id]),
        _call(
            GroupTimeService.add_block,
            kind=BlockKind.SELF_STUDY,
            weekday=6,
            start_minute=1200,
            end_minute=1440,
        ),
        _call(GroupTimeService.change_block, block_id=lambda w: w.block.id, start_minute=540),
        _call(GroupTimeService.remove_block, block_id=lambda w: w.block.id),
        _call(GroupTimeService.add_non_study_block, weekday=6, start_minute=1080, end_minute=1140),
        _call(GroupTimeService.change_non_study_block, block_id=lambda w: w.lunch.id, label=None),
        _call(GroupTimeService.remove_non_study_block, block_id=lambda w: w.lunch.id),
        _call(GroupTimeService.add_special_day, date=date(2025, 1, 17), study=[(600, 720)]),
        _call(
            GroupTimeService.change_special_day,
            special_day_id=lambda w: w.special_day.id,
            self_study=[],
        ),
        _call(GroupTimeService.remove_special_day, special_day_id=lambda w: w.special_day.id),
        _call(GroupTimeService.add_exclusion, date=date(2025, 1, 10), type=ExclusionType.PERSONAL),
        _call(
            GroupTimeService.change_exclusion,
            exclusion_id=lambda w: w.own_exclusion.id,
            reason="가족 여행",
        ),
        _call(GroupTimeService.remove_exclusion, exclusion_id=lambda w: w.own_exclusion.id),
        _call(PlanProgressService.mark, plan_id=lambda w: w.plans[0].id, state=PlanState.DONE),
        _call(PlanProgressService.pin, plan_id=lambda w: w.plans[0].id),
        ("PlanProgressService.mark_all", mark_all),
        _call(PlanProgressService.mark_missed, plan_id=lambda w: w.plans[0].id),
        _call(
            PlanProgressService.move,
            plan_id=lambda w: w.plans[0].id,
            date=date(2025, 1, 7),
            start_minute=1080,
            today=FIRST,
        ),
        ("UndoService.undo", undo),
        ("UndoService.redo", redo),
    )
)
STUDENT_CALLS: Final = dict(
    (
        _call(StudentTimeService.add_class, weekday=6, start_minute=600, end_minute=660),
        _call(StudentTimeService.change_class, class_id=lambda w: w.lesson.id, travel_minutes=0),
        _call(StudentTimeService.remove_class, class_id=lambda w: w.lesson.id),
        _call(StudentTimeService.add_exclusion, date=date(2026, 1, 1), type=ExclusionType.OTHER),
        _call(
            StudentTimeService.change_exclusion,
            exclusion_id=lambda w: w.exclusion.id,
            type=ExclusionType.PERSONAL,
        ),
        _call(StudentTimeService.remove_exclusion, exclusion_id=lambda w: w.exclusion.id),
    )
)
CALLS: Final = {**GROUP_CALLS, **STUDENT_CALLS}
MARKS: Final = {f"PlanProgressService.{name}" for name in ("mark", "mark_all", "pin")}
"""The calls for which a shared lock is sufficient."""
each_call = pytest.mark.parametrize("name", CALLS)
WITHOUT_A_VERSION: Final = {name for name in CALLS if ".add_" in name}


def lock_of(name: str, world: World) -> PlanGroupLock | StudentLock:
    """Return the lock that a call needs."""
    return world.lock if name in GROUP_CALLS else world.student_lock
