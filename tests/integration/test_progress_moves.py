"""Plans that are moved by hand: where they may go, and what the move leaves."""

from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import GroupStatus, PlanState, StudentPlan
from domain.errors import StudentPlansOverlapError
from domain.models.plan import RetiredAs
from domain.services import PlanProgressService, RowVersion
from domain.unit_of_work import UnitOfWork
from tests.integration.editing import Factory, World, edit, refused
from tests.integration.storing import (
    FIRST,
    book_group,
    change,
    columns,
    dump,
    generate,
    live,
    mark,
    plans,
    unit_of_work,
    units,
)

MOVE = PlanProgressService.move
PLACE = {"date", "start_minute", "end_minute", "reserve", "week", "cycle", "cycle_day"}
FREE: dict[str, Any] = {"date": date(2025, 1, 10), "start_minute": 1020}
"""Friday 17:00, where the plans of the world leave free time."""


def move(factory: Factory, world: World, plan: int = 0, **fields: Any) -> StudentPlan:
    """Move a plan of the world, and return its new row."""
    written: RowVersion = edit(factory, world, MOVE, **arguments(world, plan, **fields))
    (found,) = plans(factory, world.group, id=written.id)
    assert found.version == written.version
    return found


def arguments(world: World, plan: int = 0, **fields: Any) -> dict[str, Any]:
    given = {"plan_id": world.plans[plan].id, "expected_version": 1, **FREE, "today": FIRST}
    return {**given, **fields}


def current(factory: Factory, world: World, plan: int = 0) -> StudentPlan:
    (found,) = plans(factory, world.group, id=world.plans[plan].id)
    return found


def move_in(uow: UnitOfWork, plan: StudentPlan, **fields: Any) -> RowVersion:
    given = {"plan_id": plan.id, "expected_version": plan.version, "today": FIRST}
    return PlanProgressService(uow).move(**{**given, **FREE, **fields})


# --- what a move leaves -----------------------------------------------------------------


def test_moved_plan_is_a_new_pinned_row_of_the_same_lineage(
    session_factory: Factory, world: World
) -> None:
    before, length = columns(world.plans[0]), world.plans[0].minutes
    new = columns(move(session_factory, world))
    assert {name: new[name] for name in PLACE} == {
        "date": date(2025, 1, 10),
        "start_minute": 1020,
        "end_minute": 1020 + length,
        "reserve": False,
        "week": 1,
        "cycle": 1,
        "cycle_day": 3,
    }
    own = {"id", "sequence", "pinned", *PLACE}
    assert {name: value for name, value in new.items() if name not in own} == {
        name: value for name, value in before.items() if name not in own
    }
    assert new["id"] != before["id"]
    assert (new["sequence"], new["pinned"], new["version"]) == (None, True, 1)


def test_row_at_the_old_place_is_retired_in_its_version(
    session_factory: Factory, world: World
) -> None:
    before = columns(world.plans[0])
    move(session_factory, world)
    after = columns(current(session_factory, world))
    assert after.pop("retired_at") is not None
    expected = {**before, "live": False, "retired_as": RetiredAs.MOVED}
    del expected["retired_at"]
    assert after == expected


@pytest.mark.parametrize(
    ("day", "start", "expected"),
    [
        (date(2025, 1, 6), 1080, (1, 1, 1)),
        (date(2025, 1, 13), 1080, (2, 1, 6)),
        (date(2025, 1, 14), 1080, (2, 1, 7)),
        (date(2025, 1, 15), 660, (2, 2, 1)),
        (date(2025, 1, 19), 1080, (2, 2, 5)),
    ],
    ids=["same day", "last study day", "review day", "day of a class", "last day"],
)
def test_moved_plan_has_the_week_and_cycle_of_its_new_day(
    *, session_factory: Factory, world: World, day: date, start: int, expected: tuple[int, int, int]
) -> None:
    """The vacation on Wednesday 8 and the exclusion on Thursday 9 postpone the review day."""
    new = move(session_factory, world, -1, date=day, start_minute=start)
    assert (new.date, new.start_minute) == (day, start)
    assert (new.week, new.cycle, new.cycle_day) == expected


