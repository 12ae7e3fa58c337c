"""PgBouncer in transaction mode in front of a server, built with ``domain.embedded``.

Databases are created, dropped and migrated on a direct connection, because ``CREATE DATABASE``
requires a template without connections and a pooler keeps some open.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from domain.embedded.process import Child, Workspace, until

HOST: Final = "127.0.0.1"
SECONDS: Final = 20.0
ATTEMPTS: Final = 5
INSTALL: Final = (
    "PgBouncer is not installed, and the tests that need it are not skipped. "
    "On Debian and Ubuntu: apt-get update && apt-get install -y pgbouncer"
)
CONNECT_ARGS: Final[dict[str, Any]] = {"prepare_threshold": None}
"""Disables prepared statements.

A prepared statement exists only on the backend that prepared it, and the next transaction of the
client may use another backend.
"""

TRANSACTION_MODE: Final = {
    "listen_addr": HOST,
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "max_client_conn": 500,
    "query_wait_timeout": 60,
    "log_connections": 0,
    "log_disconnections": 0,
}


@contextmanager
def pgbouncer(server: sa.URL, *, pool_size: int, **settings: Any) -> Iterator["PgBouncer"]:
    """Run a pooler in front of all databases of the server during the block.

    The pooler also stops if this process is killed, by the same mechanism as an embedded server.

    :param pool_size: the number of server connections per database.
    :param settings: settings of PgBouncer that replace those of ``TRANSACTION_MODE``.
    """
    if _program() is None:
        raise FileNotFoundError(INSTALL)
    settings = {**TRANSACTION_MODE, "default_pool_size": pool_size, **settings}
    with Workspace() as workspace:
        pooler = PgBouncer(server, settings, workspace)
        pooler.open()
        yield pooler


class PgBouncer:
    """A running pooler: the URLs of its clients and the reports of its console."""

    def __init__(self, server: sa.URL, settings: dict[str, Any], workspace: Workspace) -> None:
        self._server = server
        self._settings = settings
        self._user = server.username or "postgres"
        self._password = secrets.token_hex(16)
        self._workspace = workspace
        self._process: Child | None = None
        self._port = 0

    @property
    def home(self) -> Path:
        """The directory that contains all files of the pooler."""
        return self._workspace.path

    def url_for(self, database: sa.URL) -> sa.URL:
        """Return the URL of the same database through the pooler."""
        return sa.URL.create(
            "postgresql+psycopg", self._user, self._password, HOST, self._port, database.database
        )

    def show(self, report: str) -> list[dict[str, Any]]:
        """Return a report of the pooler's console, such as ``SERVERS`` or ``CLIENTS``."""
        with psycopg.connect(
            host=HOST, port=self._port, user=self._user, password=self._password,
            dbname="pgbouncer", autocommit=True, cursor_factory=psycopg.ClientCursor,
        ) as console:  # fmt: skip
            found = console.execute(f"SHOW {report}".encode())
            names = [column.name for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found]

    def count(self, report: str, database: str | None) -> int:
        """Return the number of rows of a console report that belong to a database."""
        return sum(row["database"] == database for row in self.show(report))

    def open(self) -> None:
        """Start the pooler and wait until it accepts clients; ``pgbouncer`` calls this method."""
        for _ in range(ATTEMPTS):  # another process may take a free port before the pooler listens
            self._port = _free_port()
            self._process = self._spawn()
            until(lambda: self._ended() or self._answers(), seconds=SECONDS)
            if not self._ended():
                return
        raise RuntimeError(f"PgBouncer did not start.\n{self._workspace.log_tail()}")

    def kill(self) -> None:
        """Kill the pooler with SIGKILL; it is not restarted."""
        self._signal(signal.SIGKILL)

    def _spawn(self) -> Child:
        data = self._workspace.data
        data.mkdir(exist_ok=True)
        files = {
            "users": f'"{self._user}" "{self._password}"\n',
            "pgbouncer.ini": self._configuration(),
        }
        for name, text in files.items():
            (data / name).write_text(text)
        for path in (data, *data.iterdir()):
            self._workspace.account.own(path)
        return self._workspace.spawn(_program() or "", str(data / "pgbouncer.ini"))

    def _configuration(self) -> str:
        """Return the configuration; the password of the clients differs from that of the server."""
        host = self._server.query.get("host", self._server.host) or "localhost"
        port = self._server.query.get("port", self._server.port) or 5432
        password = str(self._server.password or "").replace("'", "''")
        login = f" password='{password}'" if password else ""
        settings = {
            **self._settings,
            "listen_port": self._port,
            "auth_file": self._workspace.data / "users",
            "admin_users": self._user,
        }
        if version() >= (1, 21):
            settings.setdefault("max_prepared_statements", 0)
        lines = [f"{name} = {value}" for name, value in settings.items()]
        entry = f"* = host={host} port={port} user={self._user}{login}"
        return "\n".join(["[databases]", entry, "[pgbouncer]", *lines, ""])

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            return bool(self.show("VERSION"))
        return False

    def _ended(self) -> bool:
        return self._process is None or self._process.ended()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and not self._ended():
            os.kill(self._process.pid, number)
            until(self._ended, seconds=SECONDS)


@cache
def version() -> tuple[int, ...]:
    """Return the version of the installed PgBouncer.

    Since version 1.21, PgBouncer keeps prepared statements if ``max_prepared_statements`` is set.
    """
    output = subprocess.run(  # noqa: S603 - no shell; our own argument list
        [_program() or "pgbouncer", "--version"], stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    found = re.search(r"PgBouncer (\d+)\.(\d+)", output)
    return tuple(map(int, found.groups())) if found else ()


def _program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


BACKENDS = 4
"""The number of server connections that the tests' pooler shares among its clients."""


@contextmanager
def clients(
    pooler: PgBouncer, database: sa.URL, pool_size: int = 8, **connect_args: Any
) -> Iterator[sa.Engine]:
    """Yield an engine whose ``pool_size`` connections are clients of the pooler."""
    engine = sa.create_engine(
        pooler.url_for(database),
        connect_args={**CONNECT_ARGS, **connect_args},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=20,
    )
    try:
        yield engine
    finally:
        engine.dispose()


def backend(client: sa.Connection) -> int:
    """Return the process id of the backend that executes the client's current transaction."""
    return int(client.scalar(sa.text("SELECT pg_backend_pid()")) or 0)


def value_per_backend(engine: sa.Engine, expression: str) -> dict[int, Any]:
    """Return the value of an SQL expression on each backend.

    As many clients as there are backends evaluate it at the same time, so that each one uses a
    different backend.
    """
    statement = sa.text(f"SELECT pg_backend_pid(), {expression}")
    with ExitStack() as stack:
        open_clients = [stack.enter_context(engine.connect()) for _ in range(BACKENDS)]
        found = [client.execute(statement).one() for client in open_clients]
    return {row[0]: row[1] for row in found}
