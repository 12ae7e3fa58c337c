"""Limits are checked before rows are built: a short input must not hold the lock for long."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import Base, InvalidInputError, PlanGroupLock, PlanGroupService, UnitOfWork
from domain.models import LectureEpisode
from domain.scheduling.types import MAX_UNITS
from tests.integration.editing import BOOK, SERVICE, World, content, edit, refused
from tests.unit.documents.documents import LECTURE, SMALL

Factory = sessionmaker[Session]
LONG: dict[str, Any] = {**LECTURE, "range": [1, MAX_UNITS]}


@contextmanager
def built() -> Iterator[list[type]]:
    """Return the classes of the rows that are built in the block."""
    kinds: list[type] = []

    def note(row: object, *_: object) -> None:
        kinds.append(type(row))

    sa.event.listen(Base, "init", note, propagate=True)
    try:
        yield kinds
    finally:
        sa.event.remove(Base, "init", note)


@pytest.mark.parametrize(
    "contents", [[LONG] * 2, [LONG] * 9, [LONG] * 12, [LONG, {**LONG, "range": [1, MAX_UNITS + 1]}]]
)
def test_create_builds_no_episode_of_a_document_with_too_many_units(
    session_factory: Factory, contents: Sequence[object]
) -> None:
    fields = {**SMALL, "contents": contents}
    with built() as kinds, UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        with pytest.raises(InvalidInputError) as refusal:
            PlanGroupService(uow).create(fields, student_id=uuid4())
        uow.rollback()
    assert refusal.value.field.startswith("contents")
    assert kinds.count(LectureEpisode) == 0


def test_create_builds_the_rows_of_a_valid_document_once(session_factory: Factory) -> None:
    fields = {**SMALL, "contents": [{**LONG, "range": [1, 300]}, LECTURE]}
    with built() as kinds, UnitOfWork(session_factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        PlanGroupService(uow).create(fields, student_id=uuid4())
        uow.rollback()
    assert kinds.count(LectureEpisode) == 304


@pytest.mark.parametrize("last", [1, 3, 2**31 - 1])
def test_edit_builds_at_most_one_episode_more_than_the_range_has_units(
    session_factory: Factory, world: World, last: int
) -> None:
    episodes = [30] * (MAX_UNITS + 500)
    lecture = {**BOOK, "type": "lecture", "last_unit": last, "episodes": episodes}
    named = {"contents[2].range" if last > MAX_UNITS else "contents[2].episodes"}
    with built() as kinds:
        refused(session_factory, world, named, SERVICE.add_content, **lecture)
    assert kinds.count(LectureEpisode) <= min(last, MAX_UNITS) + 1


def test_edit_refuses_one_episode_too_many(session_factory: Factory, world: World) -> None:
    fields = {"content_id": world.unplanned.id, "expected_version": 1}
    too_many = {**fields, "episodes": [30] * 4}
    named = {"contents[1].episodes"}
    refused(session_factory, world, named, SERVICE.change_content, **too_many)
    edit(session_factory, world, SERVICE.change_content, **fields, episodes=[30] * 3)
    content(session_factory, world, "unplanned", expected_version=2, last_unit=2, episodes=[5, 6])