def test_moved_plan_is_kept_by_the_next_generations_and_its_units_are_not_planned_again(
    session_factory: Factory, world: World
) -> None:
    new = move(session_factory, world, date=date(2025, 1, 13), start_minute=1080)
    before = columns(new)
    for day in (0, 1, 4):
        generate(session_factory, world.group, FIRST + timedelta(day))
        (kept,) = plans(session_factory, world.group, id=new.id)
        assert columns(kept) == before
        others = [
            row
            for row in live(session_factory, world.group)
            if row.content_id == new.content_id and row.id != new.id and row.kind == new.kind
        ]
        assert units(others).isdisjoint(units([new]))
    generate(session_factory, world.group, FIRST + timedelta(8))
    (missed,) = plans(session_factory, world.group, id=new.id)
    assert (missed.live, missed.retired_as, missed.lineage) == (
        False,
        RetiredAs.MISSED,
        world.plans[0].lineage,
    )


def test_plan_can_be_moved_repeatedly_and_keeps_its_lineage(
    session_factory: Factory, world: World
) -> None:
    first = move(session_factory, world)
    second = move(session_factory, world, plan_id=first.id, date=date(2025, 1, 7), start_minute=900)
    back = move(
        session_factory,
        world,
        plan_id=second.id,
        date=world.plans[0].date,
        start_minute=world.plans[0].start_minute,
    )
    rows = plans(session_factory, world.group, lineage=world.plans[0].lineage)
    assert {row.id for row in rows} == {world.plans[0].id, first.id, second.id, back.id}
    assert [row.id for row in rows if row.live] == [back.id]
    assert {row.retired_as for row in rows} == {RetiredAs.MOVED, None}


@pytest.mark.parametrize(
    "fields", [{"state": PlanState.STARTED}, {"pinned": True}], ids=["started", "pinned"]
)
def test_started_or_pinned_plan_can_be_moved(
    session_factory: Factory, world: World, fields: dict[str, Any]
) -> None:
    mark(session_factory, world.plans[0], **fields)
    new = move(session_factory, world, expected_version=2)
    assert (new.state, new.pinned) == (fields.get("state", PlanState.PLANNED), True)


def test_plan_of_a_past_day_can_be_moved_to_today(session_factory: Factory, world: World) -> None:
    today = date(2025, 1, 10)
    new = move(session_factory, world, today=today)
    assert (new.date, new.live) == (today, True)


@pytest.mark.parametrize("status", [GroupStatus.PAUSED, GroupStatus.COMPLETED])
def test_plan_of_a_group_in_any_state_can_be_moved(
    session_factory: Factory, world: World, status: GroupStatus
) -> None:
    change(session_factory, world.group, status=status)
    assert move(session_factory, world).live


# --- where a plan may go ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"date": date(2025, 1, 15), "start_minute": 840}, "start_minute"),
        ({"date": date(2025, 1, 15), "start_minute": 1070}, "start_minute"),
        ({"date": date(2025, 1, 15), "start_minute": 690}, "start_minute"),
        ({"start_minute": 720}, "start_minute"),
        ({"start_minute": 700}, "start_minute"),
        ({"start_minute": 599}, "start_minute"),
        ({"start_minute": 1100}, "start_minute"),
        ({"start_minute": 1439}, "start_minute"),
        ({"date": date(2025, 1, 18), "start_minute": 1080}, "start_minute"),
        ({"date": date(2025, 1, 8)}, "date"),
        ({"date": date(2025, 1, 9)}, "date"),
        ({"date": date(2025, 1, 5)}, "date"),
        ({"date": date(2025, 1, 20)}, "date"),
        ({"date": date(2026, 1, 10)}, "date"),
        ({"today": date(2025, 1, 11)}, "date"),
        ({"today": date(2025, 2, 11)}, "date"),
    ],
    ids=[
        *("class", "travel after a class", "travel before a class", "lunch", "into lunch"),
        *("before the block", "past the block", "over midnight", "not in the special day"),
        *("vacation", "exclusion of the group", "before the period", "after the period"),
        *("another year", "before today", "today after the period"),
    ],
)
def test_move_to_a_time_that_is_not_study_time_is_refused(
    session_factory: Factory, world: World, fields: dict[str, Any], field: str
) -> None:
    refused(session_factory, world, {field}, MOVE, **arguments(world, **fields))


