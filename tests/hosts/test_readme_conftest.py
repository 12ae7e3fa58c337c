"""The README's ``conftest.py`` and test, as printed, in a suite of somebody else's."""

import re
from pathlib import Path

import sqlalchemy as sa

from tests.hosts.conftest import PROJECT, Run

SECTION = (PROJECT / "README.md").read_text("utf-8").split("\n## Testing your own application\n")[1]
CONFTEST, TEST = re.findall(r"```python\n(.*?)```", SECTION.split("\n## ")[0], re.DOTALL)
GROUP = """
from datetime import date
from uuid import uuid4

import pytest
from domain import Block, Content, PlanGroup
from domain.models import GroupStatus
from domain.scheduling import Allocation, BlockKind, ContentType


def new_group():
    return PlanGroup(
        tenant_id=uuid4(),
        student_id=uuid4(),
        name="theirs",
        status=GroupStatus.SAVED,
        period_start=date(2025, 1, 6),
        period_end=date(2025, 1, 19),
        contents=[
            Content(
                position=1, type=ContentType.BOOK, title="book", allocation=Allocation.WEAKNESS,
                first_unit=1, last_unit=20,
            )
        ],
        blocks=[Block(kind=BlockKind.STUDY, weekday=0, start_minute=600, end_minute=1140)],
    )


@pytest.fixture
def group(studyplan_engine):
    group = new_group()
    factory = sessionmaker(studyplan_engine, expire_on_commit=False)
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id)) as uow:
        uow.groups.add(group)
        uow.commit()
    return group

"""
MORE = """

import sqlalchemy as sa
from domain import MisuseError, PlanGroupRepository


def count(session):
    return session.scalar(sa.select(sa.func.count()).select_from(PlanGroup))


@pytest.mark.parametrize("again", [1, 2])
def test_clone_is_empty_in_each_test(studyplan_engine, group, again):
    with sessionmaker(studyplan_engine)() as session:
        assert count(session) == 1


@pytest.mark.parametrize("again", [1, 2])
def test_session_is_rolled_back(session, again):
    group = new_group()
    session.add(group)
    session.commit()
    assert PlanGroupRepository(session, group.tenant_id).get(group.id) is group
    assert count(session) == 1


def test_unit_of_work_refuses_the_session_that_is_rolled_back(session):
    with pytest.raises(MisuseError):
        with UnitOfWork(lambda: session, lock=PlanGroupLock(uuid4(), uuid4())):
            pass
"""


def databases(connection: sa.Connection) -> set[str]:
    return set(
        connection.scalars(sa.text("SELECT datname FROM pg_database WHERE datname ~ 'test_'"))
    )


def test_conftest_of_the_readme_clones_a_database_for_each_test(
    tmp_path: Path, run: Run, server_url: sa.URL, maintenance: sa.Connection
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_theirs.py").write_text(GROUP + TEST + MORE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    before = databases(maintenance)
    url = server_url.render_as_string(hide_password=False)
    done = run("-m", "pytest", cwd=tmp_path, TEST_DATABASE_URL=url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
    assert databases(maintenance) == before
