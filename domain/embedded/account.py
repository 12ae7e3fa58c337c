"""The account of the operating system that the server runs as.

PostgreSQL refuses to run as root. Root therefore borrows an account that exists already;
accounts are never created and permissions of files that are not ours never changed.
"""

import os
import pwd
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# Debian's name, macOS's name, and the one that is everywhere.
BORROWED = ("postgres", "_postgres", "nobody")

# Nothing else of the environment is handed on: a borrowed account must not read root's
# secrets, and PGDATA, PGPORT and their like would bend what initdb and postgres do.
INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Account:
    """Whose processes and files the server's are; ``borrowed`` when not our own."""

    uid: int
    gid: int
    borrowed: bool

    def may(self, path: Path, bits: int) -> bool:
        """Whether the mode of ``path`` grants ``bits`` (4 read, 1 execute or enter).

        Access lists are not consulted: where they grant more, the cost is a needless copy.
        """
        if not self.borrowed:
            return True
        status = path.stat()
        of_group = 3 if status.st_gid == self.gid else 0
        shift = 6 if status.st_uid == self.uid else of_group
        return (status.st_mode >> shift) & bits == bits

    def may_enter(self, directory: Path) -> bool:
        """Whether every directory down to this one, itself included, can be entered."""
        return all(self.may(step, 1) for step in (directory, *directory.parents))

    def own(self, path: Path) -> None:
        """Hand over a path that we made ourselves."""
        if self.borrowed:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def own_tree(self, top: Path) -> None:
        """Hand over a tree that we made ourselves."""
        self.own(top)
        for directory, names, files in os.walk(top):
            for name in (*names, *files):
                self.own(Path(directory, name))

    def spawn(
        self, command: Sequence[str], *, home: Path, log: IO[bytes] | int, stdin: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program as this account, in a session of its own.

        A session of its own because Ctrl-C in a terminal reaches the whole foreground
        group, and the order of the shutdown is ours to decide. The account is changed by
        ``user=`` and not by ``preexec_fn``, which may deadlock when there are threads.
        """
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return subprocess.Popen(  # noqa: S603 - no shell; our own argument list
            command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=log,
            stderr=log,
            bufsize=0,
            cwd=home,  # ours may be closed to the account, which initdb does not survive
            # initdb compares the system's time zone with every zone it knows, unless told.
            env={**inherited, "LC_ALL": "C", "TZ": "UTC", "HOME": str(home)},
            user=self.uid if self.borrowed else None,
            group=self.gid if self.borrowed else None,
            extra_groups=[] if self.borrowed else None,
            umask=0o077,
            start_new_session=True,
        )


def server_account() -> Account:
    """Our own account, unless we are root."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), borrowed=False)
    for name in BORROWED:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid, borrowed=True)
    raise RuntimeError(
        "PostgreSQL does not run as root and none of these accounts exists to run it: "
        + ", ".join(BORROWED)
    )
