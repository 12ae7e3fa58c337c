"""A private directory, the account that owns it, and the watcher that ends what runs in it.

The watcher is a shell that reads a pipe whose writing end only this process has. The kernel
closes the pipe however this process ends; the watcher then stops the program, waits until
none of its processes is left, and removes the directory. ``close`` does the same by closing
the pipe; if the watcher was killed, another one takes its place. PR_SET_PDEATHSIG is no
replacement: only Linux has it, a change of account cancels it, and it fires when a *thread* ends.
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

# Debian's name, macOS's name, and the one that is everywhere.
BORROWED: Final = ("postgres", "_postgres", "nobody")

# Nothing else of the environment is handed on: a borrowed account must not read root's
# secrets, and PGDATA, PGPORT and their like would change what initdb and postgres do.
INHERITED: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

PREFIX: Final = "studyplan-pg-"
# PostgreSQL and libpq split lists of directories and hosts at commas, and quoting differs
# between a command line, a configuration file, a URL and a connection string.
PLAIN_PATH: Final = re.compile(r"[\w./+-]+")
SOCKET_PATH_LIMIT: Final = 103  # of macOS; Linux allows 107
CLOSE_SECONDS: Final = 30

# stdin is the owner's pipe. stdout is the reading end of a pipe whose writing end the program
# and its descendants inherit: its end of file means that all of them are gone. Process ids
# are used again, so one is believed only if its command line names the directory. SIGTERM is
# ignored because a service manager sends it to all processes at once.
WATCH: Final = """
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
# The id is written before the program begins, and until then stdin holds the owner's pipe
# open: whenever the owner dies, the watcher finds the id of what it has to stop.
LAUNCH: Final = 'echo $$ > pid; exec "$@" < /dev/null'


class ServerStartError(RuntimeError):
    """The server did not come up; the text has the reason or the last lines of its log."""


class Workspace:
    """A private directory and the program that runs in it, one at a time.

    Guaranteed after ``close``, and a moment after this process has ended in any way: no process
    of the program and no directory is left. Not guaranteed if the watcher is killed by
    SIGKILL as well. A forked child neither ends the program nor keeps it running.

    :param bindir: the PostgreSQL installation that is to run in it.
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
        """The installation, or a copy in the directory if the account cannot run it.

        That is the case of root with a virtual environment below a home directory of mode 0700.
        """
        if self._installation is None:
            raise RuntimeError("No PostgreSQL installation was given.")
        if self._is_reachable:
            return self._installation
        return _copied(self._installation, self.account, self.path / "install")

    def spawn(self, *command: str) -> "Child":
        """Start a program, whose output goes to the log. The one before must have ended."""
        self.check_open()
        with self.log.open("ab") as log:
            launch = ["/bin/sh", "-c", LAUNCH, "launch", *command]
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
        """The last lines that were logged after ``offset``, for an error's text."""
        with suppress(FileNotFoundError):
            lines = self.log.read_bytes()[offset:].decode(errors="replace").splitlines()
            return "\n".join(lines[-20:])
        return ""

    def close(self) -> None:
        """Stop the program and remove the directory; does nothing in a forked child."""
        if not self._pipes:
            return
        self.close_pipes(left=2)
        until(self._watcher.ended, seconds=CLOSE_SECONDS)
        if self._watcher.returncode:  # it was killed
            self._watcher = self._watch()
            until(self._watcher.ended, seconds=CLOSE_SECONDS)
        if self._program is not None:
            until(self._program.ended, seconds=CLOSE_SECONDS)
        self.close_pipes()

    def close_pipes(self, *, left: int = 0) -> None:
        """Close the writing ends, then the others. The owner's stay open if a child does it."""
        while len(self._pipes) > left:
            os.close(self._pipes.pop())

    def _make(self) -> None:
        """Let the watcher make the directory, which therefore never exists without one."""
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
            f"{'' if self._is_reachable else ' and run programs (not noexec)'}, "
            "with a short path of letters, digits and the characters . _ + - only."
        )

    def _watch(self, directory: str = "made") -> "Child":
        streams = self._pipes[0], self._pipes[1], subprocess.DEVNULL
        command = ["/bin/sh", "-c", WATCH, "watcher", str(self.path), directory]
        return self.account.spawn(command, Path("/"), streams)


_open: WeakSet[Workspace] = WeakSet()


