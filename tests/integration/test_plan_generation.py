"""Generations that are committed: the plans that they store, and the records of them."""

from dataclasses import asdict
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GroupStatus, PlanGroup, PlanState
from domain.models import PlanGeneration
from domain.repositories import PlanGroupRepository, StudentPlanRepository
from domain.scheduling.result import Certificate, Repair, RepairKind
from domain.scheduling.schedule import ENGINE_VERSION, schedule
from domain.scheduling.types import Allocation, BlockKind, ExclusionType, PlanKind, fingerprint
from tests.factories import (
    EVERY_DAY,
    AcademyScheduleFactory,
    BlockFactory,
    ContentFactory,
    ExclusionFactory,
    lecture,
)
from tests.integration.storing import (
    FIRST,
    as_columns,
    book_group,
    change,
    columns,
    fresh_ids,
    generate,
    live,
    mark,
    overfull_group,
    plans,
    ranges,
    store,
    stored_group,
    units,
)

Factory = sessionmaker[Session]


def records(factory: Factory, group: PlanGroup) -> list[PlanGeneration]:
    """Return the records of the generations, newest first."""
    with factory() as session:
        return list(PlanGroupRepository(session, group.tenant_id).generations(group.id))


def varied_group(factory: Factory) -> PlanGroup:
    """Store a group whose schedule has every kind of row: lectures, parts, reserve, a holiday."""
    group = stored_group(
        factory,
        self_study_on_holidays=True,
        contents=[
            ContentFactory.build(position=0, last_unit=12, minutes_per_unit=700),
            lecture(
                1,
                [30, None, 45, 30],
                allocation=Allocation.STRATEGY,
                weekly_days=3,
                wrap_up_minutes=15,
            ),
        ],
        blocks=[
            *(BlockFactory.build(weekday=day) for day in EVERY_DAY),
            *(
                BlockFactory.build(
                    weekday=day, kind=BlockKind.SELF_STUDY, start_minute=1140, end_minute=1320
                )
                for day in EVERY_DAY
            ),
        ],
    )
    ids = {"tenant_id": group.tenant_id, "student_id": group.student_id}
    holiday = ExclusionFactory.build(
        **ids, date=date(2025, 1, 9), type=ExclusionType.DESIGNATED_HOLIDAY
    )
    store(factory, holiday, AcademyScheduleFactory.build(**ids))
    return group


def test_generation_stores_exactly_the_rows_of_the_schedule(session_factory: Factory) -> None:
    group = varied_group(session_factory)
    with session_factory() as session:
        snapshot = PlanGroupRepository(session, group.tenant_id).snapshot(group.id)
    expected = schedule(snapshot.request(FIRST))
    assert {row.reserve for row in expected.plans} == {True, False}
    assert any(row.parts > 1 for row in expected.plans)
    assert any(row.cycle_day is None for row in expected.plans)
    assert any(row.wrap_up_minutes for row in expected.plans)
    result = generate(session_factory, group)
    assert (result.plans, result.unplaced) == (expected.plans, expected.unplaced)
    assert (result.warnings, result.quality) == (expected.warnings, expected.quality)
    assert (result.certificate, result.repairs) == (expected.certificate, expected.repairs)
    with session_factory() as session:
        rows = StudentPlanRepository(session, group.tenant_id).of_generation(group.id, 1)
        stored = [columns(row) for row in rows]
    assert stored == [as_columns(plan, result, group) for plan in expected.plans]


def test_generations_are_numbered_from_one(session_factory: Factory) -> None:
    group = book_group(session_factory)
    assert [generate(session_factory, group).generation for _ in range(3)] == [1, 2, 3]
    assert [record.number for record in records(session_factory, group)] == [3, 2, 1]
    # The second and the third one keep the plans of the first one.
    assert {plan.generation for plan in live(session_factory, group)} == {1}
    with session_factory() as session:
        assert PlanGroupRepository(session, group.tenant_id).get(group.id).generation == 3


def test_generation_record_describes_the_request_and_the_result(session_factory: Factory) -> None:
    blocks = [BlockFactory.build(weekday=day, end_minute=660) for day in EVERY_DAY]
    group = stored_group(
        session_factory,
        contents=[ContentFactory.build(position=0, last_unit=400), lecture(1, [None, 20])],
        blocks=blocks,
    )
    result = generate(session_factory, group, FIRST + timedelta(1))
    (record,) = records(session_factory, group)
    assert record.today == date(2025, 1, 7)
    assert record.plan_count == len(result.plans) == len(live(session_factory, group))
    assert record.engine_version == ENGINE_VERSION
    assert record.requested_by is None
    assert record.waited_ms == 0
    assert [piece["reason"] for piece in record.unplaced] == [
        piece.reason for piece in result.unplaced
    ]
    assert [piece["last_unit"] for piece in record.unplaced] == [
        piece.last_unit for piece in result.unplaced
    ]
    assert [warning["code"] for warning in record.warnings] == [
        warning.code for warning in result.warnings
    ]
    assert {"assumed_minutes", "shortage"} <= {warning["code"] for warning in record.warnings}
    ids: dict[object, str] = {at: str(id_) for at, id_ in result.content_ids.items()}
    assert [warning["data"] for warning in record.warnings] == [
        {name: ids[value] if name == "content" else value for name, value in warning.data.items()}
        for warning in result.warnings
    ]
    assert record.quality == asdict(result.quality)


