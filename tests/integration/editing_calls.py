"""A valid call of every method of the services that edit."""

from collections.abc import Callable
from datetime import date
from typing import Final
from uuid import UUID

from domain import GroupStatus, PlanGroupLock, PlanState, StudentLock, UnitOfWork
from domain.scheduling import Allocation, BlockKind, ContentType, ExclusionType
from domain.services import (
    GroupDeletionService,
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    PlanProgressService,
    RowVersion,
    StudentTimeService,
)
from tests.integration.editing import World

Call = Callable[[UnitOfWork, World, UUID, int], object]
"""A valid call for a tenant, by somebody who saw the rows in that version."""

# One call at least of every public method; a test compares the names with the classes.
GROUP_CALLS: Final[dict[str, Call]] = {
    "GroupStateService.change (back to draft)": lambda uow, w, tenant, seen: (
        GroupStateService().change(
            uow, tenant_id=tenant, group_id=w.group.id, to=GroupStatus.DRAFT, expected_version=seen
        )
    ),
    "GroupStateService.change (cancel)": lambda uow, w, tenant, seen: GroupStateService().change(
        uow, tenant_id=tenant, group_id=w.group.id, to=GroupStatus.CANCELLED, expected_version=seen
    ),
    "GroupStateService.change (activate)": lambda uow, w, tenant, seen: GroupStateService().change(
        uow, tenant_id=tenant, group_id=w.group.id, to=GroupStatus.ACTIVE, expected_version=seen
    ),
    "GroupDeletionService.delete": lambda uow, w, tenant, seen: GroupDeletionService().delete(
        uow, tenant_id=tenant, group_id=w.group.id, expected_version=seen
    ),
    "GroupEditService.change_settings": lambda uow, w, tenant, seen: (
        GroupEditService().change_settings(
            uow, tenant_id=tenant, group_id=w.group.id, expected_version=seen, name="여름방학"
        )
    ),
    "GroupEditService.add_content": lambda uow, w, tenant, _: GroupEditService().add_content(
        uow,
        tenant_id=tenant,
        group_id=w.group.id,
        type=ContentType.BOOK,
        title="영어",
        allocation=Allocation.STRATEGY,
        weekly_days=3,
        first_unit=1,
        last_unit=50,
    ),
    "GroupEditService.change_content": lambda uow, w, tenant, seen: (
        GroupEditService().change_content(
            uow,
            tenant_id=tenant,
            group_id=w.group.id,
            content_id=w.planned.id,
            expected_version=seen,
            title="수학",
        )
    ),
    "GroupEditService.remove_content": lambda uow, w, tenant, seen: (
        GroupEditService().remove_content(
            uow,
            tenant_id=tenant,
            group_id=w.group.id,
            content_id=w.unplanned.id,
            expected_version=seen,
        )
    ),
    "GroupEditService.reorder_contents": lambda uow, w, tenant, seen: (
        GroupEditService().reorder_contents(
            uow,
            tenant_id=tenant,
            group_id=w.group.id,
            order=[RowVersion(w.unplanned.id, seen), RowVersion(w.planned.id, seen)],
        )
    ),
    "GroupTimeService.add_block": lambda uow, w, tenant, _: GroupTimeService().add_block(
        uow,
        tenant_id=tenant,
        group_id=w.group.id,
        kind=BlockKind.SELF_STUDY,
        weekday=6,
        start_minute=1200,
        end_minute=1440,
    ),
    "GroupTimeService.change_block": lambda uow, w, tenant, seen: GroupTimeService().change_block(
        uow,
        tenant_id=tenant,
        group_id=w.group.id,
        block_id=w.block.id,
        expected_version=seen,
        start_minute=540,
    ),
    "GroupTimeService.remove_block": lambda uow, w, tenant, seen: GroupTimeService().remove_block(
        uow, tenant_id=tenant, group_id=w.group.id, block_id=w.block.id, expected_version=seen
    ),
    "GroupTimeService.add_non_study_block": lambda uow, w, tenant, _: (
        GroupTimeService().add_non_study_block(
            uow,
            tenant_id=tenant,
            group_id=w.group.id,
            weekday=6,
            start_minute=1080,
            end_minute=1140,
        )
    ),
    "GroupTimeService.change_non_study_block": lambda uow, w, tenant, seen: (
        GroupTimeService().change_non_study_block(
            uow,
            tenant_id=tenant,
            group_id=w.group.id,
            block_id=w.lunch.id,
            expected_version=seen,
            label=None,
        )
    ),
    "GroupTimeService.remove_non_study_block": lambda uow, w, tenant, seen: (
        GroupTimeService().remove_non_study_block(
            uow, tenant_id=tenant, group_id=w.group.id, block_id=w.lunch.id, expected_version=seen
        )
    ),
    "GroupTimeService.add_exclusion": lambda uow, w, tenant, _: GroupTimeService().add_exclusion(
        uow,
        tenant_id=tenant,
        group_id=w.group.id,
        date=date(2025, 1, 10),
        type=ExclusionType.PERSONAL,
    ),
    "GroupTimeService.change_exclusion": lambda uow, w, tenant, seen: (
        GroupTimeService().change_exclusion(
            uow,
            tenant_id=tenant,
            group_id=w.group.id,
            exclusion_id=w.own_exclusion.id,
            expected_version=seen,
            reason="가족 여행",
        )
    ),
    "GroupTimeService.remove_exclusion": lambda uow, w, tenant, seen: (
        GroupTimeService().remove_exclusion(
            uow,
            tenant_id=tenant,
            group_id=w.group.id,
            exclusion_id=w.own_exclusion.id,
            expected_version=seen,
        )
    ),
    "PlanProgressService.mark": lambda uow, w, tenant, seen: PlanProgressService().mark(
        uow,
        tenant_id=tenant,
        group_id=w.group.id,
        plan_id=w.plans[0].id,
        expected_version=seen,
        state=PlanState.DONE,
    ),
    "PlanProgressService.pin": lambda uow, w, tenant, seen: PlanProgressService().pin(
        uow, tenant_id=tenant, group_id=w.group.id, plan_id=w.plans[0].id, expected_version=seen
    ),
}

