"""The commands of the front page run as printed, in a new clone with an empty home directory."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.handbook import PROJECT, example
from tests.hosts.conftest import run_command


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the current files of this checkout, tracked and untracked, except the ignored ones."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607 - the git on PATH
        cwd=PROJECT,
        capture_output=True,
        check=True,
        text=True,
    )
    directory = tmp_path_factory.mktemp("fresh") / "clone"
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, directory / name)
    return directory


def shell(command: str, directory: Path) -> str:
    """Run a shell command that must succeed, and return what it prints."""
    home = directory.parent / "home"
    home.mkdir(exist_ok=True)
    variables = {"HOME": str(home), "DATABASE_URL": "", "PYTHONUTF8": "1", "COLUMNS": "140"}
    # The commands must use the environment that they create, and not the one of this checkout.
    path = os.pathsep.join(
        part for part in os.environ["PATH"].split(os.pathsep) if ".venv" not in part
    )
    done = run_command(
        ["/bin/sh", "-ec", command], cwd=directory, environment={**variables, "PATH": path}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_installation_and_first_plan_work_as_printed(clone: Path) -> None:
    shell(example("install"), clone)
    (clone / "first_plan.py").write_text(example("first plan"), "utf-8")
    output = shell(".venv/bin/python first_plan.py", clone)
    assert output == example("first plan prints")


def test_demo_prints_the_timetable(clone: Path) -> None:
    output = shell(example("demo"), clone)
    assert "수학" in output