def test_generation_record_has_the_certificate_and_the_repairs_of_unplaced_units(
    session_factory: Factory,
) -> None:
    group = overfull_group(session_factory)
    result = generate(session_factory, group)
    (record,) = records(session_factory, group)
    days = tuple(FIRST + timedelta(day) for day in range(4))
    content_id = str(result.content_ids[3])
    assert result.certificate == Certificate((3,), days, need=600, have=120)
    assert record.certificate == {
        "contents": [content_id],
        "days": ["2025-01-06", "2025-01-07", "2025-01-08", "2025-01-09"],
        "need": 600,
        "have": 120,
    }
    assert result.repairs == (
        Repair(RepairKind.MINUTES_PER_DAY, 120),
        Repair(RepairKind.DAYS, 19),
        Repair(RepairKind.UNITS, 240, content=3),
    )
    assert record.repairs == [
        {"kind": "minutes_per_day", "amount": 120, "content": None},
        {"kind": "days", "amount": 19, "content": None},
        {"kind": "units", "amount": 240, "content": content_id},
    ]


def test_generation_record_without_unplaced_units_has_neither_certificate_nor_repairs(
    session_factory: Factory,
) -> None:
    group = book_group(session_factory)
    result = generate(session_factory, group)
    assert (result.unplaced, result.certificate, result.repairs) == ((), None, ())
    stored = sa.text(
        "SELECT certificate IS NULL, repairs::text FROM studyplan.plan_generations "
        "WHERE group_id = :id"
    )
    with session_factory() as session:
        assert session.execute(stored, {"id": group.id}).one() == (True, "[]")


def test_fingerprint_of_equal_input_is_equal_for_different_groups(session_factory: Factory) -> None:
    first, second = book_group(session_factory), book_group(session_factory)
    other = book_group(session_factory, last=101)
    for group in (first, second, other, first):
        generate(session_factory, group)
    again, once = records(session_factory, first)
    (twin,) = records(session_factory, second)
    assert again.input_hash == once.input_hash == twin.input_hash
    assert records(session_factory, other)[0].input_hash != once.input_hash
    with session_factory() as session:
        snapshot = PlanGroupRepository(session, first.tenant_id).snapshot(first.id)
    assert fingerprint(snapshot.request(FIRST)) == once.input_hash


@pytest.mark.parametrize("status", [GroupStatus.SAVED, GroupStatus.ACTIVE])
def test_plan_group_is_generated_if_it_is_saved_or_active(
    session_factory: Factory, status: GroupStatus
) -> None:
    group = book_group(session_factory, status=status)
    assert generate(session_factory, group).plans


def test_first_generation_in_mid_period_schedules_the_complete_range_on_the_remaining_days(
    session_factory: Factory,
) -> None:
    group = book_group(session_factory)
    generate(session_factory, group, date(2025, 1, 14))
    study = plans(session_factory, group, kind=PlanKind.STUDY)
    assert units(study) == set(range(1, 101))
    assert min(plan.date for plan in study) == date(2025, 1, 14)


def test_generation_before_the_period_plans_from_its_first_day(session_factory: Factory) -> None:
    early, punctual = book_group(session_factory), book_group(session_factory)
    assert (
        generate(session_factory, early, date(2024, 11, 5)).plans
        == generate(session_factory, punctual).plans
    )
    assert records(session_factory, early)[0].today == date(2024, 11, 5)


def test_exclusions_apply_only_to_their_student_group_and_period(session_factory: Factory) -> None:
    ids = fresh_ids()
    other = book_group(session_factory, **ids)
    group = book_group(session_factory, **ids)
    other_student = {"tenant_id": ids["tenant_id"], "student_id": fresh_ids()["student_id"]}
    store(
        session_factory,
        ExclusionFactory.build(**ids, date=date(2025, 1, 5)),
        ExclusionFactory.build(**ids, date=date(2025, 1, 20)),
        ExclusionFactory.build(**ids, date=date(2025, 1, 8), group_id=other.id),
        ExclusionFactory.build(**other_student, date=date(2025, 1, 9)),
        ExclusionFactory.build(**ids, date=date(2025, 1, 10)),
        ExclusionFactory.build(**ids, date=date(2025, 1, 11), group_id=group.id),
    )
    generate(session_factory, group)
    dates = {plan.date for plan in live(session_factory, group)}
    period = {FIRST + timedelta(offset) for offset in range(14)}
    assert period - dates == {date(2025, 1, 10), date(2025, 1, 11)}


@pytest.mark.parametrize("status", [GroupStatus.ACTIVE, GroupStatus.PAUSED])
def test_time_of_the_students_other_group_is_not_used(
    session_factory: Factory, status: GroupStatus
) -> None:
    ids = fresh_ids()
    other = book_group(session_factory, **ids)
    generate(session_factory, other)
    change(session_factory, other, status=status)
    group = book_group(session_factory, **ids)
    unrelated = book_group(session_factory)
    assert ranges(live(session_factory, other)) == [
        (plan.first_unit, plan.last_unit) for plan in generate(session_factory, unrelated).plans
    ]
    generate(session_factory, group)
    occupied = {(plan.date, plan.start_minute) for plan in live(session_factory, other)}
    assert not occupied & {(p.date, p.start_minute) for p in live(session_factory, group)}
    assert units(plans(session_factory, group, kind=PlanKind.STUDY)) == set(range(1, 101))


def test_plan_of_another_group_that_is_not_live_occupies_no_time(session_factory: Factory) -> None:
    ids = fresh_ids()
    other = book_group(session_factory, **ids)
    generate(session_factory, other)
    for plan in live(session_factory, other):
        mark(session_factory, plan, live=False, retired_as="cancelled")
    group, unrelated = book_group(session_factory, **ids), book_group(session_factory)
    assert generate(session_factory, group).plans == generate(session_factory, unrelated).plans
    assert {p.state for p in live(session_factory, group)} == {PlanState.PLANNED}
