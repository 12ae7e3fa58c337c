"""A private directory, the account that owns it, and the watcher that cleans up after it.

The watcher is a shell that reads from a pipe whose writing end only this process has. However
this process ends, the kernel closes the pipe; the watcher then stops the program, waits until
all processes of the program have ended, and removes the directory. ``close`` closes the pipe, and
starts another watcher if the first one was killed. PR_SET_PDEATHSIG is not sufficient: only Linux
has it, a change of the account cancels it, and the signal is sent when the starting *thread* ends.
"""

import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self
from weakref import WeakSet

PROGRAMS: Final = ("initdb", "postgres")

# The accounts that root uses: Debian's, macOS's, and one that every system has.
SERVER_ACCOUNTS: Final = ("postgres", "_postgres", "nobody")

# Other environment variables are not passed on: root's may contain secrets, and PGDATA, PGPORT
# and the like would change what initdb and postgres do.
INHERITED_VARIABLES: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

PREFIX: Final = "studyplan-pg-"
# Paths with other characters are skipped: PostgreSQL and libpq split lists of directories and
# hosts at commas, and command lines, configuration files, URLs and connection strings differ in
# their quoting.
PLAIN_PATH: Final = re.compile(r"[\w./+-]+")
SOCKET_PATH_LIMIT: Final = 103  # bytes, the limit of macOS; Linux allows 107
CLOSE_SECONDS: Final = 30

# The arguments are the directory, and "new" to create it. stdin is the owner's pipe: `read` returns
# when the owner has closed it or has ended. stdout is the reading end of a pipe whose writing end
# the program and its descendants inherit: end of file means that all of them have ended. Process
# ids are reused, so a signal is only sent if the process's command line contains the directory.
# SIGTERM is ignored because a service manager sends it to all processes of a service.
WATCHER_SCRIPT: Final = """
trap "" HUP INT QUIT TERM
[ "$2" != new ] || mkdir -- "$1" || exit
read -r _
if read -r pid < "$1/pid" && { [ ! -d /proc/self ] || grep -qF -- "$1/" "/proc/$pid/cmdline"; }
then
    kill -QUIT "-$pid"
    sleep 10 & sleep=$!
    { read -r _ <&1; kill -KILL "$sleep"; } &
    wait "$sleep" && kill -KILL "-$pid"
fi
read -r _ <&1
rm -rf -- "$1"
"""
# The process id is written before the program starts, and until then stdin keeps the owner's pipe
# open. Thus, whenever the owner ends, the watcher finds the id of the process that it must stop.
LAUNCH_SCRIPT: Final = 'echo $$ > pid; exec "$@" < /dev/null'


class ServerStartError(RuntimeError):
    """The server did not start; the message has the reason or the last lines of its log."""


