"""The database is the last line of defence: every constraint refuses its invalid rows."""

import re
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa

from tests.integration import rows
from tests.integration.rows import (
    AT,
    DAY,
    FOREIGN_GROUP,
    OTHER_CONTENT,
    OTHER_GROUP,
    OTHER_STUDENT,
    OTHER_TENANT,
    ROWS,
    another,
    retired,
)


class Case(NamedTuple):
    """An invalid row, made by changes of the valid row or by a new row, and what refuses it.

    ``dropped`` names constraints that would refuse the row first; the test drops them.
    """

    constraint: str
    table: str
    changes: dict[str, Any]
    new: bool = False
    dropped: tuple[str, ...] = ()


def spans(table: str) -> list[Case]:
    """Return the cases of a weekly span: its weekday, and [start, end) within one day."""
    return [
        Case(f"ck_{table}_weekday", table, {"weekday": -1}),
        Case(f"ck_{table}_weekday", table, {"weekday": 7}),
        Case(f"ck_{table}_span", table, {"start_minute": 720}),
        Case(f"ck_{table}_span", table, {"start_minute": 721}),
        Case(f"ck_{table}_span", table, {"start_minute": -1}),
        Case(f"ck_{table}_span", table, {"end_minute": 1441}),
    ]


PRIMARY_KEYS = [Case(f"pk_{table}", table, dict(row), new=True) for table, row in ROWS.items()]

GROUPS = [
    Case("ck_plan_groups_status", "plan_groups", {"status": "canceled"}),
    Case("ck_plan_groups_period", "plan_groups", {"period_end": DAY - timedelta(1)}),
    Case("ck_plan_groups_period", "plan_groups", {"period_end": DAY + timedelta(731)}),
    Case("ck_plan_groups_cycle", "plan_groups", {"study_days": 0}),
    Case("ck_plan_groups_cycle", "plan_groups", {"study_days": 31}),
    Case("ck_plan_groups_cycle", "plan_groups", {"review_days": -1}),
    Case("ck_plan_groups_cycle", "plan_groups", {"review_days": 8}),
    Case("ck_plan_groups_level", "plan_groups", {"level": "top"}),
    *(
        Case("ck_plan_groups_factors", "plan_groups", {f"{factor}_factor": value})
        for factor in ("level", "weakness", "strategy", "review")
        for value in (0, -1, 11, float("nan"))
    ),
    Case("ck_plan_groups_target_date", "plan_groups", {"target_date": DAY - timedelta(1)}),
    *(
        Case(f"ck_plan_groups_{name}", "plan_groups", {name: value})
        for name, values in {
            "strategy": ("weighted", ""),
            "balance": ("pages", ""),
            "shortest_session": (-1, 241),
            "longest_sitting": (0, 1441),
            "pause_minutes": (-1, 121),
            "buffer_days": (-1, 731),
        }.items()
        for value in values
    ),
    Case("ck_plan_groups_generation", "plan_groups", {"generation": -1}),
    Case("uq_plan_groups_active_student", "plan_groups", {"status": "active"}, new=True),
    Case(
        "uq_plan_groups_tenant_id_student_id_id",
        "plan_groups",
        {"id": rows.GROUP},
        new=True,
        dropped=("pk_plan_groups",),
    ),
]

CONTENTS = [
    Case("fk_contents_plan_groups", "contents", {"tenant_id": OTHER_TENANT}, new=True),
    Case("fk_contents_plan_groups", "contents", {"group_id": FOREIGN_GROUP}, new=True),
    Case("uq_contents_tenant_id_group_id_position", "contents", {"position": 1}, new=True),
    Case(
        "uq_contents_tenant_id_group_id_id",
        "contents",
        {"id": rows.CONTENT},
        new=True,
        dropped=("pk_contents",),
    ),
    Case("ck_contents_type", "contents", {"type": "film"}, dropped=("ck_contents_length",)),
    Case("ck_contents_allocation", "contents", {"allocation": "daily"}),
    Case("ck_contents_allocation", "contents", {"weekly_days": 3}),
    Case("ck_contents_allocation", "contents", {"allocation": "strategy"}),
    Case("ck_contents_allocation", "contents", {"allocation": "strategy", "weekly_days": 5}),
    Case("ck_contents_allocation", "contents", {"allocation": "strategy", "weekly_days": 1}),
    Case("ck_contents_range", "contents", {"first_unit": 11}),
    Case("ck_contents_range", "contents", {"first_unit": 0}),
    Case("ck_contents_range", "contents", {"last_unit": 100_001}),
    Case("ck_contents_minutes", "contents", {"minutes_per_unit": 0}),
    Case("ck_contents_minutes", "contents", {"minutes_per_unit": 1441}),
    Case("ck_contents_length", "contents", {"minutes_per_unit": 6, "difficulty": "top"}),
    Case("ck_contents_length", "contents", {"type": "lecture", "minutes_per_unit": 6}),
    Case("ck_contents_length", "contents", {"type": "lecture", "difficulty": "top"}),
    Case("ck_contents_length", "contents", {"type": "custom"}),
    Case("ck_contents_difficulty", "contents", {"difficulty": "hard"}),
    Case("ck_contents_wrap_up", "contents", {"wrap_up_minutes": -1}),
    Case("ck_contents_wrap_up", "contents", {"wrap_up_minutes": 1441}),
    Case("ck_contents_day_shift", "contents", {"day_shift": 0}),
    *(
        Case(
            "ck_contents_day_shift",
            "contents",
            {"allocation": "strategy", "weekly_days": 3, "day_shift": shift},
        )
        for shift in (-1, 30)
    ),
    Case("fk_lecture_episodes_contents", "lecture_episodes", {"group_id": OTHER_GROUP}),
    Case("ck_lecture_episodes_unit", "lecture_episodes", {"unit": 0}),
    Case("ck_lecture_episodes_minutes", "lecture_episodes", {"minutes": 0}),
    Case("ck_lecture_episodes_minutes", "lecture_episodes", {"minutes": 1441}),
]

