"""The long form: 16 workers in 4 processes, with faults, and the checker's verdict."""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.soak.checker import check_run
from tests.soak.load import Load, conninfo_of, run
from tests.soak.place import database

OPERATIONS_A_KILL = 1000


def main() -> int:
    """Run, check, tell; 0 if there were no violations."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="the directory where the histories stay")
    asked = parser.parse_args()
    kills = max(2, asked.operations // OPERATIONS_A_KILL)
    load = Load(asked.operations, seed=asked.seed, kills=kills)
    started = time.monotonic()
    with ExitStack() as stack:
        directory = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        url = stack.enter_context(database())
        harm = run(load, url, directory)
        verdict = check_run(directory, conninfo_of(url))
    print(f"seed {load.seed}, {load.workers} workers in {load.processes} processes")
    print(verdict)
    print("from outside: " + ", ".join(f"{count} {name}" for name, count in harm.most_common()))
    print(f"{time.monotonic() - started:.0f} s with the checking")
    return min(1, len(verdict.violations))


if __name__ == "__main__":
    sys.exit(main())
