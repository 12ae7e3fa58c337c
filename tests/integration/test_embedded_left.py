"""However a program ends, nothing of its throwaway server is left behind."""

import os
import signal
import subprocess

import pytest

from domain.embedded import embedded_postgres
from tests.integration.embedded_programs import (
    REPORT,
    WITHIN_BLOCK,
    alive,
    line,
    started,
    until_gone,
)


def test_nothing_is_left_after_the_block() -> None:
    with embedded_postgres() as server:
        pid, directory = server.pid, server.data_directory.parent
        assert alive(pid)
    assert (alive(pid), directory.exists()) == (False, False)


def test_nothing_is_left_after_an_exception() -> None:
    block = embedded_postgres()
    server = block.__enter__()
    assert not block.__exit__(LookupError, LookupError(), None)
    assert not alive(server.pid)
    assert not server.data_directory.parent.exists()


def test_nothing_is_left_when_the_interpreter_ends_within_the_block() -> None:
    # One reference too many, lest the generator's finalizer do what the exit is to do.
    enter = """
import ctypes
block = embedded_postgres()
ctypes.pythonapi.Py_IncRef(ctypes.py_object(block))
server = block.__enter__()
if True:"""
    with started(enter + REPORT) as program:
        assert program.process.communicate(timeout=20)[1] == ""
        assert (program.process.returncode, program.left) == (0, [])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)]
)
def test_nothing_is_left_after_a_signal(number: signal.Signals, code: int) -> None:
    with started(WITHIN_BLOCK + "    time.sleep(60)") as program:
        program.process.send_signal(number)
        assert program.process.wait(20) == code
        assert not program.left


def test_a_killed_program_takes_its_server_along() -> None:
    with started(WITHIN_BLOCK + "    time.sleep(60)") as program:
        program.process.kill()
        until_gone(program)


def test_the_next_start_sweeps_what_a_killed_program_and_its_watcher_left() -> None:
    with started(WITHIN_BLOCK + "    time.sleep(60)") as program:
        program.kill_with_watcher()
        assert program.pids[0] in program.left
        assert program.directory in program.left
        with embedded_postgres():
            assert not program.left


def test_a_sweep_believes_no_stale_process_id() -> None:
    with started(WITHIN_BLOCK + "    time.sleep(60)") as program:
        program.kill_with_watcher()
        os.kill(program.pids[0], signal.SIGKILL)
        lines = (program.directory / "data/postmaster.pid").read_text().splitlines()
        stranger = subprocess.Popen(["/bin/sleep", "60"])
        (program.directory / "data/postmaster.pid").write_text(
            "\n".join([str(stranger.pid), *lines[1:]])
        )
        with embedded_postgres():
            assert not program.directory.exists()
        assert stranger.poll() is None
        stranger.kill()
        stranger.wait()


def test_a_forked_child_neither_stops_the_server_nor_keeps_it_alive() -> None:
    fork = """
    if not os.fork():
        raise SystemExit  # leaves the block and runs what is registered for the exit
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


def test_a_forked_child_dies_of_sigterm_as_if_there_were_no_server() -> None:
    fork = """
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, b"!")
        for _ in range(6000):  # a signal that comes right before a sleep does not end it
            time.sleep(0.01)
        os._exit(0)
    os.read(reader, 1)  # Python forgets a signal that arrives amid the fork
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """
    with started(WITHIN_BLOCK + fork) as program:
        assert int(line(program.process)) == -signal.SIGTERM
        assert program.process.wait(20) == 0


def test_the_handler_of_sigterm_is_put_back_after_the_last_server() -> None:
    not_nested = """
    second = embedded_postgres()
    second.__enter__()
    print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
second.__exit__(None, None, None)
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
"""
    with started(WITHIN_BLOCK + not_nested) as program:
        while_open = [line(program.process), line(program.process)]
        assert while_open == ["False\n", "False\n"]
        assert line(program.process) == "True\n"


def test_a_programs_own_handler_of_sigterm_is_left_alone() -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'mine\\n'))\n"
    with started(own + WITHIN_BLOCK + "    sys.stdin.readline()") as program:
        program.process.send_signal(signal.SIGTERM)
        assert line(program.process) == "mine\n"
        assert program.directory in program.left
        program.process.communicate("go on\n", timeout=20)
        assert (program.process.returncode, program.left) == (0, [])
