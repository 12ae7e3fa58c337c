"""The command as a separate process: its streams, and its throwaway server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.unit.documents.documents import EXAMPLE


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "한글.json"
    path.write_bytes(EXAMPLE)
    return str(path)


def started(*arguments: str, url: str = "", encoding: str = "utf-8") -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "domain", *arguments],
        env={**os.environ, "DATABASE_URL": url, "PYTHONIOENCODING": encoding},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding=encoding,
    )


def test_generate_without_a_database_uses_a_throwaway_server(file: str) -> None:
    process = started("generate", "--json", file, file, encoding="ascii")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert first == second
    assert (first["file"], first["quality"]["peak"]) == (file, 271)


@pytest.mark.parametrize("form", [["--json"], []])
def test_generate_exits_silently_if_its_reader_closes_the_pipe(
    file: str, database_url: sa.URL, form: list[str]
) -> None:
    url = database_url.render_as_string(hide_password=False)
    process = started("generate", *form, file, file, file, url=url)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has /dev/full, which simulates a full disk"
)
@pytest.mark.parametrize("form", ["--json", "--language=en"])
def test_generate_reports_a_full_disk_in_one_line(
    file: str, database_url: sa.URL, form: str
) -> None:
    url = database_url.render_as_string(hide_password=False)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "domain", "generate", form, file],
            env={**os.environ, "DATABASE_URL": url},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "[Errno 28] No space left on device\n"
