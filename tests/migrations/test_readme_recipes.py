"""What the README tells an application about the schema runs as it is printed there."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain import schema
from tests.migrations.catalog import catalog
from tests.migrations.hosts import Wheel
from tests.migrations.test_grants import NEEDED, privileges

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SECTION = README.split("\n## Schema\n")[1].split("\n## ")[0]
RECIPES = re.findall(r"```(?:python|ini)\n(.*?)```", SECTION, re.DOTALL)
OWN_DOOR, BRANCH, FILTERS, MODELS, TO_STUDENTS = RECIPES
ENV = """
import os, sqlalchemy
from domain import Base
from models import AppBase

target_metadata = [AppBase.metadata, Base.metadata]
with sqlalchemy.create_engine(os.environ["DATABASE_URL"]).connect() as connection:
{indented}
    with context.begin_transaction():
        context.run_migrations()
"""
STUDENTS = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "app_0001", None


def upgrade():
    key = [sa.Column(name, sa.Uuid, primary_key=True) for name in ("tenant_id", "id")]
    op.create_table("students", *key)


def downgrade():
    op.drop_table("students")
"""
MORE_MODELS = """

class Student(AppBase):
    __tablename__ = "students"
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
"""
HOMEWORK = """
from alembic import op
from models import Homework
from sqlalchemy.schema import CreateTable

revision, down_revision = "app_0004", "app_0003"


def upgrade():
    op.execute(CreateTable(Homework.__table__))


def downgrade():
    op.drop_table("homework")
"""


@pytest.fixture
def project(tmp_path: Path) -> tuple[Wheel, Path]:
    """An application with the wheel installed: its models, environment and revisions."""
    wheel = Wheel(tmp_path)
    path = wheel.cwd
    versions = path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    (path / "models.py").write_text(MODELS + MORE_MODELS)
    indented = FILTERS.replace("\n", "\n    ")
    (path / "migrations" / "env.py").write_text(ENV.format(indented=f"    {indented}"))
    (versions / "app_0001.py").write_text(STUDENTS)
    (versions / "app_0004.py").write_text(HOMEWORK)
    return wheel, path


def alembic(wheel: Wheel, url: sa.URL, *arguments: str) -> str:
    done = wheel.run("-m", "alembic", *arguments, url=url)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_schema_is_made_in_a_revision_of_the_applications(
    project: tuple[Wheel, Path],
    empty_url: sa.URL,
    connection: sa.Connection,
    new_role: Callable[..., str],
) -> None:
    wheel, path = project
    role = new_role("app")
    before = catalog(connection)
    versions = path / "migrations" / "versions"
    assert OWN_DOOR.count('"app"') == 1
    (versions / "app_0002.py").write_text(OWN_DOOR.replace('"app"', repr(role)))
    (versions / "app_0003.py").write_text(TO_STUDENTS)
    alembic(wheel, empty_url, "upgrade", "head")
    assert schema.is_current(connection)
    assert privileges(connection, role) == NEEDED
    assert "No new upgrade operations" in alembic(wheel, empty_url, "check")
    alembic(wheel, empty_url, "downgrade", "base")
    with connection.begin():
        connection.exec_driver_sql("DROP TABLE public.alembic_version")
    assert catalog(connection) == before


def test_schema_is_made_by_a_branch_of_the_applications_environment(
    project: tuple[Wheel, Path], empty_url: sa.URL, connection: sa.Connection
) -> None:
    wheel, path = project
    with (path / "alembic.ini").open("a") as ini:
        ini.write(BRANCH)
    ordered = TO_STUDENTS.replace('"app_0002"', '"app_0001"\ndepends_on = "sp_0002"', 1)
    (path / "migrations" / "versions" / "app_0003.py").write_text(ordered)
    alembic(wheel, empty_url, "upgrade", "heads")
    assert schema.is_current(connection)
    assert "No new upgrade operations" in alembic(wheel, empty_url, "check")
    assert wheel.domain("upgrade", url=empty_url)[1].endswith("(already).\n")
    alembic(wheel, empty_url, "downgrade", "base")
    assert schema.current_revision(connection) is None
