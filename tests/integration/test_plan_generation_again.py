"""Repeated generations: which plans are kept, missed, replaced and planned again."""

from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanState, StudentPlan
from domain.models.plan import RetiredAs
from domain.scheduling.difference import PlanChanges
from domain.scheduling.types import PlanKind
from tests.integration.storing import (
    FIRST,
    book_group,
    change,
    columns,
    done_by,
    generate,
    live,
    mark,
    plans,
    ranges,
    traces,
    units,
)

Factory = sessionmaker[Session]
KEPT: list[dict[str, Any]] = [done_by(PlanState.DONE), done_by(PlanState.STARTED), {"pinned": True}]
KEPT_ON = [
    *((fields, FIRST) for fields in KEPT),
    *((fields, FIRST + timedelta(1)) for fields in KEPT),
    (done_by(PlanState.DONE), FIRST + timedelta(3)),
]
"""Marks of a plan of the day after ``FIRST``, and days on which a generation keeps it."""


def three_days(factory: Factory) -> tuple[PlanGroup, list[StudentPlan]]:
    """Return a group and its plans of 11–15, 16–20 and 21–25, after its period was extended."""
    group = book_group(factory, 11, 25, period_end=FIRST + timedelta(2), review_days=0)
    generate(factory, group)
    change(factory, group, period_end=FIRST + timedelta(9))
    rows = live(factory, group)
    assert ranges(rows) == [(11, 15), (16, 20), (21, 25)]
    return group, rows


def test_generation_plans_the_unfinished_ranges_again(session_factory: Factory) -> None:
    group, (missed, done, part) = three_days(session_factory)
    mark(session_factory, done, **done_by(PlanState.DONE))
    mark(session_factory, part, **done_by(PlanState.PART_DONE, through=22))
    generate(session_factory, group, FIRST + timedelta(3))
    again = plans(session_factory, group, generation=2)
    assert units(again) == {*range(11, 16), *range(23, 26)}
    assert min(row.date for row in again) >= FIRST + timedelta(3)
    assert all(row.last_unit <= 15 or row.first_unit >= 23 for row in again)
    assert [row.id for row in live(session_factory, group)][:2] == [done.id, part.id]
    (retired,) = plans(session_factory, group, live=False)
    assert (retired.id, retired.retired_as) == (missed.id, RetiredAs.MISSED)


@pytest.mark.parametrize(("fields", "today"), KEPT_ON)
def test_kept_plan_is_unchanged_and_is_not_planned_again(
    session_factory: Factory, fields: dict[str, Any], today: date
) -> None:
    group, rows = three_days(session_factory)
    mark(session_factory, rows[1], **fields)
    (before,) = plans(session_factory, group, id=rows[1].id)
    generate(session_factory, group, today)
    (after,) = plans(session_factory, group, id=rows[1].id)
    assert columns(after) == columns(before)
    assert after.live
    assert units(plans(session_factory, group, generation=2)) == {*range(11, 16), *range(21, 26)}


@pytest.mark.parametrize("fields", KEPT[1:], ids=["started", "pinned"])
def test_started_or_pinned_plan_of_a_past_day_is_missed_and_planned_again(
    session_factory: Factory, fields: dict[str, Any]
) -> None:
    group, rows = three_days(session_factory)
    mark(session_factory, rows[1], **fields)
    (before,) = plans(session_factory, group, id=rows[1].id)
    generate(session_factory, group, FIRST + timedelta(2))
    (after,) = plans(session_factory, group, id=rows[1].id)
    assert (after.live, after.retired_as, after.retired_in) == (False, RetiredAs.MISSED, 2)
    assert (after.version, after.state, after.pinned) == (
        before.version,
        before.state,
        before.pinned,
    )
    assert units(live(session_factory, group)) == {*range(11, 26)}
    assert units(plans(session_factory, group, generation=2)) >= {*range(16, 21)}


