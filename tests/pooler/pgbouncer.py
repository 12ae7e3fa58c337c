"""PgBouncer in transaction mode in front of a server, for the length of a block.

Databases are made, dropped and migrated on the server itself: ``CREATE DATABASE`` wants a
template without connections, and the pooler keeps some.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from domain.embedded.account import Account, server_account

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 20.0
ATTEMPTS: Final = 5
INSTALL: Final = (
    "PgBouncer is not installed, and these tests are not skipped without it. "
    "On Debian and Ubuntu: apt-get update && apt-get install -y pgbouncer"
)
CONNECT_ARGS: Final[dict[str, Any]] = {"prepare_threshold": None}
"""A prepared statement stays on the backend that prepared it; the next transaction has another."""

# The shell ends the pooler when the pipe closes, however its owner died.
WATCHED = '"$1" "$2" & pooler=$!; read -r _; kill -TERM "$pooler"; wait "$pooler"; rm -rf -- "$3"'


@dataclass(frozen=True, slots=True)
class Pooler:
    """A running pooler: where its clients connect, and what it tells of itself."""

    port: int
    user: str
    password: str
    pool_size: int

    def url_for(self, url: sa.URL) -> sa.URL:
        """The URL of the same database through the pooler."""
        return sa.URL.create(
            "postgresql+psycopg", self.user, self.password, HOST, self.port, url.database
        )

    def show(self, what: str) -> list[dict[str, Any]]:
        """A page of the pooler's console, such as ``SERVERS`` or ``CLIENTS``."""
        with psycopg.connect(
            host=HOST, port=self.port, user=self.user, password=self.password,
            dbname="pgbouncer", autocommit=True, cursor_factory=psycopg.ClientCursor,
        ) as console:  # fmt: skip
            found = console.execute(f"SHOW {what}".encode())
            names = [column.name for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found]

    def count(self, what: str, database: str | None) -> int:
        """How many rows of such a page belong to a database."""
        return sum(row["database"] == database for row in self.show(what))


@contextmanager
def transaction_pooler(
    server: sa.URL, *, pool_size: int = 12, max_clients: int = 500
) -> Iterator[Pooler]:
    """A pooler in front of ``server``, for all its databases; it is gone after the block."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise FileNotFoundError(INSTALL)
    for left in reversed(range(ATTEMPTS)):
        home = Path(tempfile.mkdtemp(prefix="studyplan-pooler-"))
        pooler = Pooler(
            _free_port(), server.username or "postgres", secrets.token_hex(16), pool_size
        )
        process = _start(program, home, _configured(home, server, pooler, max_clients))
        try:
            if _answers(pooler, process):
                yield pooler
                return
            if not left:
                raise RuntimeError(f"PgBouncer did not start.\n{(home / 'log').read_text()}")
        finally:
            _stop(process)


def _configured(home: Path, server: sa.URL, pooler: Pooler, max_clients: int) -> Path:
    host = server.query.get("host", server.host) or "localhost"
    port = server.query.get("port", server.port) or 5432
    login = f" password='{server.password}'" if server.password else ""
    settings = {
        "listen_addr": HOST,
        "listen_port": pooler.port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": home / "users",
        "admin_users": pooler.user,
        "pool_mode": "transaction",
        "default_pool_size": pooler.pool_size,
        "max_client_conn": max_clients,
        "query_wait_timeout": 60,
        "log_connections": 0,
        "log_disconnections": 0,
    }
    # The users' file holds the clients' password, which is not the server's.
    (home / "users").write_text(f'"{pooler.user}" "{pooler.password}"\n')
    lines = [f"{name} = {value}" for name, value in settings.items()]
    entry = f"* = host={host} port={port} user={server.username or 'postgres'}{login}"
    configuration = home / "pgbouncer.ini"
    configuration.write_text("\n".join(["[databases]", entry, "[pgbouncer]", *lines, ""]))
    return configuration


def _start(program: str, home: Path, configuration: Path) -> subprocess.Popen[bytes]:
    account: Account = server_account()
    account.own_tree(home)
    with (home / "log").open("wb") as log:
        return account.spawn(
            ["/bin/sh", "-c", WATCHED, "pooler", program, str(configuration), str(home)],
            home=home,
            log=log,
            stdin=subprocess.PIPE,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.wait(START_SECONDS)


def _answers(pooler: Pooler, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            return bool(pooler.show("VERSION"))
        time.sleep(0.02)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