STUDENT_CALLS: Final[dict[str, Call]] = {
    "StudentTimeService.add_class": lambda uow, w, tenant, _: StudentTimeService().add_class(
        uow,
        tenant_id=tenant,
        student_id=w.group.student_id,
        weekday=6,
        start_minute=600,
        end_minute=660,
    ),
    "StudentTimeService.change_class": lambda uow, w, tenant, seen: (
        StudentTimeService().change_class(
            uow,
            tenant_id=tenant,
            student_id=w.group.student_id,
            class_id=w.lesson.id,
            expected_version=seen,
            travel_minutes=0,
        )
    ),
    "StudentTimeService.remove_class": lambda uow, w, tenant, seen: (
        StudentTimeService().remove_class(
            uow,
            tenant_id=tenant,
            student_id=w.group.student_id,
            class_id=w.lesson.id,
            expected_version=seen,
        )
    ),
    "StudentTimeService.add_exclusion": lambda uow, w, tenant, _: (
        StudentTimeService().add_exclusion(
            uow,
            tenant_id=tenant,
            student_id=w.group.student_id,
            date=date(2026, 1, 1),
            type=ExclusionType.OTHER,
        )
    ),
    "StudentTimeService.change_exclusion": lambda uow, w, tenant, seen: (
        StudentTimeService().change_exclusion(
            uow,
            tenant_id=tenant,
            student_id=w.group.student_id,
            exclusion_id=w.exclusion.id,
            expected_version=seen,
            type=ExclusionType.PERSONAL,
        )
    ),
    "StudentTimeService.remove_exclusion": lambda uow, w, tenant, seen: (
        StudentTimeService().remove_exclusion(
            uow,
            tenant_id=tenant,
            student_id=w.group.student_id,
            exclusion_id=w.exclusion.id,
            expected_version=seen,
        )
    ),
}

CALLS: Final = {**GROUP_CALLS, **STUDENT_CALLS}
WITHOUT_A_VERSION: Final = {name for name in CALLS if ".add_" in name}


def lock_of(name: str, world: World) -> PlanGroupLock | StudentLock:
    """The lock that a call needs."""
    return world.lock if name in GROUP_CALLS else world.student_lock