class Workspace:
    """A private directory, and one program at a time that runs in it.

    After ``close``, and shortly after this process has ended in any way, all processes of the
    program have ended and the directory does not exist. They may only remain if the watcher is
    also killed by SIGKILL. A forked child neither ends the program nor keeps it running.

    :param bindir: the directory with the programs of the PostgreSQL installation to run.
    :raises ServerStartError: the user has no account, or no temporary directory is usable.
    """

    def __init__(self, bindir: Path | None = None) -> None:
        self.account = server_account()
        self._installation = bindir and bindir.resolve(strict=True)
        self._is_reachable = bindir is None or self.account.can_run(bindir.resolve())
        self._owner = os.getpid()
        self._program: Child | None = None
        (owners, owned), (servers, served) = os.pipe(), os.pipe()
        self._pipes = [owners, servers, owned, served]
        self._watcher: Child
        _open.add(self)
        try:
            self._make()
        except BaseException:
            self.close_pipes()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def bindir(self) -> Path:
        """The programs' directory; of a copy if the account cannot run the installation.

        It cannot, for example, if root's virtual environment is in a home directory of mode 0700.
        """
        if self._installation is None:
            raise RuntimeError("No PostgreSQL installation was given.")
        if self._is_reachable:
            return self._installation
        return _copied(self._installation, self.account, self.path / "install")

    def spawn(self, *command: str) -> "Child":
        """Start a program, whose output goes to the log. The previous one must have ended."""
        self.check_open()
        with self.log.open("ab") as log:
            launch = ["/bin/sh", "-c", LAUNCH_SCRIPT, "launch", *command]
            streams = self._pipes[2], log.fileno(), log.fileno()
            self._program = self.account.spawn(launch, self.path, streams, self._pipes[3:])
        return self._program

    def check_open(self) -> None:
        """Raise ``RuntimeError`` in a forked child and after ``close``."""
        if os.getpid() != self._owner:
            raise RuntimeError("Only the process that started the server can restart it.")
        if not self._pipes:
            raise RuntimeError("The server's block has ended.")

    def log_tail(self, offset: int = 0) -> str:
        """Return the last lines that were logged after ``offset``, for an error message."""
        with suppress(FileNotFoundError):
            lines = self.log.read_bytes()[offset:].decode(errors="replace").splitlines()
            return "\n".join(lines[-20:])
        return ""

    def close(self) -> None:
        """Stop the program and remove the directory; do nothing in a forked child."""
        if not self._pipes:
            return
        self.close_pipes(left=2)
        until(self._watcher.ended, seconds=CLOSE_SECONDS)
        if self._watcher.returncode:  # The watcher was killed, so a new one cleans up.
            self._watcher = self._watch()
            until(self._watcher.ended, seconds=CLOSE_SECONDS)
        if self._program is not None:
            until(self._program.ended, seconds=CLOSE_SECONDS)
        self.close_pipes()

    def close_pipes(self, *, left: int = 0) -> None:
        """Close the writing ends, then the reading ends; in a forked child only its own copies."""
        while len(self._pipes) > left:
            os.close(self._pipes.pop())

    def _make(self) -> None:
        """Have the watcher create the directory, so that it never exists without a watcher."""
        for root in _temporary_directories(executable=not self._is_reachable):
            self.path = root / f"{PREFIX}{secrets.token_urlsafe(6)}"
            self._watcher = self._watch("new")
            until(lambda: self.path.is_dir() or self._watcher.ended(), seconds=CLOSE_SECONDS)
            if self.path.is_dir():
                self.data, self.log = self.path / "data", self.path / "log"
                return
        raise ServerStartError(
            "Neither TMPDIR nor /tmp nor /var/tmp is usable as the server's temporary directory. "
            f"Set TMPDIR to a directory in which the account {self.account.name!r} may write"
            f"{'' if self._is_reachable else ' and run programs (not noexec)'}. Its path must be "
            "short and may only contain letters, digits and the characters . _ + - /."
        )

    def _watch(self, directory: str = "existing") -> "Child":
        streams = self._pipes[0], self._pipes[1], subprocess.DEVNULL
        command = ["/bin/sh", "-c", WATCHER_SCRIPT, "watcher", str(self.path), directory]
        return self.account.spawn(command, Path("/"), streams)


_open: WeakSet[Workspace] = WeakSet()


def _close_pipes_of_all() -> None:
    for workspace in _open:
        workspace.close_pipes()


# Otherwise a forked child would keep the owner's pipe open after the owner has ended.
os.register_at_fork(after_in_child=_close_pipes_of_all)


@dataclass(frozen=True, slots=True)
class Account:
    """The account that owns the server's processes and files.

    PostgreSQL does not run as root, so root uses another existing account, a ``borrowed`` one.
    Accounts are never created, and permissions of existing files are never changed.
    """

    name: str
    uid: int
    gid: int
    borrowed: bool

    def can_run(self, bindir: Path) -> bool:
        """Whether the account may read and run the programs in ``bindir``."""
        if not self.borrowed:
            return True
        script = 'for program; do [ -r "$program" ] && [ -x "$program" ] || exit; done'
        command = ["/bin/sh", "-c", script, "check", *(str(bindir / name) for name in PROGRAMS)]
        check = self.spawn(command, Path("/"), (subprocess.DEVNULL,) * 3)
        return until(check.ended, seconds=CLOSE_SECONDS) and check.returncode == 0

    def own(self, path: Path) -> None:
        """Make the account the owner of a path that this process has created."""
        if self.borrowed:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def spawn(
        self, command: Sequence[str], home: Path, streams: tuple[int, int, int],
        inherited: Sequence[int] = (),
    ) -> "Child":  # fmt: skip
        """Start a program as this account, in a new session.

        Without a new session, Ctrl-C in a terminal would also be sent to the server, which must
        run until the block ends. The account is changed by ``user=`` and not by ``preexec_fn``,
        which may deadlock in the presence of threads.
        """
        environment = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
        process = subprocess.Popen(  # noqa: S603 - no shell, and our own arguments
            command,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            pass_fds=inherited,
            cwd=home,  # initdb fails if the account may not enter the current directory
            # Without TZ, initdb compares the system's time zone with all zones, which is slow.
            env={**environment, "LC_ALL": "C", "TZ": "UTC", "HOME": str(home)},
            user=self.uid if self.borrowed else None,
            group=self.gid if self.borrowed else None,
            extra_groups=[] if self.borrowed else None,
            umask=0o077,
            start_new_session=True,
        )
        process.returncode = 0  # Child waits instead; without this, Popen issues a warning
        return Child(process.pid)


