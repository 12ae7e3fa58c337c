"""Rows that the constraints must accept although they resemble rows that are refused."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.integration import rows
from tests.integration.rows import (
    AT,
    DAY,
    FOREIGN_GROUP,
    GROUP,
    OTHER_GROUP,
    OTHER_STUDENT,
    OTHER_TENANT,
    ROWS,
    another,
    retired,
)

AT_THE_SAME_TIME = {"start_minute": 600, "end_minute": 660}
SAME_UNITS = {"first_unit": 1, "last_unit": 10}


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("student_plans", {"start_minute": 540, "end_minute": 600}),
        ("student_plans", {"start_minute": 660, "end_minute": 720}),
        ("student_plans", {**AT_THE_SAME_TIME, "date": DAY + timedelta(1)}),
        ("student_plans", {**AT_THE_SAME_TIME, **retired("replaced", run=1)}),
        ("student_plans", {**AT_THE_SAME_TIME, **retired("missed")}),
        ("student_plans", {**AT_THE_SAME_TIME, **retired("moved")}),
        ("student_plans", {**AT_THE_SAME_TIME, **retired("undone", run=1)}),
        ("student_plans", {**AT_THE_SAME_TIME, **retired("cancelled")}),
        ("student_plans", {"lineage": ROWS["student_plans"]["lineage"], **retired("moved")}),
        ("student_plans", {**SAME_UNITS, **retired("missed")}),
        ("student_plans", {**SAME_UNITS, "kind": "review"}),
        ("student_plans", {"first_unit": 5, "last_unit": 5, "part": 2, "parts": 2}),
        ("student_plans", {"sequence": None}),
        ("student_plans", {"state": "done", "done_at": AT, "actual_minutes": 0}),
        ("student_plans", {"state": "done", "actual_minutes": 1440}),
        ("student_plans", {"state": "part_done", "done_through": 12, "done_at": AT}),
        ("student_plans", {"start_minute": 1380, "end_minute": 1440}),
        ("student_plans", {"state": "part_done", "done_through": 11}),
        ("student_plans", {"state": "part_done", "done_through": 19}),
        ("student_plans", {"part": 2, "parts": 3, "last_unit": 11, "cycle_day": None}),
        ("student_plans", {"wrap_up_minutes": 59}),
        ("academy_schedules", {"weekday": 1, "start_minute": 720, "end_minute": 800}),
        ("academy_schedules", {"weekday": 1, "travel_minutes": 60, "start_minute": 500,
                               "end_minute": 600}),
        ("academy_schedules", {"weekday": 1, "student_id": OTHER_STUDENT}),
        ("academy_schedules", {"weekday": 1, "tenant_id": OTHER_TENANT}),
        ("plan_groups", {"status": "paused"}),
        ("plan_groups", {"status": "active", "student_id": OTHER_STUDENT}),
        ("plan_groups", {"status": "active", "tenant_id": OTHER_TENANT}),
        ("plan_groups", {"period_end": DAY}),
        ("plan_groups", {"review_days": 0, "level_factor": 10}),
        ("contents", {"first_unit": 7, "last_unit": 7}),
        ("contents", {"first_unit": 1, "last_unit": 20_000, "difficulty": "top"}),
        ("contents", {"type": "lecture"}),
        ("contents", {"type": "custom", "minutes_per_unit": 1440}),
        ("contents", {"allocation": "strategy", "weekly_days": 2}),
        ("contents", {"allocation": "strategy", "weekly_days": 2, "day_shift": 0}),
        ("contents", {"allocation": "strategy", "weekly_days": 4, "day_shift": 29}),
        ("lecture_episodes", {"minutes": None}),
        ("blocks", {"start_minute": 0, "end_minute": 1440}),
        ("exclusions", {"group_id": None, "student_id": OTHER_STUDENT}),
        ("exclusions", {}),
        ("special_days", {"study": "{}", "self_study": "{}"}),
        ("special_days", {"study": "{[0,1440)}", "self_study": "{[0,600),[700,1440)}"}),
        ("special_days", {"study": "{[600,660),[630,720)}", "self_study": "{[600,720)}"}),
        ("special_days", {"date": DAY, "group_id": OTHER_GROUP}),
        ("plan_groups", {"status": "paused", "target_date": DAY}),
        ("plan_groups", {"strategy": "even", "balance": "minutes", "shortest_session": 0,
                         "longest_sitting": 1, "pause_minutes": 0, "buffer_days": 0}),
        ("plan_groups", {"strategy": "balanced", "balance": "room", "shortest_session": 240,
                         "longest_sitting": 1440, "pause_minutes": 120, "buffer_days": 730}),
        ("plan_generations", {"idempotency_key": None, "request_hash": None}),
        ("plan_generations", {"kind": "rescheduled", "undone_in": 3}),
        ("plan_generations", {"kind": "undone", "undoes": 1, "quality": None, "undone_in": 3}),
        ("plan_generations", {"made_ids": None}),
        ("plan_generations", {"calendar": "{}"}),
        ("plan_generations", {"idempotency_key": "once", "tenant_id": OTHER_TENANT,
                              "group_id": FOREIGN_GROUP}),
    ],
)  # fmt: skip
def test_constraints_accept_the_row(
    valid_rows: sa.Connection, table: str, changes: dict[str, Any]
) -> None:
    rows.insert(valid_rows, table, another(table, **changes))


def test_plan_that_is_no_longer_live_frees_its_time_in_the_same_transaction(
    valid_rows: sa.Connection,
) -> None:
    rows.update(valid_rows, "student_plans", retired("replaced"))
    rows.insert(valid_rows, "student_plans", another("student_plans", **AT_THE_SAME_TIME))


def test_plan_that_is_no_longer_live_frees_its_units_and_its_lineage(
    valid_rows: sa.Connection,
) -> None:
    rows.update(valid_rows, "student_plans", retired("moved"))
    lineage = {"lineage": ROWS["student_plans"]["lineage"]}
    rows.insert(valid_rows, "student_plans", another("student_plans", **SAME_UNITS, **lineage))


def test_plan_that_is_part_done_frees_its_other_units(valid_rows: sa.Connection) -> None:
    rows.update(valid_rows, "student_plans", {"state": "part_done", "done_through": 4})
    rest = another("student_plans", first_unit=5, last_unit=10)
    rows.insert(valid_rows, "student_plans", rest)
    with pytest.raises(sa.exc.IntegrityError, match="ex_student_plans_units"):
        rows.update(valid_rows, "student_plans", {"done_through": 5})


def test_plans_of_two_contents_may_have_the_same_units(valid_rows: sa.Connection) -> None:
    content = another("contents")
    rows.insert(valid_rows, "contents", content)
    same = another("student_plans", **SAME_UNITS, content_id=content["id"])
    rows.insert(valid_rows, "student_plans", same)


def test_several_plans_of_a_generation_may_have_no_sequence(valid_rows: sa.Connection) -> None:
    rows.update(valid_rows, "student_plans", {"sequence": None})
    rows.insert(valid_rows, "student_plans", another("student_plans", sequence=None))


def test_students_of_two_tenants_with_the_same_id_may_have_simultaneous_plans(
    valid_rows: sa.Connection,
) -> None:
    """A student belongs to one tenant, and no key spans two tenants."""
    row = {"tenant_id": OTHER_TENANT, "group_id": FOREIGN_GROUP}
    rows.update(valid_rows, "plan_groups", {"status": "saved"})
    valid_rows.execute(
        sa.text(
            "UPDATE studyplan.plan_groups SET student_id = :student, status = 'saved' "
            "WHERE id = :id"
        ),
        {"student": rows.STUDENT, "id": FOREIGN_GROUP},
    )
    foreign = another("contents", **row)
    rows.insert(valid_rows, "contents", foreign)
    rows.insert(valid_rows, "plan_generations", another("plan_generations", **row, number=1))
    plan = another("student_plans", **row, content_id=foreign["id"], **AT_THE_SAME_TIME)
    rows.insert(valid_rows, "student_plans", plan)


def test_contents_may_swap_positions_in_one_statement(valid_rows: sa.Connection) -> None:
    rows.insert(valid_rows, "contents", another("contents"))
    valid_rows.exec_driver_sql(
        "UPDATE studyplan.contents SET position = 3 - position WHERE position IN (1, 2)"
    )


def test_contents_may_swap_positions_one_by_one_if_the_check_is_deferred(
    valid_rows: sa.Connection,
) -> None:
    neighbour = another("contents")
    rows.insert(valid_rows, "contents", neighbour)
    valid_rows.exec_driver_sql(
        "SET CONSTRAINTS studyplan.uq_contents_tenant_id_group_id_position DEFERRED"
    )
    rows.update(valid_rows, "contents", {"position": 2})
    valid_rows.execute(
        sa.text("UPDATE studyplan.contents SET position = 1 WHERE id = :id"),
        {"id": neighbour["id"]},
    )
    valid_rows.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")


def test_plan_group_is_deleted_with_everything_it_owns(valid_rows: sa.Connection) -> None:
    valid_rows.execute(sa.text("DELETE FROM studyplan.plan_groups WHERE id = :id"), {"id": GROUP})
    for table in ("contents", "blocks", "non_study_blocks", "special_days", "exclusions",
                  "lecture_episodes", "plan_generations", "student_plans"):  # fmt: skip
        target = sa.table(table, sa.column("group_id"), schema="studyplan")
        left = sa.select(sa.func.count()).select_from(target).where(target.c.group_id == GROUP)
        assert valid_rows.scalar(left) == 0, table


def test_content_with_plans_cannot_be_deleted(valid_rows: sa.Connection) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="fk_student_plans_contents"):
        valid_rows.execute(
            sa.text("DELETE FROM studyplan.contents WHERE id = :id"), {"id": rows.CONTENT}
        )


def test_generation_with_plans_cannot_be_deleted(valid_rows: sa.Connection) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="fk_student_plans_plan_generations"):
        valid_rows.exec_driver_sql("DELETE FROM studyplan.plan_generations")
