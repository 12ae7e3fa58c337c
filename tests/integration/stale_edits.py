"""Edits of a group and of its student, and the plans that each of them makes stale."""

from collections.abc import Callable
from datetime import date
from typing import Any

from domain import PlanGroup, StudentPlan, UnitOfWork
from domain.scheduling.rescheduling.contradictions import Contradiction
from domain.scheduling.types import BlockKind, ExclusionType
from domain.services import (
    EditedRow,
    GroupEditService,
    GroupTimeService,
    StalePlan,
    StudentTimeService,
)

Edit = Callable[[UnitOfWork, PlanGroup], EditedRow | tuple[StalePlan, ...]]
TIME, DEADLINE, RANGE = Contradiction.TIME, Contradiction.DEADLINE, Contradiction.RANGE
MORNING: dict[str, Any] = {"start_minute": 600, "end_minute": 630}


def on(day: int) -> Callable[[StudentPlan], bool]:
    return lambda plan: plan.date == date(2025, 1, day)


def before_ten_thirty(plan: StudentPlan) -> bool:
    return plan.start_minute < 630


def book(uow: UnitOfWork, group: PlanGroup, **fields: Any) -> EditedRow:
    return GroupEditService(uow).change_content(
        content_id=group.contents[0].id, expected_version=1, **fields
    )


def settings(uow: UnitOfWork, group: PlanGroup, **fields: Any) -> EditedRow:
    return GroupEditService(uow).change_settings(
        expected_version=uow.groups.get(group.id).version, **fields
    )


def excluded(day: int) -> dict[str, Any]:
    return {"date": date(2025, 1, day), "type": ExclusionType.OTHER}


def of_weekday(group: PlanGroup, weekday: int) -> dict[str, Any]:
    block = next(block for block in group.blocks if block.weekday == weekday)
    return {"block_id": block.id, "expected_version": 1}


EDITS: dict[str, tuple[Edit, Callable[[StudentPlan], bool], Contradiction]] = {
    "a class": (
        lambda uow, group: StudentTimeService(uow).add_class(
            student_id=group.student_id, weekday=5, travel_minutes=0, **MORNING
        ),
        lambda plan: plan.date.isoweekday() == 5 and before_ten_thirty(plan),
        TIME,
    ),
    "the travel to a class": (
        lambda uow, group: StudentTimeService(uow).add_class(
            student_id=group.student_id,
            weekday=5,
            start_minute=660,
            end_minute=720,
            travel_minutes=30,
        ),
        lambda plan: (
            plan.date.isoweekday() == 5 and plan.start_minute < 750 and plan.end_minute > 630
        ),
        TIME,
    ),
    "a student's exclusion": (
        lambda uow, group: StudentTimeService(uow).add_exclusion(
            student_id=group.student_id, **excluded(13)
        ),
        on(13),
        TIME,
    ),
    "a group's exclusion": (
        lambda uow, _: GroupTimeService(uow).add_exclusion(**excluded(10)),
        on(10),
        TIME,
    ),
    "a special day without time": (
        lambda uow, _: GroupTimeService(uow).add_special_day(date=date(2025, 1, 14)),
        on(14),
        TIME,
    ),
    "a special day with other hours": (
        lambda uow, _: GroupTimeService(uow).add_special_day(
            date=date(2025, 1, 14), study=[(1080, 1200)]
        ),
        on(14),
        TIME,
    ),
    "a block that is removed": (
        lambda uow, group: GroupTimeService(uow).remove_block(**of_weekday(group, 2)),
        lambda plan: plan.date.isoweekday() == 2,
        TIME,
    ),
    "a block that begins later": (
        lambda uow, group: GroupTimeService(uow).change_block(
            start_minute=1000, **of_weekday(group, 2)
        ),
        lambda plan: plan.date.isoweekday() == 2,
        TIME,
    ),
    "a meal": (
        lambda uow, _: GroupTimeService(uow).add_non_study_block(weekday=1, **MORNING),
        lambda plan: plan.date.isoweekday() == 1 and before_ten_thirty(plan),
        TIME,
    ),
    "a shorter range": (
        lambda uow, group: book(uow, group, last_unit=80),
        lambda plan: plan.last_unit > 80,
        RANGE,
    ),
    "a range that begins later": (
        lambda uow, group: book(uow, group, first_unit=5),
        lambda plan: plan.first_unit < 5,
        RANGE,
    ),
    "a deadline": (
        lambda uow, group: book(uow, group, deadline=date(2025, 1, 16)),
        lambda plan: plan.date >= date(2025, 1, 16),
        DEADLINE,
    ),
    "a target date": (
        lambda uow, group: settings(uow, group, target_date=date(2025, 1, 17)),
        lambda plan: plan.date >= date(2025, 1, 17),
        DEADLINE,
    ),
    "a shorter period": (
        lambda uow, group: settings(uow, group, period_end=date(2025, 1, 15)),
        lambda plan: plan.date > date(2025, 1, 15),
        TIME,
    ),
    "a period that begins later": (
        lambda uow, group: settings(uow, group, period_start=date(2025, 1, 8)),
        lambda plan: plan.date < date(2025, 1, 8),
        TIME,
    ),
    "a longer range": (lambda uow, group: book(uow, group, last_unit=120), lambda _: False, RANGE),
    "more time": (
        lambda uow, _: GroupTimeService(uow).add_block(
            weekday=1, kind=BlockKind.STUDY, start_minute=1200, end_minute=1260
        ),
        lambda _: False,
        TIME,
    ),
    "another name": (
        lambda uow, group: settings(uow, group, name="기말고사"),
        lambda _: False,
        TIME,
    ),
}
