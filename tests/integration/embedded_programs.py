"""Programs that run a throwaway server, and what they leave behind."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

# The first line that a program prints: the server's processes, the watcher, and the directory.
REPORT = """
    with psycopg.connect(server.conninfo) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
    pids = [server.pid, *(pid for pid, in rows)]
    print(*pids, server._workspace._watcher.pid, server.data_directory.parent, flush=True)
"""
WITHIN_BLOCK = "with embedded_postgres() as server:" + REPORT


@dataclass(frozen=True)
class Program:
    """A Python process that runs a server, and the processes and the directory it reported."""

    process: subprocess.Popen[str]
    pids: list[int]
    directory: Path

    @property
    def watcher(self) -> int:
        """The process id of the watcher."""
        return self.pids[-1]

    @property
    def left(self) -> list[int | Path]:
        """The processes and the directory that still exist."""
        pids = {pid for pid in self.pids if alive(pid)} | processes_of(self.directory)
        return [*pids, *([self.directory] if self.directory.exists() else [])]


@contextmanager
def started(body: str, environment: dict[str, str] | None = None) -> Iterator[Program]:
    """Run ``body`` as a program, wait for its report, and kill it at the end.

    The program leads a separate process group, as a command typed at a terminal does.
    """
    # A shell starts background processes with SIGINT ignored, and children inherit that.
    # The tests may run in the background, so the program restores the default handler.
    imports = (
        "import os, signal, sys, time, psycopg\nfrom domain.embedded import embedded_postgres\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)"
    )
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-W", "error", "-c", f"{imports}\n{textwrap.dedent(body)}"],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    with process:
        try:
            *pids, directory = line(process).split() or pytest.fail(process.communicate()[1])
            yield Program(process, [int(pid) for pid in pids], Path(directory))
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
        # A zombie has ended but has not been reaped; process 1 of a container often does not reap.
        return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
    except ProcessLookupError:  # at whichever of the steps it has been reaped
        return False


def processes_of(directory: Path) -> set[int]:
    """Return the processes that work in the directory or name it in their command line."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            works_there = (process / "cwd").readlink().is_relative_to(directory)
            named = os.fsencode(directory) in (process / "cmdline").read_bytes()
            if (works_there or named) and alive(int(process.name)):
                found.add(int(process.name))
    return found


def until_gone(program: Program) -> None:
    deadline = time.monotonic() + 10
    while program.left and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not program.left
