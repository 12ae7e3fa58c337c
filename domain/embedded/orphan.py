"""What happens to a server whose owner was killed and could not stop it.

A watcher, a shell that waits on a pipe, notices at once: the kernel closes the pipe
however the owner dies. It was preferred to PR_SET_PDEATHSIG, which Linux alone has, which
is lost when the account changes, and which fires when the *thread* that started the server
ends. Should the watcher be killed too, the next start sweeps.
"""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from domain.embedded.account import Account
from domain.embedded.child import disown, ended, until

# $1 is the private directory. A line on the pipe means that all is well and over. The
# process id is believed only if its command line names the directory (where /proc tells).
# The second removal is for a kill amid initdb, which writes on for a moment.
WATCH = """
read -r _ && exit 0
if read -r pid < "$1/data/postmaster.pid" &&
    { [ ! -d /proc/self ] || grep -qF -- "$1/data" "/proc/$pid/cmdline"; }
then
    kill -QUIT "$pid"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ -e "$1/data/postmaster.pid" ] || break
        sleep 0.1
    done
    [ ! -e "$1/data/postmaster.pid" ] || kill -KILL "$pid"
fi
rm -rf -- "$1" || { sleep 2; rm -rf -- "$1"; }
"""


class Watcher:
    """Stops the server and removes its directory when this process dies without doing so."""

    def __init__(self, home: Path, account: Account) -> None:
        self._process = account.spawn(
            ["/bin/sh", "-c", WATCH, "watcher", str(home)],
            home=Path("/"),
            log=subprocess.DEVNULL,
            stdin=subprocess.PIPE,
        )

    def dismiss(self) -> None:
        """Tell it that the work is done."""
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            with suppress(BrokenPipeError), pipe:
                pipe.write(b"done\n")
        until(lambda: ended(self._process), seconds=5)

    def abandon(self) -> None:
        """In a forked child: let go of the pipe, for only the parent's life is to count."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        disown(self._process)


def postmaster_file(data: Path) -> list[str]:
    """The lines of ``postmaster.pid``; empty when there is none."""
    with suppress(OSError):
        return (data / "postmaster.pid").read_text(errors="replace").splitlines()
    return []


def stop_orphan(data: Path) -> None:
    """Stop the server that runs on ``data``, if there is one."""
    match postmaster_file(data):
        case [pid, *_] if pid.isdecimal():
            for number in (signal.SIGQUIT, signal.SIGKILL):
                if _serves(int(pid), data):
                    os.kill(int(pid), number)
                    until(lambda: not _serves(int(pid), data), seconds=5)


def _serves(pid: int, data: Path) -> bool:
    # Ids are used again: one that names a stranger's process must not be believed.
    with suppress(OSError):
        return os.fsencode(data) in _command_line(pid, of_user=data.stat().st_uid)
    return False


def _command_line(pid: int, *, of_user: int) -> bytes:
    process = Path("/proc", str(pid))
    if Path("/proc/self").exists():
        return process.joinpath("cmdline").read_bytes() if process.stat().st_uid == of_user else b""
    command = ["/bin/ps", "-p", str(pid), "-o", "command="]
    return subprocess.run(command, capture_output=True, check=False).stdout  # noqa: S603 - no shell
