"""The recipes of the schema guide run as printed, in an application that uses the wheel."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain import schema
from tests.handbook import example
from tests.migrations.catalog import catalog
from tests.migrations.hosts import Wheel
from tests.migrations.test_grants import NEEDED, privileges
from tests.servers import binaries

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
    """Return the wheel and an application with models, an environment and revisions."""
    wheel = Wheel(tmp_path)
    path = wheel.cwd
    versions = path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    (path / "models.py").write_text(example("foreign key to plan groups") + MORE_MODELS)
    indented = example("filters").replace("\n", "\n    ")
    (path / "migrations" / "env.py").write_text(ENV.format(indented=f"    {indented}"))
    (versions / "app_0001.py").write_text(STUDENTS)
    (versions / "app_0004.py").write_text(HOMEWORK)
    return wheel, path


def alembic(wheel: Wheel, url: sa.URL, *arguments: str) -> str:
    done = wheel.run("-m", "alembic", *arguments, url=url)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_schema_is_created_in_a_revision_of_the_application(
    project: tuple[Wheel, Path],
    empty_url: sa.URL,
    connection: sa.Connection,
    new_role: Callable[..., str],
) -> None:
    wheel, path = project
    role = new_role("app")
    before = catalog(connection)
    versions = path / "migrations" / "versions"
    assert example("upgrade in a revision").count('"app"') == 1
    (versions / "app_0002.py").write_text(
        example("upgrade in a revision").replace('"app"', repr(role))
    )
    (versions / "app_0003.py").write_text(example("foreign key to students"))
    alembic(wheel, empty_url, "upgrade", "head")
    assert schema.is_current(connection)
    assert privileges(connection, role) == NEEDED
    assert "No new upgrade operations" in alembic(wheel, empty_url, "check")
    alembic(wheel, empty_url, "downgrade", "base")
    with connection.begin():
        connection.exec_driver_sql("DROP TABLE public.alembic_version")
    assert catalog(connection) == before


def test_schema_is_created_by_a_branch_of_the_applications_environment(
    project: tuple[Wheel, Path], empty_url: sa.URL, connection: sa.Connection
) -> None:
    wheel, path = project
    with (path / "alembic.ini").open("a") as ini:
        ini.write(example("branch"))
    ordered = example("foreign key to students").replace(
        '"app_0002"', '"app_0001"\ndepends_on = "sp_0002"', 1
    )
    (path / "migrations" / "versions" / "app_0003.py").write_text(ordered)
    alembic(wheel, empty_url, "upgrade", "heads")
    assert schema.is_current(connection)
    assert "No new upgrade operations" in alembic(wheel, empty_url, "check")
    assert wheel.domain("upgrade", url=empty_url)[1].endswith("(already).\n")
    alembic(wheel, empty_url, "downgrade", "base")
    assert schema.current_revision(connection) is None


def test_printed_sql_is_executed_by_psql(
    empty_url: sa.URL, connection: sa.Connection, new_role: Callable[..., str], tmp_path: Path
) -> None:
    role = new_role("app").replace('"', '\\"')
    command = example("sql")
    assert command.count("--grant-to app ") == 1
    path = (str(Path(sys.executable).parent), str(binaries()), os.environ["PATH"])
    url = empty_url.set(drivername="postgresql").render_as_string(hide_password=False)
    subprocess.run(  # noqa: S603 - the document's own command
        ["/bin/sh", "-ec", command.replace("--grant-to app", f'--grant-to "{role}"')],
        cwd=tmp_path,
        env={**os.environ, "PATH": os.pathsep.join(path), "DATABASE_URL": url},
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert schema.is_current(connection)
