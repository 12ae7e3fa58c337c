"""Waiting for child processes, safely where a signal's handler raises.

Popen's own poll() and wait() hold a lock that an exception out of a signal handler, such
as KeyboardInterrupt, can leave locked: every later wait() then hangs. Nothing here does.
"""

import os
import subprocess
import time
from collections.abc import Callable


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether our child is over; it is reaped then, and its ``returncode`` set."""
    if process.returncode is None:
        try:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:  # reaped, and an exception came before the status was kept
            process.returncode = -1
        else:
            process.returncode = os.waitstatus_to_exitcode(status) if pid else None
    return process.returncode is not None


def disown(process: subprocess.Popen[bytes]) -> None:
    """In a forked child: nothing to wait for, and no warning that it was not waited for."""
    process.returncode = 0


def until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Wait for the condition; False when the time ran out."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
