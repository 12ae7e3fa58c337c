"""The command as a separate process: its streams, and its throwaway server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, schema
from domain.repositories import PlanGroupRepository
from tests.integration.storing import book_group, generate
from tests.unit.documents.documents import EXAMPLE

Factory = sessionmaker[Session]
FULL = (
    "The output could not be written: No space left on device. What was committed before is kept.\n"
)


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
    assert process.wait(timeout=60) == 3


needs_full_disk = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has /dev/full, which simulates a full disk"
)


@needs_full_disk
@pytest.mark.parametrize("form", ["--json", "--language=en"])
def test_generate_reports_a_full_disk_in_one_line(
    file: str, database_url: sa.URL, form: str
) -> None:
    done = with_full_disk("generate", form, file, url=text_of(database_url))
    assert (done.returncode, done.stderr) == (3, FULL)


@needs_full_disk
def test_command_that_has_committed_is_not_reported_as_failed(
    session_factory: Factory, database_url: sa.URL, new_database: Callable[[str], sa.URL]
) -> None:
    group = generated_group(session_factory)
    for command in ("reschedule", "undo"):
        runs = len(numbers(session_factory, group))
        done = with_full_disk(
            command, str(group.id), f"--tenant={group.tenant_id}", url=text_of(database_url)
        )
        assert (done.returncode, done.stderr) == (3, FULL)
        assert len(numbers(session_factory, group)) == runs + 1
    url = new_database("template0")
    for command, expected in (("upgrade", schema.head_revision()), ("downgrade", None)):
        revision = ["--revision=base"] if command == "downgrade" else []
        done = with_full_disk(command, *revision, url=text_of(url))
        assert (done.returncode, done.stderr) == (3, FULL)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            assert schema.current_revision(connection) == expected


@needs_full_disk
@pytest.mark.parametrize("command", ["upgrade --sql", "life EXAMPLE", "generate EXAMPLE"])
def test_output_that_cannot_be_written_has_an_exit_code_of_its_own(
    command: str, file: str, database_url: sa.URL
) -> None:
    arguments = command.replace("EXAMPLE", file).split()
    done = with_full_disk(*arguments, url=text_of(database_url))
    assert (done.returncode, done.stderr) == (3, FULL)


@needs_full_disk
def test_message_that_cannot_be_written_does_not_change_the_exit_code(
    file: str, database_url: sa.URL
) -> None:
    unknown = ["history", str(uuid4()), f"--tenant={uuid4()}"]
    for arguments, expected in (
        (["generate", file, "nowhere.json"], 2),
        (unknown, 1),
        (["upgrade", "--revision=nothing"], 1),
    ):
        with Path("/dev/full").open("w") as full:
            done = run(*arguments, url=text_of(database_url), stderr=full)
        assert done.returncode == expected


@pytest.mark.parametrize("closed", [[1], [2], [1, 2], [0, 1, 2]])
def test_command_without_a_stream_does_the_same_and_prints_nothing_there(
    file: str, session_factory: Factory, database_url: sa.URL, closed: list[int]
) -> None:
    group = generated_group(session_factory)
    ids = [str(group.id), f"--tenant={group.tenant_id}"]
    for arguments, expected in (
        (["upgrade"], 0),
        (["upgrade", "--sql"], 0),
        (["life", file], 0),
        (["generate", file], 0),
        (["generate", "--json", file], 0),
        (["generate", file, "nowhere.json"], 2),
        (["history", *ids], 0),
        (["history", str(uuid4()), ids[1]], 1),
        (["undo", *ids], 0),
        (["upgrade", "--revision=nothing"], 1),
        (["play"], 2),
    ):
        done = without_streams(*arguments, url=text_of(database_url), closed=closed)
        assert done.returncode == expected, (arguments, done.stderr)
        assert "Traceback" not in done.stderr


def text_of(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def run(*arguments: str, url: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "domain", *arguments],
        env={**os.environ, "DATABASE_URL": url},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        check=False,
        text=True,
        timeout=60,
    )


def with_full_disk(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    with Path("/dev/full").open("w") as full:
        return run(*arguments, url=url, stdout=full)


def without_streams(
    *arguments: str, url: str, closed: list[int]
) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does with ``>&-``: its descriptors do not exist."""
    redirections = " ".join(f"{number}>&-" for number in closed)
    return subprocess.run(  # noqa: S603 - our own interpreter
        [
            "/bin/sh",
            "-c",
            f'exec "$@" {redirections}',
            "sh",
            sys.executable,
            "-m",
            "domain",
            *arguments,
        ],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def generated_group(factory: Factory) -> PlanGroup:
    group = book_group(factory)
    generate(factory, group)
    return group


def numbers(factory: Factory, group: PlanGroup) -> list[int]:
    with factory() as session:
        records = PlanGroupRepository(session, group.tenant_id).generations(group.id)
        return [record.number for record in records]
