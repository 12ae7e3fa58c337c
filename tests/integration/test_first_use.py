"""A process whose first request was interrupted serves the next ones.

The first use creates mappers and compiled statements, and the dialect queries a new server. All of
it must be complete or be done again, because a worker process continues to run after a soft time
limit or Ctrl-C. ``FIRST_USE_INTERRUPTIONS`` sets the number of processes per phase.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

ROOT = Path(__file__).parents[2]
INTERRUPTIONS = os.environ.get("FIRST_USE_INTERRUPTIONS")

HOST = """
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column, relationship

class Host(DeclarativeBase): ...

class Broken(Host):
    __tablename__ = "broken"
    id: Mapped[int] = mapped_column(primary_key=True)
    missing: Mapped["NoSuchClass"] = relationship()

configured = []
event.listen(Mapper, "mapper_configured", lambda mapper, class_: configured.append(class_))
import domain
assert Broken not in configured and domain.PlanGroup in configured, configured
assert not Broken.__mapper__.configured
"""
RELATED = """
import uuid
from sqlalchemy import ForeignKey
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from domain import PlanGroup

class Host(DeclarativeBase): ...

class Note(Host):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[uuid.UUID] = mapped_column(ForeignKey(PlanGroup.__table__.c.id))
    group: Mapped[PlanGroup] = relationship(PlanGroup, backref="notes")

class Broken(Host):
    __tablename__ = "broken"
    id: Mapped[int] = mapped_column(primary_key=True)
    missing: Mapped["NoSuchClass"] = relationship()
"""


@pytest.mark.parametrize(
    ("phase", "processes"), [("import", 15), ("request", 25), ("package", 40), ("tasks", 10)]
)
def test_process_serves_requests_after_its_first_one_was_interrupted(
    database_url: sa.URL, phase: str, processes: int
) -> None:
    count = int(INTERRUPTIONS or processes)
    url = database_url.render_as_string(hide_password=False)
    output = _python("-m", "tests.integration.first_use", phase, url, str(count))
    assert output.splitlines() == [f"{count} of {count} were interrupted"]


def test_import_configures_only_the_mappers_of_the_package() -> None:
    assert _python("-c", HOST) == ""


def test_mappers_are_usable_although_broken_mappers_of_the_application_refer_to_them() -> None:
    use_both = """
for _ in range(2):
    try:
        Note()
    except InvalidRequestError:
        pass
    else:
        raise AssertionError
    PlanGroup(name="usable")
"""
    assert _python("-c", RELATED + use_both) == ""


def _python(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
