"""Strict type checks of the applications' code against the built wheel."""

import json
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hosts.conftest import run_command

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
    """Copy the applications out of the checkout, because its settings would apply to them.

    ``wrong.py`` has a call that a checker rejects only if it knows the package's types.
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
    """Return the output of each type checker; the checkers run in parallel."""

    def check(command: tuple[str, ...]) -> str:
        arguments = [sys.executable, "-m", *command, str(host_python)]
        # Without this setting pyright looks for a newer version of itself.
        variables = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
        done = run_command(arguments, cwd=sources, environment=variables)
        return done.stdout + done.stderr

    commands = (MYPY, PYRIGHT)
    with ThreadPoolExecutor() as pool:
        outputs = pool.map(check, commands)
        return {command[0]: text for command, text in zip(commands, outputs, strict=True)}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checker_reports_only_the_wrong_call(reports: Mapping[str, str], checker: str) -> None:
    errors = [line for line in reports[checker].splitlines() if " error: " in line]
    assert errors, reports[checker]
    assert [line for line in errors if "wrong.py:3" not in line] == []
