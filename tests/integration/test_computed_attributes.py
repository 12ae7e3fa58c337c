"""An application may give the mapped classes attributes that the database computes."""

import os
import subprocess
import sys

import sqlalchemy as sa

# A process of its own, because the attributes stay on the classes.
PROGRAM = """
import os
from datetime import date
from uuid import uuid4

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import column_property, sessionmaker

from domain import Block, Content, PlanGenerationService, PlanGroup, PlanGroupLock, PlanGroupService
from domain import StudentPlan, UnitOfWork
from domain.services import GroupEditService

counted = select(func.count()).where(Content.group_id == PlanGroup.id).correlate(PlanGroup)
PlanGroup.content_count = column_property(counted.scalar_subquery())
Content.units = column_property(Content.last_unit - Content.first_unit + 1)
StudentPlan.length = column_property(StudentPlan.end_minute - StudentPlan.start_minute)

factory = sessionmaker(create_engine(os.environ["DATABASE_URL"]))
BOOK = {"title": "수학", "allocation": "weakness", "type": "book"}
BLOCK = {"kind": "study", "start": "10:00", "end": "12:00"}
PERIOD = {"start": "2025-01-06", "end": "2025-01-19"}
CONTENT = {**BOOK, "range": [1, 9]}
DOCUMENT = {"name": "봄", "period": PERIOD, "blocks": [BLOCK], "contents": [CONTENT]}
tenant_id, today = uuid4(), date(2025, 1, 6)


def added(uow):
    group = PlanGroup(
        id=uow.lock.group_id, tenant_id=tenant_id, student_id=uuid4(), name="봄", status="saved",
        period_start=today, period_end=date(2025, 1, 19),
        contents=[Content(**BOOK, first_unit=1, last_unit=9)],
        blocks=[Block(kind="study", weekday=1, start_minute=600, end_minute=720)],
    )
    uow.groups.add(group)
    return group


def created(uow):
    return PlanGroupService(uow).create(DOCUMENT, student_id=uuid4(), status="saved")


for store in (added, created):
    lock = PlanGroupLock(tenant_id, uuid4())
    with UnitOfWork(factory, lock=lock) as uow:
        store(uow)
        uow.commit()
    with UnitOfWork(factory, lock=lock) as uow:
        group = uow.groups.get(lock.group_id)
        assert (group.content_count, group.contents[0].units) == (1, 9)
        GroupEditService(uow).change_content(
            content_id=group.contents[0].id, expected_version=1, title="영어"
        )
        PlanGenerationService(uow).generate(today=today)
        assert uow.plans.live(lock.group_id)[0].length > 0
        uow.commit()
print("done")
"""


def test_rows_with_a_computed_attribute_are_created_edited_and_planned(
    database_url: sa.URL,
) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "DATABASE_URL": database_url.render_as_string(hide_password=False)},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