def test_kept_plan_keeps_its_time(session_factory: Factory) -> None:
    group, rows = three_days(session_factory)
    mark(session_factory, rows[0], pinned=True)
    generate(session_factory, group)
    on_the_day = [p for p in live(session_factory, group) if p.date == rows[0].date]
    assert all(p.id == rows[0].id or p.start_minute >= rows[0].end_minute for p in on_the_day)


def test_past_plans_become_missed_and_later_plans_replaced(
    session_factory: Factory, engine: sa.Engine
) -> None:
    group, rows = three_days(session_factory)
    generate(session_factory, group, FIRST + timedelta(1))
    retired = plans(session_factory, group, generation=1)
    assert [row.id for row in retired] == [row.id for row in rows]
    assert [row.retired_as for row in retired] == [
        RetiredAs.MISSED,
        RetiredAs.REPLACED,
        RetiredAs.REPLACED,
    ]
    assert not any(row.live for row in retired)
    assert [(row.version, row.retired_in) for row in retired] == [(1, 2)] * 3
    records = traces(engine, group.id)[1]
    assert {row.retired_at for row in retired} == {records[1].generated_at}


def test_retired_plans_are_not_changed_by_a_later_generation(session_factory: Factory) -> None:
    group, _ = three_days(session_factory)
    generate(session_factory, group, FIRST + timedelta(1))
    before = [columns(row) for row in plans(session_factory, group, generation=1)]
    generate(session_factory, group, FIRST + timedelta(5))
    assert [columns(row) for row in plans(session_factory, group, generation=1)] == before


def test_generation_with_nothing_left_to_plan_returns_an_empty_result_with_a_warning(
    session_factory: Factory,
) -> None:
    group, rows = three_days(session_factory)
    for row in rows:
        mark(session_factory, row, **done_by(PlanState.DONE))
    result = generate(session_factory, group, FIRST + timedelta(3))
    assert (result.generation, result.plans, result.plan_ids) == (2, (), ())
    assert (result.unplaced, [warning.code for warning in result.warnings]) == (
        (),
        ["nothing_left"],
    )
    assert result.warnings[0].message() == "계획할 내용이 남아 있지 않습니다."
    assert [row.id for row in live(session_factory, group)] == [row.id for row in rows]


def test_live_plans_cover_the_complete_range_once_after_several_generations(
    session_factory: Factory,
) -> None:
    group = book_group(session_factory, 1, 60)
    generate(session_factory, group)
    for offset in range(6):
        today = FIRST + timedelta(offset)
        for row in live(session_factory, group):
            if row.date == today and row.kind is PlanKind.STUDY:
                half = (row.first_unit + row.last_unit) // 2
                state = PlanState.PART_DONE if half < row.last_unit else PlanState.DONE
                through = half if state is PlanState.PART_DONE else None
                mark(session_factory, row, **done_by(state, through))
        generate(session_factory, group, today + timedelta(1))
        study = [p for p in live(session_factory, group) if p.kind is PlanKind.STUDY]
        covered = [
            unit
            for row in study
            for unit in range(row.first_unit, (row.done_through or row.last_unit) + 1)
        ]
        assert sorted(covered) == list(range(1, 61))


def test_second_generation_on_the_same_day_keeps_all_plans_and_writes_none(
    session_factory: Factory, engine: sa.Engine
) -> None:
    group = book_group(session_factory)
    first = generate(session_factory, group)
    written = stored_versions(engine, group)
    second = generate(session_factory, group)
    assert second.generation == 2
    assert (second.plans, second.plan_ids, second.lineages) == (
        first.plans,
        first.plan_ids,
        first.lineages,
    )
    assert first.changes == PlanChanges(new=len(first.plans))
    assert second.changes == PlanChanges(kept=len(first.plans))
    assert stored_versions(engine, group) == written


def stored_versions(engine: sa.Engine, group: PlanGroup) -> list[Any]:
    """Return the plans with the ids of the transactions that wrote them."""
    text = "SELECT xmin::text, xmax::text, p.* FROM studyplan.student_plans p WHERE group_id = :id"
    with engine.connect() as connection:
        return list(connection.execute(sa.text(f"{text} ORDER BY id"), {"id": group.id}))
