"""One valid row of every table as plain values, from which the invalid rows of tests are derived.

The rows are not mapped classes, which would refuse an invalid value before PostgreSQL could.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from domain.models.base import SCHEMA

TENANT, STUDENT, GROUP, CONTENT = (UUID(int=number) for number in range(1, 5))
OTHER_TENANT, OTHER_STUDENT, OTHER_GROUP, OTHER_CONTENT = (UUID(int=n) for n in range(11, 15))
FOREIGN_GROUP = UUID(int=23)
DAY = date(2025, 1, 6)
AT = datetime(2025, 1, 6, 12, tzinfo=UTC)


def retired(reason: str, run: int | None = None) -> dict[str, Any]:
    """Return the changes that make a valid plan one that is no longer live."""
    return {"live": False, "retired_as": reason, "retired_at": AT, "retired_in": run}


_IDS = {"tenant_id": TENANT, "group_id": GROUP}
_SPAN = {"weekday": 1, "start_minute": 600, "end_minute": 720}
_UNITS = {"first_unit": 1, "last_unit": 10}

ROWS: dict[str, dict[str, Any]] = {
    "plan_groups": {
        "id": GROUP,
        "tenant_id": TENANT,
        "student_id": STUDENT,
        "name": "겨울방학",
        "status": "active",
        "period_start": DAY,
        "period_end": date(2025, 1, 19),
    },
    "contents": {
        "id": CONTENT,
        **_IDS,
        **_UNITS,
        "position": 1,
        "type": "book",
        "title": "수학",
        "allocation": "weakness",
    },
    "lecture_episodes": {**_IDS, "content_id": CONTENT, "unit": 1, "minutes": 30},
    "blocks": {"id": uuid4(), **_IDS, **_SPAN, "kind": "study"},
    "non_study_blocks": {"id": uuid4(), **_IDS, **_SPAN},
    "special_days": {"id": uuid4(), **_IDS, "date": DAY, "study": "{[600,720)}"},
    "exclusions": {"id": uuid4(), **_IDS, "student_id": STUDENT, "date": DAY, "type": "vacation"},
    "academy_schedules": {"id": uuid4(), "tenant_id": TENANT, "student_id": STUDENT, **_SPAN},
    "plan_generations": {
        **_IDS,
        "number": 1,
        "today": DAY,
        "plan_count": 1,
        "unplaced": "[]",
        "warnings": "[]",
        "quality": "{}",
        "input_hash": "0",
        "engine_version": "1",
        "idempotency_key": "once",
        "request_hash": "0",
    },
    "student_plans": {
        "id": uuid4(),
        **_IDS,
        "student_id": STUDENT,
        "content_id": CONTENT,
        "lineage": uuid4(),
        **_UNITS,
        "generation": 1,
        "sequence": 1,
        "kind": "study",
        "date": DAY,
        "start_minute": 600,
        "end_minute": 660,
        "week": 1,
        "cycle": 1,
        "cycle_day": 1,
    },
}
# A second group of the student, not active because a student has only one active group; and a
# group of another tenant.
MORE: dict[str, list[dict[str, Any]]] = {
    "plan_groups": [
        {"id": OTHER_GROUP, "status": "saved"},
        {"id": FOREIGN_GROUP, "tenant_id": OTHER_TENANT, "student_id": OTHER_STUDENT},
    ],
    "contents": [{"id": OTHER_CONTENT, "group_id": OTHER_GROUP}],
}

# The changes that turn a copy of a row into a second valid row.
FRESH: dict[str, dict[str, Any]] = {
    "contents": {"position": 2},
    "lecture_episodes": {"unit": 2},
    "plan_groups": {"status": "paused"},
    "plan_generations": {"number": 2, "idempotency_key": "twice"},
    "academy_schedules": {"weekday": 2},
    "special_days": {"date": date(2025, 1, 7)},
    "student_plans": {
        "sequence": 2,
        "start_minute": 700,
        "end_minute": 760,
        "first_unit": 11,
        "last_unit": 20,
    },
}


def insert_valid_rows(connection: sa.Connection) -> None:
    for table, row in ROWS.items():
        insert(connection, table, row)
        for changes in MORE.get(table, []):
            insert(connection, table, {**row, **changes})


def another(table: str, **changes: Any) -> dict[str, Any]:
    """Return a second valid row, with ``changes``."""
    row = {**ROWS[table], **FRESH.get(table, {})}
    for name in ("id", "lineage"):
        if name in row:
            row[name] = uuid4()
    return {**row, **changes}


def insert(connection: sa.Connection, table: str, row: Mapping[str, Any]) -> None:
    target = sa.table(table, *(sa.column(name) for name in row), schema=SCHEMA)
    connection.execute(sa.insert(target).values(dict(row)))


def update(connection: sa.Connection, table: str, changes: Mapping[str, Any]) -> None:
    """Change the valid row of the table."""
    row = ROWS[table]
    key = [name for name in ("id", "content_id", "unit", "number") if name in row]
    keys = key[:1] if key[0] == "id" else key
    target = sa.table(table, *(sa.column(name) for name in {**row, **changes}), schema=SCHEMA)
    found = connection.execute(
        sa.update(target)
        .where(*(target.c[name] == row[name] for name in keys))
        .values(dict(changes))
    )
    assert found.rowcount == 1
