"""What runs have reported refers to the same contents after these were reordered or removed."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGenerationService, PlanGroup, PlanGroupLock
from domain.repositories import PlanGroupRepository
from domain.scheduling.difference import PlanChanges
from domain.scheduling.types import Allocation
from domain.services import GroupEditService, RowVersion, reschedule_plans
from tests.factories import EVERY_DAY, BlockFactory, ContentFactory
from tests.integration.storing import FIRST, stored_group, unit_of_work

Factory = sessionmaker[Session]


def overfull(factory: Factory) -> PlanGroup:
    """Return four days of an hour for two books of five hours, and a content without a day."""
    books = [
        ContentFactory.build(
            position=position,
            title=f"book {position}",
            last_unit=last,
            minutes_per_unit=2,
            allocation=Allocation.STRATEGY,
            weekly_days=weekly,
        )
        for position, last, weekly in [(1, 100, 2), (2, 200, 3)]
    ]
    late = ContentFactory.build(position=3, title="late", last_unit=5, deadline=FIRST)
    return stored_group(
        factory,
        contents=[*books, late],
        blocks=[BlockFactory.build(weekday=day, end_minute=660) for day in EVERY_DAY],
        period_end=FIRST + timedelta(3),
    )


def generate(factory: Factory, group: PlanGroup) -> GenerationResult:
    with unit_of_work(factory, group) as uow:
        result = PlanGenerationService(uow).generate(today=FIRST, idempotency_key="a key")
        uow.commit()
    return result


def reverse(factory: Factory, group: PlanGroup) -> None:
    with unit_of_work(factory, group) as uow:
        order = [RowVersion(content.id, 1) for content in reversed(group.contents)]
        GroupEditService(uow).reorder_contents(order=order)
        uow.commit()


def remove(factory: Factory, group: PlanGroup) -> None:
    """Remove the content that has no plans."""
    with unit_of_work(factory, group) as uow:
        content = group.contents[-1]
        GroupEditService(uow).remove_content(content_id=content.id, expected_version=1)
        uow.commit()


def reported(result: Any, titles: dict[int, str]) -> dict[str, Any]:
    """Return what a result or a baseline reports, with titles instead of positions."""
    certificate = result.certificate
    return {
        "unplaced": sorted((titles[i.content], i.first_unit, i.reason) for i in result.unplaced),
        "certificate": certificate and {titles[position] for position in certificate.contents},
        "repairs": [(i.kind, i.amount, titles.get(i.content)) for i in result.repairs],
    }


def titles(result: GenerationResult) -> dict[int, str]:
    return {position: label.title for position, label in result.contents.items()}


def shifts_and_warnings(result: GenerationResult) -> tuple[dict[str, int], list[str]]:
    shifts = {titles(result)[position]: shift for position, shift in result.day_shifts.items()}
    return shifts, result.warning_messages("en")


@pytest.mark.parametrize("edit", [reverse, remove])
def test_repeated_result_reports_the_same_contents_after_an_edit(
    session_factory: Factory, edit: Any
) -> None:
    group = overfull(session_factory)
    first = generate(session_factory, group)
    edit(session_factory, group)
    again = generate(session_factory, group)
    assert again.repeated
    expected, found = reported(first, titles(first)), reported(again, titles(again))
    if edit is remove:
        expected["unplaced"] = [item for item in expected["unplaced"] if item[0] != "late"]
        assert "late" in expected["certificate"]
        expected["certificate"] = None  # its sums would be wrong
    assert found == expected
    assert shifts_and_warnings(again) == shifts_and_warnings(first)
    positions = [item.content for item in again.unplaced]
    assert positions == sorted(positions)


@pytest.mark.parametrize("edit", [reverse, remove])
def test_reschedule_after_contents_are_reordered_or_removed_changes_nothing(
    session_factory: Factory, edit: Any
) -> None:
    group = overfull(session_factory)
    first = generate(session_factory, group)
    assert {item.content for item in first.unplaced} == {1, 2, 3}
    edit(session_factory, group)
    lock = PlanGroupLock(group.tenant_id, group.id)
    with session_factory() as session:
        groups = PlanGroupRepository(session, group.tenant_id)
        baseline = groups.snapshot(group.id, with_baseline=True).baseline
    found = reschedule_plans(session_factory, lock, today=FIRST)
    assert found.changes == PlanChanges(kept=len(first.plans))
    assert reported(baseline, titles(found)) == reported(found, titles(found))
    assert {titles(found)[item.content] for item in found.unplaced} >= {"book 1", "book 2"}
