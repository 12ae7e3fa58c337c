"""A valid call of every method of the services that edit."""

from collections.abc import Callable
from datetime import date
from typing import Final

from domain import GroupStatus, PlanGroupLock, PlanState, StudentLock, UnitOfWork
from domain.scheduling.vocabulary import Allocation, BlockKind, ContentType, ExclusionType
from domain.services import (
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    PlanGroupService,
    PlanProgressService,
    RowVersion,
    StudentTimeService,
)
from tests.integration.editing import World

Call = Callable[[UnitOfWork, World, int], object]
"""A valid call by somebody who saw the rows in that version."""

# One call at least of every public method; a test compares the names with the classes.
GROUP_CALLS: Final[dict[str, Call]] = {
    "GroupStateService.change (back to draft)": lambda uow, w, seen: GroupStateService(uow).change(
        to=GroupStatus.DRAFT, expected_version=seen
    ),
    "GroupStateService.change (cancel)": lambda uow, w, seen: GroupStateService(uow).change(
        to=GroupStatus.CANCELLED, expected_version=seen
    ),
    "GroupStateService.change (activate)": lambda uow, w, seen: GroupStateService(uow).change(
        to=GroupStatus.ACTIVE, expected_version=seen
    ),
    "PlanGroupService.delete": lambda uow, w, seen: PlanGroupService(uow).delete(
        expected_version=seen
    ),
    "GroupEditService.change_settings": lambda uow, w, seen: GroupEditService(uow).change_settings(
        expected_version=seen, name="여름방학"
    ),
    "GroupEditService.add_content": lambda uow, w, _: GroupEditService(uow).add_content(
        type=ContentType.BOOK,
        title="영어",
        allocation=Allocation.STRATEGY,
        weekly_days=3,
        first_unit=1,
        last_unit=50,
    ),
    "GroupEditService.change_content": lambda uow, w, seen: GroupEditService(uow).change_content(
        content_id=w.planned.id,
        expected_version=seen,
        title="수학",
    ),
    "GroupEditService.remove_content": lambda uow, w, seen: GroupEditService(uow).remove_content(
        content_id=w.unplanned.id,
        expected_version=seen,
    ),
    "GroupEditService.reorder_contents": lambda uow, w, seen: GroupEditService(
        uow
    ).reorder_contents(
        order=[RowVersion(w.unplanned.id, seen), RowVersion(w.planned.id, seen)],
    ),
    "GroupTimeService.add_block": lambda uow, w, _: GroupTimeService(uow).add_block(
        kind=BlockKind.SELF_STUDY,
        weekday=6,
        start_minute=1200,
        end_minute=1440,
    ),
    "GroupTimeService.change_block": lambda uow, w, seen: GroupTimeService(uow).change_block(
        block_id=w.block.id,
        expected_version=seen,
        start_minute=540,
    ),
    "GroupTimeService.remove_block": lambda uow, w, seen: GroupTimeService(uow).remove_block(
        block_id=w.block.id, expected_version=seen
    ),
    "GroupTimeService.add_non_study_block": lambda uow, w, _: GroupTimeService(
        uow
    ).add_non_study_block(
        weekday=6,
        start_minute=1080,
        end_minute=1140,
    ),
    "GroupTimeService.change_non_study_block": lambda uow, w, seen: GroupTimeService(
        uow
    ).change_non_study_block(
        block_id=w.lunch.id,
        expected_version=seen,
        label=None,
    ),
    "GroupTimeService.remove_non_study_block": lambda uow, w, seen: GroupTimeService(
        uow
    ).remove_non_study_block(block_id=w.lunch.id, expected_version=seen),
    "GroupTimeService.add_exclusion": lambda uow, w, _: GroupTimeService(uow).add_exclusion(
        date=date(2025, 1, 10),
        type=ExclusionType.PERSONAL,
    ),
    "GroupTimeService.change_exclusion": lambda uow, w, seen: GroupTimeService(
        uow
    ).change_exclusion(
        exclusion_id=w.own_exclusion.id,
        expected_version=seen,
        reason="가족 여행",
    ),
    "GroupTimeService.remove_exclusion": lambda uow, w, seen: GroupTimeService(
        uow
    ).remove_exclusion(
        exclusion_id=w.own_exclusion.id,
        expected_version=seen,
    ),
    "PlanProgressService.mark": lambda uow, w, seen: PlanProgressService(uow).mark(
        plan_id=w.plans[0].id,
        expected_version=seen,
        state=PlanState.DONE,
    ),
    "PlanProgressService.pin": lambda uow, w, seen: PlanProgressService(uow).pin(
        plan_id=w.plans[0].id, expected_version=seen
    ),
}

STUDENT_CALLS: Final[dict[str, Call]] = {
    "StudentTimeService.add_class": lambda uow, w, _: StudentTimeService(uow).add_class(
        weekday=6,
        start_minute=600,
        end_minute=660,
    ),
    "StudentTimeService.change_class": lambda uow, w, seen: StudentTimeService(uow).change_class(
        class_id=w.lesson.id,
        expected_version=seen,
        travel_minutes=0,
    ),
    "StudentTimeService.remove_class": lambda uow, w, seen: StudentTimeService(uow).remove_class(
        class_id=w.lesson.id,
        expected_version=seen,
    ),
    "StudentTimeService.add_exclusion": lambda uow, w, _: StudentTimeService(uow).add_exclusion(
        date=date(2026, 1, 1),
        type=ExclusionType.OTHER,
    ),
    "StudentTimeService.change_exclusion": lambda uow, w, seen: StudentTimeService(
        uow
    ).change_exclusion(
        exclusion_id=w.exclusion.id,
        expected_version=seen,
        type=ExclusionType.PERSONAL,
    ),
    "StudentTimeService.remove_exclusion": lambda uow, w, seen: StudentTimeService(
        uow
    ).remove_exclusion(
        exclusion_id=w.exclusion.id,
        expected_version=seen,
    ),
}

CALLS: Final = {**GROUP_CALLS, **STUDENT_CALLS}
WITHOUT_A_VERSION: Final = {name for name in CALLS if ".add_" in name}


def lock_of(name: str, world: World) -> PlanGroupLock | StudentLock:
    """The lock that a call needs."""
    return world.lock if name in GROUP_CALLS else world.student_lock
