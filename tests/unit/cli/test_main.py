from typing import NoReturn

import psycopg
import pytest

from domain.cli import main as command
from domain.embedded import ServerStartError


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(command, "_upgrade", fail)


@pytest.mark.parametrize(
    "error",
    [ServerStartError("no port"), TimeoutError("no port"), psycopg.OperationalError(" no port\n")],
)
def test_what_can_happen_to_a_correct_program_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, error)
    monkeypatch.setattr(command, "_discard_stdout", lambda: None)
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
def test_a_bug_is_not_hidden(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, error)
    with pytest.raises(type(error)):
        command.main(["upgrade"])


def test_an_interrupted_command_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert command.main(["upgrade"]) == 130
    assert capsys.readouterr().err == ""