def _close_pipes_of_all() -> None:
    for workspace in _open:
        workspace.close_pipes()


os.register_at_fork(after_in_child=_close_pipes_of_all)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose processes and files the server's are; ``borrowed`` when not our own.

    PostgreSQL refuses to run as root. Root borrows an account that exists already; accounts
    are never created and permissions of files that are not ours never changed.
    """

    name: str
    uid: int
    gid: int
    borrowed: bool

    def can_run(self, bindir: Path) -> bool:
        """Whether the account may read and run the programs in ``bindir``."""
        if not self.borrowed:
            return True
        tried = 'for program; do [ -r "$program" ] && [ -x "$program" ] || exit; done'
        command = ["/bin/sh", "-c", tried, "try", *(str(bindir / name) for name in PROGRAMS)]
        trial = self.spawn(command, Path("/"), (subprocess.DEVNULL,) * 3)
        return until(trial.ended, seconds=CLOSE_SECONDS) and trial.returncode == 0

    def own(self, path: Path) -> None:
        """Hand over a path that we made ourselves."""
        if self.borrowed:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def spawn(
        self, command: Sequence[str], home: Path, streams: tuple[int, int, int],
        inherited: Sequence[int] = (),
    ) -> "Child":  # fmt: skip
        """Start a program as this account, in a session of its own.

        A session of its own because Ctrl-C in a terminal reaches the whole foreground
        group, and the server must last until the block ends. The account is changed by
        ``user=`` and not by ``preexec_fn``, which may deadlock when there are threads.
        """
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        process = subprocess.Popen(  # noqa: S603 - no shell; our own argument list
            command,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            pass_fds=inherited,
            cwd=home,  # ours may be closed to the account, which initdb does not survive
            # Without TZ, initdb compares the system's time zone with every zone it knows.
            env={**environment, "LC_ALL": "C", "TZ": "UTC", "HOME": str(home)},
            user=self.uid if self.borrowed else None,
            group=self.gid if self.borrowed else None,
            extra_groups=[] if self.borrowed else None,
            umask=0o077,
            start_new_session=True,
        )
        process.returncode = 0  # Child waits instead, and Popen warns of nothing
        return Child(process.pid)


def server_account() -> Account:
    """Our own account, or one that root borrows; raises ``ServerStartError`` without any."""
    uid = os.geteuid()
    if uid != 0:
        with suppress(KeyError):
            return Account(pwd.getpwuid(uid).pw_name, uid, os.getegid(), borrowed=False)
        raise ServerStartError(
            f"The user id {uid} has no account here, and PostgreSQL's initdb needs one. Run as "
            "a user of /etc/passwd (of a container: --user), or add this one to that file."
        )
    for name in BORROWED:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid, borrowed=True)
    raise ServerStartError(
        "PostgreSQL does not run as root and none of these accounts exists to run it: "
        + ", ".join(BORROWED)
    )


class Child:
    """A child process, waited for safely where a signal's handler raises.

    Popen's own poll() and wait() hold a lock that an exception out of a signal handler,
    such as KeyboardInterrupt, can leave locked: every later wait() then hangs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def ended(self) -> bool:
        """Whether it is over; it is reaped then, and its ``returncode`` set."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # reaped elsewhere, or before the status was kept
                self.returncode = -1
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode is not None


def until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Wait for the condition; False when the time ran out."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _temporary_directories(*, executable: bool) -> Iterator[Path]:
    """TMPDIR and the usual ones, as far as their paths and mounts suit a server."""
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdir fails there on what exists
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
    # Three levels are kept, since libraries lie beside the package: site/package/install/bin.
    # Their place (RPATH) is read from the programs, as each wheel has its own.
    # A copy and no hard links, because handing a link over would hand over the original.
    target = into.joinpath(*bindir.parts[-3:])
    code = b"".join((bindir / name).read_bytes() for name in PROGRAMS)
    libraries = map(os.fsdecode, re.findall(rb"\$ORIGIN/([^\0:]+)", code))
    for place in (*PROGRAMS, "../lib", "../share", *libraries):
        copy = Path(os.path.normpath(target / place))
        if copy.is_relative_to(into):
            _copy((bindir / place).resolve(), copy, account)
    return target


def _copy(source: Path, target: Path, account: Account) -> None:
    """Copy and hand over entry by entry: the watcher can remove it whenever we are killed."""
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
