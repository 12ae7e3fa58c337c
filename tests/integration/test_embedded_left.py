"""A program leaves nothing of its throwaway server behind, however it ends."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from domain.embedded import EmbeddedServer, embedded_postgres
from domain.embedded.process import server_account, until
from domain.embedded.server import find_binaries
from tests.integration.embedded_programs import (
    REPORT,
    WITHIN_BLOCK,
    alive,
    line,
    processes_of,
    started,
    until_gone,
)

# Reports the watcher and the directory before the server starts, so without its processes.
STARTING = """
import domain.embedded.process as process
from pathlib import Path
original = process.Workspace._make
def make(workspace):
    original(workspace)
    print(workspace._watcher.pid, workspace.path, flush=True)
process.Workspace._make = make
def killed_when(condition, patched):
    def replacement(*arguments, **named):
        if condition():
            os.kill(os.getpid(), signal.SIGKILL)
        return patched(*arguments, **named)
    return replacement
"""
# The moments at which the owner is killed before the server accepts connections.
DEATHS = {
    "after the directory was created": "os.kill(os.getpid(), signal.SIGKILL)",
    "after the start of initdb": "server.until = killed_when(lambda: True, server.until)",
    "during initdb": (
        "process.time.sleep = killed_when("
        "lambda: next(workspace.data.glob('base/1/[0-9]*'), None), process.time.sleep)"
    ),
    "between initdb and the server": (
        "server.EmbeddedServer.start = killed_when(lambda: True, server.EmbeddedServer.start)"
    ),
    "during the start of the server": (
        "process.time.sleep = killed_when("
        "lambda: b'starting PostgreSQL' in workspace.log.read_bytes(), process.time.sleep)"
    ),
}


def test_block_that_ends_leaves_nothing() -> None:
    with embedded_postgres() as server:
        assert alive(server.pid)
    _assert_gone(server)


def test_exception_in_the_block_leaves_nothing() -> None:
    block = embedded_postgres()
    server = block.__enter__()
    assert not block.__exit__(LookupError, LookupError(), None)
    _assert_gone(server)


def test_interpreter_exit_within_the_block_leaves_nothing() -> None:
    # The extra reference prevents the generator's finalizer from stopping the server: the exit
    # of the interpreter must do that.
    enter = """
import ctypes
block = embedded_postgres()
ctypes.pythonapi.Py_IncRef(ctypes.py_object(block))
server = block.__enter__()
if True:"""
    with started(enter + REPORT) as program:
        assert program.process.communicate(timeout=20)[1] == ""
        assert program.process.returncode == 0
        until_gone(program)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signal_that_ends_the_program_leaves_nothing(number: signal.Signals) -> None:
    with started(WITHIN_BLOCK + "    time.sleep(60)") as program:
        program.process.send_signal(number)
        assert program.process.wait(20) == -number
        until_gone(program)


@pytest.mark.parametrize("death", DEATHS)
def test_program_killed_before_the_server_accepts_connections_leaves_nothing(death: str) -> None:
    body = f"""
import domain.embedded.server as server
def made(workspace):
    make(workspace)
    {DEATHS[death]}
process.Workspace._make = made
embedded_postgres().__enter__()
"""
    with started(STARTING + body) as program:
        assert program.process.wait(30) == -signal.SIGKILL
        until_gone(program)


def test_program_killed_while_it_copies_the_installation_leaves_nothing(tmp_path: Path) -> None:
    installation = shutil.copytree(find_binaries().parent, tmp_path / "installation")
    body = f"""
process.Account.can_run = lambda *_: False
copied = []
process.shutil.copy = killed_when(
    lambda: copied.append(1) or len(copied) > 20, process.shutil.copy
)
embedded_postgres(bindir=Path({str(installation / "bin")!r})).__enter__()
"""
    with started(STARTING + body) as program:
        assert program.process.wait(30) == -signal.SIGKILL
        until_gone(program)


def test_ctrl_c_does_not_reach_the_server_before_the_block_ends() -> None:
    interrupted = """
    try:
        print("waiting", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        with psycopg.connect(server.conninfo) as connection:
            print(connection.execute("SELECT 'up'").fetchone()[0], flush=True)
    """
    with started(WITHIN_BLOCK + interrupted) as program:
        assert line(program.process) == "waiting\n"
        os.killpg(program.process.pid, signal.SIGINT)
        assert line(program.process) == "up\n"
        assert program.process.wait(20) == 0
        assert program.left == []


def test_sigterm_to_program_and_watcher_leaves_nothing() -> None:
    with started(WITHIN_BLOCK + "    time.sleep(60)") as program:
        os.kill(program.watcher, signal.SIGTERM)
        program.process.terminate()
        until_gone(program)


def test_block_whose_watcher_was_killed_leaves_nothing() -> None:
    with embedded_postgres() as server:
        os.kill(server._workspace._watcher.pid, signal.SIGKILL)
    _assert_gone(server)


def test_server_that_does_not_respond_is_killed() -> None:
    # The watcher waits with the program sleep; a replacement of that name shortens the wait.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        Path(name, "sleep").write_text("#!/bin/sh\nexit 0\n")
        Path(name, "sleep").chmod(0o755)
        environment = {**os.environ, "PATH": f"{name}:{os.environ['PATH']}"}
        with started(WITHIN_BLOCK + "    time.sleep(60)", environment) as program:
            os.kill(program.pids[0], signal.SIGSTOP)
            program.process.kill()
            until_gone(program)


def test_server_that_crashed_leaves_no_backend() -> None:
    with embedded_postgres() as server, psycopg.connect(server.conninfo) as connection:
        os.kill(server.pid, signal.SIGKILL)
    _assert_gone(server)
    assert connection.closed


def test_watcher_ignores_a_stale_process_id() -> None:
    # Under the server's account, because the watcher could not kill it otherwise.
    streams = (subprocess.DEVNULL,) * 3
    stranger = server_account().spawn(["/bin/sleep", "60"], Path("/"), streams)
    with embedded_postgres() as server:
        server.stop()
        (server.data_directory.parent / "pid").write_text(f"{stranger.pid}\n")
    _assert_gone(server)
    assert not stranger.ended()
    os.kill(stranger.pid, signal.SIGKILL)
    assert until(stranger.ended, seconds=10)


def test_forked_child_neither_stops_the_server_nor_keeps_it_alive() -> None:
    fork = """
    if not os.fork():
        raise SystemExit  # exits the block
    os.wait()
    psycopg.connect(server.conninfo).close()
    if not (child := os.fork()):
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
    """
    with started(WITHIN_BLOCK + fork) as program:
        child = int(line(program.process))
        program.process.kill()
        until_gone(program)
        assert alive(child)
        os.kill(child, signal.SIGKILL)
        assert program.process.communicate(timeout=20)[1] == ""


def test_restart_is_refused_in_a_forked_child_and_after_the_block() -> None:
    refused = """
    if not os.fork():
        try:
            server.restart()
        except RuntimeError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
    psycopg.connect(server.conninfo).close()
try:
    server.restart()
except RuntimeError as error:
    print(error, flush=True)
"""
    with started(WITHIN_BLOCK + refused) as program:
        assert line(program.process) == (
            "Only the process that started the server can restart it.\n"
        )
        assert line(program.process) == "The server's block has ended.\n"
        assert program.process.wait(20) == 0


def _assert_gone(server: EmbeddedServer) -> None:
    directory = server.data_directory.parent
    assert (alive(server.pid), directory.exists(), processes_of(directory)) == (False, False, set())