TIME = [
    *spans("blocks"),
    *spans("non_study_blocks"),
    *spans("academy_schedules"),
    Case("ck_blocks_kind", "blocks", {"kind": "free"}),
    Case("fk_blocks_plan_groups", "blocks", {"tenant_id": OTHER_TENANT}),
    Case("fk_non_study_blocks_plan_groups", "non_study_blocks", {"tenant_id": OTHER_TENANT}),
    *(
        Case(f"ck_special_days_{kind}", "special_days", {kind: value})
        for kind in ("study", "self_study")
        for value in (
            "{[-1,600)}",
            "{[600,1441)}",
            "{[600,)}",
            "{(,600)}",
            "{[600,720),[1440,1500)}",
        )
    ),
    Case("fk_special_days_plan_groups", "special_days", {"tenant_id": OTHER_TENANT}),
    Case("fk_special_days_plan_groups", "special_days", {"group_id": FOREIGN_GROUP}),
    Case("uq_special_days_tenant_id_group_id_date", "special_days", {"date": DAY}, new=True),
    Case("ck_exclusions_type", "exclusions", {"type": "holiday"}),
    Case("fk_exclusions_plan_groups", "exclusions", {"student_id": OTHER_STUDENT}),
    Case("fk_exclusions_plan_groups", "exclusions", {"tenant_id": OTHER_TENANT}),
    Case("fk_exclusions_plan_groups", "exclusions", {"group_id": FOREIGN_GROUP}),
    Case("ck_academy_schedules_travel", "academy_schedules", {"travel_minutes": -1}),
    Case("ck_academy_schedules_travel", "academy_schedules", {"travel_minutes": 1441}),
    *(
        Case(
            "ex_academy_schedules_overlap",
            "academy_schedules",
            {"weekday": 1, "start_minute": start, "end_minute": end},
            new=True,
        )
        for start, end in [(600, 720), (500, 601), (719, 800), (610, 620), (500, 800)]
    ),
]

GENERATIONS = [
    Case(
        "fk_plan_generations_plan_groups", "plan_generations", {"tenant_id": OTHER_TENANT}, new=True
    ),
    Case("ck_plan_generations_number", "plan_generations", {"number": 0}, new=True),
    Case("ck_plan_generations_waited", "plan_generations", {"waited_ms": -1}),
    Case("ck_plan_generations_kind", "plan_generations", {"kind": "replanned"}),
    Case("ck_plan_generations_undoes", "plan_generations", {"undoes": 1}, new=True),
    *(
        Case("ck_plan_generations_undoes", "plan_generations", {"kind": "undone", "undoes": undoes})
        for undoes in (None, 1, 2)
    ),
    Case("ck_plan_generations_undoes", "plan_generations", {"undone_in": 1}),
    Case("ck_plan_generations_undoes", "plan_generations", {"undone_in": 1}, new=True),
    Case("ck_plan_generations_quality", "plan_generations", {"quality": None}),
    Case(
        "ck_plan_generations_quality",
        "plan_generations",
        {"kind": "rescheduled", "quality": None},
        new=True,
    ),
    Case(
        "ck_plan_generations_calendar",
        "plan_generations",
        {"kind": "undone", "undoes": 1, "calendar": "{}"},
        new=True,
    ),
    *(
        Case("ck_plan_generations_counts", "plan_generations", {f"{count}_count": -1})
        for count in ("plan", "kept", "moved", "new", "dropped")
    ),
    Case("ck_plan_generations_idempotency", "plan_generations", {"request_hash": None}),
    Case("ck_plan_generations_idempotency", "plan_generations", {"idempotency_key": None}),
    Case(
        "uq_plan_generations_tenant_id_idempotency_key",
        "plan_generations",
        {"idempotency_key": "once"},
        new=True,
    ),
]


def plan(rule: str, **changes: Any) -> Case:
    """Return a case that makes the valid plan invalid."""
    return Case(f"ck_student_plans_{rule}", "student_plans", changes)