def server_account() -> Account:
    """Return the current account; for root, an existing one of ``SERVER_ACCOUNTS``.

    Raises ``ServerStartError`` if there is none.
    """
    uid = os.geteuid()
    if uid != 0:
        with suppress(KeyError):
            return Account(pwd.getpwuid(uid).pw_name, uid, os.getegid(), borrowed=False)
        raise ServerStartError(
            f"The user id {uid} has no account on this system, and PostgreSQL's initdb needs one. "
            "Run as a user of /etc/passwd (in a container: --user), or add this one to that file."
        )
    for name in SERVER_ACCOUNTS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid, borrowed=True)
    raise ServerStartError(
        "PostgreSQL does not run as root and none of these accounts exists to run it: "
        + ", ".join(SERVER_ACCOUNTS)
    )


class Child:
    """A child process that can be waited for even if a signal handler raises an exception.

    An exception in a signal handler, such as KeyboardInterrupt, can prevent ``Popen.poll()`` and
    ``Popen.wait()`` from releasing their lock. Every later ``wait()`` then hangs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def ended(self) -> bool:
        """Whether the process has ended. If it has, reap it and set its ``returncode``."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # reaped by other code, or before an exception of a handler
                self.returncode = -1
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode is not None


def until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Wait until the condition is true; return False if it is not after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _temporary_directories(*, executable: bool) -> Iterator[Path]:
    """Yield TMPDIR, /tmp and /var/tmp if their paths and mount options are suitable."""
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdir fails if the path exists
        root = Path(name).resolve()
        socket_path = root / f"{PREFIX}12345678" / ".s.PGSQL.65535"
        if (
            root.is_dir()
            and PLAIN_PATH.fullmatch(str(root))
            and len(os.fsencode(socket_path)) <= SOCKET_PATH_LIMIT
            and not (executable and os.statvfs(root).f_flag & os.ST_NOEXEC)
        ):
            yield root


def _copied(bindir: Path, account: Account, into: Path) -> Path:
    # Three levels of the path are kept, because a wheel has libraries next to its package
    # (site-packages/package/install/bin); their paths are read from the programs' RPATH. The files
    # are not hard-linked, because a change of a link's owner also changes that of the original.
    target = into.joinpath(*bindir.parts[-3:])
    code = b"".join((bindir / name).read_bytes() for name in PROGRAMS)
    libraries = map(os.fsdecode, re.findall(rb"\$ORIGIN/([^\0:]+)", code))
    for relative in (*PROGRAMS, "../lib", "../share", *libraries):
        copy = Path(os.path.normpath(target / relative))
        if copy.is_relative_to(into):
            _copy((bindir / relative).resolve(), copy, account)
    return target


def _copy(source: Path, target: Path, account: Account) -> None:
    """Copy a file or directory, and change each entry's owner immediately after its creation.

    If this process is killed, the watcher, which runs as the account, can then remove the copy.
    """
    if target.exists() or source.suffix == ".a" or not source.exists():
        return
    missing = [parent for parent in target.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir()
        account.own(parent)
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
        account.own(target)
        for entry in source.iterdir():
            _copy(entry, target / entry.name, account)
    else:
        shutil.copy(source, target, follow_symlinks=False)
        account.own(target)
