"""The commands of the ``demo`` extra, with nothing else installed, as in a slim image."""

from pathlib import Path

import pytest

from tests.hosts.conftest import create_environment, run_command
from tests.unit.documents.documents import EXAMPLE


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_environment(tmp_path_factory.mktemp("demo") / "venv", f"{wheel}[demo]")


@pytest.mark.parametrize("command", [("demo",), ("generate", "example.json")])
def test_demo_extra_needs_neither_other_packages_nor_time_zone_files(
    command: tuple[str, ...], python: Path, tmp_path: Path
) -> None:
    (tmp_path / "example.json").write_bytes(EXAMPLE)
    done = run_command(
        [str(python), "-W", "error", "-m", "domain", *command],
        cwd=tmp_path,
        environment={"PYTHONTZPATH": "", "PYTHONUTF8": "1", "COLUMNS": "140", "DATABASE_URL": ""},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "가장 찬 날 57%" in done.stdout