def second_plan(constraint: str, **changes: Any) -> Case:
    """Return a case that adds a second, invalid plan."""
    return Case(constraint, "student_plans", changes, new=True)


PLANS = [
    second_plan("fk_student_plans_plan_groups", tenant_id=OTHER_TENANT),
    second_plan("fk_student_plans_plan_groups", student_id=OTHER_STUDENT),
    second_plan("fk_student_plans_plan_groups", group_id=FOREIGN_GROUP),
    second_plan("fk_student_plans_contents", content_id=OTHER_CONTENT),
    second_plan("fk_student_plans_contents", content_id=UUID(int=99)),
    second_plan("fk_student_plans_plan_generations", generation=2),
    second_plan("uq_student_plans_tenant_id_group_id_generation_sequence", sequence=1),
    second_plan("fk_student_plans_retired_in", **retired("replaced", run=2)),
    second_plan("uq_student_plans_lineage", lineage=ROWS["student_plans"]["lineage"]),
    *(
        second_plan("ex_student_plans_units", first_unit=first, last_unit=last)
        for first, last in [(1, 10), (10, 11), (5, 6), (1, 1), (1, 30)]
    ),
    second_plan(
        "ex_student_plans_units", first_unit=10, last_unit=20, state="part_done", done_through=10
    ),
    *(
        second_plan("ex_student_plans_overlap", start_minute=start, end_minute=end)
        for start, end in [(600, 660), (540, 601), (659, 720), (610, 620), (500, 800)]
    ),
    plan("kind", kind="test"),
    plan("span", start_minute=660),
    plan("span", start_minute=661),
    plan("span", start_minute=-1),
    plan("span", end_minute=1441),
    plan("range", first_unit=11),
    plan("range", first_unit=0),
    plan("part", part=0),
    plan("part", part=2),
    plan("part", part=1, parts=0),
    plan("wrap_up", wrap_up_minutes=-1),
    plan("wrap_up", wrap_up_minutes=60),
    plan("week", week=0),
    plan("week", cycle=0),
    plan("week", cycle_day=0),
    plan("sequence", sequence=0),
    plan("state", state="missed"),
    plan("done_through", state="planned", done_through=5),
    plan("done_through", state="done", done_through=5),
    plan("done_through", state="part_done"),
    plan("done_through", state="part_done", done_through=0),
    plan("done_through", state="part_done", done_through=10),
    *(
        plan("done_at", state=state, **{name: value})
        for state in ("planned", "started")
        for name, value in (("done_at", AT), ("actual_minutes", 30))
    ),
    plan("actual_minutes", state="done", actual_minutes=-1),
    plan("actual_minutes", state="done", actual_minutes=1441),
    plan("live", live=False),
    plan("live", retired_as="missed"),
    plan("live", retired_at=AT),
    plan("live", retired_in=1),
    plan("live", live=False, retired_as="missed"),
    plan("live", live=False, retired_at=AT),
    plan("live", live=False, retired_in=1),
    plan("live", **retired("lost")),
    plan("live", **{**retired("missed", run=1), "live": True}),
]

CASES = [*PRIMARY_KEYS, *GROUPS, *CONTENTS, *TIME, *GENERATIONS, *PLANS]


def write(connection: sa.Connection, case: Case) -> None:
    if case.new:
        rows.insert(connection, case.table, another(case.table, **case.changes))
    else:
        rows.update(connection, case.table, case.changes)


def name_of(case: Case) -> str:
    """Return a test id without random ids, so that it is the same in every run."""
    return re.sub(r"UUID\('.+?'\)", "…", f"{case.constraint}-{case.changes}")[:70]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_constraint_refuses_the_row(valid_rows: sa.Connection, case: Case) -> None:
    for constraint in case.dropped:
        valid_rows.exec_driver_sql(
            f"ALTER TABLE studyplan.{case.table} DROP CONSTRAINT {constraint} CASCADE"
        )
    with pytest.raises(sa.exc.IntegrityError) as refused:
        write(valid_rows, case)
    assert isinstance(refused.value.orig, psycopg.Error)
    assert refused.value.orig.diag.constraint_name == case.constraint


def test_constraints_are_all_tested_with_a_refused_row(valid_rows: sa.Connection) -> None:
    """NOT NULL is covered by the comparison of the mapped classes with the schema."""
    found = valid_rows.scalars(
        sa.text(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'studyplan'::regnamespace "
            "AND contype IN ('c', 'f', 'p', 'u', 'x') UNION "
            "SELECT c.relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid "
            "WHERE indisunique AND relnamespace = 'studyplan'::regnamespace"
        )
    )
    of_alembic = {"alembic_version_pkc"}
    assert set(found) - of_alembic == {case.constraint for case in CASES}


def test_valid_rows_allow_a_second_valid_row(valid_rows: sa.Connection) -> None:
    """Otherwise an invalid second row could be refused for another reason than its change."""
    for table in ROWS:
        rows.insert(valid_rows, table, another(table))
    assert valid_rows.scalar(sa.text("SELECT max(date) FROM studyplan.student_plans")) == date(
        2025, 1, 6
    )
