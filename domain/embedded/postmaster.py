"""The server's programs: initdb, and the postgres process with its start and stop."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from domain.embedded.account import Account
from domain.embedded.child import disown, ended, until
from domain.embedded.home import Home
from domain.embedded.orphan import postmaster_file

USER = "postgres"
INITDB_SECONDS = 120
START_SECONDS = 60
STOP_SECONDS = 10

# A start that failed for one of these may succeed the next time: the port was snatched, or
# the processes of a killed server are not all gone yet.
PASSING = ("Address already in use", "pre-existing shared memory block")


class ServerStartError(RuntimeError):
    """The server did not come up; the text ends with the last lines of its log."""


class PassingStartError(ServerStartError):
    """The server did not come up for a reason that may be gone a moment later."""


class Postmaster:
    """The postgres process on one data directory: at most one at a time."""

    def __init__(self, bindir: Path, home: Home, account: Account) -> None:
        self._bindir = bindir
        self._home = home
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("The server was not started.")
        return self._process.pid

    def initialize(self, password: str, settings: Mapping[str, str]) -> None:
        """Make the cluster: trust on the private socket, a password over TCP."""
        secret = self._home.path / "password"
        secret.touch(mode=0o600)
        secret.write_text(password)
        self._account.own(secret)
        self._run_initdb(secret)
        secret.unlink()
        with (self._home.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(f"{name} = {_quoted(value)}\n" for name, value in settings.items())

    def start(self, port: int) -> None:
        """Start and wait until connections are accepted.

        :raises ServerStartError: it ended, or was not ready in time.
        :raises PassingStartError: the same, but trying again may help.
        """
        offset = self._home.log.stat().st_size
        options = ["-D", str(self._home.data), "-k", str(self._home.path), "-p", str(port)]
        self._process = self._spawn("postgres", *options)
        until(lambda: self._ended() or self._ready(), seconds=START_SECONDS)
        if self._ended() or not self._ready():
            self.stop(immediate=True)
            log = self._home.tail(offset)
            passing = any(reason in log for reason in PASSING)
            kind = PassingStartError if passing else ServerStartError
            raise kind(f"PostgreSQL from {self._bindir} did not start.\n{log}")

    def stop(self, *, immediate: bool = False) -> None:
        """End the process, the harder the longer it takes."""
        requests = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
        for request in requests[immediate:]:
            if self._process is None or self._ended():
                break
            os.kill(self._process.pid, request)
            until(self._ended, seconds=STOP_SECONDS)

    def abandon(self) -> None:
        """In a forked child: the process is the parent's."""
        if self._process is not None:
            disown(self._process)

    def _run_initdb(self, secret: Path) -> None:
        process = self._spawn(
            "initdb",
            *("-D", str(self._home.data), "-U", USER, "-E", "UTF8", "--no-locale"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"),
            *("--no-sync", "--no-instructions", *self._shared_memory_option()),
        )
        try:
            until(lambda: ended(process), seconds=INITDB_SECONDS)
        finally:
            if not ended(process):
                os.killpg(process.pid, signal.SIGKILL)  # with the server that initdb itself runs
                until(lambda: ended(process), seconds=STOP_SECONDS)
        if process.returncode != 0:
            raise ServerStartError(f"initdb from {self._bindir} failed.\n{self._home.tail()}")

    def _shared_memory_option(self) -> list[str]:
        """Keeps the servers that initdb runs from leaving files in /dev/shm if killed.

        initdb knows the option since PostgreSQL 16, and its help text says whether it does.
        """
        known = b"--set" in (self._bindir / "initdb").read_bytes()
        return ["--set=dynamic_shared_memory_type=mmap"] if known else []

    def _spawn(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [str(self._bindir / program), *options]
        with self._home.log.open("ab") as log:
            return self._account.spawn(command, home=self._home.path, log=log)

    def _ended(self) -> bool:
        return self._process is None or ended(self._process)

    def _ready(self) -> bool:
        # The id is compared, as a killed server leaves its file, and "ready" in it, behind.
        match postmaster_file(self._home.data):
            case [pid, _, _, _, _, _, _, status, *_]:
                return pid == str(self.pid) and status.strip() == "ready"
        return False


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
