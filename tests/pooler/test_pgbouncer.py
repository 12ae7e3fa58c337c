"""The pooler of these tests: its errors, and the removal of its process and files."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain.testing.contention import eventually
from tests.pooler.pgbouncer import HOST, INSTALL, backend, clients, pgbouncer

PROJECT = Path(__file__).parents[2]
OWNER = """
import sys, sqlalchemy as sa
from tests.pooler.pgbouncer import pgbouncer
with pgbouncer(sa.make_url(sys.argv[1]), pool_size=1) as pooler:
    print(pooler.home, pooler.url_for(sa.make_url(sys.argv[1])).port, flush=True)
    sys.stdin.read()
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def test_missing_pooler_raises_an_error_with_install_instructions(
    server_url: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with (
        pytest.raises(FileNotFoundError, match="apt-get install -y pgbouncer") as missing,
        pgbouncer(server_url, pool_size=1),
    ):
        pass
    assert str(missing.value) == INSTALL


def test_invalid_setting_raises_an_error_with_the_poolers_message(server_url: sa.URL) -> None:
    with (
        pytest.raises(RuntimeError, match="pool_mode"),
        pgbouncer(server_url, pool_size=1, pool_mode="no such mode"),
    ):
        pass


def test_pooler_and_its_directory_are_removed_after_the_block(server_url: sa.URL) -> None:
    with pgbouncer(server_url, pool_size=1) as pooler, clients(pooler, server_url) as engine:
        port = engine.url.port or 0
        with engine.connect() as client:
            assert backend(client)
    assert not listens(port)
    assert not pooler.home.exists()


def test_pooler_does_not_outlive_a_killed_owner(server_url: sa.URL) -> None:
    url = server_url.render_as_string(hide_password=False)
    with subprocess.Popen(  # noqa: S603 - no shell; our own argument list
        [sys.executable, "-c", OWNER, url],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        home, port = owner.stdout.readline().split()
        assert listens(int(port))
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    eventually(
        lambda: not listens(int(port)) and not Path(home).exists(),
        "the pooler and its directory are removed",
    )