@pytest.mark.parametrize("offset", [-30, -1, 0, 1, 30])
def test_move_onto_another_plan_of_the_group_is_refused(
    session_factory: Factory, world: World, offset: int
) -> None:
    other = world.plans[1]
    place: dict[str, Any] = {"date": other.date, "start_minute": other.start_minute + 60 + offset}
    move(session_factory, world, 1, **{**place, "start_minute": other.start_minute + 60})
    refused(session_factory, world, {"start_minute"}, MOVE, **arguments(world, **place))


def test_plan_may_be_moved_directly_before_and_after_another_one(
    session_factory: Factory, world: World
) -> None:
    day, middle = date(2025, 1, 13), 900
    moved = move(session_factory, world, 2, date=day, start_minute=middle)
    after = move(session_factory, world, 0, date=day, start_minute=moved.end_minute)
    start = middle - world.plans[1].minutes
    before = move(session_factory, world, 1, date=day, start_minute=start)
    assert (before.end_minute, after.start_minute) == (moved.start_minute, moved.end_minute)


def test_plan_may_be_moved_by_less_than_its_length(session_factory: Factory, world: World) -> None:
    """Its own old time is free for it."""
    plan = world.plans[0]
    new = move(session_factory, world, date=plan.date, start_minute=plan.start_minute + 5)
    assert new.start_minute == plan.start_minute + 5


def test_move_onto_a_plan_of_another_group_of_the_student_is_refused(
    session_factory: Factory, world: World
) -> None:
    ids: dict[str, Any] = {"tenant_id": world.tenant_id, "student_id": world.group.student_id}
    neighbour = book_group(session_factory, **ids)
    generate(session_factory, neighbour)
    foreign = book_group(session_factory)
    generate(session_factory, foreign)
    occupied = next(row for row in live(session_factory, neighbour) if row.date == FREE["date"])
    place: dict[str, Any] = {"date": occupied.date, "start_minute": occupied.start_minute}
    refused(session_factory, world, {"start_minute"}, MOVE, **arguments(world, **place))
    mark(session_factory, occupied, live=False, retired_as="cancelled")
    assert move(session_factory, world, **place).live


def test_move_that_overlaps_a_plan_that_was_made_meanwhile_writes_nothing(
    session_factory: Factory, world: World
) -> None:
    """The other transaction does not hold the student's lock, so only the constraint can refuse."""
    ids: dict[str, Any] = {"tenant_id": world.tenant_id, "student_id": world.group.student_id}
    neighbour = book_group(session_factory, **ids)
    generate(session_factory, neighbour)
    occupied = next(row for row in live(session_factory, neighbour) if row.date == FREE["date"])
    mark(session_factory, occupied, live=False, retired_as="cancelled")
    before = dump(session_factory, world.group.id)
    concurrent = sessionmaker(session_factory.kw["bind"])

    def make_live_again(*_: object) -> None:
        mark(session_factory, occupied, live=True, retired_as=None)

    sa.event.listen(concurrent, "before_flush", make_live_again)
    place: dict[str, Any] = {"date": occupied.date, "start_minute": occupied.start_minute}
    with pytest.raises(StudentPlansOverlapError), unit_of_work(concurrent, world.group) as uow:
        move_in(uow, world.plans[0], **place)
    assert dump(session_factory, world.group.id) == before


def test_plan_that_is_done_cannot_be_moved(session_factory: Factory, world: World) -> None:
    first = world.plans[1].first_unit
    mark(session_factory, world.plans[0], state=PlanState.DONE)
    mark(session_factory, world.plans[1], state=PlanState.PART_DONE, done_through=first)
    for plan in (0, 1):
        given = arguments(world, plan, expected_version=2)
        refused(session_factory, world, {"plan_id"}, MOVE, **given)
