"""Rows can be pickled, as caches and queues of tasks do, and read and loaded again after that."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from domain.repositories import PlanGroupRepository, StudentPlanRepository
from domain.repositories.student_time import StudentTimeRepository
from tests.integration.editing import Factory, World

ROWS: dict[str, Callable[[Session, World], Any]] = {
    "groups.get": lambda s, w: [PlanGroupRepository(s, w.tenant_id).get(w.group.id)],
    "groups.get_row": lambda s, w: [PlanGroupRepository(s, w.tenant_id).get_row(w.group.id)],
    "groups.of_student": lambda s, w: PlanGroupRepository(s, w.tenant_id).of_student(
        w.group.student_id
    ),
    "groups.page": lambda s, w: PlanGroupRepository(s, w.tenant_id).page().groups,
    "groups.generations": lambda s, w: PlanGroupRepository(s, w.tenant_id).generations(w.group.id),
    "plans.live": lambda s, w: StudentPlanRepository(s, w.tenant_id).live(w.group.id),
    "plans.get_all": lambda s, w: StudentPlanRepository(s, w.tenant_id).get_all(
        w.group.id, [plan.id for plan in w.plans]
    ),
    "exclusions": lambda s, w: StudentTimeRepository(s, w.tenant_id).exclusions(w.group.student_id),
    "classes": lambda s, w: StudentTimeRepository(s, w.tenant_id).academy_schedules(
        w.group.student_id
    ),
}
PARTS = ("contents", "blocks", "non_study_blocks", "special_days")


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_every_query_are_equal_after_pickling(
    session_factory: Factory, world: World, name: str
) -> None:
    with session_factory() as session:
        rows = list(ROWS[name](session, world))
        again = pickle.loads(pickle.dumps(rows))  # noqa: S301 - pickled in this test
        assert rows
        assert [loaded(row) for row in again] == [loaded(row) for row in rows]


def test_pickled_group_has_its_parts_and_loads_them_again(
    session_factory: Factory, world: World
) -> None:
    with session_factory() as session:
        group = PlanGroupRepository(session, world.tenant_id).get(world.group.id)
    again = pickle.loads(pickle.dumps(group))  # noqa: S301 - pickled in this test
    before = parts_of(again)
    assert before == parts_of(group)
    assert all(before.values())
    with session_factory() as session:
        session.add(again)
        session.expire_all()
        assert parts_of(again) == before
        session.refresh(again, PARTS)
        assert parts_of(again) == before


def loaded(row: Any) -> dict[str, Any]:
    """Return the values of the columns that have been loaded."""
    state = sa.inspect(row)
    return {key: value for key, value in state.dict.items() if key in state.mapper.column_attrs}


def parts_of(group: Any) -> dict[str, list[Any]]:
    return {name: [part.id for part in getattr(group, name)] for name in PARTS}
