"""Day shifts that ``balanced`` chooses: stored by the first generation, kept by later ones."""

from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGenerationService, PlanGroup, PlanGroupLock, UnitOfWork
from domain.repositories import PlanGroupRepository
from domain.scheduling.calendar import calendar
from domain.scheduling.demand import own_days
from domain.scheduling.schedule import schedule
from domain.scheduling.types import PlanKind, Strategy
from domain.services import preview_plans
from tests.factories import ContentFactory
from tests.integration.asking import counted
from tests.integration.storing import FIRST, dump, plans, stored_group
from tests.integration.test_day_shifts import Factory, generate, mixed_group, stored, strategy_book


def balanced_group(factory: Factory, **fields: Any) -> PlanGroup:
    return mixed_group(factory, strategy=Strategy.BALANCED, **fields)


def days_of(factory: Factory, group: PlanGroup, position: int) -> list[int]:
    """Return the days of January on which the content at the position is studied."""
    content_id = next(item.id for item in group.contents if item.position == position)
    study = plans(factory, group, live=True, content_id=content_id, kind=PlanKind.STUDY)
    return sorted({plan.date.day for plan in study})


def own_days_of(factory: Factory, group: PlanGroup) -> dict[int, set[int]]:
    """Return the days of January that the stored shifts give each strategy content."""
    with factory() as session:
        request = PlanGroupRepository(session, group.tenant_id).snapshot(group.id).settings
    days = calendar(request)
    return {
        content.position: {days[i].date.day for i in own_days(content, days, content.day_shift)}
        for content in request.contents
        if content.day_shift is not None
    }


def test_balanced_generation_keeps_the_shifts_of_the_first_one(session_factory: Factory) -> None:
    group = balanced_group(session_factory)
    first = generate(session_factory, group, schedule)
    assert first.day_shifts.keys() == {1, 2, 5}
    assert first.day_shifts[2] == 4
    chosen = stored(session_factory, group)
    assert chosen == {0: (None, 1), **{at: (s, 1) for at, s in first.day_shifts.items()}}
    own = own_days_of(session_factory, group)
    again = generate(session_factory, group, schedule)
    assert (again.plans, again.day_shifts) == (first.plans, first.day_shifts)
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        later = PlanGenerationService(uow).generate(today=date(2025, 1, 13))
        uow.commit()
    assert later.day_shifts == first.day_shifts
    assert stored(session_factory, group) == chosen
    for at, days in own.items():
        after = days_of(session_factory, group, at)
        assert set(after) <= {day for day in days if day >= 13}
        assert after


def test_balanced_preview_shows_what_a_generation_then_stores(session_factory: Factory) -> None:
    group = balanced_group(session_factory)
    before = dump(session_factory, group.id)
    with session_factory() as session:
        shown = preview_plans(session, tenant_id=group.tenant_id, group_id=group.id, today=FIRST)
    assert dump(session_factory, group.id) == before
    result = generate(session_factory, group, schedule)
    assert (shown.plans, shown.day_shifts) == (result.plans, result.day_shifts)


@pytest.mark.parametrize(("shift", "days"), [(0, [7, 10]), (2, [6, 9]), (4, [8, 11])])
def test_balanced_generation_studies_a_content_on_its_shifted_days(
    session_factory: Factory, shift: int, days: list[int]
) -> None:
    """Of six study days from Monday 6, two days a cycle are the second and the fifth."""
    contents = [ContentFactory.build(position=0), strategy_book(1, weekly_days=2, day_shift=shift)]
    group = stored_group(
        session_factory, strategy=Strategy.BALANCED, contents=contents, period_end=date(2025, 1, 12)
    )
    generate(session_factory, group, schedule)
    assert days_of(session_factory, group, 1) == days


def test_balanced_generation_stores_its_shifts_only_once(
    database_url: sa.URL, session_factory: Factory
) -> None:
    group = balanced_group(session_factory)
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    trips = []
    for _ in range(3):
        with counted(engine) as found:
            generate(sessionmaker(engine), group, schedule)
        trips.append(found.count)
    engine.dispose()
    # Three statements in addition to those of a generation that changes nothing: that of the
    # shifts, and the two of the plans.
    assert trips == [8, 5, 5]
