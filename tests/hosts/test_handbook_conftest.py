"""The ``conftest.py`` and the test of the testing guide run as printed in another project."""

from pathlib import Path

import sqlalchemy as sa

from tests.handbook import example
from tests.hosts.conftest import Run

GROUP = """
from uuid import uuid4

import pytest
from domain import PlanGroup, PlanGroupService

FIELDS = {
    "name": "spring",
    "period": {"start": "2025-01-06", "end": "2025-01-19"},
    "blocks": [{"kind": "study", "start": "10:00", "end": "19:00"}],
    "contents": [{"type": "book", "title": "book", "allocation": "weakness", "range": [1, 20]}],
}


@pytest.fixture
def group(studyplan_engine):
    factory = sessionmaker(studyplan_engine, expire_on_commit=False)
    with UnitOfWork(factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        group = PlanGroupService(uow).create(FIELDS, student_id=uuid4(), status="saved")
        uow.commit()
    return group

"""
MORE_TESTS = """

from datetime import date

import sqlalchemy as sa
from domain.errors import MisuseError
from domain.repositories import PlanGroupRepository


def count(session):
    return session.scalar(sa.select(sa.func.count()).select_from(PlanGroup))


@pytest.mark.parametrize("again", [1, 2])
def test_clone_is_empty_in_each_test(studyplan_engine, group, again):
    with sessionmaker(studyplan_engine)() as session:
        assert count(session) == 1


@pytest.mark.parametrize("again", [1, 2])
def test_session_is_rolled_back(session, again):
    group = PlanGroup(
        tenant_id=uuid4(),
        student_id=uuid4(),
        name="rolled back",
        period_start=date(2025, 1, 6),
        period_end=date(2025, 1, 19),
    )
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


def test_conftest_of_the_guide_clones_a_database_per_test(
    tmp_path: Path, run: Run, server_url: sa.URL, maintenance: sa.Connection
) -> None:
    (tmp_path / "conftest.py").write_text(example("conftest"))
    (tmp_path / "test_plans.py").write_text(GROUP + example("simultaneous requests") + MORE_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    before = databases(maintenance)
    url = server_url.render_as_string(hide_password=False)
    done = run("-m", "pytest", cwd=tmp_path, TEST_DATABASE_URL=url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
    assert databases(maintenance) == before
