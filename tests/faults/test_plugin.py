"""The plugin in the hands of somebody else's project."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
THEIR_TEST = """
import socket

def test_theirs(cutting_proxy, fault_at):
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = cutting_proxy(*server.getsockname())
        client = socket.create_connection((proxy.host, proxy.port))
        upstream, _ = server.accept()
        client.sendall(b"hello")
        assert upstream.recv(5) == b"hello"
        proxy.cut()
        for end in (client, upstream):
            try:
                assert not end.recv(1), "cut"
            except ConnectionResetError:
                end.close()
                continue
            raise AssertionError("closed, and not reset")
"""


def _run(*command: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(  # noqa: S603 - no shell; our own argument list
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_its_fixtures_are_there_for_whoever_loads_it(tmp_path: Path) -> None:
    tmp_path.joinpath("test_theirs.py").write_text(THEIR_TEST)
    done = _run("-m", "pytest", "-q", "-p", "domain.testing.plugin", "-W", "error", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_importing_the_tools_needs_no_pytest_and_starts_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, threading, domain.testing; "
        "print(*{'pytest', '_pytest', 'alembic', 'domain.embedded'} & set(sys.modules), "
        "threading.active_count())"
    )
    done = _run("-W", "error", "-c", program, cwd=tmp_path)
    assert done.stdout.strip() == "1", done.stderr
