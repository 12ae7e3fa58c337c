"""Strict type checkers on the applications' code, which imports the built wheel."""

import json
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hosts.conftest import completed

HOSTS = Path(__file__).parent
CHECKED = ("academy", "nested", "branch", "plain_sql", "typed_use")
WRONG = "from domain import StudentLock\n\nStudentLock('tenant', 'student')\n"
MYPY = (
    "mypy",
    "--strict",
    "--config-file=",
    "--explicit-package-bases",
    ".",
    "--python-executable",
)
PYRIGHT = ("pyright", "--pythonpath")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all applications outside of the checkout, whose settings would hold there.

    One file in it has a call that a checker refuses if it knows the package's types.
    """
    directory = tmp_path_factory.mktemp("sources")
    for name in CHECKED:
        shutil.copytree(HOSTS / name, directory / name)
    settings = {"typeCheckingMode": "strict", "include": CHECKED}
    (directory / "pyrightconfig.json").write_text(json.dumps(settings))
    (directory / "academy" / "wrong.py").write_text(WRONG)
    return directory


@pytest.fixture(scope="module")
def reports(sources: Path, host_python: Path) -> Mapping[str, str]:
    """What each checker prints; they run side by side."""

    def checked(command: tuple[str, ...]) -> str:
        arguments = [sys.executable, "-m", *command, str(host_python)]
        # Otherwise pyright asks whether there is a newer one.
        quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
        done = completed(arguments, cwd=sources, environment=quiet)
        return done.stdout + done.stderr

    commands = (MYPY, PYRIGHT)
    with ThreadPoolExecutor() as pool:
        printed = pool.map(checked, commands)
        return {command[0]: text for command, text in zip(commands, printed, strict=True)}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checker_refuses_nothing_but_the_wrong_call(
    reports: Mapping[str, str], checker: str
) -> None:
    errors = [line for line in reports[checker].splitlines() if " error: " in line]
    assert errors, reports[checker]
    assert [line for line in errors if "wrong.py:3" not in line] == []
