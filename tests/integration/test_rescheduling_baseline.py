"""What a reschedule keeps of earlier runs: the calendar and the reports of the live plans."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGroup, PlanGroupLock
from domain.errors import EditedMeanwhileError
from domain.repositories import PlanGroupRepository
from domain.scheduling.difference import PlanChanges
from domain.scheduling.types import ExclusionType
from domain.services import (
    GroupEditService,
    GroupTimeService,
    RowVersion,
    UndoService,
    preview_reschedule,
    reschedule_plans,
)
from tests.integration.storing import (
    FIRST,
    book_group,
    columns,
    generate,
    ids_of,
    live,
    overfull_group,
    unit_of_work,
)

Factory = sessionmaker[Session]


def exclude(factory: Factory, group: PlanGroup, day: date) -> RowVersion:
    with unit_of_work(factory, group) as uow:
        row = GroupTimeService(uow).add_exclusion(date=day, type=ExclusionType.PERSONAL)
        uow.commit()
    return row


def reschedule(factory: Factory, group: PlanGroup, **options: Any) -> GenerationResult:
    lock = PlanGroupLock(group.tenant_id, group.id)
    return reschedule_plans(factory, lock, today=FIRST, **options)


def without_a_day(factory: Factory, group: PlanGroup, day: date) -> None:
    """Generate twice while a day is excluded, and take the first of these generations back.

    The second one changes no plan, so that it is not taken back.
    """
    row = exclude(factory, group, day)
    generate(factory, group)
    generate(factory, group)
    with unit_of_work(factory, group) as uow:
        assert UndoService(uow).undo().undone == 2
        GroupTimeService(uow).remove_exclusion(exclusion_id=row.id, expected_version=row.version)
        uow.commit()


def with_range(factory: Factory, group: PlanGroup, version: int, last: int) -> int:
    """Change the range of the book, and return its version."""
    with unit_of_work(factory, group) as uow:
        written = GroupEditService(uow).change_content(
            content_id=group.contents[0].id, expected_version=version, last_unit=last
        )
        uow.commit()
    return written.version


def take_back(factory: Factory, group: PlanGroup) -> int:
    """Undo the last run, and return its number."""
    with unit_of_work(factory, group) as uow:
        undone = UndoService(uow).undo().undone
        uow.commit()
    return undone


def unplaced(factory: Factory, group: PlanGroup) -> list[tuple[int, int]]:
    """Return the ranges that the last run has reported."""
    with factory() as session:
        groups = PlanGroupRepository(session, group.tenant_id)
        found = groups.snapshot(group.id, with_baseline=True).baseline
    assert found is not None
    return [(item.first_unit, item.last_unit) for item in found.unplaced]


def test_undo_reports_what_the_run_before_had_reported(session_factory: Factory) -> None:
    group = overfull_group(session_factory)
    generate(session_factory, group)
    first = unplaced(session_factory, group)
    version = with_range(session_factory, group, 1, 20)
    generate(session_factory, group)
    generate(session_factory, group)
    assert take_back(session_factory, group) == 2
    assert unplaced(session_factory, group) == first
    with_range(session_factory, group, version, 10)
    generate(session_factory, group)
    assert take_back(session_factory, group) == 5
    assert unplaced(session_factory, group) == first


def test_reschedule_after_an_undo_has_the_calendar_of_the_plans(session_factory: Factory) -> None:
    group = book_group(session_factory)
    generate(session_factory, group)
    before = [columns(row) for row in live(session_factory, group)]
    without_a_day(session_factory, group, FIRST + timedelta(2))
    assert reschedule(session_factory, group).changes == PlanChanges(kept=len(before))
    assert [columns(row) for row in live(session_factory, group)] == before


def test_reschedule_without_a_generation_decides_the_calendar(session_factory: Factory) -> None:
    group = book_group(session_factory)
    reschedule(session_factory, group)
    before = {row.id: (row.date, row.cycle, row.kind) for row in live(session_factory, group)}
    exclude(session_factory, group, FIRST + timedelta(2))
    reschedule(session_factory, group)
    after = {row.id: (row.date, row.cycle, row.kind) for row in live(session_factory, group)}
    assert len(before.keys() & after.keys()) > len(before) // 2
    assert all(after[id_] == before[id_] for id_ in before.keys() & after.keys())
    cycles = {day: cycle for day, cycle, _ in before.values()}
    assert all(cycles.get(day, cycle) == cycle for day, cycle, _ in after.values())


def test_preview_of_a_reschedule_does_not_hold_after_a_generation_that_changed_no_plan(
    session_factory: Factory,
) -> None:
    """The only unit stays on the middle day, but the calendar that a reschedule keeps changes."""
    group = book_group(
        session_factory, last=1, period_end=FIRST + timedelta(28), review_days=0, study_days=6
    )
    generate(session_factory, group)
    exclude(session_factory, group, FIRST + timedelta(20))
    with session_factory() as session:
        shown = preview_reschedule(session, **ids_of(group), today=FIRST)
    assert generate(session_factory, group).changes == PlanChanges(kept=1)
    with pytest.raises(EditedMeanwhileError):
        reschedule(session_factory, group, fingerprint=shown.fingerprint)
