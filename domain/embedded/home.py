"""The private directory of one server, and the sweeping of those whose owner is dead.

The owner holds an advisory lock (flock) on a file in the directory for as long as it
lives. The kernel lets go of it however the owner dies, so unlike a process id the mark
cannot be mistaken for another process, and it holds across containers with a common /tmp.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domain.embedded.account import Account
from domain.embedded.orphan import stop_orphan

PREFIX = "studyplan-pg-"
SOCKET_PATH_LIMIT = 103  # of macOS; Linux allows 107
UNMARKED_SECONDS = 60  # a directory without a mark is being made, or was half removed


class Home:
    """A directory of mode 0700 that belongs to the account and is locked by this process."""

    def __init__(self, account: Account) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_root(account)))
        self._mark = _locked_mark(self.path)
        account.own(self.path)

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def log(self) -> Path:
        return self.path / "log"

    def tail(self, offset: int = 0) -> str:
        """The last lines that were logged after ``offset``, for an error's text."""
        with suppress(FileNotFoundError):
            lines = self.log.read_bytes()[offset:].decode(errors="replace").splitlines()
            return "\n".join(lines[-20:])
        return ""

    def remove(self) -> None:
        _remove(self.path)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the mark; in a forked child this leaves the parent's lock in force."""
        if self._mark >= 0:
            os.close(self._mark)
            self._mark = -1


def sweep(account: Account) -> None:
    """Stop and remove what killed runs of this user left in the same temporary directory."""
    for path in (path for root in _roots() for path in root.glob(PREFIX + "*")):
        with suppress(OSError), _orphaned(path, account) as orphaned:
            if orphaned:
                stop_orphan(path / "data")
                _remove(path)


@contextmanager
def _orphaned(path: Path, account: Account) -> Iterator[bool]:
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {os.geteuid(), account.uid}:
        yield False
        return
    try:
        # No following and no blocking: what lies in a public directory may be a trap.
        mark = os.open(path / "owner", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        yield time.time() - status.st_mtime > UNMARKED_SECONDS
        return
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(mark)


def _locked_mark(path: Path) -> int:
    """Put the mark in place already locked, so that no sweeper sees it without the lock."""
    unlocked = path / "owner.new"
    mark = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(mark, fcntl.LOCK_EX)
    os.write(mark, f"{os.getpid()}\n".encode())
    unlocked.rename(path / "owner")
    return mark


def _root(account: Account) -> Path:
    """TMPDIR, unless its path is too long for a socket or closed to the account."""
    for root in _roots():
        socket_path = root / f"{PREFIX}12345678" / ".s.PGSQL.65535"
        if len(os.fsencode(socket_path)) <= SOCKET_PATH_LIMIT and account.may_enter(root):
            return root
    raise RuntimeError("No temporary directory is short enough and open to the server's account.")


def _roots() -> list[Path]:
    candidates = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 - mkdtemp is used there
    return list(dict.fromkeys(Path(name).resolve() for name in candidates if Path(name).is_dir()))


def _remove(path: Path) -> None:
    # The server's last processes may still be writing when the first of them is gone.
    for _ in range(50):
        with suppress(OSError):
            shutil.rmtree(path)
        if not path.exists():
            return
        time.sleep(0.1)
