"""The progress of a group, compared with a second computation over its rows."""

from collections import defaultdict
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanState, StudentPlan
from domain.models.plan import RetiredAs
from domain.repositories import StudentPlanRepository
from domain.repositories.progress import ContentProgress, GroupProgress
from domain.scheduling.types import PlanKind
from domain.services import PlanProgressService
from tests.factories import EVERY_DAY, BlockFactory, ContentFactory, lecture
from tests.integration.asking import counted
from tests.integration.storing import (
    FIRST,
    done_by,
    generate,
    live,
    mark,
    stored_group,
    unit_of_work,
)

Factory = sessionmaker[Session]


def progress(factory: Factory, group: PlanGroup) -> GroupProgress:
    with factory() as session:
        return StudentPlanRepository(session, group.tenant_id).progress(group.id)


def expected(factory: Factory, group: PlanGroup) -> list[ContentProgress]:
    """Return the progress by counting each unit and each plan on its own."""
    rows = [row for row in live(factory, group) if row.kind is PlanKind.STUDY]
    pieces: dict[tuple[UUID, int], list[StudentPlan]] = defaultdict(list)
    done: dict[UUID, set[int]] = defaultdict(set)
    for row in rows:
        if row.parts > 1:
            pieces[row.content_id, row.first_unit].append(row)
        else:
            last = {PlanState.DONE: row.last_unit, PlanState.PART_DONE: row.done_through}
            through = last.get(row.state) or row.first_unit - 1
            done[row.content_id] |= set(range(row.first_unit, through + 1))
    for (content_id, unit), found in pieces.items():
        if {row.part for row in found if row.state is PlanState.DONE} == set(
            range(1, found[0].parts + 1)
        ):
            done[content_id].add(unit)
    return [
        ContentProgress(
            content_id=content.id,
            position=content.position,
            title=content.title,
            units=content.last_unit - content.first_unit + 1,
            units_done=len(done[content.id]),
            minutes=sum(row.minutes for row in rows if row.content_id == content.id),
            minutes_done=sum(minutes_done(row) for row in rows if row.content_id == content.id),
            actual_minutes=sum(
                row.actual_minutes or 0 for row in rows if row.content_id == content.id
            ),
        )
        for content in sorted(group.contents, key=lambda content: content.position)
    ]


def minutes_done(row: StudentPlan) -> int:
    if row.state is PlanState.DONE:
        return row.minutes
    if row.state is PlanState.PART_DONE and row.done_through is not None:
        units, done = row.last_unit - row.first_unit + 1, row.done_through - row.first_unit + 1
        return (row.minutes - row.wrap_up_minutes) * done // units
    return 0


