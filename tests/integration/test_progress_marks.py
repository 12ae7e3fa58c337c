"""Marks with their minutes and instants, several at once, and plans that are missed by hand."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from domain import InvalidInputError, PlanGroup, PlanState, StudentPlan
from domain.errors import EditedMeanwhileError, StudentPlanNotFoundError
from domain.services import Mark, PlanProgressService, RowVersion
from domain.services.editing.progress import MAX_MARKS
from tests.integration.editing import Factory, World, edit, everything, new_world, refused
from tests.integration.storing import (
    FIRST,
    book_group,
    change,
    generate,
    live,
    plans,
    ranges,
    unit_of_work,
    units,
)

SERVICE = PlanProgressService
PLANNED, STARTED, PART_DONE, DONE = PlanState
EAST, WEST = timezone(timedelta(hours=9)), timezone(-timedelta(hours=9))
AT = datetime(2025, 1, 6, 23, 30, tzinfo=EAST)


def mark(factory: Factory, world: World, plan: int = 0, **fields: Any) -> RowVersion:
    given = {"plan_id": world.plans[plan].id, "expected_version": 1, "state": DONE, **fields}
    written: RowVersion = edit(factory, world, SERVICE.mark, **given)
    return written


def current(factory: Factory, world: World, plan: int = 0) -> StudentPlan:
    (found,) = plans(factory, world.group, id=world.plans[plan].id)
    return found


def mark_of(world: World, plan: int, **fields: Any) -> Mark:
    given = {"plan_id": world.plans[plan].id, "expected_version": 1, "state": DONE}
    return Mark(**{**given, **fields})


# --- minutes and instants ---------------------------------------------------------------


def test_mark_stores_the_minutes_and_the_instant(session_factory: Factory, world: World) -> None:
    first = world.plans[1].first_unit
    mark(session_factory, world, actual_minutes=45, done_at=AT)
    mark(session_factory, world, 1, state=PART_DONE, done_through=first, actual_minutes=0)
    done, part = current(session_factory, world), current(session_factory, world, 1)
    assert (done.actual_minutes, done.done_at) == (45, AT)
    assert (part.actual_minutes, part.done_through) == (0, first)


def test_instant_of_a_mark_is_the_current_one_by_default(
    session_factory: Factory, world: World
) -> None:
    before = datetime.now(UTC)
    mark(session_factory, world)
    done_at = current(session_factory, world).done_at
    assert done_at is not None
    assert before <= done_at <= datetime.now(UTC)


@pytest.mark.parametrize("state", [PLANNED, STARTED])
def test_mark_as_not_done_clears_the_minutes_and_the_instant(
    session_factory: Factory, world: World, state: PlanState
) -> None:
    mark(session_factory, world, actual_minutes=1440, done_at=AT)
    mark(session_factory, world, expected_version=2, state=state)
    found = current(session_factory, world)
    assert (found.state, found.actual_minutes, found.done_at) == (state, None, None)


def test_new_mark_replaces_the_minutes_and_the_instant(
    session_factory: Factory, world: World
) -> None:
    mark(session_factory, world, actual_minutes=30, done_at=AT)
    mark(session_factory, world, expected_version=2, done_at=AT + timedelta(days=1))
    found = current(session_factory, world)
    assert (found.actual_minutes, found.done_at) == (None, AT + timedelta(days=1))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"actual_minutes": -1}, {"actual_minutes"}),
        ({"actual_minutes": 1441}, {"actual_minutes"}),
        ({"actual_minutes": True}, {"actual_minutes"}),
        ({"actual_minutes": "45"}, {"actual_minutes"}),
        ({"done_at": datetime(2025, 1, 6)}, {"done_at"}),  # noqa: DTZ001 - refused without a zone
        ({"done_at": FIRST}, {"done_at"}),
        ({"done_at": datetime.min.replace(tzinfo=EAST)}, {"done_at"}),
        ({"done_at": datetime.max.replace(tzinfo=WEST)}, {"done_at"}),
        ({"done_at": "2025-01-06T10:00:00Z"}, {"done_at"}),
        ({"state": PLANNED, "actual_minutes": 30}, {"actual_minutes"}),
        ({"state": STARTED, "done_at": AT}, {"done_at"}),
        ({"state": STARTED, "actual_minutes": 0, "done_at": AT}, {"actual_minutes", "done_at"}),
        ({"state": PART_DONE, "actual_minutes": -1}, {"done_through", "actual_minutes"}),
        ({"state": "finished", "actual_minutes": -1}, {"state"}),
        ({"plan_id": "plan", "expected_version": -1}, {"plan_id", "expected_version"}),
    ],
)
def test_mark_with_invalid_fields_names_them_and_writes_nothing(
    session_factory: Factory, world: World, fields: dict[str, Any], expected: set[str]
) -> None:
    given = {"plan_id": world.plans[0].id, "expected_version": 1, "state": DONE, **fields}
    refused(session_factory, world, expected, SERVICE.mark, **given)


# --- several marks ----------------------------------------------------------------------


def test_several_marks_are_written_and_their_versions_returned_in_order(
    session_factory: Factory, world: World
) -> None:
    mark(session_factory, world, 2, state=STARTED)
    marks = [
        mark_of(world, 2, expected_version=2, actual_minutes=50),
        mark_of(world, 0, state=STARTED),
        mark_of(world, 1, state=PART_DONE, done_through=world.plans[1].first_unit, done_at=AT),
    ]
    written = edit(session_factory, world, SERVICE.mark_all, marks=marks)
    assert written == [
        RowVersion(world.plans[plan].id, version) for plan, version in ((2, 3), (0, 2), (1, 2))
    ]
    found = [current(session_factory, world, plan) for plan in range(4)]
    assert [plan.state for plan in found] == [STARTED, PART_DONE, DONE, PLANNED]
    assert (found[1].done_at, found[2].actual_minutes) == (AT, 50)
    assert [plan.version for plan in found] == [2, 2, 3, 1]


def test_several_marks_with_invalid_fields_name_all_of_them_and_write_nothing(
    session_factory: Factory, world: World
) -> None:
    marks = [
        mark_of(world, 0, state="finished"),
        mark_of(world, 1),
        mark_of(world, 2, state=PART_DONE),
        mark_of(world, 3, state=PLANNED, actual_minutes=5, done_at=AT),
    ]
    expected = {"marks[0].state", "marks[2].done_through"}
    expected |= {"marks[3].actual_minutes", "marks[3].done_at"}
    refused(session_factory, world, expected, SERVICE.mark_all, marks=marks)


def test_several_marks_with_invalid_ids_or_versions_name_all_of_them(
    session_factory: Factory, world: World
) -> None:
    marks = [
        mark_of(world, 0),
        mark_of(world, 1, plan_id="plan"),
        mark_of(world, 2, expected_version=None),
        mark_of(world, 0),
    ]
    expected = {"marks[1].plan_id", "marks[2].expected_version", "marks[3].plan_id"}
    error = refused(session_factory, world, expected, SERVICE.mark_all, marks=marks)
    assert "given twice" in str(error)


@pytest.mark.parametrize("marks", [[], None, {}, 5, "marks", [None], [{}], [uuid4()]])
def test_marks_that_are_not_a_list_of_marks_are_refused(
    session_factory: Factory, world: World, marks: Any
) -> None:
    expected = {"marks[0]"} if isinstance(marks, list) and marks else {"marks"}
    if marks == "marks":
        expected = {f"marks[{index}]" for index in range(5)}
    refused(session_factory, world, expected, SERVICE.mark_all, marks=marks)


def test_number_of_marks_is_limited(session_factory: Factory, world: World) -> None:
    marks = [mark_of(world, 0, plan_id=uuid4()) for _ in range(MAX_MARKS + 1)]
    refused(session_factory, world, {"marks"}, SERVICE.mark_all, marks=marks)
    with pytest.raises(StudentPlanNotFoundError):
        edit(session_factory, world, SERVICE.mark_all, marks=marks[1:])


def test_mark_of_an_unknown_plan_writes_none_of_the_marks(
    session_factory: Factory, world: World
) -> None:
    other = new_world(session_factory)
    before = everything(session_factory)
    for plan_id in (uuid4(), other.plans[0].id):
        marks = [mark_of(world, 0), mark_of(world, 1, plan_id=plan_id)]
        with unit_of_work(session_factory, world.group) as uow:
            with pytest.raises(StudentPlanNotFoundError) as error:
                SERVICE(uow).mark_all(marks)
            uow.commit()
        assert error.value.plan_id == plan_id
        assert everything(session_factory) == before


def test_mark_of_an_old_version_writes_none_of_the_marks(
    session_factory: Factory, world: World
) -> None:
    mark(session_factory, world, 1, state=STARTED)
    before = everything(session_factory)
    with unit_of_work(session_factory, world.group) as uow:
        with pytest.raises(EditedMeanwhileError):
            SERVICE(uow).mark_all([mark_of(world, 0), mark_of(world, 1)])
        uow.commit()
    assert everything(session_factory) == before


def test_mark_of_a_plan_that_is_not_live_writes_none_of_the_marks(
    session_factory: Factory, world: World
) -> None:
    generate(session_factory, world.group, FIRST + timedelta(days=1))
    new = live(session_factory, world.group)[0]
    marks = [mark_of(world, 0, plan_id=new.id), mark_of(world, 0)]
    before = everything(session_factory)
    with unit_of_work(session_factory, world.group) as uow:
        with pytest.raises(EditedMeanwhileError):
            SERVICE(uow).mark_all(marks)
        uow.commit()
    assert everything(session_factory) == before


# --- units that are planned again -------------------------------------------------------


def planned_again(factory: Factory) -> tuple[PlanGroup, StudentPlan, list[StudentPlan]]:
    """Return a group, its plan of 21–25 that is done through 22, and the plans of 23–25."""
    group = book_group(factory, 11, 25, period_end=FIRST + timedelta(2), review_days=0)
    generate(factory, group)
    change(factory, group, period_end=FIRST + timedelta(9))
    part = live(factory, group)[2]
    assert ranges([part]) == [(21, 25)]
    with unit_of_work(factory, group) as uow:
        SERVICE(uow).mark(plan_id=part.id, expected_version=1, state=PART_DONE, done_through=22)
        uow.commit()
    generate(factory, group)
    again = [row for row in plans(factory, group, generation=2) if row.first_unit >= 23]
    assert units(again) == {23, 24, 25}
    return group, part, again


def remark(factory: Factory, group: PlanGroup, plan: StudentPlan, *marks: dict[str, Any]) -> None:
    """Mark the plan several times, one after the other."""
    for fields in marks:
        (now,) = plans(factory, group, id=plan.id)
        with unit_of_work(factory, group) as uow:
            SERVICE(uow).mark(plan_id=plan.id, expected_version=now.version, **fields)
            uow.commit()


@pytest.mark.parametrize(
    "fields",
    [
        {"state": DONE},
        {"state": PLANNED},
        {"state": STARTED},
        {"state": PART_DONE, "done_through": 23},
        {"state": PART_DONE, "done_through": 24},
    ],
)
def test_mark_that_includes_units_that_were_planned_again_is_refused(
    session_factory: Factory, fields: dict[str, Any]
) -> None:
    group, part, _ = planned_again(session_factory)
    before = everything(session_factory)
    with unit_of_work(session_factory, group) as uow:
        with pytest.raises(InvalidInputError) as one:
            SERVICE(uow).mark(plan_id=part.id, expected_version=2, **fields)
        with pytest.raises(InvalidInputError) as several:
            SERVICE(uow).mark_all([Mark(plan_id=part.id, expected_version=2, **fields)])
        uow.commit()
    assert (one.value.field, several.value.field) == ("state", "marks[0].state")
    assert everything(session_factory) == before


def test_mark_may_include_units_again_that_were_not_planned_again(session_factory: Factory) -> None:
    group, part, _ = planned_again(session_factory)
    narrow, wide = ({"state": PART_DONE, "done_through": unit} for unit in (21, 22))
    remark(session_factory, group, part, narrow, wide)
    (found,) = plans(session_factory, group, id=part.id)
    assert (found.done_through, found.version) == (22, 4)


def test_mark_may_include_units_again_after_their_plan_was_missed(session_factory: Factory) -> None:
    group, part, again = planned_again(session_factory)
    with unit_of_work(session_factory, group) as uow:
        for plan in again:
            SERVICE(uow).mark_missed(plan_id=plan.id, expected_version=1)
        uow.commit()
    remark(session_factory, group, part, {"state": DONE})
    assert units(live(session_factory, group)) == set(range(11, 26))
