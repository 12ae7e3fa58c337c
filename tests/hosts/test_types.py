"""Strict type checkers on the applications' code, which imports the built wheel."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hosts.conftest import completed

HOSTS = Path(__file__).parent
WRONG = "from domain import StudentLock\n\nStudentLock('tenant', 'student')\n"
CHECKED = ("academy", "nested", "branch", "plain_sql", "typed_use")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of all applications outside of the checkout, whose settings would hold there."""
    for name in CHECKED:
        shutil.copytree(HOSTS / name, tmp_path / name)
    return tmp_path


def mypy(sources: Path, host_python: Path) -> "subprocess.CompletedProcess[str]":
    options = ["--strict", "--config-file=", "--explicit-package-bases"]
    return completed(
        [sys.executable, "-m", "mypy", *options, "--python-executable", str(host_python), "."],
        cwd=sources,
        environment={},
    )


def pyright(sources: Path, host_python: Path) -> "subprocess.CompletedProcess[str]":
    settings = {"typeCheckingMode": "strict", "include": CHECKED}
    (sources / "pyrightconfig.json").write_text(json.dumps(settings))
    return completed(
        [sys.executable, "-m", "pyright", "--pythonpath", str(host_python)],
        cwd=sources,
        environment={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
    )


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_type_checker_refuses_nothing_but_the_wrong_call(
    checker: Callable[[Path, Path], "subprocess.CompletedProcess[str]"],
    sources: Path,
    host_python: Path,
) -> None:
    (sources / "academy" / "wrong.py").write_text(WRONG)
    done = checker(sources, host_python)
    errors = [line for line in done.stdout.splitlines() if " error: " in line]
    assert errors, done.stdout + done.stderr
    assert [line for line in errors if "wrong.py:3" not in line] == []