def mark_every(factory: Factory, group: PlanGroup, *marks: dict[str, Any]) -> None:
    """Mark the live plans with the marks in turn; a plan of one unit is done, not part done."""
    for index, row in enumerate(live(factory, group)):
        fields = dict(marks[index % len(marks)])
        if fields.get("state") is PlanState.PART_DONE:
            middle = (row.first_unit + row.last_unit) // 2
            if middle == row.last_unit:
                fields["state"] = PlanState.DONE
            else:
                fields["done_through"] = middle
        if fields:
            mark(factory, row, **fields)


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A generated group with a book, a lecture with wrap-up, and units of 100 minutes.

    A day has 80 minutes of study time, so that the long units are cut into pieces.
    """
    contents = [
        ContentFactory.build(position=4, first_unit=11, last_unit=40),
        lecture(1, [20, None, 45, 12], wrap_up_minutes=5),
        ContentFactory.build(position=7, last_unit=3, minutes_per_unit=100),
    ]
    blocks = [BlockFactory.build(weekday=day, end_minute=680) for day in EVERY_DAY]
    group = stored_group(
        session_factory,
        contents=contents,
        blocks=blocks,
        non_study_blocks=[],
        period_end=FIRST + timedelta(days=27),
    )
    generate(session_factory, group)
    return group


def pieces_of(factory: Factory, group: PlanGroup) -> list[StudentPlan]:
    return [row for row in live(factory, group) if row.parts > 1]


MARKS: list[list[dict[str, Any]]] = [
    [{}],
    [done_by(PlanState.DONE)],
    [{"state": PlanState.DONE, "actual_minutes": 25}, {}],
    [{"state": PlanState.PART_DONE, "actual_minutes": 7}, done_by(PlanState.STARTED)],
    [{"state": PlanState.PART_DONE}, {"pinned": True}, {"state": PlanState.DONE}],
    [{}, {}, {"state": PlanState.DONE, "actual_minutes": 0}],
]


@pytest.mark.parametrize("marks", MARKS)
def test_progress_equals_that_of_a_second_computation(
    session_factory: Factory, group: PlanGroup, marks: list[dict[str, Any]]
) -> None:
    mark_every(session_factory, group, *marks)
    found = progress(session_factory, group)
    assert list(found.contents) == expected(session_factory, group)
    for name in ("units", "units_done", "minutes", "minutes_done", "actual_minutes"):
        total = sum(getattr(content, name) for content in found.contents)
        assert getattr(found, name) == total


def test_group_of_the_cases_has_reviews_pieces_and_wrap_up(
    session_factory: Factory, group: PlanGroup
) -> None:
    rows = live(session_factory, group)
    assert {row.kind for row in rows} == set(PlanKind)
    assert pieces_of(session_factory, group)
    assert any(row.wrap_up_minutes for row in rows)
    assert any(row.last_unit > row.first_unit for row in rows)


def test_progress_before_the_first_mark_and_after_the_last_one(
    session_factory: Factory, group: PlanGroup
) -> None:
    found = progress(session_factory, group)
    assert [content.units for content in found.contents] == [4, 30, 3]
    assert (found.units_done, found.minutes_done, found.actual_minutes) == (0, 0, 0)
    mark_every(session_factory, group, done_by(PlanState.DONE))
    found = progress(session_factory, group)
    assert found.units_done == found.units == 37
    assert found.minutes_done == found.minutes


def test_unit_in_pieces_is_done_when_all_its_pieces_are_done(
    session_factory: Factory, group: PlanGroup
) -> None:
    unit = pieces_of(session_factory, group)[0].first_unit
    pieces = [row for row in pieces_of(session_factory, group) if row.first_unit == unit]
    assert len(pieces) == pieces[0].parts
    counts = []
    for piece in pieces:
        mark(session_factory, piece, **done_by(PlanState.DONE))
        counts.append(progress(session_factory, group).contents[2].units_done)
    assert counts == [*(0 for _ in pieces[1:]), 1]


def test_unit_whose_rest_was_cut_again_is_done_when_its_last_pieces_are_done(
    session_factory: Factory, group: PlanGroup
) -> None:
    """The last of four pieces is done first, and the rest is planned again as one piece."""
    generate(session_factory, group)  # a second run, which makes the piece below
    unit = pieces_of(session_factory, group)[0].first_unit
    pieces = [row for row in pieces_of(session_factory, group) if row.first_unit == unit]
    first, *others, last = pieces
    mark(session_factory, last, **done_by(PlanState.DONE), part=4, parts=4)
    for row in others:
        mark(session_factory, row, live=False, retired_as=RetiredAs.REPLACED)
    mark(session_factory, first, part=1, parts=2, generation=2, sequence=None)
    assert progress(session_factory, group).contents[2].units_done == 0
    mark(session_factory, first, **done_by(PlanState.DONE))
    assert progress(session_factory, group).contents[2].units_done == 1


def test_reviews_do_not_count(session_factory: Factory, group: PlanGroup) -> None:
    before = progress(session_factory, group)
    for row in live(session_factory, group):
        if row.kind is PlanKind.REVIEW:
            mark(session_factory, row, state=PlanState.DONE, actual_minutes=30)
    assert progress(session_factory, group) == before


def test_part_done_plan_has_the_share_of_its_done_units_without_the_wrap_up(
    session_factory: Factory,
) -> None:
    """Three pages of 7 minutes and 10 minutes of wrap-up: two pages are 14 minutes."""
    contents = [
        ContentFactory.build(position=0, last_unit=3, minutes_per_unit=7, wrap_up_minutes=10)
    ]
    group = stored_group(
        session_factory, contents=contents, weakness_factor=1, period_end=FIRST, review_days=0
    )
    generate(session_factory, group)
    (row,) = live(session_factory, group)
    assert (row.minutes, row.wrap_up_minutes) == (31, 10)
    mark(session_factory, row, state=PlanState.PART_DONE, done_through=2, actual_minutes=20)
    (found,) = progress(session_factory, group).contents
    assert (found.units, found.units_done) == (3, 2)
    assert (found.minutes, found.minutes_done, found.actual_minutes) == (31, 14, 20)


def test_moved_plan_counts_once_and_missed_plans_do_not_count(
    session_factory: Factory, group: PlanGroup
) -> None:
    before = progress(session_factory, group)
    first, second = live(session_factory, group)[:2]
    with unit_of_work(session_factory, group) as uow:
        service = PlanProgressService(uow)
        moved = service.move(
            plan_id=first.id,
            expected_version=1,
            date=first.date,
            start_minute=680 - first.minutes,
            today=FIRST,
        )
        uow.commit()
    assert progress(session_factory, group) == before
    with unit_of_work(session_factory, group) as uow:
        service = PlanProgressService(uow)
        service.mark(plan_id=moved.id, expected_version=1, state=PlanState.DONE)
        service.mark_missed(plan_id=second.id, expected_version=1)
        uow.commit()
    found = progress(session_factory, group)
    assert list(found.contents) == expected(session_factory, group)
    assert found.minutes == before.minutes - second.minutes
    assert found.minutes_done == first.minutes


def test_progress_is_the_same_after_the_rest_was_planned_again(
    session_factory: Factory, group: PlanGroup
) -> None:
    mark_every(session_factory, group, {"state": PlanState.PART_DONE}, {})
    done = [content.units_done for content in progress(session_factory, group).contents]
    generate(session_factory, group, FIRST + timedelta(days=1))
    found = progress(session_factory, group)
    assert [content.units_done for content in found.contents] == done
    assert list(found.contents) == expected(session_factory, group)


def test_progress_is_read_in_one_statement(database_url: sa.URL, group: PlanGroup) -> None:
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    with counted(engine) as trips:
        progress(sessionmaker(engine), group)
    engine.dispose()
    assert trips.count == 3  # BEGIN, the statement, ROLLBACK


def test_group_without_contents_or_without_plans_has_no_progress(session_factory: Factory) -> None:
    empty = stored_group(session_factory, contents=[])
    found = progress(session_factory, empty)
    assert found == GroupProgress(())
    assert (found.units, found.units_done, found.minutes) == (0, 0, 0)
    unplanned = stored_group(session_factory)
    (content,) = progress(session_factory, unplanned).contents
    assert (content.units, content.units_done, content.minutes) == (100, 0, 0)
    empty.id = uuid4()
    assert progress(session_factory, empty) == GroupProgress(())
