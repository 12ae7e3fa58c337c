"""Plans that are moved by hand into the reserve, and to designated holidays."""

from datetime import date
from typing import Any

import pytest

from domain import InvalidInputError, PlanGroup, StudentPlan
from domain.scheduling.types import Allocation, BlockKind, ExclusionType
from domain.services import PlanProgressService, RowVersion
from domain.unit_of_work import UnitOfWork
from tests.factories import EVERY_DAY, BlockFactory, ContentFactory, ExclusionFactory
from tests.integration.editing import Factory, everything
from tests.integration.storing import (
    FIRST,
    generate,
    ids_of,
    live,
    plans,
    store,
    stored_group,
    unit_of_work,
)

HOLIDAY = date(2025, 1, 10)


def move_in(uow: UnitOfWork, plan: StudentPlan, **fields: Any) -> RowVersion:
    given = {"plan_id": plan.id, "expected_version": plan.version, "today": FIRST}
    return PlanProgressService(uow).move(**{"date": HOLIDAY, **given, **fields})


def group_with_a_reserve(factory: Factory, **content: Any) -> PlanGroup:
    """Return a generated group with self-study 19–21, and a designated holiday on Friday 10."""
    blocks = [
        *(BlockFactory.build(weekday=day) for day in EVERY_DAY),
        *(
            BlockFactory.build(
                weekday=day, kind=BlockKind.SELF_STUDY, start_minute=1140, end_minute=1260
            )
            for day in EVERY_DAY
        ),
    ]
    contents = [ContentFactory.build(position=0, last_unit=40, **content)]
    group = stored_group(factory, blocks=blocks, contents=contents, self_study_on_holidays=True)
    holiday = {"date": HOLIDAY, "type": ExclusionType.DESIGNATED_HOLIDAY}
    store(factory, ExclusionFactory.build(**ids_of(group), student_id=group.student_id, **holiday))
    generate(factory, group)
    return group


@pytest.mark.parametrize(
    ("day", "start", "expected"),
    [
        (date(2025, 1, 9), 1140, (True, 1, 4)),
        (date(2025, 1, 9), 1130, (True, 1, 4)),
        (date(2025, 1, 9), 1100, (False, 1, 4)),
        (date(2025, 1, 10), 1140, (True, 1, None)),
    ],
    ids=["reserve", "across its beginning", "before it", "holiday"],
)
def test_plan_may_be_moved_into_the_reserve(
    *, session_factory: Factory, day: date, start: int, expected: tuple[bool, int, int | None]
) -> None:
    group = group_with_a_reserve(session_factory)
    plan = live(session_factory, group)[0]
    assert 10 < plan.minutes <= 40
    with unit_of_work(session_factory, group) as uow:
        written = move_in(uow, plan, date=day, start_minute=start)
        uow.commit()
    (new,) = plans(session_factory, group, id=written.id)
    assert (new.reserve, new.cycle, new.cycle_day) == expected


@pytest.mark.parametrize(
    ("content", "start", "field"),
    [
        ({}, 600, "start_minute"),
        ({"allocation": Allocation.STRATEGY, "weekly_days": 3}, 1140, "date"),
        ({"allocation": Allocation.STRATEGY, "weekly_days": 3}, 600, "date"),
    ],
)
def test_holiday_has_no_time_except_the_reserve_for_a_weakness(
    session_factory: Factory, content: dict[str, Any], start: int, field: str
) -> None:
    group = group_with_a_reserve(session_factory, **content)
    plan = live(session_factory, group)[0]
    before = everything(session_factory)
    with unit_of_work(session_factory, group) as uow:
        with pytest.raises(InvalidInputError) as error:
            move_in(uow, plan, start_minute=start)
        uow.commit()
    assert error.value.field == field
    assert everything(session_factory) == before
