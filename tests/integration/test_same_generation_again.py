"""The same generation again writes no plan, and a small change leaves all other plans untouched.

The groups are those of the corpus, under both strategies. What was written is read from the server:
``xmin`` is the transaction that wrote a row last. ``SAME_GENERATION_GROUPS`` sets the number of
groups, for example 300.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, GroupStatus, PlanGroup
from domain.documents import PlanGroupDocument
from domain.documents.rows import to_rows
from domain.errors import DomainError, NoStudyDaysError, NothingPlacedError
from domain.repositories import PlanGroupRepository
from domain.scheduling.difference import PlanChanges
from domain.scheduling.types import ContentType, Request, Strategy
from domain.services import GroupEditService
from tests.benchmarks.group_document import document
from tests.integration.storing import store, unit_of_work
from tests.integration.undoing import generate
from tests.unit.scheduling.corpus import corpus

Factory = sessionmaker[Session]
GROUPS = int(os.environ.get("SAME_GENERATION_GROUPS", "40"))
PARTS = 8
"""The groups are divided over so many tests."""
parts = pytest.mark.parametrize("part", range(PARTS))
PLACE = """
    content_id, kind, date, start_minute, end_minute, first_unit, last_unit,
    part, parts, wrap_up_minutes, reserve
"""


class Written(NamedTuple):
    """A stored plan: the transaction that wrote it, its place, and the whole row as text."""

    id: UUID
    content_id: UUID
    xmin: str
    version: int
    live: bool
    place: str
    text: str


@cache
def requests() -> list[Request]:
    return list(corpus(GROUPS, seed=7))


def stored(factory: Factory, request: Request, strategy: Strategy) -> PlanGroup:
    """Store a group of the corpus for a new student."""
    entries = PlanGroupDocument.from_mapping(document(replace(request, strategy=strategy)))
    rows = to_rows(entries, uuid4(), uuid4(), status=GroupStatus.SAVED)
    store(factory, rows.group)
    store(factory, *rows.academy_schedules, *rows.exclusions)
    return rows.group


def generated(
    factory: Factory, part: int, strategy: Strategy
) -> Iterator[tuple[Request, PlanGroup, GenerationResult]]:
    """Yield the groups of one test that can be generated, with their first result."""
    for request in requests()[part::PARTS]:
        group = stored(factory, request, strategy)
        try:
            yield request, group, generate(factory, group, request.today)
        except (NoStudyDaysError, NothingPlacedError):  # the classes left no time
            continue


def written(engine: sa.Engine, group: PlanGroup) -> dict[UUID, Written]:
    query = sa.text(
        f"SELECT id, content_id, xmin::text, version, live, ROW({PLACE})::text AS place, "  # noqa: S608 - a constant
        "plan::text AS text FROM studyplan.student_plans AS plan WHERE group_id = :id"
    )
    with engine.connect() as connection:
        return {row.id: Written(*row) for row in connection.execute(query, {"id": group.id})}


def contents(engine: sa.Engine, group: PlanGroup) -> list[Any]:
    query = sa.text("SELECT xmin::text, * FROM studyplan.contents WHERE group_id = :id ORDER BY id")
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query, {"id": group.id})]


@parts
@pytest.mark.parametrize("strategy", Strategy)
def test_same_generation_again_writes_no_plan(
    engine: sa.Engine, session_factory: Factory, part: int, strategy: Strategy
) -> None:
    found = 0
    for request, group, first in generated(session_factory, part, strategy):
        before, of_contents = written(engine, group), contents(engine, group)
        assert len(before) == len(first.plans) > 0
        again = generate(session_factory, group, request.today)
        assert written(engine, group) == before
        assert contents(engine, group) == of_contents
        assert again.changes == PlanChanges(kept=len(before))
        assert (again.plans, again.plan_ids, again.lineages) == (
            first.plans,
            first.plan_ids,
            first.lineages,
        )
        assert (again.unplaced, again.quality) == (first.unplaced, first.quality)
        found += 1
    assert found >= GROUPS // PARTS * 0.8, "nearly all groups can be generated"


def lengthen(factory: Factory, group: PlanGroup) -> UUID:
    """Let the first content be one unit longer; return its id."""
    with factory() as session:
        content = PlanGroupRepository(session, group.tenant_id).get(group.id).contents[0]
        fields: dict[str, Any] = {"last_unit": content.last_unit + 1}
        if content.type is ContentType.LECTURE:
            fields["episodes"] = [*(episode.minutes for episode in content.episodes), 30]
    with unit_of_work(factory, group) as uow:
        GroupEditService(uow).change_content(
            content_id=content.id, expected_version=content.version, **fields
        )
        uow.commit()
    return content.id


@parts
def test_longer_content_leaves_plans_that_stay_at_their_place_as_they_are(
    engine: sa.Engine, session_factory: Factory, part: int
) -> None:
    """Plans of all contents that have the same place afterwards are the same rows."""
    stayed = 0
    for request, group, _ in generated(session_factory, part, Strategy.EVEN):
        longer = lengthen(session_factory, group)
        before = written(engine, group)
        try:
            generate(session_factory, group, request.today)
        except DomainError:
            assert written(engine, group) == before
            continue
        after = written(engine, group)
        places = {row.place: row for row in before.values()}
        for row in after.values():
            if row.live and row.place in places:
                assert row == places[row.place]
                stayed += row.content_id != longer
        # Retired plans were written once, and have kept their versions.
        for row in before.values():
            if not after[row.id].live:
                assert after[row.id].version == row.version == 1
    assert stayed > 10 * GROUPS // PARTS
