"""The commands of the front page run as printed, in a fresh clone with an empty home."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.handbook import PROJECT, example
from tests.hosts.conftest import completed


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of this checkout, as they are now, without what tools have made."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - the one on the path
        cwd=PROJECT,
        capture_output=True,
        check=True,
        text=True,
    )
    directory = tmp_path / "clone"
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, directory / name)
    return directory


def shell(command: str, directory: Path) -> str:
    """What the command prints, which succeeds."""
    home = directory.parent / "home"
    home.mkdir(exist_ok=True)
    variables = {"HOME": str(home), "DATABASE_URL": "", "PYTHONUTF8": "1", "COLUMNS": "140"}
    path = os.pathsep.join(
        part for part in os.environ["PATH"].split(os.pathsep) if ".venv" not in part
    )
    done = completed(
        ["/bin/sh", "-ec", command], cwd=directory, environment={**variables, "PATH": path}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_installation_and_first_plan_work_as_printed(clone: Path) -> None:
    shell(example("install"), clone)
    (clone / "first_plan.py").write_text(example("first plan"), "utf-8")
    shown = shell(".venv/bin/python first_plan.py", clone)
    assert shown == example("first plan prints")


def test_demo_prints_the_race_and_the_timetable(clone: Path) -> None:
    shown = shell(example("demo"), clone)
    assert "수학" in shown
